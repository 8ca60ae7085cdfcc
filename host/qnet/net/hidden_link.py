"""A hidden relay's end of a circuit: the client's handshake over a connection that it made itself, then a link.

Conversation, after READY (public relay – this peer): → N1, ← N2, → N3, each a plain record; see ``wire.reservation``.
Whatever else comes ends the connection without an answer.
"""

import asyncio

from qnet.net import endings
from qnet.net.link import Link, LinkOwner
from qnet.wire.channel import record
from qnet.wire.errors import RemoteError
from qnet.wire.link import LinkSession
from qnet.wire.reservation import HiddenHop, Passage
from qnet.wire.scratch import Scratch

HANDSHAKE_SECONDS = 15.0


class HiddenConnection(asyncio.Protocol):
    """The protocol of ``transport`` until the client has proven that it knows this peer."""

    def __init__(self, hop: HiddenHop, transport: asyncio.Transport, scratch: Scratch, owner: LinkOwner) -> None:
        self._hop = hop
        self._transport = transport
        self._scratch = scratch
        self._owner = owner
        self._passage = Passage()
        self._answered = False
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._end)

    def data_received(self, data: bytes) -> None:
        try:
            message = self._passage.receive(data)
            if message is None:
                return
            if self._answered:
                self._establish(message)
                return
            self._answered = True
            self._transport.write(record(self._hop.first(message)))
        except RemoteError:
            self._end()

    def _establish(self, message: bytes) -> None:
        payload, keys = self._hop.third(message)
        self._timer.cancel()
        now = asyncio.get_running_loop().time()
        session = LinkSession(keys, initiator=False, scratch=self._scratch, now=now)
        session.settings()
        link = Link(session, self._transport, self._scratch, self._owner)
        self._transport.set_protocol(link)
        link.receive_payload(payload)
        if self._passage.trailing and not link.closed:
            link.receive(self._passage.trailing)
        link.flush()

    def _end(self) -> None:
        self._timer.cancel()
        endings.close(self._transport)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
