"""The opening of a cover: a real handshake with the decoy behind a peer, in which the peer proves itself.

Conversation (htx, steps 1 to 5):

1. → ClientHello with the credential in its session_id                           (``tls.client``)
2. ← ServerHello, marked encrypted flight; certificate, name and Finished verified
3. → CCS and Finished, and the genuine HTTP/2 preface: the result's, to be written with what follows

If the mark is missing we speak with the decoy itself (redirected, replayed, wrong clock): send a genuine request as
a browser would, wait for its answer, and end with ``UnprovenPeerError``, which has the decoy's time. Nothing secret
was said.
Whatever else goes wrong is answered as the browser answers it: with a TLS alert.
"""

from collections.abc import Generator
from dataclasses import dataclass

from qnet.wire.cover import appearance
from qnet.wire.cover.answer import Answer, AnswerError
from qnet.wire.cover.appearance import Appearance
from qnet.wire.cover.auth import VERSION, CoverKeys, Credential
from qnet.wire.cover.inner import PeerKeys, digest
from qnet.wire.errors import RemoteError
from qnet.wire.script import Profile, Script
from qnet.wire.steps import Conversation, Done, Entropy, Receive, Send
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.errors import TlsError
from qnet.wire.tls.keyshare import KeyShares
from qnet.wire.tls.record import RecordReader
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import Template
from qnet.wire.tls.tickets import Offer
from qnet.wire.tls.verify import Verifier

APPLICATION_DATA = 23


class UnprovenPeerError(RemoteError):
    """The decoy itself answered: this peer does not know us, or the clock is wrong.

    ``date``: the time in the verified decoy's answer, unix seconds, if it told one.
    """

    def __init__(self, date: float | None = None) -> None:
        super().__init__("the decoy itself answers")
        self.date = date


@dataclass(frozen=True, slots=True)
class Guise:
    """What a client looks like: a browser's hello and its first words inside TLS; and who vouches for decoys.

    ``offer``: what to resume the last visit with. ``profile``: what its first page loads are like, if they are to be
    like any.
    """

    template: Template
    look: Appearance
    verifier: Verifier
    offer: Offer | None = None
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A proven peer. The digests are SHA-256 of C→ and P→ (see ``inner.prologue``).

    ``request_body``: bytes of the body of the browser's first request's record. ``last``: Finished
    with what goes before it, and the preface, both still to be written, each by itself as Chromium does. ``script``:
    what shapes the link.
    """

    session: TlsSession
    keys: CoverKeys
    shares: KeyShares
    request_body: int
    client_digest: bytes
    server_digest: bytes
    last: tuple[bytes, bytes]
    script: Script | None = None


class CoverOpening(Conversation[Opened]):
    """``Handshake[Opened]``. ``now``: unix seconds."""

    def __init__(self, peer: PeerKeys, guise: Guise, entropy: Entropy, now: float) -> None:
        super().__init__()
        self._server_name = peer.server_name
        self._look = guise.look
        draft = guise.template.build(peer.server_name, entropy, guise.offer)
        hello = draft.hello
        self._keys = CoverKeys(draft.keys.x25519_shared(peer.cover_at(now)), peer.cover_secret, hello.random)
        profile = guise.profile
        credential = Credential(VERSION, profile.version if profile else 0, int(now), entropy(10))
        self._script = profile.script(credential.id, appearance.name_bytes(peer.server_name)) if profile else None
        hello.session_id = self._keys.seal_session_id(hello.message(), credential)
        self._shares = draft.keys
        self._tls = TlsClient(draft, guise.verifier, entropy, self._keys.mark)
        self._sent = bytearray()

    def _run(self) -> Generator[Send | Receive, bytes, Opened]:
        session = yield from self._handshake()
        preface = session.seal(APPLICATION_DATA, self._look.preface())
        self._sent += session.flight + preface
        if not session.proven:
            yield Send(session.flight)
            yield Send(preface)
            raise UnprovenPeerError((yield from self._browse(session)))
        digests = digest(bytes(self._sent)), digest(session.server_prefix)
        return Opened(
            session,
            self._keys,
            self._shares,
            self._look.request_body(self._server_name),
            *digests,
            (session.flight, preface),
            self._script,
        )

    def _browse(self, session: TlsSession) -> Generator[Send | Receive, bytes, float | None]:
        """Ask the decoy for its page and read the answer to its end; gives its date."""
        look = self._look
        yield Send(
            session.seal(APPLICATION_DATA, appearance.request(self._server_name), look.request_body(self._server_name))
        )
        answer, records = Answer(look.table_size), RecordReader()
        records.feed(self.trailing)
        try:
            while not answer.done:
                while (record := records.next()) is None:
                    records.feed((yield Receive()))
                kind, content = session.open_record(record)
                said = b""
                if kind == codes.APPLICATION_DATA:
                    said = answer.receive(content)
                    said = session.seal(APPLICATION_DATA, said) if said else b""
                elif kind == codes.HANDSHAKE:
                    said = session.receive_handshake(content)
                else:
                    break
                if said:
                    yield Send(said)
        except (TlsError, AnswerError):
            pass  # a browser would complain; what the time is has been said by now, or will not be
        return answer.date

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
                self.trailing = step.trailing
                return step.result
            if isinstance(step, Send):
                self._sent += step.data
            received = yield step
