"""The hidden relay: nobody can dial it, so it keeps connections at a public relay, one for each circuit to come.

The conversation is in ``wire.reservation``. What a client then says is served as any peer serves it.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from qnet.keys import NodeKeys
from qnet.mesh.selection import backoff
from qnet.net.channel import Channel
from qnet.net.client_link import Disguise, connect, peer_keys, places
from qnet.net.hidden_link import HiddenConnection
from qnet.net.link import Link, LinkOwner
from qnet.wire.descriptor import Descriptor, peer_id
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extend, Reservation, Reserve, Reserved, StreamOpen, Taken
from qnet.wire.frames import Frame, Reset
from qnet.wire.reservation import HiddenHop, sign
from qnet.wire.scratch import Scratch

SPARES = 2
"""Connections that wait at a time; one that is taken is replaced at once."""
ANSWER_SECONDS = 10.0

_random = random.SystemRandom()
_log = logging.getLogger(__name__)


class ReservationRefusedError(RemoteError):
    """The public relay keeps no connection of ours."""


class Hidden:
    """``find`` gives the public relay's newest descriptor, or raises ``RemoteError``; ``owner`` serves the clients.

    ``changed`` is called when this node becomes reachable, or is no more.
    """

    def __init__(
        self,
        keys: NodeKeys,
        find: Callable[[], Awaitable[Descriptor]],
        disguise: Disguise,
        scratch: Scratch,
        owner: LinkOwner,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._keys = keys
        self._find = find
        self._disguise = disguise
        self._scratch = scratch
        self._owner = owner
        self._changed = changed
        self._ends: dict[Link, asyncio.Future[None]] = {}
        self.waiting = 0
        """Connections that a circuit may take now."""
        self.since = time.time()
        """Unix seconds since when this node is reachable, or is not."""

    async def run(self) -> None:
        """Keep connections waiting until cancelled."""
        spares = [asyncio.create_task(self._keep()) for _ in range(SPARES)]
        try:
            await asyncio.gather(*spares)
        finally:
            for spare in spares:
                spare.cancel()
            for link in list(self._ends):
                link.close("the node ends")

    async def _keep(self) -> None:
        """One connection after the other; after a failure with a back-off."""
        failed = 0
        while True:
            try:
                failed = 0 if await self._wait_for_circuit() else 1
            except RemoteError as error:
                failed += 1
                _log.info("no connection waits at the public relay: %s", type(error).__name__)
            if failed:
                await asyncio.sleep(backoff(failed, _random))

    async def _wait_for_circuit(self) -> bool:
        """Whether a connection that waited serves a circuit or has waited long enough; else it was lost.

        Raises ``RemoteError`` when it did not come to wait.
        """
        via = await self._find()
        link = await connect(places(via), peer_keys(via), self._disguise, self._scratch, self)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        answer: asyncio.Future[Reserved] = loop.create_future()
        self._ends[link] = ended
        session = link.channel.session
        link.on_reservation = lambda event: self._on(link, via, answer, event)
        session.reserve(sign(self._keys.identity, session.handshake_hash, time.time()))
        link.channel.flush()
        try:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    first: list[asyncio.Future[Any]] = [answer, ended]
                    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            except TimeoutError:
                raise ReservationRefusedError("no answer") from None
            if not answer.done():
                raise ReservationRefusedError("the link was closed")
            if answer.result().code is not Reset.CLOSED:
                raise ReservationRefusedError(answer.result().code.name)
            await self._wait(ended, answer.result().seconds)
            return link.released or not link.closed
        finally:
            self._ends.pop(link, None)
            if not link.closed:
                link.close("it is not needed any more")

    async def _wait(self, ended: "asyncio.Future[None]", seconds: int) -> None:
        """Until the link ends, or is to be replaced before the public relay gives it up."""
        self._count(1)
        try:
            await asyncio.wait({ended}, timeout=max(seconds, 1) * _random.uniform(0.5, 0.9))
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        before, self.waiting = self.waiting, self.waiting + change
        if bool(before) != bool(self.waiting):
            self.since = time.time()
            self._changed()

    def _on(self, link: Link, via: Descriptor, answer: "asyncio.Future[Reserved]", event: Reservation) -> None:
        if isinstance(event, Reserved):
            if not answer.done():
                answer.set_result(event)
        elif isinstance(event, Taken):
            session = link.channel.session
            session.last_word(Frame.READY)
            link.channel.flush()
            transport = link.release()
            keys = self._keys
            hop = HiddenHop(
                peer_id(keys.identity.public_key().public_bytes_raw()),
                keys.noise.private_bytes_raw(),
                keys.noise.public_key().public_bytes_raw(),
                keys.cover_secret,
                via.peer_id,
                session.handshake_hash,
                os.urandom,
            )
            transport.set_protocol(HiddenConnection(hop, transport, self._scratch, self._owner))

    # --- LinkOwner of the links that wait

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """The session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """The session refuses before this."""

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """The session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """Whoever waits for its end is told."""
        ended = self._ends.get(link)
        if ended is not None and not ended.done():
            ended.set_result(None)
