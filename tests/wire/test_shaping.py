"""Who plays scripts, and sessions whose first records are theirs."""

import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.app.profile import load_profile
from qnet.wire import frames
from qnet.wire.cbor import encode
from qnet.wire.channel import MAX_BODY, MAX_PLAINTEXT, MIN_BODY, RECORD_HEADER, TAG, BadRecordError
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.exchange import CoverError
from qnet.wire.cover.opening import Guise
from qnet.wire.events import Broken, StreamData
from qnet.wire.frames import HEADER, Frame, FrameError
from qnet.wire.link import LinkSession, settings_frame
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import HEADROOM, Scratch
from qnet.wire.script import Profile, Script
from qnet.wire.shaping import BACKLOG, PATIENCE, Joiner, Shaper, Step
from qnet.wire.tls.verify import ChainVerifier
from tests.support.cover_pair import NOW, Trio, authority, template
from tests.support.scripts import NAME, TINY

CIRCUIT = 1


# --- the shaper


def test_a_step_waits_for_the_other_side_and_then_for_its_pause() -> None:
    shaper = Shaper([Step(100, 2, 0.5)], 0, 2, 10.0)
    shaper.heard(1, 10.1)
    assert shaper.take(10.2) is None
    shaper.heard(1, 10.3)
    assert shaper.next_timer() == 10.8
    assert shaper.take(10.7) is None
    assert shaper.take(10.8) == bytes(100 - TAG)
    assert shaper.finished


def test_who_waits_in_vain_goes_on_without_a_script() -> None:
    shaper = Shaper([Step(100, 1), Step(100, 1)], 0, 1, 10.0)
    shaper.put(memoryview(b"x" * 3000))
    assert shaper.take(10.0 + PATIENCE - 0.01) is None
    plain = shaper.take(10.0 + PATIENCE)
    assert plain is not None and len(plain) == MAX_PLAINTEXT
    assert shaper.finished


@given(
    st.lists(st.binary(min_size=HEADER.size, max_size=4000), min_size=1, max_size=20),
    st.lists(st.integers(MIN_BODY, MAX_BODY), max_size=30),
)
def test_what_is_cut_comes_together_again(plaintexts: list[bytes], sizes: list[int]) -> None:
    shaper, joiner = Shaper([Step(size) for size in sizes], 0, 0, 0.0), Joiner()
    for plain in plaintexts:
        shaper.put(memoryview(plain))
    got, seen = [], []
    while (record := shaper.take(0.0)) is not None:
        assert isinstance(record, bytes)
        seen.append(len(record) + TAG)
        kind, circuit, length = HEADER.unpack_from(record)
        if kind == Frame.PADDING:
            assert not any(record)
            continue
        assert (kind, circuit) == (Frame.PIECE, 0)
        assert not any(record[HEADER.size + length :])
        got += joiner.receive(memoryview(record)[HEADER.size : HEADER.size + length])
    assert got == plaintexts
    assert seen[: len(sizes)] == sizes


@given(st.lists(st.binary(max_size=400), max_size=10))
def test_any_fragments_are_plaintexts_or_refused(fragments: list[bytes]) -> None:
    joiner = Joiner()
    try:
        for fragment in fragments:
            for plain in joiner.receive(memoryview(fragment)):
                assert HEADER.size <= len(plain) <= MAX_PLAINTEXT
    except FrameError:
        pass


# --- sessions


