"""A link session: one secure channel, the frames in its records, and the streams of its circuits.

Conversation, after the handshake (client on the left); each side may speak at any time:

1. → SETTINGS, OPEN … (the first of them in the payload of Noise message 3); ← SETTINGS
2. ↔ stream frames as in ``streams``; PING is answered by PONG
3. ↔ REKEY: the sender's next record is under its next key
4. → EXTEND(descriptor); ← EXTENDED(digests) or CLOSE(code); then ↔ FORWARD, each with one record of the next layer:
   a session of its own, ``outer`` of which is this one; ← CREDIT for more of them, see ``streams``
5. → WINDOW, PING of the circuit; ← PONG of the circuit: the round trip, by which windows grow
6. Instead of circuits: → RESERVE; ← RESERVED, TAKEN; → READY, see ``reservation``
"""

import struct

from qnet.wire import frames
from qnet.wire.cbor import CborError, decode, encode
from qnet.wire.channel import MAX_PLAINTEXT, MIN_PLAINTEXT
from qnet.wire.events import (
    Broken,
    CircuitClosed,
    CircuitWritable,
    Event,
    Extend,
    Extended,
    Goodbye,
    StreamData,
    StreamFin,
    StreamOpen,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from qnet.wire.frames import DATA, HEADER, MAX_WINDOW, STREAM_HEADER, Frame, FrameError, Reset
from qnet.wire.noise import TransportKeys
from qnet.wire.reserved import Reservable
from qnet.wire.scratch import HEADROOM, RECORD_ROOM, Scratch
from qnet.wire.streams import CIRCUIT_BUDGET, HOP_SLACK, HOP_WINDOW, MIN_ROUND_TRIP, Stream, Streams, Window

MAX_CIRCUITS = 64
"""Circuits of one link at once."""
MAX_CIRCUIT = (1 << 16) - 1
REKEY_BYTES = 1 << 30
REKEY_SECONDS = 3600.0
PROTOCOL_VERSION = 1
SIZES = (64, 256, 1024, 2048, 4096, 8192, 12288)
"""Of the plaintexts of inner sessions, in bytes; the eighth is the largest there is."""
_MIN_LIMIT = 1024
_ping = struct.Struct(">Q5x")
"""By itself in a record it has the size of HTTP/2's PING, and its answer, too."""
_PING_SIZES = range(8, 65)


class LinkSession(Reservable):
    """One end of a secure channel. ``initiator``: the client's end. ``now``: seconds of any steady clock.

    ``outer`` and ``circuit``: the session and its circuit in whose FORWARD frames this one's records travel; without
    them they travel by themselves.
    """

    def __init__(
        self,
        keys: TransportKeys,
        *,
        initiator: bool,
        scratch: Scratch,
        now: float,
        outer: "LinkSession | None" = None,
        circuit: int = 0,
    ) -> None:
        super().__init__(keys, scratch, outer, circuit, initiator=initiator)
        self._circuits: dict[int, Streams] = {}
        self._hops: dict[int, Window] = {}
        self._budget = scratch.budget
        self._sealed_bytes = 0
        self._keyed_at = now
        self._ping_number = 0
        self.pings = 0
        """PING and PONG of the link itself that have come."""

    # --- receiving

    def receive_payload(self, payload: bytes, now: float) -> list[Event]:
        """The frames of Noise message 3's payload."""
        try:
            self._read_frames(memoryview(payload), now)
        except FrameError as error:
            self._fail(Broken(str(error)))
        return self.take_events()

    def _received(self, circuit: int, identifier: int, data: memoryview) -> None:
        stream = self._stream(circuit, identifier)
        if stream is not None:
            self._circuits[circuit].received(stream, len(data))
            self._events.append(StreamData(circuit, identifier, data))

    def _stream(self, circuit: int, identifier: int) -> Stream | None:
        """The stream, or None when it is gone and the frame merely late; raises ``FrameError`` if it never was."""
        streams = self._circuits.get(circuit)
        if streams is None:
            if circuit > self._highest or circuit in self._extended:
                raise FrameError("unknown circuit")
            return None
        if not streams.was_opened(identifier):
            raise FrameError("unknown stream")
        return streams.get(identifier)

    def _read_frames(self, plain: memoryview, now: float) -> None:
        position = 0
        while position < len(plain) and plain[position] != Frame.PADDING:
            if len(plain) - position < HEADER.size:
                raise FrameError("frame header")
            kind, circuit, length = HEADER.unpack_from(plain, position)
            position += HEADER.size + length
            if position > len(plain):
                raise FrameError("frame length")
            self._read_frame(kind, circuit, plain[position - length : position], now)

    def _read_frame(self, kind: int, circuit: int, body: memoryview, now: float) -> None:
        events = self._events
        match kind:
            case Frame.DATA:
                if len(body) <= frames.STREAM_ID:
                    raise FrameError("DATA size")
                identifier = frames.parse_stream(body[: frames.STREAM_ID])
                self._received(circuit, identifier, body[frames.STREAM_ID :])
            case Frame.OPEN:
                self._accept(circuit, frames.parse_open(body), now)
            case Frame.OPENED:
                stream = self._stream(circuit, frames.parse_stream(body))
                if stream is not None and self._initiator:
                    events.append(StreamOpened(circuit, stream.id))
            case Frame.FIN:
                stream = self._stream(circuit, frames.parse_stream(body))
                if stream is not None:
                    stream.received_fin = True
                    events.append(StreamFin(circuit, stream.id))
                    self._drop_finished(circuit, stream)
            case Frame.RESET:
                identifier, code = frames.parse_reset(body)
                if self._stream(circuit, identifier) is not None:
                    self._circuits[circuit].remove(identifier)
                    events.append(StreamReset(circuit, identifier, code))
            case Frame.WINDOW:
                identifier, credit = frames.parse_window(body)
                stream = self._stream(circuit, identifier)
                if stream is not None:
                    self._circuits[circuit].granted(stream, credit)
                    events.append(StreamWritable(circuit, identifier))
            case Frame.PING | Frame.PONG:
                self._ping_frame(kind, circuit, body, now)
            case Frame.REKEY:
                self._opener.rekey()
            case Frame.SETTINGS:
                self._settings(body)
            case Frame.CREDIT:
                self._credit_frame(circuit, frames.parse_credit(body))
            case Frame.EXTEND | Frame.EXTENDED | Frame.CLOSE:
                self._circuit_frame(kind, circuit, body)
            case Frame.PIECE:
                self._open_pieces(body, now)
            case Frame.VISIT:
                self._visit_frame(bytes(body), now)
            case Frame.RESERVE | Frame.RESERVED | Frame.TAKEN | Frame.READY:
                self._reservation_frame(kind, circuit, body)
            case Frame.GOODBYE:
                self._events.append(Goodbye())
            case _:
                raise FrameError(f"frame type {kind}")

    def _circuit_frame(self, kind: int, circuit: int, body: memoryview) -> None:
        if kind == Frame.EXTEND:
            if self._initiator or circuit in self._circuits or circuit in self._extended:
                raise FrameError("EXTEND")
            self._check_new(circuit)
            if self._budget.left < HOP_WINDOW:
                self._pending += frames.close_frame(circuit, Reset.LIMIT)
                return
            self._extended.add(circuit)
            self._budget.used += HOP_WINDOW
            self._hops[circuit] = Window(HOP_WINDOW, HOP_WINDOW)
            self._events.append(Extend(circuit, bytes(body)))
        elif kind == Frame.EXTENDED:
            if not self._initiator or len(body) != 2 * frames.DIGEST:
                raise FrameError("EXTENDED")
            if circuit in self._extended:
                digests = bytes(body)
                self._events.append(Extended(circuit, digests[: frames.DIGEST], digests[frames.DIGEST :]))
        elif self._forget(circuit):
            self._events.append(CircuitClosed(circuit, frames.parse_code(body)))

    def _credit_frame(self, circuit: int, credit: int) -> None:
        most = MAX_WINDOW + HOP_SLACK  # what control frames overdrew comes back with the rest
        if not self._initiator or not 0 < credit <= most:
            raise FrameError("CREDIT")
        inner = self._inner.get(circuit)
        if inner is not None:
            inner.hop_credit += credit
            if inner.hop_credit > most:
                raise FrameError("CREDIT")
            self._events.append(CircuitWritable(circuit))

    def _check_new(self, circuit: int) -> None:
        """Circuits are numbered upwards and no number is used twice, so that what comes late is known as such."""
        if circuit <= self._highest or self._reserved or not self.has_circuit_room():
            raise FrameError("circuit")
        self._highest = circuit

    def _accept(self, circuit: int, body: frames.OpenBody, now: float) -> None:
        streams = self._circuits.get(circuit)
        if streams is None:
            if self._initiator or circuit in self._extended:
                raise FrameError("circuit")
            if circuit <= self._highest:
                return  # late: this side has closed the circuit
            self._check_new(circuit)
            streams = self._circuits[circuit] = Streams(initiator=False, process=self._budget)
        has_room = streams.has_room()
        stream = streams.accept(body.stream, now)
        if has_room:
            self._events.append(StreamOpen(circuit, body.stream, body.host, body.port))
        else:
            self.reset(circuit, stream.id, Reset.LIMIT)

    def _ping_frame(self, kind: int, circuit: int, body: memoryview, now: float) -> None:
        if len(body) not in _PING_SIZES:
            raise FrameError("PING size")
        self.pings += not circuit
        if kind == Frame.PING:
            self._pending += frames.frame(Frame.PONG, circuit, bytes(body))
            return
        streams = self._circuits.get(circuit)
        if streams is not None:
            streams.answered(int.from_bytes(body[:8], "big"), now)

    def _settings(self, body: memoryview) -> None:
        try:
            settings = decode(bytes(body), limit=1024)
        except CborError:
            raise FrameError("SETTINGS") from None
        if not isinstance(settings, dict) or settings.get(0) != PROTOCOL_VERSION:
            raise FrameError("SETTINGS version")
        limit = settings.get(1)
        if not isinstance(limit, int) or limit < _MIN_LIMIT:
            raise FrameError("SETTINGS limit")
        # Deep in a circuit every layer costs bytes: the client knows how many, and says what still fits.
        self.max_plaintext = min(self.max_plaintext, limit)

    # --- actions; what they say leaves with the next ``flush``

    def settings(self) -> None:
        """Say the protocol version and the largest plaintext taken."""
        self._pending += settings_frame(self.max_plaintext)

    def ping(self) -> None:
        """Have the other side say something."""
        self._pending += self._ping_of(0)

    def goodbye(self, body_size: int) -> None:
        """End in order, with a record of ``body_size`` bytes if nothing else waits."""
        self._pending += frames.frame(Frame.GOODBYE, 0, bytes(max(body_size - frames.LEAST_GOODBYE, 0)))

    def _ping_of(self, circuit: int) -> bytes:
        self._ping_number += 1
        return frames.frame(Frame.PING, circuit, _ping.pack(self._ping_number))

    def has_circuit_room(self) -> bool:
        """Whether one more circuit may begin on this session."""
        return len(self._circuits) + len(self._extended) < MAX_CIRCUITS and self._highest < MAX_CIRCUIT

    def new_circuit(self) -> int:
        """The number for a new circuit of this client."""
        self._highest += 1
        return self._highest

    def open_circuit(self, circuit: int) -> None:
        """A circuit that ends at the other side of this session."""
        self._highest = max(self._highest, circuit)
        self._circuits[circuit] = Streams(initiator=True, process=self._budget)

    def extend(self, circuit: int, descriptor: bytes) -> None:
        """Ask the other side to let a circuit go on to the peer of a signed descriptor."""
        self._highest = max(self._highest, circuit)
        self._extended.add(circuit)
        self._pending += frames.frame(Frame.EXTEND, circuit, descriptor)

    def extended(self, circuit: int, client_digest: bytes, server_digest: bytes) -> None:
        """The next peer's cover is made."""
        if circuit in self._extended:
            self._pending += frames.frame(Frame.EXTENDED, circuit, client_digest + server_digest)

    def extends(self, circuit: int) -> bool:
        """Whether the circuit goes on beyond this session's other side, or is about to."""
        return circuit in self._extended

    def attach(self, circuit: int, inner: "LinkSession") -> None:
        """From here on the circuit's forwarded records are ``inner``'s."""
        self._inner[circuit] = inner

    def close_circuit(self, circuit: int, code: Reset) -> None:
        """Give the circuit up, with whatever it has."""
        if self._forget(circuit):
            self._pending += frames.close_frame(circuit, code)

    def _forget(self, circuit: int) -> bool:
        known = circuit in self._circuits or circuit in self._extended
        if (streams := self._circuits.pop(circuit, None)) is not None:
            streams.close()
        if (hop := self._hops.pop(circuit, None)) is not None:
            self._budget.used -= hop.window
        self._inner.pop(circuit, None)
        self._extended.discard(circuit)
        return known

    def close(self) -> None:
        """The session is over: give back what was promised."""
        for circuit in [*self._circuits, *self._extended]:
            self._forget(circuit)

    def carried(self, circuit: int) -> int:
        """Bytes of payload so far, both ways, of a circuit that ends here."""
        streams = self._circuits.get(circuit)
        return 0 if streams is None else streams.carried

    def has_room(self, circuit: int) -> bool:
        return circuit in self._circuits and self._circuits[circuit].has_room()

    def open(self, circuit: int, host: str, port: int, now: float) -> int:
        """Ask the circuit's exit for ``host``:``port``; gives the new stream's number."""
        stream = self._circuits[circuit].open(now)
        self._pending += frames.open_frame(circuit, stream.id, host, port)
        return stream.id

    def opened(self, circuit: int, stream: int) -> None:
        """The destination is reached."""
        if self._known(circuit, stream) is not None:
            self._pending += frames.stream_frame(Frame.OPENED, circuit, stream)

    def fin(self, circuit: int, identifier: int) -> None:
        """No more data from this side."""
        stream = self._known(circuit, identifier)
        if stream is not None and not stream.sent_fin:
            stream.sent_fin = True
            self._pending += frames.stream_frame(Frame.FIN, circuit, identifier)
            self._drop_finished(circuit, stream)

    def reset(self, circuit: int, stream: int, code: Reset) -> None:
        """End the stream at once, both ways."""
        if self._known(circuit, stream) is not None:
            self._circuits[circuit].remove(stream)
            self._pending += frames.reset_frame(circuit, stream, code)

    def consumed(self, circuit: int, identifier: int, count: int, now: float) -> None:
        """The sink took ``count`` bytes of the stream."""
        streams = self._circuits.get(circuit)
        if streams is None:
            return
        stream = streams.get(identifier)
        if stream is None:
            streams.left(identifier, count)
        elif grant := streams.consumed(stream, count, now):
            self._pending += frames.window_frame(circuit, identifier, grant)
            if streams.probes(now):
                self._pending += self._ping_of(circuit)
                streams.probed = self._ping_number, now

    def gone(self, circuit: int, identifier: int) -> None:
        """The stream's sink is no more, and with it what it had not taken."""
        streams = self._circuits.get(circuit)
        if streams is not None:  # one without streams is false
            streams.gone(identifier)

    def credit(self, circuit: int, identifier: int) -> int:
        """Bytes that may be sent on the stream now; 0 when it is gone. Streams of one circuit share its room."""
        stream = self._known(circuit, identifier)
        if stream is None or stream.sent_fin:
            return 0
        streams = self._circuits[circuit]
        room = self.hop_room
        if room <= 0:
            streams.held = True
            return 0
        return min(stream.send_credit, max(room // len(streams), self.max_plaintext - HEADROOM))

    def is_held(self, circuit: int) -> bool:
        """Whether a sender of the circuit was refused for want of room; ``CircuitWritable`` tells of its end."""
        streams = self._circuits.get(circuit)
        return streams is not None and streams.held

    def release(self, circuit: int) -> bool:
        """Whether there is room on the circuit again for those who were refused."""
        streams = self._circuits.get(circuit)
        if streams is None or not streams.held or self.hop_room <= 0:
            return False
        streams.held = False
        return True

    def hop_taken(self, circuit: int, count: int) -> None:
        """``count`` bytes of records are to go on to the next hop; raises ``FrameError`` beyond the credit."""
        hop = self._hops.get(circuit)
        if hop is not None:
            hop.receivable -= count
            if hop.receivable < -HOP_SLACK:
                raise FrameError("more forwarded than granted")

    def hop_drained(self, circuit: int, count: int, now: float) -> None:
        """The next hop's connection took ``count`` bytes."""
        hop = self._hops.get(circuit)
        if hop is None:
            return
        # What was written before the first counted record, the handshake's, drains as well: it was never on account.
        count = min(count, hop.window - hop.receivable - hop.unacknowledged)
        room = min(CIRCUIT_BUDGET - hop.window, self._budget.left)
        grant, wider = hop.consumed(count, now, MIN_ROUND_TRIP, room)
        self._budget.used += wider
        if grant:
            self._pending += frames.credit_frame(circuit, grant)

    def is_finished(self, circuit: int, identifier: int) -> bool:
        """Whether nothing more goes either way on the stream."""
        return self._known(circuit, identifier) is None

    def _known(self, circuit: int, identifier: int) -> Stream | None:
        streams = self._circuits.get(circuit)
        return None if streams is None else streams.get(identifier)

    def _drop_finished(self, circuit: int, stream: Stream) -> None:
        if stream.finished:
            self._circuits[circuit].finish(stream)

    # --- sending

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` has something to send."""
        return bool(self._pending)

    def flush(self, now: float) -> bytes:
        """Records with every waiting frame; empty when there is none."""
        if not self._may_speak():
            return b""
        pending, self._pending = self._pending, bytearray()
        due = self._sealed_bytes >= REKEY_BYTES or now - self._keyed_at >= REKEY_SECONDS
        rekey = due and self._shaper is None  # what waits to be shaped leaves under the present key
        if rekey:
            pending += frames.frame(Frame.REKEY, 0)
        out = memoryview(bytearray(RECORD_ROOM))
        records = bytearray()
        for plain in frames.pack(pending, self.max_plaintext):
            records += out[: self._seal(memoryview(plain.ljust(self._padded(len(plain)), b"\0")), out, 0)]
        if rekey:
            self._sealer.rekey()
            self._sealed_bytes, self._keyed_at = 0, now
        return bytes(records)

    def seal_data(self, circuit: int, identifier: int, count: int, now: float) -> memoryview:
        """Seal ``count`` bytes that lie in the scratch's payload buffer from ``HEADROOM`` on, within the credit.

        Gives the records, valid until the next call. Call ``flush`` before: waiting frames go first.
        """
        stream = self._known(circuit, identifier)
        if stream is None or not 0 < count <= stream.send_credit:
            raise ValueError("more than the credit")
        streams = self._circuits[circuit]
        stream.send_credit -= count
        streams.carried += count
        self._count(count, now)
        payload, out = self._scratch.payload, self._scratch.sealed
        seal, pack, most = self._seal, STREAM_HEADER.pack_into, self.max_plaintext - HEADROOM
        start, end, size = 0, count, 0  # of the frame whose header lies before its payload
        while end - start > most:
            pack(payload, start, DATA, circuit, most + frames.STREAM_ID, identifier)
            size = seal(payload[start : start + HEADROOM + most], out, size)
            start += most
        pack(payload, start, DATA, circuit, end - start + frames.STREAM_ID, identifier)
        stop = HEADROOM + end
        full = start + self._padded(stop - start)
        payload[stop:full] = bytes(full - stop)
        return out[: seal(payload[start:full], out, size)]

    def _padded(self, size: int) -> int:
        """How long a plaintext of ``size`` bytes is made with PADDING.

        A relay sees the sizes of what it forwards: behind one there are eight. At one hop the outer record is the
        innermost, and what an observer sees of it is the cover's business.
        """
        if self.max_plaintext == MAX_PLAINTEXT:
            return max(size, MIN_PLAINTEXT)
        return next((each for each in SIZES if size <= each < self.max_plaintext), self.max_plaintext)

    def _count(self, count: int, now: float) -> None:
        self._sealed_bytes += count
        if self._sealed_bytes >= REKEY_BYTES and not self._pending:
            self.ping()  # something to flush: the key changes with the next flush


def settings_frame(max_plaintext: int = MAX_PLAINTEXT) -> bytes:
    """The first frame of each side: a client's leaves in Noise message 3."""
    return frames.frame(Frame.SETTINGS, 0, encode({0: PROTOCOL_VERSION, 1: max_plaintext}))
