"""After the handshake: tickets, key updates, alerts, and records that do not open."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.errors import RemoteError
from qnet.wire.tls import codes, errors
from qnet.wire.tls.codec import handshake_message, vector
from qnet.wire.tls.record import TrafficKeys
from qnet.wire.tls.schedule import SUITES
from qnet.wire.tls.session import TICKET_LIMIT, TlsSession

SUITE = SUITES[0x1302]
READ, WRITE = bytes(48), bytes(range(48))


def session(record_limit: int = 1 << 14) -> TlsSession:
    return TlsSession(
        flight=b"",
        proven=True,
        server_prefix=b"",
        alpn=None,
        cipher_suite=0x1302,
        group=codes.X25519,
        resumed=False,
        certificates=[],
        record_limit=record_limit,
        suite=SUITE,
        read_keys=TrafficKeys(SUITE, READ),
        write_keys=TrafficKeys(SUITE, WRITE),
        resumption_secret=bytes(48),
    )


def ticket(lifetime: int = 7200, identity: bytes = b"id", nonce: bytes = b"\0") -> bytes:
    body = lifetime.to_bytes(4, "big") + bytes(4) + vector(1, nonce) + vector(2, identity) + vector(2, b"")
    return handshake_message(codes.NEW_SESSION_TICKET, body)


def test_a_record_that_does_not_open_changes_nothing():
    tls, server = session(), TrafficKeys(SUITE, READ)
    good = server.seal(codes.APPLICATION_DATA, b"one")
    for bad in (os.urandom(40), b"\x17\x03\x03\x00\x13" + os.urandom(19), good[:-1] + bytes([good[-1] ^ 1]), b""):
        with pytest.raises(errors.BadRecordError):
            tls.open_record(bad)
    assert tls.open_record(good) == (codes.APPLICATION_DATA, b"one")
    with pytest.raises(errors.BadRecordError):
        tls.open_record(good)  # a replay
    assert tls.open_record(server.seal(codes.APPLICATION_DATA, b"two")) == (codes.APPLICATION_DATA, b"two")


def test_a_ticket_that_permits_early_data_says_so():
    tls, limit = session(), vector(2, b"\0\x2a\0\4" + bytes(4))
    tls.receive_handshake(ticket() + handshake_message(codes.NEW_SESSION_TICKET, ticket()[4:-2] + limit))
    assert [each.early_data for each in tls.tickets] == [False, True]


def test_tickets_whole_joined_and_bytewise():
    both = ticket(nonce=b"\0") + ticket(nonce=b"\1", lifetime=10**9)
    whole, pieces = session(), session()
    assert whole.receive_handshake(both) == b""
    for i in range(len(both)):
        assert pieces.receive_handshake(both[i : i + 1]) == b""
    assert whole.tickets == pieces.tickets
    first, second = whole.tickets
    assert first.secret != second.secret
    assert first.secret == SUITE.expand_label(bytes(48), "resumption", b"\0", 48)
    assert (first.lifetime, second.lifetime) == (7200, 7 * 86400)


def test_tickets_are_bounded_and_the_newest_stay():
    tls = session()
    for i in range(3 * TICKET_LIMIT):
        tls.receive_handshake(ticket(identity=bytes([i])))
    assert [t.identity[0] for t in tls.tickets] == list(range(2 * TICKET_LIMIT, 3 * TICKET_LIMIT))
    tls.receive_handshake(ticket(lifetime=0))
    assert len(tls.tickets) == TICKET_LIMIT
    assert tls.tickets[-1].lifetime


def test_key_update_requested():
    tls, server_write, server_read = session(), TrafficKeys(SUITE, READ), TrafficKeys(SUITE, WRITE)
    answer = tls.receive_handshake(handshake_message(codes.KEY_UPDATE, b"\1"))
    assert server_read.open(answer) == (codes.HANDSHAKE, handshake_message(codes.KEY_UPDATE, b"\0"))
    server_read, server_write = server_read.updated(), server_write.updated()
    assert server_read.open(tls.seal(codes.APPLICATION_DATA, b"x")) == (codes.APPLICATION_DATA, b"x")
    assert tls.open_record(server_write.seal(codes.APPLICATION_DATA, b"y")) == (codes.APPLICATION_DATA, b"y")


def test_key_update_not_requested():
    tls = session()
    assert tls.receive_handshake(handshake_message(codes.KEY_UPDATE, b"\0")) == b""
    assert TrafficKeys(SUITE, WRITE).open(tls.seal(codes.APPLICATION_DATA, b"x")) == (codes.APPLICATION_DATA, b"x")
    new = TrafficKeys(SUITE, READ).updated()
    assert tls.open_record(new.seal(codes.APPLICATION_DATA, b"y")) == (codes.APPLICATION_DATA, b"y")


@pytest.mark.parametrize(
    ("fragment", "error"),
    [
        (b"", errors.UnexpectedMessageError),
        (handshake_message(codes.KEY_UPDATE, b"\2"), errors.IllegalParameterError),
        (handshake_message(codes.KEY_UPDATE, b""), errors.DecodeError),
        (handshake_message(codes.KEY_UPDATE, b"\0") + b"\4", errors.UnexpectedMessageError),
        (handshake_message(codes.CERTIFICATE_REQUEST, b"\0\0\0"), errors.UnexpectedMessageError),
        (handshake_message(codes.FINISHED, bytes(48)), errors.UnexpectedMessageError),
        (ticket()[:-1] + b"\1", errors.DecodeError),
        (ticket(identity=b""), errors.DecodeError),
    ],
)
def test_bad_messages(fragment, error):
    with pytest.raises(error):
        session().receive_handshake(fragment)


def test_alerts():
    server = TrafficKeys(SUITE, WRITE)
    tls = session()
    assert server.open(tls.alert(0)) == (codes.ALERT, b"\1\0")
    assert server.open(tls.alert(20)) == (codes.ALERT, b"\2\x14")
    assert len(tls.alert(0)) == 24  # a record of 19 bytes


def test_record_size_limit_of_the_server():
    tls = session(record_limit=100)
    tls.seal(codes.APPLICATION_DATA, bytes(100))
    with pytest.raises(ValueError):
        tls.seal(codes.APPLICATION_DATA, bytes(101))


def test_secrets_are_not_in_the_representation():
    tls = session()
    tls.receive_handshake(ticket())
    assert "secret" not in repr(tls)


@given(st.binary(max_size=100), st.sampled_from([None, codes.NEW_SESSION_TICKET, codes.KEY_UPDATE]))
def test_a_value_or_a_remote_error(data, kind):
    with contextlib.suppress(RemoteError):
        assert isinstance(session().receive_handshake(data if kind is None else handshake_message(kind, data)), bytes)
