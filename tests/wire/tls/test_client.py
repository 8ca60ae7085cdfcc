"""The handshake machine against an obedient server in memory."""

import brotli
import pytest
import zstandard

from qnet.wire.steps import Done, Send
from qnet.wire.tls import codes, errors
from qnet.wire.tls.codec import u16, vector
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.record import CHANGE_CIPHER_SPEC_RECORD
from tests.wire.tls.fake_server import FakeServer, bytewise, shake, whole, zlib_certificate
from tests.wire.tls.peers import BROWSERS, client, draft


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("suite", [0x1301, 0x1302, 0x1303])
@pytest.mark.parametrize("deliver", [whole, bytewise])
def test_handshake(browser, suite, deliver, credential, roots):
    server = FakeServer(credential, suite, group=codes.X25519_MLKEM768, fragment=500)
    session = shake(client(roots, draft(browser)), server, deliver).result
    assert server.finish(session.flight) == b""
    assert session.flight.startswith(CHANGE_CIPHER_SPEC_RECORD)
    assert (session.alpn, session.cipher_suite, session.group) == (b"h2", suite, codes.X25519_MLKEM768)
    assert (session.proven, session.resumed) == (False, False)
    assert session.certificates == [credential.certificate]
    # both directions of the application keys
    assert server.client_keys.open(session.seal(codes.APPLICATION_DATA, b"ping")) == (codes.APPLICATION_DATA, b"ping")
    assert session.open_record(server.keys.seal(codes.APPLICATION_DATA, b"pong")) == (codes.APPLICATION_DATA, b"pong")


def test_trailing_bytes_are_handed_over(credential, roots):
    server = FakeServer(credential)
    done = shake(client(roots), server, trailing=b"\x17\x03\x03\x00\x20partial")
    assert done.trailing == b"\x17\x03\x03\x00\x20partial"


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("group", [codes.SECP384R1, codes.SECP521R1])
def test_hello_retry_request(browser, group, credential, roots):
    made = draft(browser, groups=[codes.X25519_MLKEM768, codes.X25519, codes.SECP384R1, codes.SECP521R1])
    first = made.hello
    server = FakeServer(credential, group=group, retry=[(codes.KEY_SHARE, u16(group))])
    session = shake(client(roots, made), server).result
    server.finish(session.flight)
    second = server.client_hellos[1]
    assert list(second.key_shares()) == [group]
    assert not session.flight.startswith(CHANGE_CIPHER_SPEC_RECORD)
    assert [kind for kind, _ in second.extensions] == [kind for kind, _ in first.extensions]
    changed = [kind for (kind, a), (_, b) in zip(first.extensions, second.extensions, strict=True) if a != b]
    assert changed == [codes.KEY_SHARE]
    assert (second.random, second.session_id, second.cipher_suites) == (
        first.random,
        first.session_id,
        first.cipher_suites,
    )


@pytest.mark.parametrize("browser", BROWSERS)
def test_retry_with_cookie_only(browser, credential, roots):
    made = draft(browser)
    cookie = vector(2, b"crumbs")
    server = FakeServer(credential, retry=[(codes.COOKIE, cookie)])
    server.finish(shake(client(roots, made), server).result.flight)
    second = server.client_hellos[1]
    kinds = [kind for kind, _ in second.extensions]
    assert second.extension(codes.COOKIE) == cookie
    assert kinds.index(codes.COOKIE) not in (0, len(kinds) - 1)
    assert [pair for pair in second.extensions if pair[0] != codes.COOKIE] == made.hello.extensions
    if browser == "firefox":
        assert kinds[kinds.index(codes.COOKIE) - 1] == codes.SIGNATURE_ALGORITHMS


@pytest.mark.parametrize(
    ("retry", "error"),
    [
        ([], errors.IllegalParameterError),
        ([(codes.KEY_SHARE, u16(codes.X25519))], errors.IllegalParameterError),  # already there
        ([(codes.KEY_SHARE, u16(0x0A0A))], errors.IllegalParameterError),
        ([(codes.KEY_SHARE, u16(0x001E))], errors.IllegalParameterError),  # not offered
        ([(codes.KEY_SHARE, u16(0x0100))], errors.UnsupportedGroupError),  # Firefox offers ffdhe2048
        ([(codes.KEY_SHARE, b"\0")], errors.DecodeError),
        ([(codes.COOKIE, b"\0\0")], errors.DecodeError),
        ([(codes.KEY_SHARE, u16(codes.SECP384R1)), (codes.ALPN, b"")], errors.IllegalParameterError),
    ],
)
def test_bad_retry(retry, error, credential, roots):
    with pytest.raises(error):
        shake(client(roots, draft("firefox")), FakeServer(credential, retry=retry))


