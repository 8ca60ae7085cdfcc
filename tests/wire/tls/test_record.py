"""Records: cutting a stream, and protection's bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.tls import codes, errors
from qnet.wire.tls.record import RecordReader, TrafficKeys, plain_record
from qnet.wire.tls.schedule import SUITES


def cut(reader: RecordReader) -> list[bytes]:
    records = []
    while (record := reader.next()) is not None:
        records.append(record)
    return records


@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(1, 40), st.binary(max_size=4))
def test_any_slicing_gives_the_same_records(bodies, size, rest):
    records = [plain_record(codes.HANDSHAKE, body) for body in bodies]
    stream = b"".join(records) + b"\x16\x03\x03\xff"[: len(rest)]
    reader, found = RecordReader(), []
    for i in range(0, len(stream), size):
        reader.feed(stream[i : i + size])
        found += cut(reader)
    assert found == records
    assert reader.rest() == b"\x16\x03\x03\xff"[: len(rest)]
    assert reader.rest() == b""


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (b"\x13\x03\x03\x00\x00", errors.UnexpectedMessageError),
        (b"\x18\x03\x03\x00\x00", errors.UnexpectedMessageError),
        (b"\x16\x04\x03\x00\x00", errors.DecodeError),
        (b"\x17\x03\x03\x41\x01", errors.RecordOverflowError),
    ],
)
def test_a_bad_header_is_refused_before_its_body(header, error):
    reader = RecordReader()
    reader.feed(header)
    with pytest.raises(error):
        reader.next()


@pytest.mark.parametrize("suite", SUITES.values())
@given(st.lists(st.tuples(st.sampled_from([21, 22, 23]), st.binary(max_size=200)), max_size=5))
def test_protection_round_trip(suite, contents):
    secret = bytes(suite.hash_length)
    sender, receiver = TrafficKeys(suite, secret), TrafficKeys(suite, secret)
    for kind, content in contents:
        record = sender.seal(kind, content)
        assert record[:3] == b"\x17\x03\x03"
        assert len(record) == 5 + len(content) + 17
        assert receiver.open(record) == (kind, content)


def protected(inner: bytes) -> tuple[TrafficKeys, bytes]:
    """A receiver and an authentic record with an arbitrary inside."""
    suite = SUITES[0x1301]
    keys = TrafficKeys(suite, bytes(32))
    header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
    nonce = suite.expand_label(bytes(32), "iv", b"", 12)
    return keys, header + suite.aead(suite.expand_label(bytes(32), "key", b"", 16)).encrypt(nonce, inner, header)


def test_padding_is_removed():
    keys, record = protected(b"hi\x17" + bytes(100))
    assert keys.open(record) == (codes.APPLICATION_DATA, b"hi")


@pytest.mark.parametrize(
    ("inner", "error"),
    [
        (b"", errors.UnexpectedMessageError),
        (bytes(50), errors.UnexpectedMessageError),
        (b"x\x14", errors.UnexpectedMessageError),
        (b"x\x18", errors.UnexpectedMessageError),
        (bytes(1 << 14) + b"\x17\0", errors.RecordOverflowError),
    ],
)
def test_authentic_records_with_bad_content(inner, error):
    keys, record = protected(inner)
    with pytest.raises(error):
        keys.open(record)


def test_largest_record():
    suite = SUITES[0x1303]
    keys = TrafficKeys(suite, bytes(32))
    assert len(keys.seal(codes.APPLICATION_DATA, bytes(1 << 14))) == 5 + (1 << 14) + 17
    with pytest.raises(ValueError):
        keys.seal(codes.APPLICATION_DATA, bytes((1 << 14) + 1))


@given(st.binary(max_size=300))
def test_arbitrary_records_do_not_open(data):
    keys = TrafficKeys(SUITES[0x1301], bytes(32))
    with pytest.raises(errors.BadRecordError):
        keys.open(data)
    with pytest.raises(errors.BadRecordError):
        keys.open(plain_record(codes.APPLICATION_DATA, data))
