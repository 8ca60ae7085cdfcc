"""How these tests build a client and let it speak: over a socket, or with bytes in memory."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography import x509

import qnet
from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.codec import push_u16_list, vector
from qnet.wire.tls.record import RecordReader
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import HelloDraft, Template
from qnet.wire.tls.tickets import Offer
from qnet.wire.tls.verify import ChainVerifier

TEMPLATES = Path(qnet.__file__).parent / "data" / "templates"
BROWSERS = ("chromium", "firefox")
NAME = "decoy.test"


def template(browser: str) -> Template:
    """The bundled template of a browser."""
    return Template.from_record((TEMPLATES / f"{browser}.hello").read_bytes(), browser)


def draft(browser: str = "chromium", offer: Offer | None = None, **lists: Iterable[int]) -> HelloDraft:
    """A fresh hello with a random session_id; ``ciphers``, ``groups`` or ``algorithms`` replace the browser's."""
    made = template(browser).build(NAME, os.urandom, offer)
    made.hello.session_id = os.urandom(32)
    if "ciphers" in lists:
        made.hello.cipher_suites = list(lists["ciphers"])
    for kind, values in ((codes.SUPPORTED_GROUPS, "groups"), (codes.SIGNATURE_ALGORITHMS, "algorithms")):
        if values in lists:
            body = vector(2, push_u16_list(list(lists[values])))
            made.hello.extensions = [(k, body if k == kind else b) for k, b in made.hello.extensions]
    return made


def client(
    roots: Sequence[x509.Certificate],
    made: HelloDraft | None = None,
    unmark: Callable[[bytes], bytes] | None = None,
    now: float | None = None,
) -> TlsClient:
    """A client that trusts ``roots`` at the time ``now``."""
    verifier = ChainVerifier(roots, time.time() if now is None else now)
    return TlsClient(made or draft(), verifier, os.urandom, unmark)


class Connection:
    """A finished handshake over a socket: lines in, lines out."""

    def __init__(self, sock: socket.socket, done: Done[TlsSession]) -> None:
        self.sock = sock
        self.session = done.result
        self._records = RecordReader()
        self._records.feed(done.trailing)
        sock.sendall(self.session.flight)

    def send(self, data: bytes) -> None:
        """Write application data."""
        self.sock.sendall(self.session.seal(codes.APPLICATION_DATA, data))

    def receive(self) -> bytes:
        """The next application data; handshake messages on the way are handled; empty at close_notify or EOF."""
        while True:
            while (record := self._records.next()) is None:
                received = self.sock.recv(65536)
                if not received:
                    return b""
                self._records.feed(received)
            kind, content = self.session.open_record(record)
            if kind == codes.APPLICATION_DATA:
                return content
            if kind == codes.ALERT:
                return b""
            if answer := self.session.receive_handshake(content):
                self.sock.sendall(answer)


def connect(port: int, tls: TlsClient) -> Connection:
    """Drive the handshake over a new connection; raises what the client raises, ``EOFError`` at an early end."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        received = b""
        while True:
            match tls.step(received):
                case Send(data):
                    sock.sendall(data)
                    received = b""
                case Receive():
                    received = sock.recv(65536)
                    if not received:
                        raise EOFError
                case Done() as done:
                    return Connection(sock, done)
    except BaseException:
        sock.close()
        raise