def test_second_retry(credential, roots):
    tls = client(roots)
    server = FakeServer(credential, retry=[(codes.KEY_SHARE, u16(codes.SECP384R1))])
    request = server.answer(tls.step(b"").data)
    assert isinstance(tls.step(request), Send)
    with pytest.raises(errors.UnexpectedMessageError):
        tls.step(request)


@pytest.mark.parametrize("code_point", codes.APPLICATION_SETTINGS)
def test_alps_is_answered_in_the_record_of_finished(code_point, credential, roots):
    made = draft("chromium")
    made.hello.extensions = [
        (code_point if kind in codes.APPLICATION_SETTINGS else kind, body) for kind, body in made.hello.extensions
    ]
    server = FakeServer(credential, extensions=[(codes.ALPN, b"\x00\x03\x02h2"), (code_point, b"settings")])
    session = shake(client(roots, made), server).result
    assert server.finish(session.flight) == bytes.fromhex("080000060004") + u16(code_point) + b"\0\0"
    assert len(session.flight) == 6 + 5 + 63  # a record of 63 bytes, as Chromium's


def test_certificate_request_is_answered_with_none(credential, roots):
    server = FakeServer(credential, request_certificate=True)
    session = shake(client(roots), server).result
    assert server.finish(session.flight) == bytes.fromhex("0b000004 00000000")


def brotli_certificate(body: bytes) -> bytes:
    return b"\0\2" + len(body).to_bytes(3, "big") + vector(3, brotli.compress(body))


def zstd_certificate(body: bytes) -> bytes:
    return b"\0\3" + len(body).to_bytes(3, "big") + vector(3, zstandard.compress(body))


@pytest.mark.parametrize(
    ("browser", "compression"),
    [
        ("chromium", brotli_certificate),
        ("firefox", brotli_certificate),
        ("firefox", zlib_certificate),
        ("firefox", zstd_certificate),
    ],
)
def test_compressed_certificate(browser, compression, credential, roots):
    server = FakeServer(credential, compression=compression)
    server.finish(shake(client(roots, draft(browser)), server).result.flight)


def test_compression_not_offered(credential, roots):
    with pytest.raises(errors.IllegalParameterError):
        shake(client(roots, draft("chromium")), FakeServer(credential, compression=zlib_certificate))


# --- the mark


def mark_of(hellos: bytes) -> bytes:
    return hellos[:16]


def marked(flight: bytes, mark: bytes) -> bytes:
    """The flight with the mark on its first protected record, as a peer relays it."""
    start = flight.index(CHANGE_CIPHER_SPEC_RECORD) + 6
    end = start + 5 + int.from_bytes(flight[start + 3 : start + 5], "big")
    tail = bytes(a ^ b for a, b in zip(flight[end - 16 : end], mark, strict=True))
    return flight[: end - 16] + tail + flight[end:]


@pytest.mark.parametrize("retried", [False, True])
@pytest.mark.parametrize("deliver", [whole, bytewise])
def test_mark(retried, deliver, credential, roots):
    seen = []

    def unmark(hellos: bytes) -> bytes:
        seen.append(hellos)
        return b"0123456789abcdef"

    group = codes.SECP384R1 if retried else codes.X25519
    server = FakeServer(
        credential, group=group, retry=[(codes.KEY_SHARE, u16(group))] if retried else None, fragment=99
    )
    tls = client(roots, unmark=unmark)
    prefix = b""
    step = tls.step(b"")
    if retried:
        prefix = server.answer(step.data)
        step = tls.step(prefix)
    flight = server.answer(step.data)
    for piece in deliver(marked(flight, b"0123456789abcdef")):
        step = tls.step(piece)
    assert isinstance(step, Done)
    assert step.result.proven
    assert seen == [server.hellos]
    protected = flight.index(CHANGE_CIPHER_SPEC_RECORD) + 6
    assert step.result.server_prefix == prefix + flight[: protected + 5 + 99 + 17]
    server.finish(step.result.flight)


def test_the_decoy_itself_is_not_proven(credential, roots):
    server = FakeServer(credential)
    session = shake(client(roots, unmark=lambda _hellos: b"0123456789abcdef"), server).result
    assert not session.proven
    server.finish(session.flight)


def test_another_mark_is_a_bad_record(credential, roots):
    tls = client(roots, unmark=lambda _hellos: b"0123456789abcdef")
    flight = FakeServer(credential).answer(tls.step(b"").data)
    with pytest.raises(errors.BadRecordError):
        tls.step(marked(flight, b"0123456789abcdeg"))


def test_hello_is_the_draft(credential, roots):
    made = draft("chromium")
    sent = client(roots, made).step(b"")
    assert isinstance(sent, Send)
    assert sent.data[:3] == b"\x16\x03\x01"
    assert ClientHello.parse(sent.data[5:]) == made.hello
