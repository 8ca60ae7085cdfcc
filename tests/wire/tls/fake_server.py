"""A TLS 1.3 server in memory that can be told to misbehave. Its key schedule is ours, which RFC 8448 vouches for."""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.codec import handshake_message, push_extensions, u16, vector
from qnet.wire.tls.hello import RETRY_RANDOM, ClientHello
from qnet.wire.tls.record import CHANGE_CIPHER_SPEC_RECORD, TrafficKeys, plain_record
from qnet.wire.tls.schedule import SUITES, KeySchedule
from qnet.wire.tls.session import TlsSession
from tests.support.tls_servers import Credential

VERSION_EXTENSION = (codes.SUPPORTED_VERSIONS, b"\x03\x04")


def unchanged(_name: str, message: bytes) -> bytes:
    """The mutation of an honest server."""
    return message


@dataclass
class FakeServer:
    """``mutate(name, message)`` may change every message before it is sent; ``extensions`` go into the EE."""

    credential: Credential
    suite: int = 0x1301
    group: int = codes.X25519
    extensions: list[tuple[int, bytes]] = field(default_factory=lambda: [(codes.ALPN, b"\x00\x03\x02h2")])
    retry: list[tuple[int, bytes]] | None = None
    request_certificate: bool = False
    compression: Callable[[bytes], bytes] | None = None
    """Gives a CompressedCertificate's body for a Certificate's body."""
    psk: bytes = b""
    """The key of a ticket that this server takes; ``selected`` is which one it says that was."""
    selected: int = 0
    mutate: Callable[[str, bytes], bytes] = unchanged
    fragment: int = 1 << 14
    """Handshake bytes per protected record."""

    def __post_init__(self) -> None:
        self.hellos = b""
        self.transcript = b""
        self.client_hellos: list[ClientHello] = []

    def answer(self, received: bytes) -> bytes:
        """The server's bytes for a record with a ClientHello, after whatever ChangeCipherSpec."""
        message = received.removeprefix(CHANGE_CIPHER_SPEC_RECORD)[5:]
        hello = ClientHello.parse(message)
        self.client_hellos.append(hello)
        self.hellos += message
        if self.retry is not None and len(self.client_hellos) == 1:
            retry = self._server_hello(hello, RETRY_RANDOM, [VERSION_EXTENSION, *self.retry])
            digest = SUITES[self.suite].hash(message)
            self.transcript = handshake_message(codes.MESSAGE_HASH, digest) + retry
            self.hellos += retry
            return plain_record(codes.HANDSHAKE, retry) + CHANGE_CIPHER_SPEC_RECORD
        self.transcript += message
        return self._flight(hello)

    def finish(self, flight: bytes) -> bytes:
        """Open the client's last flight, check its Finished, give the messages before it."""
        kind, content = self.client_keys.open(flight.removeprefix(CHANGE_CIPHER_SPEC_RECORD))
        assert kind == codes.HANDSHAKE
        suite = SUITES[self.suite]
        before, finished = content[: -4 - suite.hash_length], content[-4 - suite.hash_length :]
        self.transcript += before
        expected = suite.finished(self.client_secret, suite.hash(self.transcript))
        assert finished == handshake_message(codes.FINISHED, expected)
        self.client_keys = TrafficKeys(suite, self.application_secrets[0])
        self.keys = TrafficKeys(suite, self.application_secrets[1])
        return before

    def _server_hello(self, hello: ClientHello, random: bytes, extensions: list[tuple[int, bytes]]) -> bytes:
        body = b"\x03\x03" + random + vector(1, hello.session_id) + u16(self.suite) + b"\0"
        name = "hello_retry_request" if random == RETRY_RANDOM else "server_hello"
        body += vector(2, push_extensions(extensions))
        return self.mutate(name, handshake_message(codes.SERVER_HELLO, body))

    def _flight(self, hello: ClientHello) -> bytes:
        suite = SUITES[self.suite]
        public, shared = self._agree(hello.key_shares().get(self.group, b""))
        share = u16(self.group) + vector(2, public)
        chosen = [(codes.PRE_SHARED_KEY, u16(self.selected))] if self.psk else []
        extensions = [(codes.KEY_SHARE, share), VERSION_EXTENSION, *chosen]
        server_hello = self._server_hello(hello, os.urandom(32), extensions)
        self.transcript += server_hello
        self.hellos += server_hello
        schedule = KeySchedule(suite, self.psk)
        secrets = schedule.handshake(shared, suite.hash(self.transcript))
        self.client_secret = secrets[0]
        self.client_keys, self.keys = TrafficKeys(suite, secrets[0]), TrafficKeys(suite, secrets[1])
        content = self._messages(secrets[1])
        self.application_secrets = schedule.application(suite.hash(self.transcript))
        chunks = [content[i : i + self.fragment] for i in range(0, len(content), self.fragment)]
        protected = b"".join(self.keys.seal(codes.HANDSHAKE, chunk) for chunk in chunks)
        return plain_record(codes.HANDSHAKE, server_hello) + CHANGE_CIPHER_SPEC_RECORD + protected

    def _messages(self, server_secret: bytes) -> bytes:
        start = len(self.transcript)
        self._add("encrypted_extensions", codes.ENCRYPTED_EXTENSIONS, vector(2, push_extensions(self.extensions)))
        if self.request_certificate:
            wanted = push_extensions([(codes.SIGNATURE_ALGORITHMS, b"\0\2\4\3")])
            self._add("certificate_request", codes.CERTIFICATE_REQUEST, b"\0" + vector(2, wanted))
        if not self.psk:
            self._certify()
        suite = SUITES[self.suite]
        self._add("finished", codes.FINISHED, suite.finished(server_secret, suite.hash(self.transcript)))
        return self.transcript[start:]

    def _certify(self) -> None:
        der = self.credential.certificate.public_bytes(Encoding.DER)
        certificate = b"\0" + vector(3, vector(3, der) + b"\0\0")
        if self.compression:
            self._add("certificate", codes.COMPRESSED_CERTIFICATE, self.compression(certificate))
        else:
            self._add("certificate", codes.CERTIFICATE, certificate)
        suite = SUITES[self.suite]
        signed = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + suite.hash(self.transcript)
        assert isinstance(self.credential.key, ec.EllipticCurvePrivateKey)
        signature = self.credential.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        self._add("certificate_verify", codes.CERTIFICATE_VERIFY, b"\x04\x03" + vector(2, signature))

    def _add(self, name: str, kind: int, body: bytes) -> None:
        self.transcript += self.mutate(name, handshake_message(kind, body))

    def _agree(self, peer: bytes) -> tuple[bytes, bytes]:
        if self.group in (codes.X25519, codes.X25519_MLKEM768):
            private = x25519.X25519PrivateKey.generate()
            public = private.public_key().public_bytes_raw()
            shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(peer[-32:])) if peer else bytes(32)
            if self.group == codes.X25519:
                return public, shared
            secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(peer[:1184]).encapsulate()
            return ciphertext + public, secret + shared
        curve = {codes.SECP256R1: ec.SECP256R1(), codes.SECP384R1: ec.SECP384R1(), codes.SECP521R1: ec.SECP521R1()}
        key = ec.generate_private_key(curve[self.group])
        point = ec.EllipticCurvePublicKey.from_encoded_point(curve[self.group], peer)
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return public, key.exchange(ec.ECDH(), point)


def zlib_certificate(body: bytes) -> bytes:
    """A CompressedCertificate's body with zlib."""
    return b"\0\1" + len(body).to_bytes(3, "big") + vector(3, zlib.compress(body))


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for i in range(len(data)):
        yield data[i : i + 1]


def shake(
    tls: TlsClient, server: FakeServer, deliver: Callable[[bytes], Iterator[bytes]] = whole, trailing: bytes = b""
) -> Done[TlsSession]:
    """Let both speak until the client is done; ``trailing`` arrives with the server's Finished."""
    pieces: deque[bytes] = deque()
    received = b""
    while True:
        match tls.step(received):
            case Send(data):
                pieces.extend(deliver(server.answer(data) + trailing))
                received = b""
            case Receive():
                received = pieces.popleft()
            case Done() as done:
                assert not pieces
                return done
