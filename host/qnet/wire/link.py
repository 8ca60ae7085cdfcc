"""A link: records of one secure channel, the frames in them, and the streams of its circuits.

Conversation, after the handshake (client on the left); each side may speak at any time:

1. → SETTINGS, OPEN … (the first of them in the payload of Noise message 3); ← SETTINGS
2. ↔ stream frames as in ``streams``; PING is answered by PONG
3. ↔ REKEY: the sender's next record is under its next key

The hot path is bulk DATA. Reading: all records that a read brought are opened one behind the other into one buffer,
so that a run of DATA for one stream comes out as one view. A record's plaintext starts with the frame header, which
would lie between two payloads; it is therefore written over the last bytes of the payload before it, and those are put
back afterwards. Sending: payload is received behind a header's room, and each further header overwrites bytes that
are already sealed. No payload is copied by Python in either direction.
"""

import struct
from dataclasses import dataclass
from typing import TypeAlias

from qnet.wire import frames
from qnet.wire.cbor import CborError, decode, encode
from qnet.wire.channel import (
    MAX_PLAINTEXT,
    MIN_PLAINTEXT,
    RECORD_HEADER,
    TAG,
    BadRecordError,
    Opener,
    Sealer,
    record_length,
)
from qnet.wire.frames import HEADER, MAX_DATA, STREAM_HEADER, Frame, FrameError, Reset
from qnet.wire.noise import TransportKeys
from qnet.wire.streams import Stream, Streams

HEADROOM = STREAM_HEADER.size
BULK = 16 * MAX_DATA
"""Payload bytes sealed at once: whole records only, so that bulk data leaves no small record behind."""

RECORD_ROOM = RECORD_HEADER + MAX_PLAINTEXT + TAG
MAX_CIRCUITS = 64
REKEY_BYTES = 1 << 30
REKEY_SECONDS = 3600.0
PROTOCOL_VERSION = 1
_ping = struct.Struct(">Q")


