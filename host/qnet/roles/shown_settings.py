"""The settings as ``/config`` shows them: choices and numbers as they are, all else only as set or not.

What is shown is named here, one by one: a setting that comes later is withheld until somebody thinks about it.
"""

from typing import Any

import msgspec

from qnet.settings import Settings

SHOWN = (
    "mode",
    "socks_port",
    "status_port",
    "hops",
    "browser_template",
    "shaping",
    "cover_traffic",
    "exit_only",
    "exit_max_connections",
    "exit_connects_per_client",
    "exit_streams_per_minute",
    "exit_idle_minutes",
    "exit_monthly_gigabytes",
    "exit_abuse_log",
    "exit_allowed_ports",
)
NOTE = "Addresses, names, keys and paths are left out: of those it is said only whether they are set."


def shown_settings(settings: Settings) -> dict[str, Any]:
    """What may be shown to whoever can open the status page, as JSON values."""
    values = msgspec.to_builtins(msgspec.structs.asdict(settings))
    defaults = msgspec.to_builtins(msgspec.structs.asdict(Settings()))
    return {
        "note": NOTE,
        "settings": {name: values[name] for name in SHOWN},
        "set": sorted(name for name, value in values.items() if name not in SHOWN and value != defaults[name]),
    }
