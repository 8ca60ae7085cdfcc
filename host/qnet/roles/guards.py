"""The client's guards, in a file of ours: a restart must not be a reason to choose others."""

import logging
from pathlib import Path

import msgspec

from qnet.mesh.guards import MAX_GUARDS, Guard, Guards
from qnet.settings import replace_file

_log = logging.getLogger(__name__)
_LIMIT = 64 * 1024


class _Entry(msgspec.Struct, frozen=True):
    peer: bytes
    since: float


class _Content(msgspec.Struct, frozen=True):
    guards: list[_Entry] = []
    changes: list[float] = []


def load(path: Path) -> Guards:
    """What ``path`` says; none where there is no such file, or it cannot be read."""
    try:
        with path.open("rb") as file:
            content = msgspec.json.decode(file.read(_LIMIT), type=_Content)
    except FileNotFoundError:
        return Guards()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.warning("the guards' file cannot be read: %s", type(error).__name__)
        return Guards()
    return Guards([Guard(each.peer, each.since) for each in content.guards][:MAX_GUARDS], list(content.changes))


def save(path: Path, guards: Guards) -> None:
    """Write them in one piece; a file that cannot be written costs only the memory of them."""
    content = _Content([_Entry(guard.peer_id, guard.since) for guard in guards.listed], list(guards.changes))
    try:
        replace_file(path, msgspec.json.encode(content))
    except OSError as error:
        _log.warning("the guards' file cannot be written: %s", type(error).__name__)