class Shaped:
    """A client's and a peer's session with a script; what they say crosses at once, record by record."""

    def __init__(self, script: Script) -> None:
        one, two = os.urandom(32), os.urandom(32)
        self.client = LinkSession(TransportKeys(one, two, b""), initiator=True, scratch=Scratch(), now=0)
        self.peer = LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=Scratch(), now=0)
        self.client.open_circuit(CIRCUIT)
        client, peer = script.both(0.0)
        self.client.shape(client, script)
        self.peer.shape(peer, script)
        self.wire: deque[tuple[LinkSession, bytes]] = deque()
        self.sizes: dict[LinkSession, list[int]] = {self.client: [], self.peer: []}
        self.data: dict[LinkSession, bytes] = {self.client: b"", self.peer: b""}
        self.now = 0.0

    def say(self, session: LinkSession, records: bytes | memoryview) -> None:
        other = self.peer if session is self.client else self.client
        if records:
            self.wire.append((other, bytes(records)))
            start = 0
            while start < len(records):
                body = int.from_bytes(records[start + 3 : start + 5], "big")
                self.sizes[session].append(body)
                start += RECORD_HEADER + body

    def run(self) -> None:
        """Until neither has anything left to say."""
        while True:
            for session in (self.client, self.peer):
                for record in session.shaped(self.now):
                    self.say(session, record)
                self.say(session, session.flush(self.now))
            if self.wire:
                to, data = self.wire.popleft()
                while data:
                    buffer = to.get_buffer()
                    piece, data = data[: len(buffer)], data[len(buffer) :]
                    buffer[: len(piece)] = piece
                    for event in to.received(len(piece), self.now):
                        if isinstance(event, StreamData):
                            self.data[to] += event.data
                            to.consumed(event.circuit, event.stream, len(event.data), self.now)
                continue
            timers = [due for each in (self.client, self.peer) if (due := each.next_timer()) is not None]
            if not timers:
                return
            self.now = max(self.now, min(timers))


def send(session: LinkSession, stream: int, data: bytes) -> bytes:
    session._scratch.payload[HEADROOM : HEADROOM + len(data)] = data
    return bytes(session.seal_data(CIRCUIT, stream, len(data), 0))


@pytest.mark.parametrize("seed", range(8))
def test_a_session_says_what_it_has_in_the_records_of_its_script(seed: int) -> None:
    script = load_profile("chromium").script(bytes([seed]), NAME)
    pair = Shaped(script)
    stream = pair.client.open(CIRCUIT, "site.test", 443, 0.0)
    up, down = os.urandom(1900), os.urandom(60_000)
    assert pair.client.flush(0.0) == b""
    assert send(pair.client, stream, up) == b""
    pair.run()
    pair.peer.opened(CIRCUIT, stream)
    pair.say(pair.peer, pair.peer.flush(pair.now))
    pair.say(pair.peer, send(pair.peer, stream, down))
    pair.run()
    assert pair.data[pair.peer] == up
    assert pair.data[pair.client] == down
    for session, steps in ((pair.client, script.up), (pair.peer, script.down)):
        assert pair.sizes[session][: len(steps)] == [step.size for step in steps]


def test_who_has_much_to_say_is_held_back() -> None:
    pair = Shaped(load_profile("chromium").script(b"1", NAME))
    stream = pair.client.open(CIRCUIT, "site.test", 443, 0.0)
    pair.client.flush(0.0)
    pair.run()
    assert not pair.client.held_back
    pair = Shaped(load_profile("chromium").script(b"1", NAME))
    stream = pair.client.open(CIRCUIT, "site.test", 443, 0.0)
    pair.client.flush(0.0)
    assert send(pair.client, stream, bytes(BACKLOG - 100)) == b""
    assert not pair.client.held_back
    pair.client.ping()
    pair.client.flush(0.0)
    for _ in range(20):
        pair.client.ping()
    pair.client.flush(0.0)
    assert pair.client.held_back
    pair.run()
    assert not pair.client.held_back
    assert pair.data[pair.peer] == bytes(BACKLOG - 100)


def test_only_who_opened_the_link_may_go_to_another_page() -> None:
    script = load_profile("chromium").script(b"2", NAME)
    pair = Shaped(script)
    pair.run()
    cost = pair.client.visit(b"0123456789", pair.now)
    assert cost > 10_000
    before = {session: len(sizes) for session, sizes in pair.sizes.items()}
    pair.run()
    visited = load_profile("chromium").script(b"0123456789", NAME)
    assert pair.sizes[pair.client][before[pair.client] :] == [step.size for step in visited.up]
    assert pair.sizes[pair.peer][before[pair.peer] :] == [step.size for step in visited.down]
    for session, seed in ((pair.client, b"0123456789"), (pair.peer, b"short")):
        with pytest.raises(FrameError):
            session._read_frames(memoryview(frames.frame(Frame.VISIT, 0, seed)), pair.now)


