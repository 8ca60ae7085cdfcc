"""Handshakes with nginx, OpenSSL's s_server and Python's ssl module."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls import codes, errors
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.tickets import Offer
from tests.support.tls_servers import Authority, nginx, openssl_server, python_server
from tests.wire.tls.peers import BROWSERS, NAME, Connection, client, connect, draft

ED25519 = 0x0807


@contextmanager
def connected(port: int, tls: TlsClient) -> Iterator[Connection]:
    connection = connect(port, tls)
    with connection.sock:
        yield connection


def echoes_reversed(connection: Connection) -> bool:
    """Whether s_server -rev answers."""
    connection.send(b"stressed\n")
    answer = b""
    while not answer.endswith(b"\n"):
        answer += connection.receive()
    return answer == b"desserts\n"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")


@pytest.mark.parametrize("browser", BROWSERS)
def test_nginx_speaks_http_2(browser, authority, credential, tmp_path):
    with (
        nginx(tmp_path, credential) as port,
        connected(port, client([authority.certificate], draft(browser))) as connection,
    ):
        assert connection.session.alpn == b"h2"
        connection.send(PREFACE)
        frames = connection.receive()
        assert frames[3] == 4  # the server's SETTINGS
        assert len(connection.session.tickets) == 2


def test_nginx_bytes_after_the_handshake(authority, credential, tmp_path):
    """The figures of htx.md: nginx's tickets are two records of 266 bytes."""
    with (
        nginx(tmp_path, credential) as port,
        connected(port, client([authority.certificate])) as connection,
    ):
        received = b""
        while len(received) < 2 * 271:
            received += connection.sock.recv(65536)
        assert received[:5] == received[271:276] == b"\x17\x03\x03" + (266).to_bytes(2, "big")


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize(
    ("suite", "name"),
    [
        (0x1301, "TLS_AES_128_GCM_SHA256"),
        (0x1302, "TLS_AES_256_GCM_SHA384"),
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_suites(browser, suite, name, authority, credential, tmp_path):
    with (
        openssl_server(tmp_path, credential, "-ciphersuites", name) as port,
        connected(port, client([authority.certificate], draft(browser))) as connection,
    ):
        assert connection.session.cipher_suite == suite
        assert echoes_reversed(connection)
        # Tickets are seen, each with a secret of the suite's hash length.
        assert len(connection.session.tickets) == 2
        assert {len(t.secret) for t in connection.session.tickets} == {48 if suite == 0x1302 else 32}


# --- resumption


def resume(port: int, authority: Authority, browser: str, suite: int = 0) -> Connection:
    """Visit twice; gives the second visit, which offers a ticket of the first."""
    with connected(port, client([authority.certificate], draft(browser))) as first:
        assert not first.session.resumed
        assert not suite or first.session.cipher_suite == suite
        first.send(PREFACE if first.session.alpn == b"h2" else b"stressed\n")
        assert first.receive()
        first.sock.sendall(first.session.alert(0))  # OpenSSL's cache forgets sessions that end without it
        first.sock.recv(1)
    offer = Offer(first.session.tickets[-1], 40)
    return connect(port, client([authority.certificate], draft(browser, offer)))


@pytest.mark.parametrize("browser", BROWSERS)
def test_nginx_resumes(browser, authority, credential, tmp_path):
    with nginx(tmp_path, credential) as port:
        connection = resume(port, authority, browser)
        with connection.sock:
            assert connection.session.resumed
            assert connection.session.alpn == b"h2"
            assert connection.session.certificates == []
            connection.send(PREFACE)
            assert connection.receive()[3] == 4
            assert len(connection.session.tickets) == 1  # nginx: one after a resumed handshake


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("suite", [0x1301, 0x1302])
@pytest.mark.parametrize("stateful", [False, True])
def test_openssl_resumes(stateful, suite, browser, authority, credential, tmp_path):
    names = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384"}
    arguments = ["-ciphersuites", names[suite], *(["-no_ticket"] if stateful else [])]
    with openssl_server(tmp_path, credential, *arguments) as port:
        connection = resume(port, authority, browser, suite)
        with connection.sock:
            assert connection.session.resumed
            assert echoes_reversed(connection)


@pytest.mark.parametrize("browser", BROWSERS)
def test_resumption_with_hello_retry_request(browser, authority, credential, tmp_path):
    """The second hello is bound anew, over what came before it."""
    with openssl_server(tmp_path, credential, "-groups", "P-384") as port:
        connection = resume(port, authority, browser)
        with connection.sock:
            assert connection.session.resumed
            assert connection.session.group == codes.SECP384R1
            assert echoes_reversed(connection)


@pytest.mark.parametrize("browser", BROWSERS)
def test_python_ssl_resumes(browser, authority, credential, tmp_path):
    with python_server(tmp_path, credential) as port:
        connection = resume(port, authority, browser)
        with connection.sock:
            assert connection.session.resumed
            connection.send(b"hello")
            assert connection.receive() == b"hello"


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])
def test_a_ticket_that_is_refused_ends_in_a_full_handshake(suite, browser, authority, credential, tmp_path):
    """Another server process knows no such ticket; with another hash it could not even use it."""
    with (
        openssl_server(tmp_path, credential, "-ciphersuites", "TLS_AES_256_GCM_SHA384") as port,
        connected(port, client([authority.certificate], draft(browser))) as first,
    ):
        assert echoes_reversed(first)
    offer = Offer(first.session.tickets[-1], 40)
    for retries in ([], ["-groups", "P-384"]):
        with (
            openssl_server(tmp_path, credential, "-ciphersuites", suite, *retries) as port,
            connected(port, client([authority.certificate], draft(browser, offer))) as connection,
        ):
            assert not connection.session.resumed
            assert connection.session.certificates
            assert echoes_reversed(connection)


