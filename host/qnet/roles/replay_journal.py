"""What the replay cache has accepted, written down for this node's next life.

Layout of ``replay.journal``::

    8 bytes   "qnetrpl1"
    16 bytes  the boot of this machine in which it was begun
    1 byte    0, or 1 when the node has ended in order and all is on the disk
    n times   random(32), when it was accepted(8): milliseconds of unix time

An entry is written before its hello is accepted, and not synced by itself: it survives this process, but perhaps not
the machine. So the record is complete in the same boot, or after an orderly end. A life that begins without a complete
one makes none for as long as what is missing could be replayed: until then it names no boot, and its end is not called
orderly. Now and then the file is begun anew with what the cache still holds. Its content is no secret that its
neighbour, the cover key, is not: it serves for minutes, and then is gone.
"""

import asyncio
import errno
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import CAPACITY, KEEP_SECONDS, ReplayCache

FILE_NAME = "replay.journal"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAGIC = b"qnetrpl1"
_FLAG = len(_MAGIC) + 16
_HEAD = _FLAG + 1
_ENTRY = 32 + 8
_LIMIT = _HEAD + 4 * CAPACITY * _ENTRY
_log = logging.getLogger(__name__)


class ReplayJournal:
    """``cache`` is what to ask; ``fresh``: this node has never had a client; ``boot``: 16 bytes, empty if unknown.

    A record that cannot be written is taken away, so that the next life does not trust it.
    """

    def __init__(self, folder: Path, now: float, *, fresh: bool, boot: bytes) -> None:
        self._path = folder / FILE_NAME
        self._boot = boot
        content = self._read()
        complete = fresh or self._is_complete(content)
        self.cache = ReplayCache(0.0 if complete else now + SKEW, self._write)
        self._complete_from = 0.0 if complete else now + KEEP_SECONDS
        for random, seen in sorted(_entries(content), key=lambda entry: entry[1]):
            if abs(now - seen) <= KEEP_SECONDS:
                self.cache.restore(random, seen)
        self._handle: int | None = None
        self._began = now
        self._closed = self._complete = False
        self._begin(now)

    async def keep(self) -> None:
        """Until cancelled; then end in order."""
        try:
            await asyncio.Event().wait()
        finally:
            self.close()

    def close(self) -> None:
        """Have all on the disk, and accept nothing any more."""
        self._closed = True
        handle, self._handle = self._handle, None
        if handle is None:
            return
        with suppress(OSError):
            os.fsync(handle)
            os.pwrite(handle, b"\x01" if self._complete else b"\0", _FLAG)
            os.fsync(handle)
        os.close(handle)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(_LIMIT)
        except OSError:
            return b""

    def _is_complete(self, content: bytes) -> bool:
        if len(content) < _HEAD or not content.startswith(_MAGIC):
            return False
        same_boot = bool(self._boot) and content[len(_MAGIC) : _FLAG] == self._boot
        return same_boot or content[_FLAG] == 1

    def _begin(self, now: float) -> None:
        """A new file with what the cache holds."""
        self._began, self._complete = now, now > self._complete_from
        kept = b"".join(_entry(random, seen) for random, seen in self.cache.entries())
        boot = self._boot if self._complete else b""
        content = _MAGIC + boot.ljust(16, b"\0") + b"\0" + kept
        self._drop()
        try:
            # Not synced: who finds it torn after the machine went down does not trust it.
            self._handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=FILE_NAME + ".")
            try:
                self._append(content)
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink()
                raise
        except OSError:
            self._give_up()

    def _write(self, random: bytes, now: float) -> None:
        if self._closed:
            raise NotAuthenticError("the node ends")
        if not 0 <= now - self._began <= KEEP_SECONDS:
            self._begin(now)
        if self._handle is None:
            return
        try:
            self._append(_entry(random, now))
        except OSError:
            self._give_up()

    def _append(self, content: bytes) -> None:
        assert self._handle is not None  # noqa: S101 - both callers have seen to it
        if os.write(self._handle, content) != len(content):
            raise OSError(errno.ENOSPC, "a part was written")

    def _give_up(self) -> None:
        _log.warning("what must not be replayed cannot be written down; after a restart this node waits")
        self._drop()
        with suppress(OSError):
            self._path.unlink()

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def boot_id() -> bytes:
    """What names this boot of the machine, 16 bytes; empty where nothing does."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:16]
    except (OSError, ValueError):
        return b""


def _entry(random: bytes, seen: float) -> bytes:
    return random + int(seen * 1000).to_bytes(8, "big")


def _entries(content: bytes) -> Iterator[tuple[bytes, float]]:
    """Every whole entry: the last may be torn."""
    for at in range(_HEAD, len(content) - _ENTRY + 1, _ENTRY):
        yield content[at : at + 32], int.from_bytes(content[at + 32 : at + _ENTRY], "big") / 1000
