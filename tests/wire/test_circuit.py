"""Circuits of up to three hops in memory: records within records, and what relays between can see."""

import os
import random

import pytest

from qnet.wire.channel import MAX_BODY, Opener, Sealer
from qnet.wire.events import (
    Broken,
    CircuitClosed,
    Event,
    Extend,
    Extended,
    Forwarded,
    StreamData,
    StreamFin,
    StreamOpen,
    StreamOpened,
)
from qnet.wire.frames import Reset
from qnet.wire.link import LinkSession
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import HEADROOM, Scratch
from qnet.wire.streams import INITIAL_WINDOW

CIRCUIT = 7


def kept(event: Event) -> Event:
    match event:
        case StreamData(circuit, stream, data):
            return StreamData(circuit, stream, bytes(data))  # type: ignore[arg-type]
        case Forwarded(circuit, records):
            return Forwarded(circuit, memoryview(bytes(records)))
    return event


def put(session: LinkSession, data: bytes) -> list[Event]:
    events = []
    while data:
        buffer = session.get_buffer()
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        data = data[count:]
        events += map(kept, session.received(count, 0.0))
    return events


class Chain:
    """A client's sessions and the relays' ends, hop by hop; relays pass on what they are told to."""

    def __init__(self, hops: int, client_scratch: Scratch | None = None, circuit: int = CIRCUIT) -> None:
        scratch = client_scratch or Scratch()
        self.circuit = circuit
        self.client: list[LinkSession] = []
        self.relays: list[LinkSession] = []
        self.seen: list[bytes] = [b""] * hops
        for hop in range(hops):
            self.add(scratch, hop)
        self.inner.open_circuit(circuit)
        for session in self.client:
            session.settings()
            self.up(session.flush(0.0))

    def add(self, scratch: Scratch, hop: int) -> None:
        one, two = os.urandom(32), os.urandom(32)
        outer = self.client[-1] if hop else None
        mine = LinkSession(
            TransportKeys(one, two, b""), initiator=True, scratch=scratch, now=0, outer=outer, circuit=self.circuit
        )
        if outer is not None:
            outer.extend(self.circuit, b"descriptor")
            assert self.up(outer.flush(0.0)) == [Extend(self.circuit, b"descriptor")]
            self.relays[-1].extended(self.circuit, b"c" * 32, b"s" * 32)
            answer = self.down(self.relays[-1].flush(0.0), hop - 1)
            assert answer == [Extended(self.circuit, b"c" * 32, b"s" * 32)]
            outer.attach(self.circuit, mine)
        self.client.append(mine)
        self.relays.append(LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=Scratch(), now=0))

    @property
    def inner(self) -> LinkSession:
        return self.client[-1]

    @property
    def exit(self) -> LinkSession:
        return self.relays[-1]

    def up(self, data: bytes | memoryview) -> list[Event]:
        """From the client through every relay; the events of the last one reached."""
        data, events = bytes(data), []
        for hop, relay in enumerate(self.relays):
            self.seen[hop] += data
            events = put(relay, data)
            data = b"".join(bytes(event.records) for event in events if isinstance(event, Forwarded))
            events = [event for event in events if not isinstance(event, Forwarded)]
            if not data:
                break
        return events

    def down(self, data: bytes | memoryview, hop: int | None = None) -> list[Event]:
        """From relay ``hop`` (the exit) to the client's innermost session."""
        hop = len(self.relays) - 1 if hop is None else hop
        for relay in reversed(self.relays[:hop]):
            data = bytes(relay.seal_forward(self.circuit, memoryview(bytearray(data)), 0.0))
        return put(self.client[0], bytes(data)) + list(map(kept, self.inner.take_events()))

    def data(self, session: LinkSession, stream: int, content: bytes) -> bytes:
        wire = b""
        while content:
            piece, content = content[: session.bulk], content[session.bulk :]
            session._scratch.payload[HEADROOM : HEADROOM + len(piece)] = piece
            wire += bytes(session.seal_data(self.circuit, stream, len(piece), 0.0))
        return wire


def payload(events: list[Event], stream: int) -> bytes:
    assert all(isinstance(event, StreamData) and event.stream == stream for event in events)
    return b"".join(bytes(event.data) for event in events if isinstance(event, StreamData))


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_conversation(hops: int) -> None:
    chain = Chain(hops)
    stream = chain.inner.open(CIRCUIT, "site.test", 80, 0.0)
    assert chain.up(chain.inner.flush(0.0)) == [StreamOpen(CIRCUIT, stream, "site.test", 80)]
    chain.exit.opened(CIRCUIT, stream)
    assert chain.down(chain.exit.flush(0.0)) == [StreamOpened(CIRCUIT, stream)]
    question, answer = os.urandom(INITIAL_WINDOW), os.urandom(INITIAL_WINDOW)
    assert payload(chain.up(chain.data(chain.inner, stream, question)), stream) == question
    assert payload(chain.down(chain.data(chain.exit, stream, answer)), stream) == answer
    chain.exit.fin(CIRCUIT, stream)
    assert chain.down(chain.exit.flush(0.0)) == [StreamFin(CIRCUIT, stream)]