def test_pieces_inside_pieces_or_inside_circuits_break_the_link() -> None:
    nested = frames.frame(Frame.PIECE, 0, (5).to_bytes(2, "big") + frames.frame(Frame.PIECE, 0))
    one, two = os.urandom(32), os.urandom(32)
    client = LinkSession(TransportKeys(one, two, b""), initiator=True, scratch=Scratch(), now=0)
    peer = LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=Scratch(), now=0)
    client._pending += nested
    data = client.flush(0.0)
    peer.get_buffer()[: len(data)] = data
    assert [type(event) for event in peer.received(len(data), 0.0)] == [Broken]
    inner = LinkSession(
        TransportKeys(one, two, b""), initiator=True, scratch=Scratch(), now=0, outer=client, circuit=CIRCUIT
    )
    with pytest.raises(FrameError):
        inner._read_frames(memoryview(frames.frame(Frame.PIECE, 0, b"12345")), 0.0)


# --- the handshake


def guise(trio: Trio, profile: Profile) -> Guise:
    verifier = ChainVerifier([authority().certificate], __import__("time").time())
    return Guise(template("chromium"), APPEARANCES["chromium"], verifier, profile=profile)


def bodies(data: bytes) -> list[int]:
    sizes, start = [], 0
    while start < len(data):
        sizes.append(int.from_bytes(data[start + 3 : start + 5], "big"))
        start += 5 + sizes[-1]
    return sizes


@pytest.mark.parametrize("chunk", [1 << 20, 100, 1])
def test_the_inner_handshake_travels_in_the_script_s_page(tmp_path: Path, chunk: int) -> None:
    profile = load_profile("chromium")
    trio = Trio(tmp_path / "decoy")
    trio.config = replace(trio.config, profiles={profile.version: profile})
    trio.peer = trio.new_peer()
    client = CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame())
    trio.run(client, chunk)
    assert trio.result is not None
    result = trio.result.result
    script = result.script
    assert script is not None
    trio.from_client(result.third)
    assert trio.established is not None and script == trio.established.script
    assert bodies(trio.to_peer[3])[0] == script.up[0].size
    assert bodies(result.third) == [script.up[1].size]
    page = [step.size for step in script.down[: script.page]]
    assert bodies(b"".join(trio.to_client))[-len(page) :] == page


def test_what_comes_of_the_page_behind_n2_is_checked(tmp_path: Path) -> None:
    profile = visit([1400, 2000, 3000], acknowledged=1)
    trio = Trio(tmp_path / "decoy")
    trio.config = replace(trio.config, profiles={profile.version: profile})
    trio.peer = trio.new_peer()
    trio.run(CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame()), 1)
    assert trio.result is not None
    result = trio.result.result
    assert result.script is not None
    second, third = (step.size for step in result.script.down[1:3])
    assert result.heard == 1, "N2 fits the first record"
    page = b"".join(trio.to_client)[-(10 + second + third) :]
    result.padding(page[5 : 5 + second])
    changed = bytearray(page[10 + second :])
    changed[7] ^= 1
    with pytest.raises(BadRecordError):
        result.padding(bytes(changed))


def visit(page: list[int], *, lead: int = 0, acknowledged: int = 1) -> Profile:
    """A profile of one."""
    head = [463, page, 1, 0, 0, 0, 0, lead, acknowledged]
    body = [pack(">5H", 120, 0, 0, 0, 0), pack(">3H", 900, 1, 0)]
    return Profile.parse(encode({0: 7, 1: [[[head], [body]]]}))


class Paced(Trio):
    """The decoy's SETTINGS ACK reaches the peer ``BEHIND`` its SETTINGS. ``said``: its bytes behind its flight."""

    BEHIND = 0.002
    said = 0

    def from_decoy(self, data: bytes) -> list[bytes]:
        self.said += 0 if data.startswith(b"\x16") else len(data)
        if bodies(data)[-1] != 26:
            return super().from_decoy(data)
        out = super().from_decoy(data[:-31])
        self.now += self.BEHIND
        return out + super().from_decoy(data[-31:])


class Late(Trio):
    """The decoy's last record, if it is a small one, reaches the peer when N1 has."""

    held = b""

    def from_decoy(self, data: bytes) -> list[bytes]:
        if (last := bodies(data)[-1]) <= 26:
            data, self.held = data[: -5 - last], data[-5 - last :]
        return super().from_decoy(data)

    def from_client(self, data: bytes) -> list[bytes]:
        held, self.held = self.held, b""
        out = super().from_client(data)
        return out + super().from_decoy(held) if held else out


