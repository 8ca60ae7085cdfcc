"""The record layers of a session: opening what arrived, sealing what goes, whole buffers at a time.

A session's records travel by themselves (TLS application-data records of one TCP connection), or each in a FORWARD
frame of an outer session: then ``outer`` seals and opens around this one, layer by layer (mesh, *Circuits*).

Opening: all records that a read brought are opened one behind the other into one buffer, so that a run of DATA for
one stream comes out as one view. A record's plaintext starts with the frame header, which would lie between two
payloads; it is therefore written over the last bytes of the payload before it, and those are put back afterwards. At a
relay, a run of FORWARD is opened with gaps for the record headers, and comes out ready to be sent.

Sealing: payload is received behind a header's room, and each further header overwrites bytes that are sealed already.
No payload is copied by Python in either direction, and a relay does one AEAD operation a record.
"""

from abc import abstractmethod
from collections.abc import Callable

from qnet.wire.channel import (
    MAX_PLAINTEXT,
    RECORD_HEADER,
    TAG,
    BadRecordError,
    Opener,
    Sealer,
    put_header,
    record_length,
)
from qnet.wire.events import BadRecord, Broken, Event, Forwarded
from qnet.wire.frames import DATA, FORWARD_HEADER, HEADER, MAX_WINDOW, STREAM_HEADER, Frame, FrameError
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import HEADROOM, RECORD_ROOM, RECORDS, Scratch
from qnet.wire.shaping import Shaper
from qnet.wire.streams import HOP_WINDOW

_FORWARD_GAP = RECORD_HEADER - FORWARD_HEADER.size
"""Bytes between two forwarded plaintexts, so that a record header fits over each frame header."""
_NO_RUN = (0, 0)


