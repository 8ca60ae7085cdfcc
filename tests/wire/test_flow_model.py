"""No schedule makes the sessions stand still: real session code in memory, random turns, slow sinks, full budgets.

The model is what the drivers do, without sockets: bytes on a connection that takes only so many, relays that grant hop
credit as the next connection takes records, sinks that take what they like. Whoever has credit and something to say
may speak; which of all possible moves is next is drawn at random.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from qnet.wire.events import (
    CircuitWritable,
    Event,
    Extend,
    Extended,
    Forwarded,
    StreamData,
    StreamFin,
    StreamOpen,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from qnet.wire.frames import Reset
from qnet.wire.link import LinkSession, settings_frame
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import Scratch
from qnet.wire.streams import CIRCUIT_BUDGET, HOP_SLACK, INITIAL_WINDOW, Budget

PIPE = 96 * 1024
"""Bytes that a connection holds before the writer has to keep the rest."""


@dataclass
class Pipe:
    """One direction of a connection: ``held`` by the writer, ``moving`` in the network."""

    held: bytearray = field(default_factory=bytearray)
    moving: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> None:
        self.held += data

    def move(self) -> int:
        """The network takes what it has room for; gives how much."""
        count = min(len(self.held), PIPE - len(self.moving))
        self.moving += self.held[:count]
        del self.held[:count]
        return count

    def read(self, most: int) -> bytes:
        data = bytes(self.moving[:most])
        del self.moving[:most]
        return data


@dataclass
class End:
    """One end of one stream: what is still to be said, what the other side said and the sink has not taken."""

    session: LinkSession
    circuit: int
    stream: int
    to_say: int
    heard: int = 0
    sink: int = 0
    ended: bool = False
    finished: bool = False


@dataclass
class Hop:
    """A relay's way on for one circuit."""

    session: LinkSession
    circuit: int
    up: Pipe
    down: Pipe
    carry: bytes = b""
    undrained: int = 0


