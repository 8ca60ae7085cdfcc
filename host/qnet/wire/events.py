"""What a link session tells its driver. ``data`` and ``records`` are views, valid until the session's next call."""

from dataclasses import dataclass
from typing import TypeAlias

from qnet.wire.frames import Reset


@dataclass(frozen=True, slots=True)
class StreamOpen:
    """The client asks for a stream to ``host``:``port``."""

    circuit: int
    stream: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The exit has reached the destination."""

    circuit: int
    stream: int


@dataclass(frozen=True, slots=True)
class StreamData:
    """Payload."""

    circuit: int
    stream: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class StreamFin:
    """The other side sends no more."""

    circuit: int
    stream: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone."""

    circuit: int
    stream: int
    code: Reset


@dataclass(frozen=True, slots=True)
class StreamWritable:
    """There is credit again."""

    circuit: int
    stream: int


@dataclass(frozen=True, slots=True)
class Extend:
    """The client asks for the circuit to go on to the peer of this signed descriptor."""

    circuit: int
    descriptor: bytes


@dataclass(frozen=True, slots=True)
class Extended:
    """The relay has made the next peer's cover: SHA-256 of what either side said in it."""

    circuit: int
    client_digest: bytes
    server_digest: bytes


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Records of the circuit's next layer, each with a record header, one behind the other."""

    circuit: int
    records: memoryview


@dataclass(frozen=True, slots=True)
class CircuitClosed:
    """The circuit is gone beyond this link."""

    circuit: int
    code: Reset


@dataclass(frozen=True, slots=True)
class CircuitWritable:
    """There is room on the circuit again, here or at a relay on its way."""

    circuit: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """The other side wants to be reached by this link: see ``reservation``."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class Reserved:
    """The answer: CLOSED grants it for so many seconds."""

    code: Reset
    seconds: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A circuit wants the connection: nothing more comes under the link's keys."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The same of the other side, which takes the circuit."""


Reservation: TypeAlias = Reserved | Taken | Ready


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The other side ends the link in order, because nobody uses it. What comes after belongs to the cover."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """``rest``: all received bytes from the record that did not open. Nothing more is read here."""

    rest: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The other side holds the key but breaks the protocol: close the link."""

    reason: str


Event: TypeAlias = (
    StreamOpen
    | StreamOpened
    | StreamData
    | StreamFin
    | StreamReset
    | StreamWritable
    | Extend
    | Extended
    | Forwarded
    | CircuitClosed
    | CircuitWritable
    | Reserve
    | Reserved
    | Taken
    | Ready
    | Goodbye
    | BadRecord
    | Broken
)
