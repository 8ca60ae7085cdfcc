"""The record of accepted hellos in a file that several processes of one node share, as ``replay_journal`` lays it out.

Conversation about one hello, in each process alike:

1. take the lock, a file beside the record
2. read what the others have added since the last time; a random that is among it is a replay
3. add this one, let the lock go; only then is the hello accepted

Whoever cannot do so accepts nothing. One process, the ``ReplayJournal``'s, begins the record and begins it anew; the
others see that by the old file's having no name any more.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qnet.wire.cover.auth import NotAuthenticError
from qnet.wire.cover.replay import CAPACITY, ReplayCache

FILE_NAME = "replay.journal"
MAGIC = b"qnetrpl1"
FLAG = len(MAGIC) + 16
HEAD = FLAG + 1
ENTRY = 32 + 8
LIMIT = HEAD + 4 * CAPACITY * ENTRY


def entry(random: bytes, seen: float) -> bytes:
    """One line of the record."""
    return random + int(seen * 1000).to_bytes(8, "big")


def entries(content: bytes, start: int = 0) -> Iterator[tuple[bytes, float]]:
    """Every whole entry from ``start`` on, as random and unix seconds: the last may be torn."""
    for at in range(start, len(content) - ENTRY + 1, ENTRY):
        yield content[at : at + 32], int.from_bytes(content[at + 32 : at + ENTRY], "big") / 1000


def add(handle: int, content: bytes) -> None:
    """Put ``content`` at the record's end, in whole or not at all; raises ``OSError``."""
    end = os.lseek(handle, 0, os.SEEK_END)
    if os.write(handle, content) != len(content):
        os.ftruncate(handle, end)
        raise OSError(errno.ENOSPC, "a part was written")


class Lock:
    """One holder at a time, over all processes; freed when its holder ends, however that is."""

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder / "replay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block nobody else has it."""
        import fcntl  # not on Windows, where nodes have one process

        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._handle)


class Tail:
    """Reads an open record as it grows. ``read``: its bytes that are known already."""

    def __init__(self, handle: int, read: int = HEAD) -> None:
        self.handle = handle
        self.read = read

    @property
    def is_current(self) -> bool:
        """Whether the record has not been begun anew, or given up."""
        return os.fstat(self.handle).st_nlink > 0

    def take(self) -> Iterator[tuple[bytes, float]]:
        """What is new; raises ``OSError``."""
        found = os.pread(self.handle, max(os.fstat(self.handle).st_size - self.read, 0), self.read)
        self.read += len(found) // ENTRY * ENTRY
        return entries(found)


class ReplayFollower:
    """Another process's part in the record that a ``ReplayJournal`` keeps in ``folder``. ``cache`` is what to ask.

    ``since``: as the journal's cache has it (unix seconds).
    """

    def __init__(self, folder: Path, since: float) -> None:
        self.cache = ReplayCache(since, self._write)
        self._path = folder / FILE_NAME
        self._lock = Lock(folder)
        self._tail: Tail | None = None

    def close(self) -> None:
        """Accept nothing any more."""
        self._drop()
        self._lock.close()

    def _write(self, random: bytes, now: float) -> None:
        try:
            with self._lock.held():
                tail = self._follow()
                if self.cache.has(random):
                    raise NotAuthenticError("replay")
                add(tail.handle, entry(random, now))
                tail.read += ENTRY
        except OSError:
            self._drop()
            raise NotAuthenticError("no record") from None

    def _follow(self) -> Tail:
        """Know what every process has accepted; raises ``OSError`` where that is written nowhere."""
        if self._tail is None or not self._tail.is_current:
            self._drop()
            handle = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.pread(handle, len(MAGIC), 0) != MAGIC:
                os.close(handle)
                raise OSError(errno.EINVAL, "not a record")
            self._tail = Tail(handle)
        for random, seen in self._tail.take():
            self.cache.restore(random, seen)
        return self._tail

    def _drop(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            os.close(tail.handle)