class World:
    """One client, ``circuits`` on one link, each of ``hops`` hops through the same first relay."""

    def __init__(self, rng: random.Random, circuits: int, hops: int, budget: int) -> None:
        self.rng = rng
        self.now = 0.0
        self.client_scratch = Scratch(Budget(budget))
        self.budgets = [self.client_scratch.budget]
        self.ends: dict[tuple[int, int, int], End] = {}
        self.sent: dict[tuple[int, int, int], int] = {}
        """What each end is to hear."""
        self.hops: list[Hop] = []
        self.inner: dict[int, LinkSession] = {}
        self.chains: dict[int, list[LinkSession]] = {}
        self.moves: list[Callable[[], bool]] = []
        self.up, self.down = Pipe(), Pipe()
        keys = self._keys()
        self.root = LinkSession(keys[0], initiator=True, scratch=self.client_scratch, now=0.0)
        first = self._peer(keys[1], budget)
        self._link(self.up, self.down, first, None)
        for circuit in range(1, circuits + 1):
            self._extend(circuit, first, hops, budget)
        self.moves += [self._move(self.up), self._move(self.down), self._client_reads]

    def _keys(self) -> tuple[TransportKeys, TransportKeys]:
        one, two = os.urandom(32), os.urandom(32)
        return TransportKeys(one, two, b""), TransportKeys(two, one, b"")

    def _peer(self, keys: TransportKeys, budget: int) -> LinkSession:
        scratch = Scratch(Budget(budget))
        self.budgets.append(scratch.budget)
        return LinkSession(keys, initiator=False, scratch=scratch, now=0.0)

    def _extend(self, circuit: int, first: LinkSession, hops: int, budget: int) -> None:
        self.root.new_circuit()
        outer, relay = self.root, first
        for _ in range(1, hops):
            mine, theirs = self._keys()
            outer.extend(circuit, b"d")
            [event] = feed(relay, self._out(outer, relay), 0.0)
            assert event == Extend(circuit, b"d")
            relay.extended(circuit, bytes(32), bytes(32))
            feed(self.root, self._in(relay, circuit), 0.0)
            [told] = outer.take_events() if outer is not self.root else [Extended(circuit, bytes(32), bytes(32))]
            assert isinstance(told, Extended)
            session = LinkSession(
                mine, initiator=True, scratch=self.client_scratch, now=0.0, outer=outer, circuit=circuit
            )
            outer.attach(circuit, session)
            up, down = Pipe(), Pipe()
            after = self._peer(theirs, budget)
            after.receive_payload(settings_frame(session.max_plaintext), 0.0)
            hop = Hop(relay, circuit, up, down)
            self.hops.append(hop)
            self._link(up, down, after, hop)
            self.moves += [self._drain(hop), self._move(down), self._passes_down(hop)]
            self.chains.setdefault(circuit, []).append(relay)
            outer, relay = session, after
        self.chains.setdefault(circuit, []).append(relay)
        outer.open_circuit(circuit)
        self.inner[circuit] = outer

    def _out(self, session: LinkSession, to: LinkSession) -> bytes:
        """What ``session`` says, unwrapped by the relays before ``to``; only while circuits are made."""
        data = session.flush(0.0)
        circuit = session._outer_circuit
        for relay in self.chains.get(circuit, []) if session is not self.root else []:
            if relay is to:
                break
            data = b"".join(bytes(e.records) for e in feed(relay, data, 0.0) if isinstance(e, Forwarded))
        return data

    def _in(self, relay: LinkSession, circuit: int) -> bytes:
        data = relay.flush(0.0)
        for before in reversed(self.chains.get(circuit, [])):
            data = bytes(before.seal_forward(circuit, memoryview(bytearray(data)), 0.0))
        return data

    # --- moves: each gives whether it did anything

    def _move(self, pipe: Pipe) -> Callable[[], bool]:
        return lambda: pipe.move() > 0

    def _drain(self, hop: Hop) -> Callable[[], bool]:
        """The relay's connection to the next hop takes records: the client is credited."""

        def move() -> bool:
            count = hop.up.move()
            if count:
                hop.session.hop_drained(hop.circuit, count, self.now)
                self._flush_peer(hop.session)
            return count > 0

        return move

    def _link(self, up: Pipe, down: Pipe, session: LinkSession, hop: Hop | None) -> None:
        """``session`` reads ``up`` and writes ``down``."""
        self.writes = getattr(self, "writes", {})
        self.writes[id(session)] = down

        def read() -> bool:
            data = up.read(self.rng.choice([1, 700, 20_000, 300_000]))
            if not data:
                return False
            for event in feed(session, data, self.now):
                self._peer_event(session, event)
            self._flush_peer(session)
            return True

        self.moves.append(read)

    def _peer_event(self, session: LinkSession, event: Event) -> None:
        match event:
            case Forwarded(circuit, records):
                hop = next(each for each in self.hops if each.session is session and each.circuit == circuit)
                session.hop_taken(circuit, len(records))
                hop.up.write(bytes(records))
            case StreamOpen(circuit, stream, _, port):
                self.ends[id(session), circuit, stream] = End(session, circuit, stream, port * 1000)
                session.opened(circuit, stream)
            case _:
                self._end_event(session, event)

    def _end_event(self, session: LinkSession, event: Event) -> None:
        match event:
            case StreamData(circuit, stream, data):
                end = self.ends[id(session), circuit, stream]
                end.sink += len(data)
            case StreamFin(circuit, stream):
                self.ends[id(session), circuit, stream].ended = True
            case StreamReset(circuit, stream, Reset.LIMIT):  # the peer's budget has no room for one more
                del self.ends[id(session), circuit, stream]
            case StreamOpened() | StreamWritable() | CircuitWritable():
                pass
            case _:
                raise AssertionError(event)

    def _passes_down(self, hop: Hop) -> Callable[[], bool]:
        """The relay reads the next hop, unless its own link is full."""

        def move() -> bool:
            if len(self.writes[id(hop.session)].held) > PIPE:
                return False
            data = hop.carry + hop.down.read(self.rng.choice([9, 5000, 300_000]))
            size = whole(data)
            moved, hop.carry = len(data) != len(hop.carry), data[size:]
            if size:
                sealed = hop.session.seal_forward(hop.circuit, memoryview(bytearray(data[:size])), self.now)
                self.writes[id(hop.session)].write(bytes(sealed))
            return moved

        return move

    def _flush_peer(self, session: LinkSession) -> None:
        self.writes[id(session)].write(session.flush(self.now))

    def _flush_client(self) -> None:
        for session in [*self.inner.values(), *(each._outer for each in self.inner.values()), self.root]:
            while session is not None:
                self.up.write(session.flush(self.now))
                session = session._outer  # type: ignore[assignment]

    def _client_reads(self) -> bool:
        data = self.down.read(self.rng.choice([1, 700, 20_000, 300_000]))
        if not data:
            return False
        told: list[tuple[LinkSession, Event]] = [(self.root, each) for each in feed(self.root, data, self.now)]
        for session in self._client_sessions():
            told += [(session, kept(each)) for each in session.take_events()]
        for session, event in told:
            self._end_event(session, event)
        self._flush_client()
        return True

    def _client_sessions(self) -> list[LinkSession]:
        found: list[LinkSession] = []
        for session in self.inner.values():
            at: LinkSession | None = session
            while at is not None and at is not self.root:
                if at not in found:
                    found.append(at)
                at = at._outer  # type: ignore[assignment]
        return found

    def open(self, circuit: int, up: int, down: int) -> None:
        """A stream of ``up`` bytes and ``down`` thousand bytes back."""
        session = self.inner[circuit]
        if not session.has_room(circuit):
            return
        stream = session.open(circuit, "h", down, self.now)
        self.ends[id(session), circuit, stream] = End(session, circuit, stream, up)
        self._flush_client()

    def speak(self, end: End) -> bool:
        """Say something, if the session lets us and the link's buffer is not full."""
        session = end.session
        out = self.up if session in self.inner.values() else self.writes[id(session)]
        if end.to_say == 0:
            if not end.finished:
                end.finished = True
                session.fin(end.circuit, end.stream)
                self._flush(session)
                return True
            return False
        count = min(end.to_say, session.credit(end.circuit, end.stream), session.bulk)
        if len(out.held) > PIPE or count == 0:
            return False
        out.write(session.flush(self.now))
        out.write(bytes(session.seal_data(end.circuit, end.stream, count, self.now)))
        end.to_say -= count
        exit_session, inner = self.chains[end.circuit][-1], self.inner[end.circuit]
        other = id(exit_session if end.session is inner else inner), end.circuit, end.stream
        self.sent[other] = self.sent.get(other, 0) + count
        return True

    def _flush(self, session: LinkSession) -> None:
        if session in self.inner.values():
            self._flush_client()
        else:
            self._flush_peer(session)

    def sink(self, end: End, most: int) -> bool:
        """The application takes bytes."""
        count = min(end.sink, most)
        if not count:
            return False
        end.sink -= count
        end.heard += count
        end.session.consumed(end.circuit, end.stream, count, self.now)
        self._flush(end.session)
        return True

    def step(self, lazy: set[int]) -> bool:
        """One random move; ``lazy``: the streams whose sinks take nothing at the moment."""
        self.now += self.rng.expovariate(200)
        ends = list(self.ends.values())
        if ends and self.rng.random() < 0.5:
            end = self.rng.choice(ends)
            if self.rng.random() < 0.5:
                return self.speak(end)
            return end.stream not in lazy and self.sink(end, self.rng.choice([1, 3000, 70_000, 1 << 20]))
        return self.rng.choice(self.moves)()

    def settle(self) -> None:
        """Every move that can be made is made until none can: all sinks are quick now."""
        while True:
            self.now += 0.001
            moved = [move() for move in self.moves]
            moved += [self.speak(end) for end in list(self.ends.values())]
            moved += [self.sink(end, 1 << 30) for end in list(self.ends.values())]
            if not any(moved):
                return

    def check_memory(self, budget: int) -> None:
        for each in self.budgets:
            assert each.used <= budget + 2 * INITIAL_WINDOW
        for hop in self.hops:
            assert len(hop.up.held) <= CIRCUIT_BUDGET + HOP_SLACK
        waiting: dict[int, int] = {}
        for end in self.ends.values():
            waiting[id(end.session)] = waiting.get(id(end.session), 0) + end.sink
        assert all(count <= budget + 2 * INITIAL_WINDOW for count in waiting.values())


