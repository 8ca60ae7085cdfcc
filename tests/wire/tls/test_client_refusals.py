"""Servers that misbehave in the handshake, and what our client makes of them."""

import os
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnet.wire.errors import RemoteError
from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls import codes, errors
from qnet.wire.tls.codec import MESSAGE_LIMIT, handshake_message, u16, vector
from qnet.wire.tls.record import CHANGE_CIPHER_SPEC_RECORD, plain_record
from qnet.wire.tls.schedule import SUITES
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.template import HelloDraft
from qnet.wire.tls.tickets import Offer
from tests.support.tls_servers import Authority, Credential
from tests.wire.tls.fake_server import FakeServer, shake, zlib_certificate
from tests.wire.tls.peers import client, draft


def flipped(name: str, position: int) -> Callable[[str, bytes], bytes]:
    """A mutation that flips a bit of one message."""

    def mutate(found: str, message: bytes) -> bytes:
        if found != name:
            return message
        changed = bytearray(message)
        changed[position] ^= 1
        return bytes(changed)

    return mutate


def replaced(name: str, message: bytes) -> Callable[[str, bytes], bytes]:
    """A mutation that sends another message in place of one."""
    return lambda found, original: message if found == name else original


def added(name: str, kind: int, body: bytes) -> Callable[[str, bytes], bytes]:
    """A mutation that adds an extension to a ServerHello."""

    def mutate(found: str, message: bytes) -> bytes:
        if found != name:
            return message
        start = 4 + 2 + 32 + 1 + 32 + 3
        extensions = message[start + 2 :] + u16(kind) + vector(2, body)
        return handshake_message(message[0], message[4:start] + vector(2, extensions))

    return mutate


