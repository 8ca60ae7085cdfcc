"""The replay cache: no ClientHello is authenticated twice while its credential is fresh.

Keyed by the client's random. An entry stays for twice the skew, because a credential may be dated up to one skew
ahead of us and is accepted up to one skew after its date. Only hellos whose AEAD opened enter, so a stranger cannot
fill it. A full cache narrows the accepted skew instead of forgetting: honest clocks still pass, nothing is replayed.
After a start, credentials dated before it are refused: an earlier life of this process may have seen them.
"""

from collections import OrderedDict

from qnet.wire.cover.auth import SKEW, NotAuthenticError

CAPACITY = 1 << 18
QUOTA = 1 << 12
"""Entries in the cache that one source prefix may hold: a holder of the key cannot narrow the skew for all."""


class ReplayCache:
    """What has been authenticated lately. ``now`` and ``started`` are unix seconds."""

    def __init__(self, started: float, *, skew: float = SKEW, capacity: int = CAPACITY, quota: int = QUOTA) -> None:
        self._started = started
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

    def admit(self, random: bytes, dated: int, source: str, now: float) -> None:
        """Remember a hello that was authenticated; raises ``NotAuthenticError`` when it must not be accepted.

        ``dated``: the credential's time; ``source``: the prefix of the sender's address.
        """
        self._forget(now)
        # The credential's time is in whole seconds, so a hello of this very second is dated before the start.
        if random in self._seen or dated < int(self._started):
            raise NotAuthenticError("replay")
        if len(self._seen) >= self._capacity or self._held.get(source, 0) >= self._quota:
            raise NotAuthenticError("cache full")
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
