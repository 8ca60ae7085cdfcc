"""A client's first hop: the cover handshake, and the secure channel inside it.

Conversation: that of ``opening``, then that of ``exchange`` with

1. N1: e, es; the peer has the client's ML-KEM key from the ClientHello
2. N2: e, ee and the ML-KEM ciphertext
3. N3: s, se, psk and the first frames; where a script shapes the link, it is left to the link
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from qnet.wire.cover.exchange import Exchange
from qnet.wire.cover.inner import PeerKeys, prologue
from qnet.wire.cover.opening import CoverOpening, Guise, Opened
from qnet.wire.noise import NoiseHandshake, TransportKeys
from qnet.wire.script import Script
from qnet.wire.steps import Conversation, Done, Entropy, Receive, Send
from qnet.wire.tls.errors import TlsError
from qnet.wire.tls.session import SessionTicket


@dataclass(frozen=True, slots=True)
class CoverResult:
    """What the data path needs. ``farewell``: the alert with which a browser ends on a record that does not open.

    ``tickets``: what the decoy gave to resume with. ``script``: what shapes the link from here on, if the peer plays
    its part; then ``third``, N3, is still to be written, when the script says so, ``heard`` of its page's records have
    come, and ``padding`` checks the others.
    """

    keys: TransportKeys
    farewell: bytes
    tickets: list[SessionTicket] = field(repr=False)
    script: Script | None
    third: bytes
    heard: int
    padding: Callable[[bytes], None]


class CoverClient(Conversation[CoverResult]):
    """``Handshake[CoverResult]``. ``now``: unix seconds; ``first``: message 3's payload."""

    def __init__(self, peer: PeerKeys, guise: Guise, entropy: Entropy, now: float, first: bytes) -> None:
        super().__init__()
        self._peer = peer
        self._entropy = entropy
        self._first = first
        self._opening = CoverOpening(peer, guise, entropy, now)

    def _run(self) -> Generator[Send | Receive, bytes, CoverResult]:
        received = b""
        while not isinstance(step := self._opening.step(received), Done):
            received = yield step
        return (yield from self._inner(step.result, step.trailing))

    def _inner(self, opened: Opened, trailing: bytes) -> Generator[Send | Receive, bytes, CoverResult]:
        peer, script = self._peer, opened.script
        before, between = script.opening if script else (0.0, 0.0)
        noise = NoiseHandshake(
            initiator=True,
            prologue=prologue(peer.peer_id, peer.noise, opened.client_digest, opened.server_digest),
            static=self._entropy(32),
            ephemeral=self._entropy(32),
            remote_static=peer.noise,
        )
        exchange = Exchange(opened, trailing)
        exchange.first(noise.write())
        # Only now, when the three can follow each other as a browser's do: N1 takes its time.
        finished, preface = opened.last
        yield Send(finished)
        yield Send(preface, before)
        yield Send(exchange.take_output(), between)
        second, received = None, b""
        while second is None:
            second = yield from self._hear(exchange, received, script.settle if script else 0.0)
            received = b"" if second is not None else (yield Receive())
        ciphertext = noise.read(second)
        noise.use_psk(opened.shares.mlkem_decapsulate(ciphertext))
        # Who does not play says N2 in one record, just as large as it has to be.
        if script and script.down[0].size != exchange.page[0]:
            script = None
        exchange.third(noise.write(self._first), script.up[1].size if script else 0)
        third = exchange.take_output()
        if script is None:
            yield Send(third)
        self.trailing = exchange.trailing
        return CoverResult(
            noise.keys(), exchange.alert(), exchange.tickets, script, third, len(exchange.page), exchange.padding
        )

    def _hear(
        self, exchange: Exchange, received: bytes, settle: float
    ) -> Generator[Send | Receive, bytes, bytes | None]:
        """Take what arrived and send what answers it, after ``settle`` seconds; gives N2 if it is there."""
        try:
            second = exchange.receive(received)
        except TlsError:
            yield Send(exchange.alert())
            raise
        output = exchange.take_output()
        if output:
            yield Send(output, settle)
        return second