REFUSALS = {
    "tampered Finished": (flipped("finished", -1), errors.FinishedError),
    "tampered signature": (flipped("certificate_verify", -1), errors.CertificateSignatureError),
    "signature over another transcript": (flipped("certificate_verify", -9), errors.CertificateSignatureError),
    "signature scheme of another key": (flipped("certificate_verify", 4), errors.IllegalParameterError),
    "no Finished key confirmation": (replaced("finished", b"\x14\0\0\0"), errors.FinishedError),
    "no CertificateVerify": (replaced("certificate_verify", b""), errors.UnexpectedMessageError),
    "no certificate": (replaced("certificate", b""), errors.UnexpectedMessageError),
    "empty certificate list": (replaced("certificate", b"\x0b\0\0\4\0\0\0\0"), errors.DecodeError),
    "no EncryptedExtensions": (replaced("encrypted_extensions", b""), errors.UnexpectedMessageError),
    "session_id of another": (flipped("server_hello", 39), errors.IllegalParameterError),
    "suite not offered": (flipped("server_hello", 4 + 2 + 32 + 33), errors.IllegalParameterError),
    "compression": (flipped("server_hello", 4 + 2 + 32 + 33 + 2), errors.IllegalParameterError),
    "unsolicited extension": (added("server_hello", 0x7777, b""), errors.UnsupportedExtensionError),
    "unsolicited pre_shared_key": (
        added("server_hello", codes.PRE_SHARED_KEY, b"\0\0"),
        errors.UnsupportedExtensionError,
    ),
    "ALPN in the ServerHello": (added("server_hello", codes.ALPN, b"\0\3\2h2"), errors.IllegalParameterError),
    "the same extension twice": (
        added("server_hello", codes.SUPPORTED_VERSIONS, b"\3\4"),
        errors.IllegalParameterError,
    ),
    "protocol not offered": (
        replaced("encrypted_extensions", bytes.fromhex("08000009 0007 0010 0003 0002 0179")),
        errors.DecodeError,
    ),
    "key share in EncryptedExtensions": (
        replaced("encrypted_extensions", bytes.fromhex("08000006 0004 0033 0000")),
        errors.IllegalParameterError,
    ),
    "unsolicited in EncryptedExtensions": (
        replaced("encrypted_extensions", bytes.fromhex("08000006 0004 7777 0000")),
        errors.UnsupportedExtensionError,
    ),
    "settings without a protocol": (
        replaced("encrypted_extensions", bytes.fromhex("08000006 0004 44cd 0000")),
        errors.IllegalParameterError,
    ),
    "a ServerHello later on": (replaced("encrypted_extensions", b"\2\0\0\0"), errors.UnexpectedMessageError),
    "message too long": (
        replaced("encrypted_extensions", b"\x08" + (MESSAGE_LIMIT + 1).to_bytes(3, "big")),
        errors.IllegalParameterError,
    ),
    "Finished not at the end of its record": (
        lambda name, message: message + b"\4" if name == "finished" else message,
        errors.UnexpectedMessageError,
    ),
    "ServerHello not at the end of its record": (
        lambda name, message: message + b"\x08" if name == "server_hello" else message,
        errors.UnexpectedMessageError,
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(case, credential, roots):
    mutate, error = REFUSALS[case]
    with pytest.raises(errors.TlsError) as raised:
        shake(client(roots), FakeServer(credential, mutate=mutate))
    assert type(raised.value) is error


def test_refused_certificates_have_their_own_errors(authority, credential, roots):
    day = timedelta(days=1)
    cases = [
        (authority.issue("other.test"), roots, errors.CertificateNameError),
        (
            authority.issue("decoy.test", valid_from=-9 * day, valid_until=-2 * day),
            roots,
            errors.CertificateExpiredError,
        ),
        (authority.issue("decoy.test", valid_from=2 * day, valid_until=9 * day), roots, errors.CertificateExpiredError),
        (Authority("nobody").issue("decoy.test"), roots, errors.CertificateUntrustedError),
        (credential, [], errors.CertificateUntrustedError),
    ]
    for presented, trusted, error in cases:
        with pytest.raises(errors.CertificateError) as raised:
            shake(client(trusted), FakeServer(presented))
        assert type(raised.value) is error


def test_a_stolen_certificate_without_its_key(authority, credential, roots):
    thief = Credential(credential.certificate, authority.issue("decoy.test").key)
    with pytest.raises(errors.CertificateSignatureError):
        shake(client(roots), FakeServer(thief))


def test_tls_1_2_is_its_own_error(roots):
    tls = client(roots)
    tls.step(b"")
    hello = b"\x03\x03" + os.urandom(32) + b"\0" + b"\xc0\x2f" + b"\0"  # no session_id echo, no extensions
    with pytest.raises(errors.UnsupportedVersionError):
        tls.step(plain_record(codes.HANDSHAKE, handshake_message(codes.SERVER_HELLO, hello)))


def test_alert_of_the_server(roots):
    tls = client(roots)
    tls.step(b"")
    with pytest.raises(errors.PeerAlertError) as raised:
        tls.step(plain_record(codes.ALERT, b"\x02\x28"))
    assert raised.value.description == 40
    assert tls.alert(raised.value) == b""


def test_encrypted_alert_of_the_server(credential, roots):
    tls = client(roots)
    server = FakeServer(credential)
    flight = server.answer(tls.step(b"").data)
    tls.step(flight[: flight.index(CHANGE_CIPHER_SPEC_RECORD) + 6])
    fresh = type(server.keys)(server.keys._suite, server.keys._secret)
    with pytest.raises(errors.PeerAlertError):
        tls.step(fresh.seal(codes.ALERT, b"\x02\x50"))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", errors.UnexpectedMessageError),
        (b"\x16\x02\x03\x00\x05", errors.DecodeError),
        (b"\x16\x03\x03\x41\x01", errors.RecordOverflowError),
        (plain_record(codes.HANDSHAKE, b"\0" * 0x4001), errors.RecordOverflowError),
        (b"\x16\x03\x03\x00\x00", errors.UnexpectedMessageError),
        (b"\x15\x03\x03\x00\x01\x02", errors.DecodeError),
        (b"\x17\x03\x03\x00\x01\x02", errors.UnexpectedMessageError),
        (b"\x14\x03\x03\x00\x01\x02", errors.UnexpectedMessageError),
        (CHANGE_CIPHER_SPEC_RECORD * 9, errors.UnexpectedMessageError),
        (b"\x16\x03\x03\x00\x02\x02\x00" + CHANGE_CIPHER_SPEC_RECORD, errors.UnexpectedMessageError),
    ],
)
def test_bad_records(data, error, roots):
    tls = client(roots)
    tls.step(b"")
    with pytest.raises(errors.TlsError) as raised:
        tls.step(data)
    assert type(raised.value) is error


