"""What was read at once is written as the decoy wrote it."""

from hypothesis import given
from hypothesis import strategies as st

from qnet.net.decoy_writes import DecoyWrites


def record(kind: int, size: int) -> bytes:
    return bytes([kind, 3, 3]) + size.to_bytes(2, "big") + bytes([kind]) * size


FLIGHT = record(22, 90) + record(20, 1) + record(23, 400)
TICKETS = [record(23, 266), record(23, 266), record(23, 57)]


def test_a_flight_goes_in_one_and_every_record_after_it_by_itself() -> None:
    writes = DecoyWrites()
    assert list(writes.pieces(FLIGHT)) == [FLIGHT]
    assert list(writes.pieces(b"".join(TICKETS))) == TICKETS


def test_a_record_in_two_reads_is_passed_on_at_once_and_what_follows_is_cut() -> None:
    writes = DecoyWrites()
    data = b"".join(TICKETS)
    assert list(writes.pieces(data[:300])) == [TICKETS[0], data[271:300]]
    assert list(writes.pieces(data[300:])) == [data[300:542], TICKETS[2]]


def test_what_is_no_tls_passes_as_it_comes() -> None:
    writes = DecoyWrites()
    assert list(writes.pieces(b"HTTP/1.1 400 Bad Request\r\n\r\n")) == [b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    assert list(writes.pieces(TICKETS[0] + TICKETS[1])) == [TICKETS[0] + TICKETS[1]]


def test_a_header_in_two_reads_ends_the_cutting() -> None:
    writes = DecoyWrites()
    assert list(writes.pieces(TICKETS[0] + TICKETS[1][:3])) == [TICKETS[0] + TICKETS[1][:3]]
    assert list(writes.pieces(TICKETS[1][3:] + TICKETS[2])) == [TICKETS[1][3:] + TICKETS[2]]


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(TICKETS), st.just(FLIGHT)), max_size=12))
def test_no_byte_is_lost_or_late(reads: list[bytes]) -> None:
    writes = DecoyWrites()
    for read in reads:
        assert b"".join(writes.pieces(read)) == read