def playing(folder: Path, kind: type[Trio] = Trio, **head: int) -> tuple[Trio, Profile]:
    profile = visit([1400, 2000], **head)
    trio = kind(folder)
    trio.config = replace(trio.config, profiles={profile.version: profile})
    trio.peer = trio.new_peer()
    return trio, profile


@pytest.mark.parametrize("acknowledged", [0, 1])
def test_the_decoys_settings_ack_is_seen_where_the_script_has_it(acknowledged: int, tmp_path: Path) -> None:
    trio, profile = playing(tmp_path / "decoy", acknowledged=acknowledged)
    trio.run(CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame()))
    assert trio.result is not None
    assert bodies(b"".join(trio.to_client)).count(26) == 1 + acknowledged, "its SETTINGS are as large"


def test_the_page_comes_after_its_pause(tmp_path: Path) -> None:
    trio, profile = playing(tmp_path / "decoy", lead=150)
    trio.run(CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame()))
    assert trio.result is not None and trio.now == pytest.approx(NOW + 0.0015)
    script = trio.result.result.script
    assert script is not None
    page = [step.size for step in script.down[: script.page]]
    assert bodies(trio.to_client[-1]) == page, "behind all that the decoy said, and by itself"


@pytest.mark.parametrize(
    ("lead", "acknowledged", "after"), [(500, 1, 0.005), (100, 1, 0.002), (100, 0, 0.002), (500, 0, 0.005)]
)
def test_the_pause_before_the_page_counts_from_the_decoys_settings(
    lead: int, acknowledged: int, after: float, tmp_path: Path
) -> None:
    """N2 follows the decoy's ACK where that is to be seen, however short the pause."""
    first = Paced(tmp_path / "first")
    first.run(first.client())
    trio, profile = playing(tmp_path / "decoy", Paced, lead=lead, acknowledged=acknowledged)
    trio.config = replace(trio.config, quiet_after=first.said)
    trio.peer = trio.new_peer()
    trio.run(CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame()))
    assert trio.result is not None and trio.now == pytest.approx(NOW + after)


def test_a_small_record_that_is_no_settings_ack_is_not_overtaken(tmp_path: Path) -> None:
    """``openssl s_server -rev`` answers the preface's last line with one byte."""
    first = Paced(tmp_path / "first")
    trio, profile = playing(tmp_path / "decoy", Late, acknowledged=0)
    first.decoy.greeting[-1] = trio.decoy.greeting[-1] = b"\n"
    first.run(first.client())
    trio.config = replace(trio.config, quiet_after=first.said)
    trio.peer = trio.new_peer()
    trio.run(CoverClient(trio.known, guise(trio, profile), os.urandom, NOW, settings_frame()))
    assert trio.result is not None and trio.result.result.script is not None
    script = trio.result.result.script
    page = [step.size for step in script.down[: script.page]]
    assert bodies(b"".join(trio.to_client))[-len(page) - 2 :] == [26, 18, *page]


def test_what_was_withheld_comes_before_what_the_decoy_says_next(tmp_path: Path) -> None:
    """Without the right key for N1 the client talks to the decoy, of whom it has to hear every byte."""
    trio, profile = playing(tmp_path / "decoy", acknowledged=0)
    wrong = replace(trio.known, noise=X25519PrivateKey.generate().public_key().public_bytes_raw())
    with pytest.raises(CoverError, match="alert"):
        trio.run(CoverClient(wrong, guise(trio, profile), os.urandom, NOW, settings_frame()))
    told = bodies(b"".join(trio.to_client))
    assert told.count(26) == 2 and told[-1] != 26, "an alert follows"
    assert b"".join(trio.to_client).endswith(trio.decoy.sent[-100:])


@pytest.mark.parametrize("theirs", [{}, {99: Profile.parse(encode(TINY))}], ids=["none", "another version"])
def test_with_a_peer_that_has_another_profile_nothing_is_shaped(tmp_path: Path, theirs: dict[int, Profile]) -> None:
    trio = Trio(tmp_path / "decoy")
    trio.config = replace(trio.config, profiles=theirs)
    trio.peer = trio.new_peer()
    trio.run(CoverClient(trio.known, guise(trio, load_profile("chromium")), os.urandom, NOW, settings_frame()))
    assert trio.result is not None and trio.established is not None
    assert trio.result.result.script is None
    assert trio.established.script is None