def test_plain_record_after_the_server_hello(credential, roots):
    tls = client(roots)
    flight = FakeServer(credential).answer(tls.step(b"").data)
    tls.step(flight[: flight.index(CHANGE_CIPHER_SPEC_RECORD) + 6])
    with pytest.raises(errors.UnexpectedMessageError):
        tls.step(plain_record(codes.ALERT, b"\x02\x28"))


@pytest.mark.parametrize(
    ("browser", "prefix", "code"), [("chromium", CHANGE_CIPHER_SPEC_RECORD, 46), ("firefox", b"", 48)]
)
def test_our_alert_is_written_as_the_browser_writes_it(browser, prefix, code, credential):
    tls = client([], draft(browser))
    server = FakeServer(credential)
    with pytest.raises(errors.CertificateUntrustedError) as raised:
        shake(tls, server)
    answer = tls.alert(raised.value)
    assert answer.startswith(prefix)
    assert server.client_keys.open(answer.removeprefix(prefix)) == (codes.ALERT, bytes([2, code]))


def test_our_alert_before_keys_is_plain(roots):
    tls = client(roots)
    tls.step(b"")
    assert tls.alert(errors.DecodeError()) == bytes.fromhex("15 0303 0002 0232")


# --- whatever comes, a value or a RemoteError

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_arbitrary_bytes(roots, pieces):
    tls = client(roots)
    tls.step(b"")
    for piece in pieces:
        try:
            assert isinstance(tls.step(piece), Receive | Send | Done)
        except RemoteError:
            return


# A damaged certificate may make the library say that it will once be refused.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@quick
@given(
    st.sampled_from(
        ["server_hello", "hello_retry_request", "encrypted_extensions", "certificate", "certificate_verify"]
    ),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=4),
    st.booleans(),
)
def test_corrupted_messages(credential, roots, name, position, junk, retried):
    """Bytes overwritten inside one message, its header included, under correct record protection."""

    def mutate(found: str, message: bytes) -> bytes:
        if found != name:
            return message
        at = position % len(message)
        return (message[:at] + junk + message[at + len(junk) :])[: max(len(message), at + len(junk))]

    group = codes.SECP384R1 if retried else codes.X25519
    server = FakeServer(credential, group=group, mutate=mutate, compression=zlib_certificate if position % 2 else None)
    if retried:
        server.retry = [(codes.KEY_SHARE, u16(group))]
    tls = client(roots, draft("firefox"))
    try:
        received = b""
        for _ in range(6):
            step = tls.step(received)
            received = server.answer(step.data) if isinstance(step, Send) else b""
    except RemoteError:
        pass


def test_the_clock_decides(credential, roots):
    """The same certificate, a day after its end."""
    late = time.time() + 90 * 86400
    with pytest.raises(errors.CertificateExpiredError):
        shake(client(roots, now=late), FakeServer(credential))


# --- resumption


def resuming(suite: int = 0x1301) -> tuple[Offer, HelloDraft]:
    ticket = SessionTicket(300, 0, os.urandom(192), os.urandom(SUITES[suite].hash_length), suite)
    return Offer(ticket, 0), draft("chromium", Offer(ticket, 0))


def test_a_resumed_handshake_needs_no_certificate(credential):
    offer, made = resuming()
    server = FakeServer(credential, psk=offer.ticket.secret)
    session = shake(client([], made), server).result
    assert session.resumed and session.certificates == []
    server.finish(session.flight)


@pytest.mark.parametrize(
    ("server", "error"),
    [
        ({"selected": 1}, errors.IllegalParameterError),
        ({"suite": 0x1302}, errors.IllegalParameterError),  # a suite with another hash than the key's
        ({"request_certificate": True}, errors.UnexpectedMessageError),
        ({"psk": os.urandom(32)}, errors.BadRecordError),
    ],
)
def test_a_server_that_resumes_wrongly(server, error, credential, roots):
    offer, made = resuming()
    with pytest.raises(error):
        shake(client(roots, made), FakeServer(credential, **{"psk": offer.ticket.secret} | server))


def test_a_server_that_resumes_what_was_not_offered(credential, roots):
    with pytest.raises(errors.UnsupportedExtensionError):
        shake(client(roots), FakeServer(credential, psk=os.urandom(32)))
