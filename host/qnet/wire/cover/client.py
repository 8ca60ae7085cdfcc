"""The client's end of the cover handshake, from ClientHello to transport keys.

Conversation (htx, step by step):

1. → ClientHello with the credential in its session_id                           (``tls.client``)
2. ← ServerHello, marked encrypted flight; certificate, name and Finished verified
3. → CCS, Finished and the genuine HTTP/2 preface, in one write
4. → N1 as an application-data record of the size of the browser's first request
5. ← the decoy's own records (tickets, SETTINGS); after SETTINGS → an imitation ACK
6. ← N2 with the ML-KEM ciphertext → N3 with the first frames

If the mark is missing we speak with the decoy itself (redirected, replayed, wrong clock): send a genuine request as
a browser would, wait for its answer, and end with ``UnprovenPeerError``. Nothing secret was said.
Whatever else goes wrong is answered as the browser answers it: with a TLS alert.
"""

from collections.abc import Generator
from dataclasses import dataclass

from qnet.wire.channel import record
from qnet.wire.cover import appearance
from qnet.wire.cover.appearance import Appearance
from qnet.wire.cover.auth import VERSION, CoverKeys, Credential, NotAuthenticError, Wrap
from qnet.wire.cover.inner import PeerKeys, digest, prologue
from qnet.wire.errors import RemoteError
from qnet.wire.noise import NoiseHandshake, TransportKeys
from qnet.wire.steps import Done, Entropy, Receive, Send
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.errors import BadRecordError, TlsError
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import Template
from qnet.wire.tls.verify import Verifier

_HANDSHAKE, _APPLICATION_DATA, _ALERT = 22, 23, 21
BAD_RECORD_MAC = 20
_MAX_RECORD = 16640
_MAX_DECOY_RECORDS = 64
"""Records of the decoy before N2; nginx sends two to four."""


class UnprovenPeerError(RemoteError):
    """The decoy itself answered: this peer does not know us, or the clock is wrong."""


class CoverError(RemoteError):
    """The peer ended the cover handshake in a way that neither a peer nor a decoy does."""


@dataclass(frozen=True, slots=True)
class CoverResult:
    """What the data path needs. ``farewell``: the alert with which a browser ends on a record that does not open."""

    keys: TransportKeys
    farewell: bytes


class CoverClient:
    """``Handshake[CoverResult]``. ``now``: unix seconds; ``first``: message 3's payload."""

    def __init__(
        self,
        peer: PeerKeys,
        template: Template,
        look: Appearance,
        verifier: Verifier,
        entropy: Entropy,
        now: float,
        first: bytes,
    ) -> None:
        self._peer = peer
        self._look = look
        self._entropy = entropy
        self._first = first
        self._draft = template.build(peer.server_name, entropy)
        hello = self._draft.hello
        shared = self._draft.keys.x25519_shared(peer.cover)
        self._keys = CoverKeys(shared, peer.cover_secret, hello.random)
        credential = Credential(VERSION, 0, int(now), entropy(10))
        hello.session_id = self._keys.seal_session_id(hello.message(), credential)
        self._tls = TlsClient(self._draft, verifier, entropy, self._keys.mark)
        self._sent = bytearray()
        self._buffer = bytearray()
        self._steps = self._run()
        self._started = False

    def step(self, received: bytes) -> Send | Receive | Done[CoverResult]:
        try:
            if not self._started:
                self._started = True
                return next(self._steps)
            return self._steps.send(received)
        except StopIteration as stop:
            return Done(stop.value, bytes(self._buffer))

    def _run(self) -> Generator[Send | Receive, bytes, CoverResult]:
        session = yield from self._handshake()
        if not session.proven:
            yield from self._browse(session)
        return (yield from self._inner(session))

    def _handshake(self) -> Generator[Send | Receive, bytes, TlsSession]:
        received = b""
        while True:
            try:
                step = self._tls.step(received)
            except TlsError as error:
                alert = self._tls.alert(error)
                if alert:
                    yield Send(alert)
                raise
            if isinstance(step, Done):
                self._buffer += step.trailing
                return step.result
            if isinstance(step, Send):
                self._sent += step.data
            received = yield step

    def _browse(self, session: TlsSession) -> Generator[Send | Receive, bytes, None]:
        preface = session.seal(_APPLICATION_DATA, self._look.preface())
        yield Send(session.flight + preface)
        yield Send(session.seal(_APPLICATION_DATA, appearance.request(self._peer.server_name)))
        yield Receive()
        raise UnprovenPeerError

    def _inner(self, session: TlsSession) -> Generator[Send | Receive, bytes, CoverResult]:
        opening = session.flight + session.seal(_APPLICATION_DATA, self._look.preface())
        self._sent += opening
        yield Send(opening)
        client_digest, server_digest = digest(bytes(self._sent)), digest(session.server_prefix)
        noise = NoiseHandshake(
            initiator=True,
            prologue=prologue(self._peer.peer_id, self._peer.noise, client_digest, server_digest),
            static=self._entropy(32),
            ephemeral=self._entropy(32),
            remote_static=self._peer.noise,
        )
        outgoing, incoming = Wrap(self._keys.wrap_client), Wrap(self._keys.wrap_server)
        yield Send(record(outgoing.seal(noise.write(), self._look.request_body)))
        try:
            ciphertext = noise.read((yield from self._second(session, outgoing, incoming)))
        except BadRecordError:
            yield Send(session.alert(BAD_RECORD_MAC))
            raise
        noise.use_psk(self._draft.keys.mlkem_decapsulate(ciphertext))
        yield Send(record(outgoing.seal(noise.write(self._first))))
        return CoverResult(noise.keys(), session.alert(BAD_RECORD_MAC))

    def _second(self, session: TlsSession, outgoing: Wrap, incoming: Wrap) -> Generator[Send | Receive, bytes, bytes]:
        """N2, and what the decoy says before it: every record is tried as N2, then as the decoy's."""
        acknowledged = False
        for _ in range(_MAX_DECOY_RECORDS):
            data = yield from self._record()
            try:
                return incoming.open(data[5:])
            except NotAuthenticError:
                content_type, plaintext = session.open_record(data)
            if content_type == _HANDSHAKE:
                answer = session.receive_handshake(plaintext)
                if answer:
                    yield Send(answer)
            elif content_type == _ALERT:
                raise CoverError("alert before N2")
            elif not acknowledged and appearance.has_settings(plaintext):
                acknowledged = True
                yield Send(record(outgoing.seal(b"", appearance.SETTINGS_ACK_BODY)))
        raise CoverError("no N2")

    def _record(self) -> Generator[Send | Receive, bytes, bytes]:
        while True:
            if len(self._buffer) >= 5:
                length = 5 + int.from_bytes(self._buffer[3:5], "big")
                if length > 5 + _MAX_RECORD:
                    raise TlsError("record length")
                if len(self._buffer) >= length:
                    data = bytes(self._buffer[:length])
                    del self._buffer[:length]
                    return data
            self._buffer += yield Receive()