def feed(session: LinkSession, data: bytes, now: float) -> list[Event]:
    events = []
    while data:
        buffer = session.get_buffer()
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        data = data[count:]
        events += [kept(event) for event in session.received(count, now)]
    return events


def kept(event: Event) -> Event:
    match event:
        case StreamData(circuit, stream, data):
            return StreamData(circuit, stream, memoryview(bytes(data)))
        case Forwarded(circuit, records):
            return Forwarded(circuit, memoryview(bytes(records)))
    return event


def whole(data: bytes) -> int:
    """Bytes of whole records at the start of ``data``."""
    position = 0
    while len(data) - position >= 5:
        after = position + 5 + int.from_bytes(data[position + 3 : position + 5], "big")
        if after > len(data):
            break
        position = after
    return position


@pytest.mark.parametrize(
    ("seed", "circuits", "hops", "budget"),
    [
        (1, 1, 1, 1 << 22),
        (2, 3, 2, 1 << 22),
        (3, 2, 3, 3 << 20),
        (4, 4, 3, 5 << 20),
        (5, 1, 3, 1 << 20),
        (6, 3, 3, 1 << 28),
    ],
)
def test_whatever_was_sent_arrives_and_nothing_ever_stands_still(
    seed: int, circuits: int, hops: int, budget: int
) -> None:
    rng = random.Random(seed)
    world = World(rng, circuits, hops, budget)
    lazy: set[int] = set()
    for number in range(10_000):
        if number % 100 == 0 and len(world.ends) < 60:
            world.open(rng.randint(1, circuits), rng.choice([0, 10, 50_000, 900_000]), rng.choice([1, 20, 900, 3000]))
            lazy = {rng.randint(1, 12) for _ in range(rng.choice([0, 3, 12]))}
        world.step(lazy)
        if number % 25 == 0:
            world.check_memory(budget)
    # Full budgets and lazy sinks: whatever the state is now, once sinks take what there is, everything arrives.
    world.settle()
    assert len(world.ends) > 10
    for key, end in world.ends.items():
        assert (end.to_say, end.sink) == (0, 0) and end.ended, end
        assert end.heard == world.sent.get(key, 0)
    assert all(not hop.up.held and not hop.up.moving for hop in world.hops)
    assert all(len(session._circuits[circuit]) == 0 for circuit, session in world.inner.items())
