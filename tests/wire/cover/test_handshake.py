"""The cover handshake in memory: client, peer and a decoy that is Python's own TLS server."""

import os
import ssl
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qnet.wire.channel import record
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.cover.peer import ToDecoy
from qnet.wire.errors import RemoteError
from qnet.wire.steps import Send
from tests.support.cover_pair import ANSWER, NAME, NOW, MemoryDecoy, Trio


@pytest.fixture
def trio(tmp_path: Path) -> Trio:
    return Trio(tmp_path / "decoy")


def records(stream: bytes) -> list[tuple[int, int]]:
    found = []
    while stream:
        length = int.from_bytes(stream[3:5], "big")
        assert len(stream) >= 5 + length
        found.append((stream[0], length))
        stream = stream[5 + length :]
    return found


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.parametrize("chunk", [1 << 20, 977, 7])
def test_both_ends_hold_the_same_keys(tmp_path: Path, browser: str, chunk: int) -> None:
    trio = Trio(tmp_path / "decoy", browser)
    trio.run(trio.client(b"hello, exit"), chunk)
    assert trio.result is not None and trio.established is not None
    mine, theirs = trio.result.result.keys, trio.established.keys
    assert (mine.send, mine.receive) == (theirs.receive, theirs.send)
    assert mine.handshake_hash == theirs.handshake_hash
    assert trio.established.payload == b"hello, exit"


def test_the_wire_shows_a_browser_and_nothing_else(trio: Trio) -> None:
    trio.run(trio.client())
    sent = records(b"".join(trio.to_peer))
    assert [kind for kind, _ in sent] == [22, 20, 23, 23, 23, 23, 23]
    assert sent[4] == (23, APPEARANCES["chromium"].request_body(NAME)), "N1 has the size of Chromium's first request"
    assert (23, 26) in sent[5:], "an imitation of the SETTINGS ACK"
    assert {kind for kind, _ in records(b"".join(trio.to_client))} == {22, 20, 23}


def test_the_decoy_sees_a_whole_browser_start(trio: Trio) -> None:
    trio.run(trio.client())
    assert trio.decoy.error is None
    assert trio.decoy.received.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"GET" not in trio.decoy.received


def test_n2_waits_for_the_decoys_own_records(tmp_path: Path) -> None:
    trio = Trio(tmp_path / "decoy", quiet_after=1 << 20)
    trio.run(trio.client())
    assert trio.result is None
    assert trio.peer.next_timer() is not None
    assert trio.timer() == []
    trio.now += 2
    assert [len(answer) for answer in trio.timer()] == [5 + 2 + 16 + 32 + 16 + 1088]


@pytest.mark.parametrize(
    "change",
    [{"cover": bytes(range(1, 33))}, {"cover_secret": bytes(32)}],
    ids=["another cover key", "another secret"],
)
def test_without_the_key_it_is_the_decoy(trio: Trio, change: dict) -> None:
    with pytest.raises(UnprovenPeerError) as raised:
        trio.run(trio.client(**change))
    assert trio.peer.splicing
    assert trio.decoy.received.startswith(b"PRI *"), "the genuine request reached the decoy"
    assert raised.value.date == NOW


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_to_the_decoy_itself_it_is_a_browser(tmp_path: Path, browser: str, chunk: int) -> None:
    trio = Trio(tmp_path / "decoy", browser)
    with pytest.raises(UnprovenPeerError):
        trio.run(trio.client(cover_secret=bytes(32)), chunk)
    assert trio.decoy.error is None
    sizes = [size for _, size in records(b"".join(trio.to_peer))]
    assert sizes[3:] == [87, APPEARANCES[browser].request_body(NAME)]


@pytest.mark.parametrize("answer", [b"", ANSWER[:20], b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000), bytes(9)])
def test_a_decoy_whose_answer_says_nothing(trio: Trio, answer: bytes) -> None:
    trio.decoy.answer = answer or ANSWER.replace(b"\x61", b"\x62")
    client = trio.client(cover_secret=bytes(32))
    try:
        trio.run(client)
    except UnprovenPeerError as error:
        assert error.date is None
    else:
        assert trio.result is None, "it waits for more"


@pytest.mark.parametrize("change", [{"noise": bytes(range(1, 33))}, {"peer_id": bytes(32)}], ids=["S", "peer id"])
def test_another_identity_never_completes(trio: Trio, change: dict) -> None:
    """The cover key is right, the inner identity is not: N1 is forwarded to the decoy, which refuses it."""
    client = trio.client(**change)
    with pytest.raises(RemoteError):
        trio.run(client)
    assert trio.established is None


def test_a_tampered_flight_is_answered_with_the_browsers_alert(trio: Trio) -> None:
    client = trio.client()
    waiting = trio._drive(client, b"")
    flight = bytearray(b"".join(trio.from_client(waiting[0])))
    flight[-1] ^= 1
    step = client.step(bytes(flight))
    assert isinstance(step, Send)
    assert records(step.data) == [(20, 1), (23, 19)], "Chromium: ChangeCipherSpec, then a protected alert"
    with pytest.raises(RemoteError):
        client.step(b"")