@pytest.mark.parametrize("key", ["p256", "p384", "rsa"])
def test_certificate_keys(key, authority, tmp_path):
    with (
        openssl_server(tmp_path, authority.issue(NAME, key=key)) as port,
        connected(port, client([authority.certificate])) as connection,
    ):
        assert echoes_reversed(connection)


def test_ed25519_certificate_for_a_hello_that_offers_it(authority, tmp_path):
    """No browser offers Ed25519; a hello that does is served and verified."""
    made = draft("firefox", algorithms=[0x0403, ED25519])
    with (
        openssl_server(tmp_path, authority.issue(NAME, key="ed25519")) as port,
        connected(port, client([authority.certificate], made)) as connection,
    ):
        assert echoes_reversed(connection)


@pytest.mark.parametrize("browser", BROWSERS)
def test_ed25519_certificate_for_a_browsers_hello(browser, authority, tmp_path):
    """The server has nothing to offer a browser, and says so: handshake_failure."""
    with openssl_server(tmp_path, authority.issue(NAME, key="ed25519")) as port:
        with pytest.raises(errors.PeerAlertError) as raised:
            connect(port, client([authority.certificate], draft(browser)))
        assert raised.value.description == 40


@pytest.mark.parametrize(
    ("browser", "curve", "group"),
    [
        ("chromium", "P-256", codes.SECP256R1),
        ("chromium", "P-384", codes.SECP384R1),
        ("firefox", "P-384", codes.SECP384R1),
        ("firefox", "P-521", codes.SECP521R1),
    ],
)
def test_hello_retry_request(browser, curve, group, authority, credential, tmp_path):
    with (
        openssl_server(tmp_path, credential, "-groups", curve) as port,
        connected(port, client([authority.certificate], draft(browser))) as connection,
    ):
        assert connection.session.group == group
        assert echoes_reversed(connection)


def test_server_that_prefers_p256_takes_firefoxs_share(authority, credential, tmp_path):
    with (
        openssl_server(tmp_path, credential, "-groups", "P-256") as port,
        connected(port, client([authority.certificate], draft("firefox"))) as connection,
    ):
        assert connection.session.group == codes.SECP256R1
        assert echoes_reversed(connection)


@pytest.mark.parametrize("browser", BROWSERS)
def test_server_that_asks_for_a_certificate(browser, authority, credential, tmp_path):
    with (
        openssl_server(tmp_path, credential, "-verify", "1") as port,
        connected(port, client([authority.certificate], draft(browser))) as connection,
    ):
        assert echoes_reversed(connection)


@pytest.mark.parametrize("browser", BROWSERS)
def test_python_ssl(browser, authority, credential, tmp_path):
    with (
        python_server(tmp_path, credential) as port,
        connected(port, client([authority.certificate], draft(browser))) as connection,
    ):
        assert connection.session.alpn == b"h2"
        connection.send(b"hello")
        assert connection.receive() == b"hello"


def test_tls_1_2_server(authority, credential, tmp_path):
    with (
        nginx(tmp_path, credential, protocols="TLSv1.2") as port,
        pytest.raises(errors.UnsupportedVersionError),
    ):
        connect(port, client([authority.certificate]))


def test_each_bad_certificate_has_its_own_error(authority, credential, tmp_path):
    day = timedelta(days=1)
    for number, (presented, roots, error) in enumerate(
        [
            (authority.issue("other.test"), [authority.certificate], errors.CertificateNameError),
            (
                authority.issue(NAME, valid_from=-9 * day, valid_until=-day),
                [authority.certificate],
                errors.CertificateExpiredError,
            ),
            (credential, [Authority("another").certificate], errors.CertificateUntrustedError),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with nginx(folder, presented) as port, pytest.raises(errors.CertificateError) as raised:
            connect(port, client(roots))
        assert type(raised.value) is error


# --- OpenSSL in memory, so that delivery can be chosen


class MemoryServer:
    """Python's ssl on two memory buffers."""

    def __init__(self, folder: Path, credential, curve: str = "X25519") -> None:
        certificate, key = credential.write(folder, "memory")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_ecdh_curve(curve)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def receive(self, data: bytes) -> bytes:
        self.incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()


@pytest.mark.parametrize("curve", ["X25519", "secp384r1"])
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_delivery(size, curve, authority, credential, tmp_path):
    """Byte by byte, in odd pieces, and coalesced; with and without HelloRetryRequest."""
    server = MemoryServer(tmp_path, credential, curve)
    tls = client([authority.certificate])
    inbox = received = b""
    while True:
        match tls.step(received):
            case Send(data):
                inbox += server.receive(data)
                received = b""
            case Receive():
                assert inbox, "the client waits and the server has said everything"
                received, inbox = inbox[:size], inbox[size:]
            case Done(session, trailing):
                break
    assert trailing + inbox == b""
    tickets = server.receive(session.flight)
    server.tls.write(b"hello")
    assert opened(session, tickets + server.outgoing.read()) == [b"hello"]
    assert len(session.tickets) == 2
    server.incoming.write(session.seal(codes.APPLICATION_DATA, b"bye"))
    assert server.tls.read() == b"bye"


def opened(session: TlsSession, data: bytes) -> list[bytes]:
    """The application data in whole records."""
    contents = []
    while data:
        end = 5 + int.from_bytes(data[3:5], "big")
        kind, content = session.open_record(data[:end])
        data = data[end:]
        if kind == codes.HANDSHAKE:
            session.receive_handshake(content)
        else:
            contents.append(content)
    return contents


def test_tools_are_there():
    """A missing program would otherwise look like a protocol failure."""
    for command in (["nginx", "-v"], ["openssl", "version"]):
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