class Scratch:
    """Buffers that all links of one event loop share: every use begins and ends within one callback."""

    def __init__(self) -> None:
        self.wire = memoryview(bytearray(BULK + 2 * RECORD_ROOM))
        self.payload = memoryview(bytearray(HEADROOM + BULK))
        self.renew_plain()
        self.renew_sealed()

    def renew_plain(self) -> None:
        """A fresh buffer for opened payload, when somebody kept a view of the last one."""
        self.plain = memoryview(bytearray(HEADROOM + len(self.wire)))

    def renew_sealed(self) -> None:
        """A fresh buffer for sealed records, when somebody kept a view of the last one."""
        self.sealed = memoryview(bytearray(BULK // MAX_DATA * RECORD_ROOM))


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
    """Payload; ``data`` is valid until the next call."""

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
class BadRecord:
    """``rest``: all received bytes from the record that did not open. Nothing more is read here."""

    rest: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The other side holds the key but breaks the protocol: close the link."""

    reason: str


Event: TypeAlias = (
    StreamOpen | StreamOpened | StreamData | StreamFin | StreamReset | StreamWritable | BadRecord | Broken
)


class LinkSession:
    """One end of a link. ``initiator``: the client's end. ``now``: seconds of any steady clock."""

    def __init__(self, keys: TransportKeys, *, initiator: bool, scratch: Scratch, now: float) -> None:
        self._opener = Opener(keys.receive)
        self._sealer = Sealer(keys.send)
        self._initiator = initiator
        self._scratch = scratch
        self._circuits: dict[int, Streams] = {}
        self._carry = b""
        self._pending = bytearray()
        self._sealed_bytes = 0
        self._keyed_at = now
        self._pings: dict[int, float] = {}
        self._ping_number = 0
        self._closed = False
        self.peer_settings: dict[int, object] = {}

    # --- receiving

    def get_buffer(self) -> memoryview:
        """Where to receive the next bytes."""
        wire = self._scratch.wire
        carry = len(self._carry)
        wire[:carry] = self._carry
        return wire[carry:]

    def received(self, count: int, now: float) -> list[Event]:
        """``count`` bytes were put into ``get_buffer()``; gives what they mean. Then call ``flush``."""
        events: list[Event] = []
        if self._closed:
            return events
        wire, out = self._scratch.wire, self._scratch.plain
        position, end, free = 0, len(self._carry) + count, HEADROOM
        run, run_start = (0, 0), HEADROOM
        bad = False
        try:
            try:
                while end - position >= RECORD_HEADER:
                    length = record_length(wire, position)
                    body_end = position + RECORD_HEADER + length
                    if body_end > end:
                        break
                    start = free - HEADROOM
                    saved = bytes(out[start:free])
                    try:
                        size = self._opener.open_into(wire[position + RECORD_HEADER : body_end], out[start:])
                        kind, circuit, body = HEADER.unpack_from(out, start)
                        bulk = kind == Frame.DATA and body + HEADER.size == size > HEADROOM
                        if bulk:
                            to = (circuit, STREAM_HEADER.unpack_from(out, start)[3])
                        else:
                            self._end_run(events, run, out[run_start:free])
                            self._read_frames(events, out[start : start + size], now)
                    finally:
                        out[start:free] = saved
                    position = body_end
                    if not bulk:
                        run, free = (0, 0), start + size + HEADROOM
                        continue
                    if to != run:
                        self._end_run(events, run, out[run_start:free])
                        run, run_start = to, free
                    free += size - HEADROOM
            except BadRecordError:
                bad = True
            self._end_run(events, run, out[run_start:free])
            if bad:
                self._closed = True
                events.append(BadRecord(bytes(wire[position:end])))
        except FrameError as error:
            self._closed = True
            events.append(Broken(str(error)))
        self._carry = bytes(wire[position:end])
        return events

    def receive_payload(self, payload: bytes, now: float) -> list[Event]:
        """The frames of Noise message 3's payload."""
        events: list[Event] = []
        try:
            self._read_frames(events, memoryview(payload), now)
        except FrameError as error:
            self._closed = True
            events.append(Broken(str(error)))
        return events

    def _end_run(self, events: list[Event], run: tuple[int, int], data: memoryview) -> None:
        circuit, identifier = run
        if circuit == 0:
            return
        stream = self._stream(circuit, identifier)
        if stream is not None:
            self._circuits[circuit].received(stream, len(data))
            events.append(StreamData(circuit, identifier, data))

    def _stream(self, circuit: int, identifier: int) -> Stream | None:
        """The stream, or None when it is gone and the frame merely late; raises ``FrameError`` if it never was."""
        streams = self._circuits.get(circuit)
        if streams is None or not streams.was_opened(identifier):
            raise FrameError("unknown stream")
        return streams.get(identifier)

    def _read_frames(self, events: list[Event], plain: memoryview, now: float) -> None:
        position = 0
        while position < len(plain) and plain[position] != Frame.PADDING:
            if len(plain) - position < HEADER.size:
                raise FrameError("frame header")
            kind, circuit, length = HEADER.unpack_from(plain, position)
            position += HEADER.size + length
            if position > len(plain):
                raise FrameError("frame length")
            self._read_frame(events, kind, circuit, plain[position - length : position], now)

    def _read_frame(self, events: list[Event], kind: int, circuit: int, body: memoryview, now: float) -> None:
        match kind:
            case Frame.DATA:
                if len(body) <= frames.STREAM_ID:
                    raise FrameError("DATA size")
                identifier = frames.parse_stream(body[: frames.STREAM_ID])
                self._end_run(events, (circuit, identifier), body[frames.STREAM_ID :])
            case Frame.OPEN:
                self._accept(events, circuit, frames.parse_open(body), now)
            case Frame.OPENED:
                stream = self._stream(circuit, frames.parse_stream(body))
                if stream is not None and self._initiator:
                    stream.opened = True
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
            case _:
                raise FrameError(f"frame type {kind}")

    def _accept(self, events: list[Event], circuit: int, body: frames.OpenBody, now: float) -> None:
        streams = self._circuits.get(circuit)
        if streams is None:
            if self._initiator or circuit == 0 or len(self._circuits) >= MAX_CIRCUITS:
                raise FrameError("circuit")
            streams = self._circuits[circuit] = Streams(initiator=False)
        stream = streams.accept(body.stream, now)
        if streams.has_room():
            events.append(StreamOpen(circuit, body.stream, body.host, body.port))
        else:
            self.reset(circuit, stream.id, Reset.LIMIT)

    def _ping_frame(self, kind: int, circuit: int, body: memoryview, now: float) -> None:
        if len(body) != _ping.size:
            raise FrameError("PING size")
        if kind == Frame.PING:
            self._pending += frames.frame(Frame.PONG, circuit, bytes(body))
            return
        sent = self._pings.pop(_ping.unpack(body)[0], None)
        if sent is not None:
            for streams in self._circuits.values():
                streams.round_trip = max(streams.round_trip, now - sent)

    def _settings(self, body: memoryview) -> None:
        try:
            settings = decode(bytes(body), limit=1024)
        except CborError:
            raise FrameError("SETTINGS") from None
        if not isinstance(settings, dict) or settings.get(0) != PROTOCOL_VERSION:
            raise FrameError("SETTINGS version")
        self.peer_settings = settings

    # --- actions; what they say leaves with the next ``flush`` or ``seal_data``

    def settings(self) -> None:
        """Say the protocol version and the largest plaintext taken."""
        self._pending += settings_frame()

    def ping(self, now: float) -> None:
        """Measure the round trip."""
        self._ping_number += 1
        self._pings = {self._ping_number: now}
        self._pending += frames.frame(Frame.PING, 0, _ping.pack(self._ping_number))

    def open_circuit(self, circuit: int) -> None:
        """A circuit that ends at the other side of this link."""
        self._circuits[circuit] = Streams(initiator=True)

    def has_room(self, circuit: int) -> bool:
        return self._circuits[circuit].has_room()

    def open(self, circuit: int, host: str, port: int, now: float) -> int:
        """Ask the circuit's exit for ``host``:``port``; gives the new stream's number."""
        stream = self._circuits[circuit].open(now)
        self._pending += frames.open_frame(circuit, stream.id, host, port)
        return stream.id

    def opened(self, circuit: int, stream: int) -> None:
        """The destination is reached."""
        if self._circuits[circuit].get(stream) is not None:
            self._pending += frames.stream_frame(Frame.OPENED, circuit, stream)

    def fin(self, circuit: int, identifier: int) -> None:
        """No more data from this side."""
        stream = self._circuits[circuit].get(identifier)
        if stream is not None and not stream.sent_fin:
            stream.sent_fin = True
            self._pending += frames.stream_frame(Frame.FIN, circuit, identifier)
            self._drop_finished(circuit, stream)

    def reset(self, circuit: int, stream: int, code: Reset) -> None:
        """End the stream at once, both ways."""
        if self._circuits[circuit].get(stream) is not None:
            self._circuits[circuit].remove(stream)
            self._pending += frames.reset_frame(circuit, stream, code)

    def consumed(self, circuit: int, identifier: int, count: int, now: float) -> None:
        """The sink took ``count`` bytes of the stream."""
        stream = self._circuits[circuit].get(identifier)
        if stream is not None:
            grant = self._circuits[circuit].consumed(stream, count, now)
            if grant:
                self._pending += frames.window_frame(circuit, identifier, grant)

    def credit(self, circuit: int, identifier: int) -> int:
        """Bytes that may be sent on the stream now; 0 when it is gone."""
        stream = self._circuits[circuit].get(identifier)
        return 0 if stream is None or stream.sent_fin else stream.send_credit

    def is_finished(self, circuit: int, identifier: int) -> bool:
        """Whether nothing more goes either way on the stream."""
        return self._circuits[circuit].get(identifier) is None

    def _drop_finished(self, circuit: int, stream: Stream) -> None:
        if stream.finished:
            self._circuits[circuit].remove(stream.id)

    # --- sending

    @property
    def waiting(self) -> bool:
        """Whether ``flush`` has something to send."""
        return bool(self._pending)

    def flush(self, now: float) -> bytes:
        """Records with every waiting frame; empty when there is none."""
        if not self._pending:
            return b""
        pending, self._pending = self._pending, bytearray()
        rekey = self._sealed_bytes >= REKEY_BYTES or now - self._keyed_at >= REKEY_SECONDS
        if rekey:
            pending += frames.frame(Frame.REKEY, 0)
        records = bytearray()
        for plain in _pack(pending):
            out = bytearray(RECORD_ROOM)
            size = self._sealer.seal_into(memoryview(plain.ljust(MIN_PLAINTEXT, b"\0")), memoryview(out))
            records += out[:size]
        if rekey:
            self._sealer.rekey()
            self._sealed_bytes, self._keyed_at = 0, now
        return bytes(records)

    def seal_data(self, circuit: int, identifier: int, count: int, now: float) -> memoryview:
        """Seal ``count`` bytes that lie in the scratch's payload buffer from ``HEADROOM`` on, within the credit.

        Gives the records, valid until the next call. Call ``flush`` before: waiting frames go first.
        """
        stream = self._circuits[circuit].get(identifier)
        if stream is None or count > stream.send_credit:
            raise ValueError("more than the credit")
        stream.send_credit -= count
        self._sealed_bytes += count
        if self._sealed_bytes >= REKEY_BYTES and not self._pending:
            self.ping(now)  # something to flush: the key changes with the next flush
        payload, out = self._scratch.payload, self._scratch.sealed
        seal, pack = self._sealer.seal_into, STREAM_HEADER.pack_into
        start, end, size = HEADROOM, HEADROOM + count, 0
        while start < end:
            stop = min(start + MAX_DATA, end)
            pack(payload, start - HEADROOM, Frame.DATA, circuit, stop - start + frames.STREAM_ID, identifier)
            size += seal(payload[start - HEADROOM : stop], out[size:])
            start = stop
        return out[:size]


def settings_frame() -> bytes:
    """The first frame of each side: a client's leaves in Noise message 3."""
    return frames.frame(Frame.SETTINGS, 0, encode({0: PROTOCOL_VERSION, 1: MAX_PLAINTEXT}))


def _pack(pending: bytearray) -> list[bytes]:
    """Cut a row of frames into plaintexts, each with whole frames only."""
    plaintexts = []
    start = position = 0
    while position < len(pending):
        after = position + HEADER.size + HEADER.unpack_from(pending, position)[2]
        if after - start > MAX_PLAINTEXT:
            plaintexts.append(bytes(pending[start:position]))
            start = position
        position = after
    plaintexts.append(bytes(pending[start:position]))
    return plaintexts