def test_every_layer_fits_and_the_outermost_is_full() -> None:
    chain = Chain(3)
    assert [session.max_plaintext for session in chain.client] == [16385, 16366, 16347]
    assert [relay.max_plaintext for relay in chain.relays] == [16385, 16366, 16347]
    stream = chain.inner.open(CIRCUIT, "h", 80, 0.0)
    chain.up(chain.inner.flush(0.0))
    wire = chain.data(chain.inner, stream, bytes(chain.inner.max_plaintext - HEADROOM))
    assert int.from_bytes(wire[3:5], "big") == MAX_BODY


def test_no_link_carries_the_bytes_of_another() -> None:
    chain = Chain(3)
    stream = chain.inner.open(CIRCUIT, "h", 80, 0.0)
    chain.up(chain.inner.flush(0.0))
    content = b"plaintext of the site " * 500
    chain.up(chain.data(chain.inner, stream, content))
    for hop, seen in enumerate(chain.seen):
        assert b"plaintext" not in seen
        for other in chain.seen[hop + 1 :]:
            assert not any(other[start : start + 16] in seen for start in range(0, len(other) - 16, 997))


def test_a_relay_does_one_operation_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(3)
    stream = chain.inner.open(CIRCUIT, "h", 80, 0.0)
    chain.up(chain.inner.flush(0.0))
    wire = chain.data(chain.inner, stream, bytes(60_000))
    records = 4
    done = {"seal": 0, "open": 0}
    sealing, opening = Sealer.seal_into, Opener.open_into
    monkeypatch.setattr(Sealer, "seal_into", lambda *a: (done.__setitem__("seal", done["seal"] + 1), sealing(*a))[1])
    monkeypatch.setattr(Opener, "open_into", lambda *a: (done.__setitem__("open", done["open"] + 1), opening(*a))[1])
    [forwarded] = put(chain.relays[0], wire)
    assert isinstance(forwarded, Forwarded)
    assert done == {"seal": 0, "open": records}
    chain.relays[0].seal_forward(CIRCUIT, memoryview(bytearray(forwarded.records)), 0.0)
    assert done == {"seal": records, "open": records}


def test_two_circuits_share_a_link_without_mixing() -> None:
    """Both circuits' records lie interleaved in one read; their inner sessions share buffers."""
    rng = random.Random(5)
    scratch = Scratch()
    chains = [Chain(2, scratch, circuit) for circuit in (3, 4)]
    root, relay = chains[0].client[0], chains[0].relays[0]
    # The second chain's outer session becomes the first one's: one link, two circuits.
    second = chains[1].client[1]
    second._outer = root
    root._extended.add(4)
    root.attach(4, second)
    relay._extended.add(4)
    streams = []
    for chain in chains:
        chain.client[0] = root
        chain.relays[0] = relay
        streams.append(chain.inner.open(chain.circuit, "h", 80, 0.0))
        chain.up(chain.inner.flush(0.0))
    sent, wire = [b"", b""], b""
    for _ in range(60):
        which = rng.randrange(2)
        content = rng.randbytes(rng.choice([1, 8, 9, 500, 1800]))
        chain = chains[which]
        sent[which] += content
        sealed = chain.data(chain.exit, streams[which], content)
        wire += bytes(relay.seal_forward(chain.circuit, memoryview(bytearray(sealed)), 0.0))
        if rng.random() < 0.2:
            relay.ping()
            wire += relay.flush(0.0)
    root.get_buffer()[: len(wire)] = wire
    root.received(len(wire), 0.0)
    got = [b"".join(bytes(event.data) for event in chain.inner.take_events()) for chain in chains]  # type: ignore[union-attr]
    assert got == sent


