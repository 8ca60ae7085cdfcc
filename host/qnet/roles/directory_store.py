"""Where a directory's entries live besides its memory: a snapshot on disk, or Redis for several front ends.

What is stored was verified by who stored it; descriptors are verified again when they are read. Entries are merged by
the newest descriptor and the newest heartbeat, so the order in which front ends see them does not matter.

Redis (or Valkey) layout, ``P`` the prefix:

- ``P:entry:<id>``, ``P:seq:<id>``: a record as below and its ``seq``, expiring 120 s after the last heartbeat
- ``P:revision``: counts changes; ``P:changes``: sorted set of ids by the revision of their last change

Record: CBOR array ``[descriptor, [endorsement …], seq, seen, load]``, ``seen`` in unix milliseconds.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from anyio import to_thread

from qnet.mesh.directory import TTL, Directory, Entry, check_newer
from qnet.settings import replace_file
from qnet.wire import descriptor as descriptors
from qnet.wire.cbor import decode, encode
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.signed import is_time

LIMIT = 16 * 1024
SNAPSHOT_LIMIT = 512 << 20
_BATCH = 500


class StoreError(LocalError):
    """The directory's store cannot be used."""

    code = "store"
    exit_code = 74


class Record(NamedTuple):
    """One entry as it is stored. ``seen``: unix seconds."""

    descriptor: bytes
    endorsements: tuple[bytes, ...]
    seq: int
    seen: float
    load: int

    @classmethod
    def of(cls, entry: Entry) -> "Record":
        """What is stored of an entry."""
        words = tuple(each.signed for each in entry.endorsements)
        return cls(entry.descriptor.signed, words, entry.seq, entry.seen, entry.load)

    def encode(self) -> bytes:
        """The record's bytes."""
        return encode([self.descriptor, list(self.endorsements), self.seq, int(self.seen * 1000), self.load])

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Raises ``RemoteError``."""
        match decode(data, LIMIT):
            case [bytes() as found, list() as words, int() as seq, int() as seen, int() as load] if all(
                isinstance(each, bytes) for each in words
            ) and is_time(seen // 1000):
                return cls(found, tuple(words), seq, seen / 1000, load)
        raise RemoteError("not a record")


def merge(directory: Directory, record: Record, now: float) -> None:
    """Let a stored record count in ``directory``; what is not good any more is passed over."""
    try:
        found = descriptors.verify(record.descriptor, now)
        known = directory.entries.get(found.peer_id)
        if known is None or known.descriptor.signed != found.signed:
            if known is not None:
                check_newer(known, found)
            words = directory.check_endorsements(found, record.endorsements, now)
            known = directory.take(found, words)
    except RemoteError:
        return
    if record.seq > known.seq:
        known.seq, known.load = record.seq, record.load
        known.seen = max(known.seen, min(record.seen, now))
        directory.enlist(known, now)


class Store(Protocol):
    """What a directory needs of a store. Every method may raise ``StoreError``."""

    async def fetch(self, peer: bytes) -> Record | None:
        """What others stored of a peer, before a registration is judged."""

    async def save(self, peer: bytes, record: Record) -> None:
        """An accepted registration."""

    async def changes(self) -> list[Record]:
        """What was stored since the last call; everything at the first."""

    async def checkpoint(self, records: Iterable[Record]) -> None:
        """Everything the directory knows, once a minute and at the end."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryStore:
    """Nothing but a snapshot in a file; ``path`` none keeps nothing at all."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read = False

    async def fetch(self, peer: bytes) -> Record | None:
        """Nobody else stores here."""
        return None

    async def save(self, peer: bytes, record: Record) -> None:
        """The snapshot comes later: a peer whose last minute is lost in a crash beats again within 30 s."""

    async def changes(self) -> list[Record]:
        """The snapshot, at the first call. A damaged one is as good as none: peers register again."""
        if self._read or self._path is None:
            return []
        self._read = True
        try:
            if self._path.stat().st_size > SNAPSHOT_LIMIT:
                return []
            found = decode(self._path.read_bytes(), SNAPSHOT_LIMIT)
        except (OSError, RemoteError):
            return []
        records = []
        for data in found if isinstance(found, list) else ():
            try:
                records.append(Record.decode(data))
            except (RemoteError, TypeError):
                continue
        return records

    async def checkpoint(self, records: Iterable[Record]) -> None:
        """Replace the snapshot."""
        if self._path is None:
            return
        encoded = [each.encode() for each in records]
        try:
            await to_thread.run_sync(lambda path: replace_file(path, encode(encoded)), self._path)
        except OSError as error:
            raise StoreError(
                f"the directory's snapshot cannot be written ({error.strerror})", "Check the disk's space"
            ) from None

    async def close(self) -> None:
        """Nothing is open."""


# Writes an entry unless a newer heartbeat of the peer is there; gives 1 if it did.
_SAVE = """
local seq = redis.call('GET', KEYS[4])
if seq and tonumber(seq) >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[3])
redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[2]), ARGV[4])
return 1
"""


class RedisStore:
    """Entries in Redis or Valkey, shared by the front ends of one operator. ``url``: ``redis://`` or ``unix://``."""

    def __init__(self, url: str, prefix: str = "qnet") -> None:
        try:
            import redis.asyncio as redis
        except ImportError:
            raise StoreError("the redis package is not installed", "Install qnet-host[redis]") from None
        try:
            self._redis: Any = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=2.0)
        except ValueError:
            raise StoreError("the Redis URL cannot be read", "Write redis://host:port/number") from None
        self._failed: type[Exception] = redis.RedisError
        self._prefix = prefix
        self._revision = 0
        self._save = self._redis.register_script(_SAVE)

    def _key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    def _error(self, error: Exception) -> StoreError:
        return StoreError(f"Redis does not answer ({type(error).__name__})", "Check that it runs and its URL")

    async def fetch(self, peer: bytes) -> Record | None:
        """See ``Store``."""
        try:
            data = await self._redis.get(self._key("entry", peer.hex()))
            return None if data is None else Record.decode(data)
        except RemoteError:
            return None
        except self._failed as error:
            raise self._error(error) from None

    async def save(self, peer: bytes, record: Record) -> None:
        """See ``Store``."""
        name = peer.hex()
        keys = [self._key("entry", name), self._key("revision"), self._key("changes"), self._key("seq", name)]
        try:
            await self._save(keys=keys, args=[record.encode(), record.seq, int(TTL), name])
        except self._failed as error:
            raise self._error(error) from None

    async def changes(self) -> list[Record]:
        """See ``Store``."""
        changes, records = self._key("changes"), []
        try:
            found = await self._redis.zrangebyscore(changes, f"({self._revision}", "+inf", withscores=True)
            for start in range(0, len(found), _BATCH):
                batch = found[start : start + _BATCH]
                values = await self._redis.mget([self._key("entry", name.decode()) for name, _ in batch])
                for data in values:
                    try:
                        if data is not None:
                            records.append(Record.decode(data))
                    except RemoteError:
                        continue
        except self._failed as error:
            raise self._error(error) from None
        if found:
            self._revision = int(found[-1][1])
        return records

    async def checkpoint(self, records: Iterable[Record]) -> None:
        """Redis keeps its own; only the ids of what has expired, the least recently changed, are swept out."""
        changes = self._key("changes")
        try:
            while names := await self._redis.zrange(changes, 0, _BATCH - 1):
                values = await self._redis.mget([self._key("seq", name.decode()) for name in names])
                gone = [name for name, data in zip(names, values, strict=True) if data is None]
                if gone:
                    await self._redis.zrem(changes, *gone)
                if len(gone) < len(names):
                    return
        except self._failed as error:
            raise self._error(error) from None

    async def close(self) -> None:
        """See ``Store``."""
        await self._redis.aclose()
