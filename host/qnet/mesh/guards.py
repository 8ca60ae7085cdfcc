"""The first hops of a client's longer routes: few, and the same for weeks.

Whoever runs the first hop learns the client's address; a client that kept changing it would sooner or later meet one
that watches. So a guard is kept for weeks, an unreachable one is replaced only until it is back, and one that answers
but fails is given up at most twice in thirty days.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

LIFE_SECONDS = 60 * 86400.0
CHANGES_SECONDS = 30 * 86400.0
MAX_CHANGES = 2
MAX_GUARDS = 8
"""Guards remembered; when all are unreachable at once no further one is taken up."""

REST_SECONDS = 30.0
MAX_REST_SECONDS = 600.0
"""An unreachable guard is tried again after the first, doubled each time up to the second."""

BIAS_FROM = 20
BIAS_BELOW = 0.5
"""Of so many circuits begun through a guard fewer than this share was made: it may be choosing which ones live."""


@dataclass(slots=True)
class Guard:
    """``since``: unix seconds. ``rests_until``, ``rests``: in the same clock, how often it was unreachable in a row."""

    peer_id: bytes
    since: float
    rests_until: float = 0.0
    rests: int = 0
    begun: int = 0
    made: int = 0

    @property
    def is_biased(self) -> bool:
        """Whether suspiciously few of the circuits through it were made."""
        return self.begun >= BIAS_FROM and self.made < BIAS_BELOW * self.begun


@dataclass(slots=True)
class Guards:
    """In order of preference. ``changes``: when one that answered was given up, unix seconds."""

    listed: list[Guard] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def allowed(self, known: Collection[bytes], now: float) -> list[bytes] | None:
        """The only peers to begin a route with, of those ``known``; None for any."""
        self.listed = [guard for guard in self.listed if now - guard.since < LIFE_SECONDS]
        present = [guard for guard in self.listed if guard.peer_id in known]
        awake = [guard for guard in present if now >= guard.rests_until]
        if awake:
            return [awake[0].peer_id]
        return None if len(self.listed) < MAX_GUARDS else [guard.peer_id for guard in present]

    def reached(self, peer_id: bytes, now: float) -> bool:
        """It answered and proved itself; gives whether that is new."""
        guard = self.get(peer_id)
        if guard is not None:
            guard.rests_until, guard.rests = 0.0, 0
            return False
        self.listed.append(Guard(peer_id, now))
        return True

    def failed(self, peer_id: bytes, now: float, *, unreachable: bool) -> bool:
        """No link to it was made; gives whether it is given up."""
        guard = self.get(peer_id)
        if guard is None:
            return False
        if unreachable:
            guard.rests_until = now + min(REST_SECONDS * 2.0**guard.rests, MAX_REST_SECONDS)
            guard.rests = min(guard.rests + 1, 16)
            return False
        self.changes = [at for at in self.changes if now - at < CHANGES_SECONDS]
        if len(self.changes) >= MAX_CHANGES:
            return False
        self.changes.append(now)
        self.listed.remove(guard)
        return True

    def circuit(self, peer_id: bytes, *, made: bool) -> None:
        """A circuit through it was made, or was not."""
        guard = self.get(peer_id)
        if guard is not None:
            guard.begun += 1
            guard.made += made

    @property
    def biased(self) -> bool:
        """Whether suspiciously few circuits through one of them were made."""
        return any(guard.is_biased for guard in self.listed)

    def get(self, peer_id: bytes) -> Guard | None:
        return next((guard for guard in self.listed if guard.peer_id == peer_id), None)
