"""What the replay cache has accepted, written down for this node's next life.

Layout of ``replay.journal``::

    8 bytes   "qnetrpl1"
    16 bytes  the boot of this machine in which it was begun
    1 byte    0, or 1 when the node has ended in order and all is on the disk
    n times   random(32), when it was accepted(8): milliseconds of unix time

An entry is written before its hello is accepted, and not synced by itself: it survives this process, but perhaps not
the machine. So the record is complete in the same boot, or after an orderly end. A life that begins without a complete
one makes none for as long as what is missing could be replayed: until then it names no boot, and its end is not called
orderly. Now and then the file is begun anew with what the cache still holds. Several processes of one node may share it
(see ``replay_record``): they add to it, this one looks after it. Its content is no secret that its
neighbour, the cover key, is not: it serves for minutes, and then is gone.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from qnet.roles.replay_record import ENTRY, FILE_NAME, FLAG, HEAD, LIMIT, MAGIC, Lock, Tail, add, entries, entry
from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import KEEP_SECONDS, ReplayCache

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


class ReplayJournal:
    """``cache`` is what to ask; ``fresh``: this node has never had a client; ``boot``: 16 bytes, empty if unknown.

    ``shared``: whether other processes of this node add to the record (``ReplayFollower``). ``since``: what is dated
    before, in unix seconds, is refused. A record that cannot be written is taken away, so that the next life does not
    trust it, and other processes accept nothing.
    """

    def __init__(self, folder: Path, now: float, *, fresh: bool, boot: bytes, shared: bool = False) -> None:
        self._path = folder / FILE_NAME
        self._boot = boot
        self._lock = Lock(folder) if shared else None
        self._tail: Tail | None = None
        self._began = now
        self._closed = self._complete = False
        with self._turn():
            self._start(now, fresh=fresh)

    def _start(self, now: float, *, fresh: bool) -> None:
        """Know what earlier lives have accepted, and begin."""
        content = self._read()
        complete = fresh or self._is_complete(content)
        self.since = 0.0 if complete else now + SKEW
        self.cache = ReplayCache(self.since, self._write)
        self._complete_from = 0.0 if complete else now + KEEP_SECONDS
        for random, seen in sorted(entries(content, HEAD), key=lambda each: each[1]):
            if abs(now - seen) <= KEEP_SECONDS:
                self.cache.restore(random, seen)
        self._begin(now)

    async def keep(self, others: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until cancelled; then end in order, after ``others``: what keeps the processes that share the record."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(others)
                while True:
                    await anyio.sleep(KEEP_SECONDS)
                    # Others' entries do not pass through here.
                    with self._turn():
                        self._begin_when_due(time.time())
        finally:
            self.close()

    def close(self) -> None:
        """Have all on the disk, and accept nothing any more; other processes have ended before."""
        self._closed = True
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        tail, self._tail = self._tail, None
        if tail is None:
            return
        with suppress(OSError):
            os.fsync(tail.handle)
            os.pwrite(tail.handle, b"\x01" if self._complete else b"\0", FLAG)
            os.fsync(tail.handle)
        os.close(tail.handle)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(LIMIT)
        except OSError:
            return b""

    def _is_complete(self, content: bytes) -> bool:
        if len(content) < HEAD or not content.startswith(MAGIC):
            return False
        same_boot = bool(self._boot) and content[len(MAGIC) : FLAG] == self._boot
        return same_boot or content[FLAG] == 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Within the block nobody else adds anything, and what others have added is known."""
        if self._lock is None:
            yield
            return
        with self._lock.held():
            if self._tail is not None:
                try:
                    for random, seen in self._tail.take():
                        self.cache.restore(random, seen)
                except OSError:
                    self._give_up()
            yield

    def _begin_when_due(self, now: float) -> None:
        if not 0 <= now - self._began <= KEEP_SECONDS:
            self._begin(now)

    def _begin(self, now: float) -> None:
        """A new file with what the cache holds."""
        self._began, self._complete = now, now > self._complete_from
        kept = b"".join(entry(random, seen) for random, seen in self.cache.entries() if abs(now - seen) <= KEEP_SECONDS)
        boot = self._boot if self._complete else b""
        content = MAGIC + boot.ljust(16, b"\0") + b"\0" + kept
        self._drop()
        try:
            # Not synced: who finds it torn after the machine went down does not trust it.
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=FILE_NAME + ".")
            self._tail = Tail(handle, len(content))
            try:
                add(handle, content)
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink()
                raise
        except OSError:
            self._give_up()

    def _write(self, random: bytes, now: float) -> None:
        if self._closed:
            raise NotAuthenticError("the node ends")
        with self._turn():
            if self.cache.has(random):
                raise NotAuthenticError("replay")
            self._begin_when_due(now)
            if self._tail is None:
                return
            try:
                add(self._tail.handle, entry(random, now))
                self._tail.read += ENTRY
            except OSError:
                self._give_up()

    def _give_up(self) -> None:
        _log.warning("what must not be replayed cannot be written down; after a restart this node waits")
        self._drop()
        with suppress(OSError):
            self._path.unlink()

    def _drop(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            os.close(tail.handle)


def boot_id() -> bytes:
    """What names this boot of the machine, 16 bytes; empty where nothing does."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:16]
    except (OSError, ValueError):
        return b""
