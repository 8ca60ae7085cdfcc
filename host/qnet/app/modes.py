"""The five modes: the one table in which they exist. Nothing below ``app`` sees a mode's name."""

import sys
from dataclasses import dataclass

from qnet.settings import Mode, Settings, split_address
from qnet.wire.errors import LocalError


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a helper in a mode does."""

    proxies: bool
    queries_directory: bool
    registers: bool
    runs_directory: bool
    relays: bool
    exits: bool


MODES: dict[Mode, Capabilities] = {
    #                        proxies queries registers directory relays exits
    "client": Capabilities(True, True, False, False, False, False),
    "relay": Capabilities(False, True, True, False, True, False),
    "bootstrap": Capabilities(False, False, False, True, True, False),
    "exit": Capabilities(False, True, True, False, True, True),
    "super": Capabilities(False, True, True, True, True, True),
}


class ModeError(LocalError):
    """The mode cannot be run as it is set up."""

    code = "mode"
    exit_code = 64


def capabilities(settings: Settings) -> Capabilities:
    """What ``settings.mode`` does; raises ``ModeError`` when something it needs is missing."""
    found = MODES[settings.mode]
    if found.exits and not settings.abuse_email:
        raise ModeError("an exit needs an address for complaints", "set EXIT_ABUSE_EMAIL=you@example.org")
    _check_workers(settings, found)
    if found.relays and settings.via is not None:
        _check_hidden(settings, found)
        return found
    if found.relays and (settings.listen is None or settings.decoy is None):
        raise ModeError(f"mode {settings.mode} needs --listen and --decoy", "or --via; see: qnet run --help")
    if found.relays and settings.address is None and _is_wildcard(settings.listen or ""):
        raise ModeError("nobody can connect to a wildcard", "say where the public reaches this node: --address")
    if settings.invite_only and settings.mdns and found.relays:
        raise ModeError("an invite-only node does not announce itself", "choose --invite-only or --mdns")
    return found


def _check_hidden(settings: Settings, found: Capabilities) -> None:
    """A node that is reached through another; raises ``ModeError`` for what only those can do that are dialled."""
    if found.runs_directory:
        raise ModeError(f"mode {settings.mode} runs a directory, which has to be dialled", "use mode relay or exit")
    if settings.listen or settings.address or settings.decoy:
        raise ModeError("a node is dialled, or reached through another", "choose --via, or --listen and --decoy")
    if settings.mdns:
        raise ModeError("a node without an address cannot announce itself", "choose --via or --mdns")


def _check_workers(settings: Settings, found: Capabilities) -> None:
    """Several processes listen at one place; raises ``ModeError`` for what has to be one."""
    if settings.workers == 1:
        return
    if not found.relays or settings.via is not None:
        raise ModeError("only a node that others dial shares its work among processes", "leave --workers out")
    if found.runs_directory:
        raise ModeError(
            "a directory is one process", "run the exit with --workers as a node of its own beside the directory"
        )
    if sys.platform != "linux":
        raise ModeError("only Linux deals connections out to several processes", "leave --workers out")


def _is_wildcard(listen: str) -> bool:
    return split_address(listen)[0] in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
