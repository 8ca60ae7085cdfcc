"""Reading the decoy's own answer: its date, what it must be answered with, and every bound."""

from contextlib import suppress

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.cover.answer import ANSWER_LIMIT, BLOCK_LIMIT, FRAME_LIMIT, Answer, AnswerError, Frame, frame
from tests.support.cover_pair import ANSWER, NOW, SERVER_ACK, SERVER_SETTINGS

END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 0x20
TABLE = 65536


def block(*headers: tuple[str, str], huffman: bool = True) -> bytes:
    return Encoder().encode([(":status", "200"), *headers], huffman=huffman)


def dated(date: str) -> float | None:
    answer = Answer(TABLE)
    answer.receive(frame(Frame.HEADERS, END_HEADERS, 1, block(("date", date))))
    return answer.date


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_whole_answer_in_pieces(size: int) -> None:
    body = frame(Frame.DATA, 0, 1, bytes(5000)) + frame(Frame.DATA, END_STREAM, 1, b"")
    head = frame(Frame.HEADERS, END_HEADERS, 1, block(("server", "nginx"), ("date", "Fri, 15 Jan 2027 08:00:00 GMT")))
    data = SERVER_SETTINGS + SERVER_ACK + frame(Frame.WINDOW_UPDATE, 0, 0, bytes(4)) + head + body
    answer, said = Answer(TABLE), b""
    for start in range(0, len(data), size):
        assert not answer.done
        said += answer.receive(data[start : start + size])
    assert answer.done
    assert answer.date == NOW
    assert said == SERVER_ACK


def test_the_response_of_rfc_7541_c_6() -> None:
    """C.6.1, Huffman coded, and C.5.1, which is not."""
    for text in (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    ):
        answer = Answer(TABLE)
        answer.receive(frame(Frame.HEADERS, END_HEADERS | END_STREAM, 1, bytes.fromhex(text)))
        assert answer.done
        assert answer.date == 1382386401


def test_a_block_that_goes_on() -> None:
    answer, whole = Answer(TABLE), block(("date", "Fri, 15 Jan 2027 08:00:00 GMT"), huffman=False)
    answer.receive(frame(Frame.HEADERS, END_STREAM, 1, whole[:5]))
    assert not answer.done
    answer.receive(frame(Frame.CONTINUATION, 0, 1, whole[5:6]) + frame(Frame.CONTINUATION, END_HEADERS, 1, whole[6:]))
    assert answer.done
    assert answer.date == NOW


def test_padding_and_priority() -> None:
    answer = Answer(TABLE)
    padded = b"\x03" + bytes(5) + block(("date", "Fri, 15 Jan 2027 08:00:00 GMT")) + bytes(3)
    answer.receive(frame(Frame.HEADERS, END_HEADERS | PADDED | PRIORITY, 1, padded))
    assert answer.date == NOW


def test_ping_and_its_answer() -> None:
    answer = Answer(TABLE)
    assert answer.receive(frame(Frame.PING, 0, 0, b"12345678")) == frame(Frame.PING, 1, 0, b"12345678")
    assert answer.receive(frame(Frame.PING, 1, 0, b"12345678")) == b""


@pytest.mark.parametrize("kind", [Frame.GOAWAY, Frame.RST_STREAM])
def test_refused(kind: Frame) -> None:
    answer = Answer(TABLE)
    answer.receive(frame(kind, 0, 0, bytes(8)))
    assert answer.done
    assert answer.date is None


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Fri, 99 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 99999 08:00:00 GMT", "\x00", "15"]
)
def test_what_is_no_date(date: str) -> None:
    assert dated(date) is None


@pytest.mark.parametrize(
    "data",
    [
        frame(Frame.DATA, 0, 1, bytes(FRAME_LIMIT + 1)),
        frame(Frame.DATA, 0, 1, bytes(16000)) * (ANSWER_LIMIT // 16000 + 1),
        frame(Frame.HEADERS, 0, 1, b"") + frame(Frame.DATA, 0, 1, b""),
        frame(Frame.CONTINUATION, END_HEADERS, 1, b""),
        frame(Frame.HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        frame(Frame.HEADERS, END_HEADERS | PADDED, 1, b"\x05abc"),
        frame(Frame.HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\xff\x7f"),  # a header table of 256 MiB
    ],
    ids=["frame", "answer", "broken off", "goes on", "integer", "padding", "table"],
)
def test_bounds(data: bytes) -> None:
    with pytest.raises(AnswerError):
        Answer(TABLE).receive(data)


def test_a_block_that_grows_when_it_is_unpacked() -> None:
    """One entry of 4,000 bytes in the header table, named again and again."""
    bomb = b"\x40\x01a\x7f" + bytes([0xA1, 0x1E]) + b"b" * 4000 + b"\xbe" * 10_000
    assert len(bomb) < BLOCK_LIMIT
    with pytest.raises(AnswerError):
        Answer(TABLE).receive(frame(Frame.HEADERS, END_HEADERS, 1, bomb))


@given(st.binary(max_size=300))
def test_anything(data: bytes) -> None:
    for prefix in (b"", frame(Frame.HEADERS, END_HEADERS, 1, data), ANSWER):
        with suppress(AnswerError):
            Answer(TABLE).receive(prefix + data)