@pytest.mark.parametrize("seed", range(8))
def test_a_relay_keeps_interleaved_circuits_apart(seed: int) -> None:
    rng = random.Random(seed)
    one, two = os.urandom(32), os.urandom(32)
    client = LinkSession(TransportKeys(one, two, b""), initiator=True, scratch=Scratch(), now=0)
    relay = LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=Scratch(), now=0)
    for circuit in (1, 2):
        client.extend(circuit, b"d")
    client.open_circuit(3)
    put(relay, client.flush(0.0))
    stream = client.open(3, "h", 80, 0.0)
    put(relay, client.flush(0.0))
    sent: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
    wire = b""
    for _ in range(80):
        circuit = rng.choice([1, 1, 1, 2, 3])
        message = rng.randbytes(rng.choice([26, 27, 30, 400, 1200]))
        if circuit == 3:
            client._scratch.payload[HEADROOM : HEADROOM + len(message)] = message
            wire += bytes(client.seal_data(3, stream, len(message), 0.0))
            sent[3] += message
        else:
            wire += client.seal_message(circuit, message)
            sent[circuit] += b"\x17\x03\x03" + len(message).to_bytes(2, "big") + message
        if rng.random() < 0.1:
            client.ping()
            wire += client.flush(0.0)
    got: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
    for event in put(relay, wire):
        match event:
            case Forwarded(circuit, records):
                got[circuit] += bytes(records)
            case StreamData(circuit, _, data):
                got[circuit] += bytes(data)
    assert got == sent


def test_a_corrupt_inner_record_ends_the_circuit_and_not_the_link() -> None:
    chain = Chain(2)
    chain.exit.ping()
    bad = bytearray(chain.exit.flush(0.0))
    bad[-1] ^= 1
    wire = chain.relays[0].seal_forward(CIRCUIT, memoryview(bad), 0.0)
    assert put(chain.client[0], bytes(wire)) == []
    assert chain.inner.take_events() == [Broken("a record that does not open")]
    chain.client[0].ping()
    assert put(chain.relays[0], chain.client[0].flush(0.0)) == []


def test_closing_a_circuit_and_what_comes_late() -> None:
    chain = Chain(2)
    chain.relays[0].close_circuit(CIRCUIT, Reset.UNREACHABLE)
    late = chain.client[0].seal_message(CIRCUIT, bytes(40))
    assert put(chain.client[0], chain.relays[0].flush(0.0)) == [CircuitClosed(CIRCUIT, Reset.UNREACHABLE)]
    assert put(chain.relays[0], late) == []


def test_a_record_too_large_to_forward_is_refused() -> None:
    chain = Chain(2)
    record = bytearray(b"\x17\x03\x03" + (MAX_BODY).to_bytes(2, "big") + bytes(MAX_BODY))
    with pytest.raises(Exception, match="too large"):
        chain.relays[0].seal_forward(CIRCUIT, memoryview(record), 0.0)


@pytest.mark.parametrize("size", [26, 27, 100, 16382])
def test_a_read_full_of_records_of_any_size_can_be_forwarded(size: int) -> None:
    relay = Chain(2).relays[0]
    record = b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)
    full = memoryview(bytearray(record * (len(relay.get_buffer()) // len(record))))
    sealed = relay.seal_forward(CIRCUIT, full, 0.0)
    assert len(sealed) == len(full) // len(record) * (len(record) + 19)


@pytest.mark.parametrize("twice", ["open then extend", "extend then open", "extend twice"])
def test_a_circuit_has_one_use(twice: str) -> None:
    chain = Chain(1)
    client, relay = chain.client[0], chain.relays[0]
    if twice == "open then extend":
        client.open(CIRCUIT, "h", 80, 0.0)
        client.extend(CIRCUIT, b"d")
    elif twice == "extend then open":
        client.extend(9, b"d")
        client.open_circuit(9)
        client.open(9, "h", 80, 0.0)
    else:
        client.extend(9, b"d")
        client.extend(9, b"d")
    assert isinstance(put(relay, client.flush(0.0))[-1], Broken)


@pytest.mark.parametrize("hops", [2, 3])
def test_a_relay_sees_at_most_eight_sizes(hops: int) -> None:
    chain = Chain(hops)
    stream = chain.inner.open(CIRCUIT, "site.test", 80, 0.0)
    chain.up(chain.inner.flush(0.0))
    session = chain.inner._known(CIRCUIT, stream)
    assert session is not None
    start = len(chain.seen[-1])
    for size in (1, 2, 50, 51, 55, 56, 300, 1000, 3000, 5000, 9000, 15_000, 16_329, 40_000):
        session.send_credit = INITIAL_WINDOW
        at_exit = chain.exit._known(CIRCUIT, stream)
        assert at_exit is not None
        at_exit.receivable = INITIAL_WINDOW
        content = os.urandom(size)
        told = chain.up(chain.data(chain.inner, stream, content))
        assert b"".join(bytes(event.data) for event in told if isinstance(event, StreamData)) == content
        chain.inner.ping()
        chain.up(chain.inner.flush(0.0))
    seen, sizes = chain.seen[-1][start:], set()
    while seen:
        size = int.from_bytes(seen[3:5], "big")
        sizes.add(size)
        seen = seen[5 + size :]
    assert 4 < len(sizes) <= 8