class Layer:
    """One end of a secure channel, without the meaning of its frames.

    ``outer`` and ``circuit``: the session and its circuit in whose FORWARD frames this one's records travel.
    """

    def __init__(self, keys: TransportKeys, scratch: Scratch, outer: "Layer | None" = None, circuit: int = 0) -> None:
        self._opener = Opener(keys.receive)
        self._sealer = Sealer(keys.send)
        self._scratch = scratch
        self._outer = outer
        self._outer_circuit = circuit
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.max_plaintext: int = inner_limit(outer.max_plaintext) if outer else MAX_PLAINTEXT
        self.hop_credit = HOP_WINDOW
        """Bytes of this session's records that the relay before its other end may be given (not of an outermost)."""
        self._inner: dict[int, Layer] = {}
        self._extended: set[int] = set()
        self._shaper: Shaper | None = None
        self._padding = 0
        """Records to come that are still the handshake's, and say nothing."""
        self._check: Callable[[bytes], None] | None = None
        self._carry = b""
        self._closed = False
        self._events: list[Event] = []
        self._begin()

    @abstractmethod
    def _received(self, circuit: int, identifier: int, data: memoryview) -> None:
        """Payload of a stream; raises ``FrameError``."""

    @abstractmethod
    def _read_frames(self, plain: memoryview, now: float) -> None:
        """A record's plaintext that is not bulk data; raises ``FrameError``."""

    # --- receiving

    def get_buffer(self) -> memoryview:
        """Where to receive the next bytes."""
        wire = self._scratch.wire
        carry = len(self._carry)
        wire[:carry] = self._carry
        return wire[carry:]

    def received(self, count: int, now: float) -> list[Event]:
        """``count`` bytes were put into ``get_buffer()``; gives what they mean. Then ask the inner sessions."""
        wire = self._scratch.wire
        self._scratch.owners = [None] * len(self._scratch.owners)
        position, end = 0, len(self._carry) + count
        heard = 0
        try:
            while end - position >= RECORD_HEADER and not self._closed:
                body_end = position + RECORD_HEADER + record_length(wire, position)
                if body_end > end:
                    break
                if self._padding and self._check is not None:
                    self._check(bytes(wire[position + RECORD_HEADER : body_end]))
                    self._padding -= 1
                else:
                    self._open(wire[position + RECORD_HEADER : body_end], now)
                position = body_end
                heard += 1
        except BadRecordError:
            self._fail(BadRecord(bytes(wire[position:end])))
        self._carry = bytes(wire[position:end])
        if self._shaper is not None:
            self._shaper.heard(heard, now)
        return self.take_events()

    def take_events(self) -> list[Event]:
        """What the records mean that were opened since the last call."""
        self._settle()
        events, self._events = self._events, []
        self._begin()
        return events

    def _begin(self) -> None:
        self._free = self._run_start = HEADROOM
        self._run = _NO_RUN
        self._forwarding = 0

    def _fail(self, event: BadRecord | Broken) -> None:
        if not self._closed:
            try:
                self._end_run()
            except FrameError as error:
                event = Broken(str(error))
            self._closed = True
            self._events.append(event)

    def _open_inner(self, body: memoryview, now: float) -> None:
        """A record that came in a FORWARD frame of the outer session."""
        if self._closed:
            return
        owners = self._scratch.owners
        before = owners[self.depth]
        if before is not self:
            # Circuits share a buffer: whoever had it tells what it has, and this one goes on behind it.
            if isinstance(before, Layer):
                before._settle()
                self._free = before._free + HEADROOM
            owners[self.depth] = self
        try:
            self._open(body, now)
        except BadRecordError:
            self._fail(Broken("a record that does not open"))

    def _settle(self) -> None:
        try:
            self._end_run()
        except FrameError as error:
            self._fail(Broken(str(error)))

    def _open(self, body: memoryview, now: float) -> None:
        """Open one record behind the last; raises ``BadRecordError`` and changes nothing if it does not open."""
        out, free = self._scratch.plain[self.depth], self._free
        start = free + _FORWARD_GAP if self._forwarding else free - HEADROOM
        saved = bytes(out[start:free])
        try:
            size = self._opener.open_into(body, out, start)
            kind, circuit, length, stream = STREAM_HEADER.unpack_from(out, start)
            if kind == DATA and circuit and length + HEADER.size == size > HEADROOM:
                to = (circuit, stream)
                if to != self._run:
                    self._end_run()
                    self._run, self._run_start = to, start + HEADROOM
                self._free = start + size
            elif kind == Frame.FORWARD:
                inner = self._inner.get(circuit)
                if inner is not None:
                    inner._open_inner(out[start + FORWARD_HEADER.size : start + size], now)
                else:
                    self._forward(circuit, start, size, saved)
                    saved = b""
            else:
                self._end_run()
                self._read_frames(out[start : start + size], now)
                self._free = max(free, start + size) + HEADROOM
        except FrameError as error:
            self._closed = True
            self._events.append(Broken(str(error)))
        finally:
            if saved:
                out[start:free] = saved

    def _forward(self, circuit: int, start: int, size: int, saved: bytes) -> None:
        """Make the forwarded record at ``start`` part of a run of records that can be sent as it is."""
        out, free = self._scratch.plain[self.depth], self._free
        body = size - FORWARD_HEADER.size
        if not self._forwarding:
            # It was opened over the end of a payload, as DATA would be: the first of a run moves behind it.
            moved = bytes(out[start + FORWARD_HEADER.size : start + size])
            out[start:free] = saved
            self._end_run()
            out[free + RECORD_HEADER : free + RECORD_HEADER + body] = moved
        elif circuit != self._forwarding:
            self._end_run()
        if self._run == _NO_RUN:
            self._run, self._run_start = (circuit, 0), free
        put_header(out, free, body)
        self._forwarding = circuit
        self._free = free + RECORD_HEADER + body

    def _end_run(self) -> None:
        """Tell of the payload or records opened so far."""
        (circuit, identifier), self._run = self._run, _NO_RUN
        self._forwarding = 0
        view = self._scratch.plain[self.depth][self._run_start : self._free]
        if circuit == 0:
            return
        if identifier == 0:
            if circuit in self._extended:
                self._events.append(Forwarded(circuit, view))
            return
        self._received(circuit, identifier, view)

    @property
    def opened_records(self) -> int:
        """Records opened so far."""
        return self._opener.counter

    # --- sending

    @property
    def hop_room(self) -> int:
        """Bytes that every relay on the way takes now."""
        layer, room = self, MAX_WINDOW
        while layer._outer is not None:
            room = min(room, layer.hop_credit)
            layer = layer._outer
        return room

    @property
    def bulk(self) -> int:
        """Most payload bytes that one ``seal_data`` takes: whole records of this session."""
        return RECORDS * (self.max_plaintext - HEADROOM)

    def seal_message(self, circuit: int, message: bytes) -> bytes:
        """One record that forwards ``message`` on an extended circuit: of the next layer's handshake."""
        out = memoryview(bytearray(RECORD_ROOM))
        plain = FORWARD_HEADER.pack(Frame.FORWARD, circuit) + message
        return bytes(out[: self._seal(memoryview(plain), out, 0)])

    def seal_forward(self, circuit: int, records: memoryview, now: float) -> memoryview:
        """Seal whole records of the next link, each in a FORWARD frame; their headers in ``records`` are overwritten.

        Gives the records, valid until the next call; raises ``FrameError`` for one that is too large for this link.
        """
        out, size, position = self._scratch.sealed, 0, 0
        self._count(len(records), now)
        while position < len(records):
            end = position + RECORD_HEADER + record_length(records, position)
            start = position + _FORWARD_GAP
            if end - start > self.max_plaintext:
                raise FrameError("a record too large to forward")
            FORWARD_HEADER.pack_into(records, start, Frame.FORWARD, circuit)
            size = self._seal(records[start:end], out, size)
            position = end
        return out[:size]

    @abstractmethod
    def _count(self, count: int, now: float) -> None:
        """``count`` bytes are about to be sealed."""

    def _seal(self, plaintext: memoryview, out: memoryview, start: int) -> int:
        """Write one record to ``out[start:]`` as it goes on the wire, under every layer, unless ``shaped`` has it then.

        Gives where it ends.
        """
        if self._shaper is not None:
            self._shaper.put(plaintext)
            return start
        if self._outer is None:
            length = self._sealer.seal_into(plaintext, out, start + RECORD_HEADER)
            put_header(out, start, length)
            return start + RECORD_HEADER + length
        layer = self._scratch.layers[self.depth]
        FORWARD_HEADER.pack_into(layer, 0, Frame.FORWARD, self._outer_circuit)
        length = self._sealer.seal_into(plaintext, layer, FORWARD_HEADER.size)
        self.hop_credit -= RECORD_HEADER + length
        return self._outer._seal(layer[: FORWARD_HEADER.size + length], out, start)


def inner_limit(max_plaintext: int) -> int:
    """The largest plaintext of a session whose records are forwarded in plaintexts of ``max_plaintext``."""
    return max_plaintext - FORWARD_HEADER.size - TAG


def split_records(records: memoryview) -> list[memoryview]:
    """The bodies of whole records; raises ``BadRecordError``."""
    bodies = []
    position = 0
    while position < len(records):
        end = position + RECORD_HEADER + record_length(records, position)
        if end > len(records):
            raise BadRecordError
        bodies.append(records[position + RECORD_HEADER : end])
        position = end
    return bodies
