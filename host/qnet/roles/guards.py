"""The client's guards, in a file of ours: a restart must not be a reason to choose others."""

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from qnet.mesh.guards import MAX_GUARDS, Guard, Guards
from qnet.net.client_link import UnreachablePeerError
from qnet.roles.circuits import BuildError
from qnet.settings import replace_file

_log = logging.getLogger(__name__)
_LIMIT = 64 * 1024


class _Entry(msgspec.Struct, frozen=True):
    peer: bytes
    since: float


class _Content(msgspec.Struct, frozen=True):
    guards: list[_Entry] = []
    changes: list[float] = []


class GuardFile:
    """The guards with their file, whose name is ``path``; without one they last as long as this process."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.guards = Guards()

    async def load(self) -> None:
        """Have those of the file."""
        if self._path is not None:
            self.guards = await asyncio.to_thread(load, self._path)

    async def tried(self, first: bytes, error: BuildError | None) -> None:
        """A circuit that begins at ``first`` was made, unless there is an ``error``; it may be no guard yet."""
        now = time.time()
        if error is not None and len(error.blamed) == 1:
            unreachable = isinstance(error.reason, UnreachablePeerError)
            changed = self.guards.failed(first, now, unreachable=unreachable)
        else:
            changed = self.guards.reached(first, now)
            self.guards.circuit(first, made=error is None)
        if changed and self._path is not None:
            await asyncio.to_thread(save, self._path, self.guards)


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
