"""``qnet status``: what the helper says about itself."""

import time
from pathlib import Path

import msgspec

from qnet.net.control_client import HelperError, request
from qnet.wire.messages import GetStatus, Hop, Status


def print_status(path: Path, as_json: bool) -> int:
    """Ask the helper at ``path`` and print; raises ``NotRunningError`` or ``HelperError``."""
    answer = request(path, GetStatus(id=1))
    if answer.status is None:
        error = answer.error
        raise HelperError(error.message if error else "the helper tells no status", error.hint if error else "")
    print(msgspec.json.encode(answer.status).decode() if as_json else describe(answer.status))
    return 0


def describe(status: Status) -> str:
    """The status as lines for a person."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.since))
    lines = [
        ("state", f"{status.state} since {since}"),
        ("mode", f"{status.mode} (version {status.version})"),
        ("way", " → ".join(map(_hop, status.hops)) or "none"),
        ("peers", f"{status.peers} known, {status.circuits} circuits, {status.streams} streams"),
        ("traffic", f"{status.traffic.up} bytes up, {status.traffic.down} bytes down"),
    ]
    if status.last_error is not None:
        place = f"{status.last_error.place}: " if status.last_error.place else ""
        lines.append(("last error", f"{place}{status.last_error.message}. {status.last_error.hint}".rstrip()))
    return "\n".join(f"{name:11}{text}" for name, text in lines)


def _hop(hop: Hop) -> str:
    notes = [note for note in (hop.country, "exit" if hop.exit else "") if note]
    return f"{hop.nickname} ({', '.join(notes)})" if notes else hop.nickname
