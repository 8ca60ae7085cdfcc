"""An exit as the settings describe it: its limits, its books, the addresses that it leaves from, its notice page."""

import logging
import socket
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

from qnet.app.modes import ModeError
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.listen import ListenError, bind
from qnet.roles.abuse_log import AbuseLog
from qnet.roles.exit import Exit
from qnet.roles.exit_turns import ClientLimits
from qnet.roles.exit_usage import Usage
from qnet.settings import Settings, split_address

GIGABYTE = 10**9

_log = logging.getLogger(__name__)


def make_exit(settings: Settings, policy: ExitPolicy, data: Path) -> Exit:
    """``data``: the folder for its books; raises ``ModeError`` when it cannot leave from where it should."""
    for address in settings.exit_bind:
        _check_source(address)
    if not settings.exit_bind or any(_is_entry(address, settings) for address in settings.exit_bind):
        _log.warning("people enter and leave at the same address: whoever sees it leave can find the entry (exit_bind)")
    refusals = data / "abuse.log"
    if not settings.exit_abuse_log:
        refusals.unlink(missing_ok=True)  # nobody would make it forget any more
    usage = Usage(data / "exit-usage.json", settings.exit_monthly_gigabytes * GIGABYTE)
    return exit_with(settings, policy, usage, AbuseLog(refusals) if settings.exit_abuse_log else None)


def exit_with(settings: Settings, policy: ExitPolicy, usage: Usage, abuse_log: AbuseLog | None) -> Exit:
    """An exit with its books given."""
    return Exit(
        policy,
        settings.exit_max_connections,
        clients=ClientLimits(settings.exit_connects_per_client, settings.exit_streams_per_minute),
        idle_seconds=settings.exit_idle_minutes * 60.0,
        sources=settings.exit_bind,
        usage=usage,
        abuse_log=abuse_log,
    )


def _check_source(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        raise ModeError("this computer does not have the address in exit_bind", "give it one of its own") from None


def _is_entry(address: str, settings: Settings) -> bool:
    """Whether people enter at ``address`` too, as far as the settings say it in numbers."""
    for place in filter(None, (settings.listen, settings.address)):
        with suppress(ValueError):
            entry = ip_address(split_address(place)[0])
            if entry.is_unspecified or entry == ip_address(address):
                return True
    return False


async def serve_notice(settings: Settings) -> None:
    """Show the notice page on port 80 of each address that is only left from, until cancelled."""
    # Imported here: only an exit with an address of its own needs it.
    from qnet.roles.notice import PORT, notice_app
    from qnet.roles.status import StatusServer

    with ExitStack() as stack:
        sockets = []
        for address in settings.exit_bind:
            if _is_entry(address, settings):
                continue  # it would tell what the decoy hides
            try:
                sockets.append(stack.enter_context(bind(address, PORT, what="the notice page", option="exit_bind")))
            except ListenError as error:
                _log.warning("there is no notice page: %s", error.message)
        if sockets:
            app = notice_app(settings.abuse_email, settings.exit_allowed_ports)
            await StatusServer(app).serve(sockets=sockets)
