"""A client, a peer and a decoy in memory: Python's own TLS server is the decoy, no socket is opened."""

import os
import ssl
from dataclasses import replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hpack import Encoder

import qnet
from qnet.wire.cover.answer import Frame, frame
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.client import CoverClient, CoverResult
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import Guise
from qnet.wire.cover.peer import CoverPeer, Established, PeerConfig, ToClient, ToDecoy
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.script import LEAD
from qnet.wire.steps import Done, Receive, Send
from qnet.wire.tls.template import Template
from qnet.wire.tls.verify import ChainVerifier
from tests.support.tls_servers import Authority

NAME = "decoy.test"
NOW = 1_800_000_000.0
TEMPLATES = Path(qnet.__file__).parent / "data" / "templates"
SERVER_SETTINGS = bytes.fromhex("000000040000000000")
SERVER_ACK = bytes.fromhex("000000040100000000")
DATED = "Fri, 15 Jan 2027 08:00:00 GMT"
"""``NOW``."""
ANSWER = frame(Frame.HEADERS, 0x05, 1, Encoder().encode([(":status", "200"), ("date", DATED)]))


@cache
def authority() -> Authority:
    return Authority()


@cache
def template(browser: str) -> Template:
    return Template.from_record((TEMPLATES / f"{browser}.hello").read_bytes(), browser)


class MemoryDecoy:
    """A TLS 1.3 server in memory that answers an HTTP/2 preface with SETTINGS, and a request with ``answer``."""

    def __init__(self, folder: Path, *, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        folder.mkdir(exist_ok=True)
        certificate, key = authority().issue(NAME).write(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = maximum
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.received = b""
        self.seen = b""
        self.sent = b""
        self.error: ssl.SSLError | None = None
        self.answer = ANSWER
        self.greeting = [SERVER_SETTINGS, SERVER_ACK]
        """What it writes after the preface, each in a record."""
        self._shaken = False

    def receive(self, data: bytes) -> bytes:
        """Bytes of the client; gives the server's answer."""
        self.seen += data
        self._in.write(data)
        if self.error is not None:
            return b""
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while True:
                greeted = bool(self.received)
                read = self._tls.read(65536)
                self.received += read
                if greeted and read[3] == Frame.HEADERS:
                    self._tls.write(self.answer)
                if not greeted:
                    for words in self.greeting:
                        self._tls.write(words)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.error = error
        answer = self._out.read()
        self.sent += answer
        return answer


class Trio:
    """Who is who; ``run`` carries bytes between the three until nothing moves any more."""

    def __init__(self, folder: Path, browser: str = "chromium", quiet_after: int = 0) -> None:
        noise, cover = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.config = PeerConfig(
            peer_id=os.urandom(32),
            noise_private=noise.private_bytes_raw(),
            noise_public=noise.public_key().public_bytes_raw(),
            cover=(cover,),
            cover_secret=os.urandom(32),
            server_name=NAME,
            quiet_after=quiet_after,
            quiet_after_resumed=quiet_after,
        )
        self.known = PeerKeys(
            self.config.peer_id,
            self.config.noise_public,
            cover.public_key().public_bytes_raw(),
            self.config.cover_secret,
            NAME,
        )
        self.browser = browser
        self.decoy = MemoryDecoy(folder)
        self.replay = ReplayCache(NOW)
        self.peer = self.new_peer()
        self.now = NOW
        self.established: Established | None = None
        self.result: Done[CoverResult] | None = None
        self.to_peer: list[bytes] = []
        self.to_client: list[bytes] = []
        self.late = b""
        """What reached the client after its handshake was over."""

    def new_peer(self) -> CoverPeer:
        return CoverPeer(self.config, self.replay, "192.0.2", os.urandom)

    def client(self, first: bytes = b"first frames", now: float = NOW, **changes: object) -> CoverClient:
        known = replace(self.known, **changes)
        verifier = ChainVerifier([authority().certificate], __import__("time").time())
        look = APPEARANCES[self.browser]
        return CoverClient(known, Guise(template(self.browser), look, verifier), os.urandom, now, first)

    def run(self, client: CoverClient, chunk: int = 1 << 20) -> None:
        """The whole conversation, with every write cut into pieces of ``chunk`` bytes; a script's pauses pass."""
        waiting = self._drive(client, b"")
        while waiting:
            answers = []
            for data in waiting:
                self.to_peer.append(data)
                for start in range(0, len(data), chunk):
                    answers += self.from_client(data[start : start + chunk])
            due = self.peer.next_timer()
            if due is not None and due <= self.now + LEAD / 1e5:
                self.now = max(self.now, due)
                answers += self.timer()
            waiting = []
            for answer in answers:
                self.to_client.append(answer)
                if self.result is not None:
                    self.late += answer
                for start in range(0, len(answer), chunk):
                    if self.result is None:
                        waiting += self._drive(client, answer[start : start + chunk])

    def from_client(self, data: bytes) -> list[bytes]:
        """Bytes at the peer; gives what reaches the client."""
        return self._act(self.peer.from_client(data, self.now))

    def timer(self) -> list[bytes]:
        return self._act(self.peer.timer(self.now))

    def _act(self, events: object) -> list[bytes]:
        out: list[bytes] = []
        answers = []  # as on a network, the decoy's answer arrives after the peer has done its step
        for event in events:  # type: ignore[attr-defined]
            match event:
                case ToDecoy(data):
                    answers.append(self.decoy.receive(data))
                case ToClient(data):
                    out.append(data)
                case Established():
                    self.established = event
        for answer in filter(None, answers):
            out += self.from_decoy(answer)
        return out

    def from_decoy(self, data: bytes) -> list[bytes]:
        """Bytes of the decoy at the peer; gives what reaches the client."""
        return self._act(self.peer.from_decoy(data, self.now))

    def _drive(self, client: CoverClient, data: bytes) -> list[bytes]:
        sent = []
        while True:
            match client.step(data):
                case Send(out):
                    sent.append(out)
                case Receive():
                    return sent
                case Done() as done:
                    self.result = done
                    return sent
            data = b""
