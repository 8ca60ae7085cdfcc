"""The replay cache: no ClientHello is authenticated twice while its credential is fresh.

Keyed by the client's random. An entry stays for twice the skew, because a credential may be dated up to one skew
ahead of us and is accepted up to one skew after its date. Only hellos whose AEAD opened enter, so a stranger cannot
fill it. A full cache narrows the accepted skew instead of forgetting: honest clocks still pass, nothing is replayed.

After a start an earlier life of this node may have seen hellos that are still fresh. What it has seen, it has written
down before it accepted it (``remember``), and the next life reads that (``restore``): after a crash, an upgrade or a
drain nothing can be replayed, and nobody has to wait. Where that record may be incomplete (the machine went down
before it reached the disk, the file is gone), the earlier life may have accepted anything dated up to one skew ahead of
its end; so what is dated before the start *plus one skew* is refused (``since``), and for so long nobody is known.
Refusing only what is dated before the start would leave those dated ahead open to replay.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from qnet.wire.cover.auth import SKEW, NotAuthenticError

CAPACITY = 1 << 18
QUOTA = 1 << 12
"""Entries in the cache that one source prefix may hold: a holder of the key cannot narrow the skew for all."""

KEEP_SECONDS = 2 * SKEW
"""How long an entry stays."""


class ReplayCache:
    """What has been authenticated lately. ``now`` and ``since`` are unix seconds.

    ``remember`` is called with the random and the time of each hello before it is accepted.
    """

    def __init__(
        self,
        since: float,
        remember: Callable[[bytes, float], None] = lambda random, now: None,
        *,
        skew: float = SKEW,
        capacity: int = CAPACITY,
        quota: int = QUOTA,
    ) -> None:
        self._since = since
        self._remember = remember
        self._skew = skew
        self._capacity = capacity
        self._quota = quota
        self._seen: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def skew(self, now: float) -> float:
        """Seconds of clock difference accepted now."""
        self._forget(now)
        free = 1 - len(self._seen) / self._capacity
        return self._skew if free > 0.25 else self._skew * max(free, 0.0) * 4

    def restore(self, random: bytes, seen: float) -> None:
        """What an earlier life has accepted at ``seen``; to be told in the order of time."""
        if random not in self._seen:
            self._enter(random, seen, "")

    def has(self, random: bytes) -> bool:
        """Whether it is remembered."""
        return random in self._seen

    def entries(self) -> Iterator[tuple[bytes, float]]:
        """Everything that is remembered, in the order of time: random, and when it was accepted."""
        return ((random, seen) for random, (seen, _) in self._seen.items())

    def admit(self, random: bytes, dated: int, source: str, now: float) -> None:
        """Remember a hello that was authenticated; raises ``NotAuthenticError`` when it must not be accepted.

        ``dated``: the credential's time; ``source``: the prefix of the sender's address.
        """
        self._forget(now)
        if random in self._seen or dated < self._since:
            raise NotAuthenticError("replay")
        if len(self._seen) >= self._capacity or self._held.get(source, 0) >= self._quota:
            raise NotAuthenticError("cache full")
        self._remember(random, now)
        self._enter(random, now, source)

    def _enter(self, random: bytes, now: float, source: str) -> None:
        self._seen[random] = (now, source)
        self._held[source] = self._held.get(source, 0) + 1

    def _forget(self, now: float) -> None:
        while self._seen:
            random, (at, source) = next(iter(self._seen.items()))
            if now - at <= 2 * self._skew:
                return
            del self._seen[random]
            self._held[source] -= 1
            if not self._held[source]:
                del self._held[source]
