"""Native-messaging frames."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.framing import LIMIT, FrameReader, FrameTooLargeError, encode_frame


def test_length_is_in_native_order() -> None:
    assert encode_frame(b"{}") == (2).to_bytes(4, sys.byteorder) + b"{}"


def test_largest_frame() -> None:
    body = bytes(LIMIT)
    assert FrameReader().receive(encode_frame(body)) == [body]
    with pytest.raises(FrameTooLargeError):
        encode_frame(body + b"x")


def test_too_long_is_refused_by_its_length_alone() -> None:
    reader = FrameReader()
    with pytest.raises(FrameTooLargeError):
        reader.receive((LIMIT + 1).to_bytes(4, sys.byteorder))


def test_limit_can_be_smaller() -> None:
    with pytest.raises(FrameTooLargeError):
        FrameReader(limit=3).receive(encode_frame(b"four"))


def test_empty_says_whether_a_frame_is_open() -> None:
    reader = FrameReader()
    assert reader.empty
    assert reader.receive(encode_frame(b"whole") + b"\x05") == [b"whole"]
    assert not reader.empty


def test_empty_body() -> None:
    assert FrameReader().receive(bytes(8)) == [b"", b""]


@given(st.lists(st.binary(max_size=30), max_size=6), st.data())
def test_any_cut_gives_the_same_bodies(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.receive(stream[start:end])
    assert found == bodies
    assert reader.empty


@given(st.binary(max_size=100))
def test_any_input_gives_bodies_or_one_error(data: bytes) -> None:
    reader = FrameReader(limit=64)
    try:
        assert all(len(body) <= 64 for body in reader.receive(data))
    except FrameTooLargeError:
        pass
    else:
        assert reader.empty or len(data) > 0
