"""What a link session says and hears about reservations; the conversation is in ``reservation``."""

from qnet.wire import frames
from qnet.wire.events import Ready, Reserve, Reserved, Taken
from qnet.wire.frames import Frame, FrameError, Reset
from qnet.wire.layers import Layer
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import Scratch
from qnet.wire.shaped import Shaped

_FROM_INITIATOR = (Frame.RESERVE, Frame.READY)


class Reservable(Shaped):
    """A session that may serve as a reservation, in place of circuits. ``initiator``: the hidden relay's end."""

    def __init__(
        self, keys: TransportKeys, scratch: Scratch, outer: "Layer | None", circuit: int, *, initiator: bool
    ) -> None:
        super().__init__(keys, scratch, outer, circuit, initiator=initiator)
        self.handshake_hash = keys.handshake_hash
        self._highest = 0
        self._pending = bytearray()
        self._reserved = self._taken = self._silent = False

    @property
    def is_reserved(self) -> bool:
        """Whether a hidden relay waits on it."""
        return self._reserved

    def reserve(self, statement: bytes) -> None:
        """Ask the other side to keep this link for a circuit towards here."""
        self._reserved = True
        self._pending += frames.frame(Frame.RESERVE, 0, statement)

    def reserved(self, code: Reset, seconds: int) -> None:
        """Answer: CLOSED grants it for ``seconds``."""
        self._pending += frames.reserved_frame(code, seconds)

    def last_word(self, kind: Frame) -> None:
        """TAKEN or READY: nothing that comes after it leaves any more."""
        self._taken = True
        self._pending += frames.frame(kind, 0)

    def _may_speak(self) -> bool:
        """Whether waiting frames leave; after those with the last word, none do."""
        if self._silent:
            self._pending.clear()
        self._silent = self._taken and bool(self._pending or self._silent)
        return bool(self._pending)

    def _reservation_frame(self, kind: int, circuit: int, body: memoryview) -> None:
        asks = kind == Frame.RESERVE
        if circuit or self._outer is not None or self._reserved is asks or self._highest:
            raise FrameError("reservation")
        if self._initiator is (kind in _FROM_INITIATOR) or (kind == Frame.READY and not self._taken):
            raise FrameError("reservation")
        if asks:
            self._reserved = True
            self._events.append(Reserve(bytes(body)))
        elif kind == Frame.RESERVED:
            self._events.append(Reserved(*frames.parse_reserved(body)))
        elif len(body):
            raise FrameError("reservation size")
        else:
            self._events.append(Taken() if kind == Frame.TAKEN else Ready())
