"""How the helper is, as its messages tell it."""

from enum import StrEnum

import msgspec

from qnet.wire.errors import Place


class State(StrEnum):
    """What the helper can do right now; it never claims more than is true."""

    OFFLINE = "offline"
    """No tunnel, and none is being built: nobody needs one, or no peer is known."""
    CALIBRATING = "calibrating"
    """Starting: a peer measures its decoy and does not listen yet."""
    CONNECTING = "connecting"
    """A tunnel is being built."""
    CONNECTED = "connected"
    """Pages go through the tunnel; of a node that only serves others: it listens and its decoy has answered."""


class ErrorInfo(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What went wrong, where, and what to do; ``code`` is stable and never translated."""

    code: str
    message: str
    hint: str = ""
    place: Place | None = None


class Hop(msgspec.Struct, kw_only=True, frozen=True):
    """One hop of the circuit in use, nearest first."""

    nickname: str
    country: str = ""
    exit: bool = False


class Traffic(msgspec.Struct, kw_only=True, frozen=True):
    """Bytes of content since the helper's start."""

    up: int = 0
    down: int = 0


class Rates(msgspec.Struct, kw_only=True, frozen=True):
    """Bytes of content a second, up and down: over the last second, and over the last 60 (or since the start)."""

    up: int = 0
    down: int = 0
    up_60: int = 0
    down_60: int = 0


class ExitCounts(msgspec.Struct, kw_only=True, frozen=True):
    """What an exit did since its start: streams asked for, connected, refused by its policy, refused by its limits,
    and bytes carried. ``month_bytes``: both ways since the month began (UTC), earlier runs included.
    """

    requests: int = 0
    success: int = 0
    blocked: int = 0
    limited: int = 0
    traffic: Traffic = Traffic()
    month_bytes: int = 0


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """The helper's state; in unix seconds, ``since`` is when it entered ``state``, ``started`` when it began.

    ``online``: peers that the present route goes through, all of them proven. ``rates`` are of all content that passes
    here, an exit's for others included. ``pac_hash`` and ``rules_generation`` name what is in force now. ``routes``:
    every circuit's hops, of which ``hops`` is the first: that of new streams. ``warning``: what works, but not as it
    should. ``resting``: connected, but nobody has used the tunnel for a while, so there is no connection: the next
    stream makes one; ``routes`` and ``hops`` tell of the last.
    """

    state: State
    mode: str
    version: str
    since: float
    started: float = 0.0
    peers: int = 0
    online: int = 0
    circuits: int = 0
    streams: int = 0
    leases: int = 0
    hops: list[Hop] = []
    traffic: Traffic = Traffic()
    rates: Rates = Rates()
    reconnection_attempts: int = 0
    last_error: ErrorInfo | None = None
    exit: ExitCounts | None = None
    pac_hash: str = ""
    rules_generation: int = 0
    routes: list[list[Hop]] = []
    warning: ErrorInfo | None = None
    resting: bool = False