@pytest.mark.parametrize("skew", [-121, 121, 86400])
def test_a_wrong_clock_meets_the_decoy(trio: Trio, skew: int) -> None:
    trio.replay = type(trio.replay)(NOW - 10**6)
    trio.peer = trio.new_peer()
    with pytest.raises(UnprovenPeerError):
        trio.run(trio.client(now=NOW + skew))


def test_a_replayed_hello_meets_the_decoy(trio: Trio, tmp_path: Path) -> None:
    trio.run(trio.client())
    hello = trio.to_peer[0]
    trio.peer, trio.decoy = trio.new_peer(), MemoryDecoy(tmp_path / "second")
    answer = b"".join(trio.from_client(hello))
    assert trio.peer.splicing
    assert answer == trio.decoy.sent != b"", "the flight is the decoy's, unmarked"


def test_tls_1_2_is_spliced(tmp_path: Path) -> None:
    trio = Trio(tmp_path / "decoy")
    trio.decoy = MemoryDecoy(tmp_path / "old", maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(RemoteError):
        trio.run(trio.client())
    trio.from_client(b"anything")
    assert trio.peer.splicing


@pytest.mark.parametrize("position", [0, 1, 2, 3, 100, 453])
def test_a_changed_byte_of_n1_is_answered_by_the_decoy(trio: Trio, position: int) -> None:
    client = trio.client()
    waiting = trio._drive(client, b"")
    for answer in trio.from_client(waiting[0]):
        waiting += trio._drive(client, answer)
    opening, first = b"".join(waiting[1:3]), bytearray(waiting[3])
    trio.from_client(opening)
    before = len(trio.decoy.seen)
    first[5 + position] ^= 1
    answer = b"".join(trio.from_client(bytes(first)))
    assert trio.decoy.seen[before:] == bytes(first), "the decoy got every byte as it was sent"
    assert records(answer)[-1][0] == 23 and trio.decoy.error is not None, "its alert came back"
    assert trio.established is None


@pytest.mark.parametrize("junk", [b"\x15\x03\x03\x00\x02\x01\x00", b"\x17\x03\x03\xff\xff", b"GET / HTTP/1.1\r\n\r\n"])
def test_another_header_after_finished_passes_at_once(trio: Trio, junk: bytes) -> None:
    client = trio.client()
    waiting = trio._drive(client, b"")
    for answer in trio.from_client(waiting[0]):
        waiting += trio._drive(client, answer)
    trio.from_client(b"".join(waiting[1:3]))
    before = len(trio.decoy.seen)
    trio.from_client(junk)
    assert trio.decoy.seen[before:] == junk
    assert trio.peer.splicing


def test_what_comes_together_goes_to_the_decoy_together(trio: Trio) -> None:
    """nginx answers Finished and preface in one write with 66 bytes, in two with 57 and 26."""
    client = trio.client()
    waiting = trio._drive(client, b"")
    for answer in trio.from_client(waiting[0]):
        waiting += trio._drive(client, answer)
    junk = b"\x15\x03\x03\x00\x02\x01\x00"
    assert list(trio.peer.from_client(waiting[1] + junk, NOW)) == [ToDecoy(waiting[1] + junk)]


def test_what_a_decoy_may_have_read_before_it_left_is_not_sent_after_it(trio: Trio) -> None:
    client = trio.client()
    waiting = trio._drive(client, b"")
    for answer in trio.from_client(waiting[0]):
        waiting += trio._drive(client, answer)
    half = record(bytes(100))[:50]
    assert list(trio.peer.from_client(waiting[1] + half, NOW)) == [ToDecoy(waiting[1])]
    assert list(trio.peer.decoy_eof()) == []
    assert list(trio.peer.from_client(b"more", NOW)) == [ToDecoy(half + b"more")]
    assert trio.peer.splicing


@given(st.lists(st.binary(min_size=1, max_size=600), max_size=6), st.booleans())
@example([b"\x16"], False)
@settings(max_examples=60, deadline=None)
def test_whatever_a_stranger_sends_reaches_the_decoy_unchanged(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], hello_first: bool
) -> None:
    trio = Trio(tmp_path_factory.mktemp("decoy"))
    if hello_first:
        pieces = [trio._drive(trio.client(cover_secret=os.urandom(32)), b"")[0], *pieces]
    for piece in pieces:
        trio.from_client(piece)
    trio._act(trio.peer.client_eof())
    assert trio.decoy.seen == b"".join(pieces)


@given(st.lists(st.binary(min_size=1, max_size=600), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whoever_takes_over_an_authentic_hello_reaches_the_decoy_unchanged(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    trio = Trio(tmp_path_factory.mktemp("decoy"))
    hello = trio._drive(trio.client(), b"")[0]
    for piece in [hello, *pieces]:
        trio.from_client(piece)
    trio._act(trio.peer.client_eof())
    assert trio.decoy.seen == hello + b"".join(pieces)
    assert trio.established is None


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_whatever_a_decoy_sends_reaches_the_client(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, chunk: int
) -> None:
    trio = Trio(tmp_path_factory.mktemp("decoy"))
    hello = trio._drive(trio.client(), b"")[0]
    for _ in trio.peer.from_client(hello, NOW):
        pass
    out = b""
    for start in range(0, len(data), chunk):
        out += b"".join(trio._act(trio.peer.from_decoy(data[start : start + chunk], NOW)))
    out += b"".join(trio._act(trio.peer.decoy_eof()))
    assert out == data
