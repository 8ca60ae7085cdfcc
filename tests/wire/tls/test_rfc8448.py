"""The published traces of RFC 8448: §3 whole, §4's binder hash, §5's hellos."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.hello import ClientHello, ServerHello, truncated_before_binders
from qnet.wire.tls.keyshare import KeyShares
from qnet.wire.tls.record import CHANGE_CIPHER_SPEC_RECORD, TrafficKeys, plain_record
from qnet.wire.tls.schedule import SUITES, KeySchedule
from qnet.wire.tls.template import HelloDraft

DATA = json.loads((Path(__file__).parent / "rfc8448.json").read_text())
TRACE = {name: bytes.fromhex(value) for name, value in DATA.items() if name != "source"}
SUITE = SUITES[0x1301]
CONTENT = bytes(range(50))


def transcript_hash(*names: str) -> bytes:
    return hashlib.sha256(b"".join(TRACE[name] for name in names)).digest()


def keys() -> KeyShares:
    """The trace's X25519 key, and an ML-KEM key that it does not use."""
    answers = iter([bytes(64), TRACE["client_private"]])
    return KeyShares(lambda _n: next(answers), reuse_x25519=True)


def test_key_share():
    assert keys().public(codes.X25519) == ClientHello.parse(TRACE["client_hello"]).key_shares()[codes.X25519]
    share = ServerHello.parse(TRACE["server_hello"]).key_share
    assert share is not None
    assert keys().agree(*share) == TRACE["shared_secret"]


def test_key_schedule():
    schedule = KeySchedule(SUITE)
    hellos = ("client_hello", "server_hello")
    assert schedule.handshake(TRACE["shared_secret"], transcript_hash(*hellos)) == (
        TRACE["client_handshake_secret"],
        TRACE["server_handshake_secret"],
    )
    assert schedule.application(transcript_hash(*hellos, "server_flight")) == (
        TRACE["client_application_secret"],
        TRACE["server_application_secret"],
    )
    whole = transcript_hash(*hellos, "server_flight", "client_finished")
    assert schedule.resumption(whole) == TRACE["resumption_master_secret"]


def test_binder():
    """§4: the binder of the trace's resumed hello, which is the last thing in it."""
    schedule = KeySchedule(SUITE, TRACE["ticket_secret"])
    assert schedule.binder(TRACE["resumed_binder_hash"]) == TRACE["resumed_client_hello"][-32:]


def test_finished():
    before = TRACE["client_hello"] + TRACE["server_hello"] + TRACE["server_flight"][:-36]
    server = SUITE.finished(TRACE["server_handshake_secret"], hashlib.sha256(before).digest())
    assert TRACE["server_flight"][-32:] == server
    client = transcript_hash("client_hello", "server_hello", "server_flight")
    assert TRACE["client_finished"][4:] == SUITE.finished(TRACE["client_handshake_secret"], client)


def test_traffic_keys():
    secret = TRACE["server_handshake_secret"]
    assert SUITE.expand_label(secret, "key", b"", 16) == TRACE["server_handshake_key"]
    assert SUITE.expand_label(secret, "iv", b"", 12) == TRACE["server_handshake_iv"]


def test_record_protection():
    def server() -> TrafficKeys:
        return TrafficKeys(SUITE, TRACE["server_handshake_secret"])

    assert server().open(TRACE["server_flight_record"]) == (codes.HANDSHAKE, TRACE["server_flight"])
    assert server().seal(codes.HANDSHAKE, TRACE["server_flight"]) == TRACE["server_flight_record"]


def test_the_client_plays_the_trace():
    """Our client with the trace's keys writes and reads the trace's bytes."""
    seen: list[Sequence[x509.Certificate]] = []
    hello = ClientHello.parse(TRACE["client_hello"])
    draft = HelloDraft(hello, keys(), b"\x03\x01")
    # The trace's RSA key of 1024 bits would be refused by a real verifier.
    tls = TlsClient(draft, lambda certificates, _name: seen.append(certificates), lambda n: bytes(n))
    assert tls.step(b"") == Send(b"\x16\x03\x01\x00\xc4" + TRACE["client_hello"])
    assert tls.step(plain_record(codes.HANDSHAKE, TRACE["server_hello"])) == Receive()
    done = tls.step(TRACE["server_flight_record"] + TRACE["new_session_ticket_record"])
    assert isinstance(done, Done)
    session = done.result
    assert len(seen[0]) == 1
    assert done.trailing == TRACE["new_session_ticket_record"]
    assert session.flight == CHANGE_CIPHER_SPEC_RECORD + TRACE["client_finished_record"]
    assert session.open_record(done.trailing) == (codes.HANDSHAKE, TRACE["new_session_ticket"])
    assert session.receive_handshake(TRACE["new_session_ticket"]) == b""
    assert session.tickets[0].secret == TRACE["ticket_secret"]
    assert session.seal(codes.APPLICATION_DATA, CONTENT) == TRACE["client_data_record"]
    assert session.open_record(TRACE["server_data_record"]) == (codes.APPLICATION_DATA, CONTENT)


def test_truncation_before_binders():
    truncated = truncated_before_binders(TRACE["resumed_client_hello"])
    assert hashlib.sha256(truncated).digest() == TRACE["resumed_binder_hash"]
    assert truncated_before_binders(TRACE["client_hello"]) == TRACE["client_hello"]


def test_retry_hellos():
    request = ServerHello.parse(TRACE["retry_request"])
    assert request.is_hello_retry_request
    assert request.retry_group == codes.SECP256R1
    second = ClientHello.parse(TRACE["retry_client_hello_2"])
    assert second.message() == TRACE["retry_client_hello_2"]
    assert second.extension(codes.COOKIE) == request.extensions[codes.COOKIE]
    answer = ServerHello.parse(TRACE["retry_server_hello"])
    assert not answer.is_hello_retry_request
    assert answer.key_share is not None
    assert answer.key_share[0] == codes.SECP256R1
    assert (answer.selected_version, answer.cipher_suite, answer.resumed) == (codes.TLS_1_3, 0x1301, False)
    # NSS, which wrote the trace, puts the cookie behind the signature algorithms; so do we where nothing is permuted.
    kinds = [kind for kind, _ in second.extensions]
    assert kinds.index(codes.COOKIE) == kinds.index(codes.SIGNATURE_ALGORITHMS) + 1
