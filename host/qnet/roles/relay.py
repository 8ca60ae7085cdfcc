"""The relay: lets clients' circuits go on to the next peer, of which it learns no more than its descriptor.

It makes the next peer's cover, so that the connection between two relays looks like any other; the client's secure
channel then runs through it. What it dials is what the descriptor says, after the policy for addresses; a peer that
nobody can dial has left connections here (``reservations``).
"""

import asyncio
import logging
import os

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.channel import Channel
from qnet.net.client_link import HANDSHAKE_SECONDS, NEXT_SECONDS, Disguise, network_of, peer_keys
from qnet.net.dial import DialError
from qnet.net.handshake import dialled
from qnet.net.network import router
from qnet.net.next_hop import NextHop
from qnet.roles.dialable import dialable
from qnet.roles.reservations import Reservations
from qnet.wire.cover.exchange import Exchange
from qnet.wire.cover.opening import CoverOpening
from qnet.wire.descriptor import Descriptor, verify
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extend
from qnet.wire.frames import Reset
from qnet.wire.reservation import NO_COVER, Passage

RESERVATIONS = 32

MAX_EXTENDING = 256
"""Circuits being made longer at once, over all clients."""

_log = logging.getLogger(__name__)


class Relay:
    """Answers EXTEND. ``policy`` says which addresses may be dialled, ``reserve`` how many hidden relays may wait."""

    def __init__(self, policy: ExitPolicy, disguise: Disguise, reserve: int = RESERVATIONS) -> None:
        self.reservations = Reservations(reserve)
        self._policy = policy
        self._disguise = disguise
        self._tasks: set[asyncio.Task[None]] = set()

    def extend(self, channel: Channel, event: Extend) -> None:
        """Make the circuit longer in a task of its own, or close it with a reason."""
        if len(self._tasks) >= MAX_EXTENDING:
            channel.close_circuit(event.circuit, Reset.LIMIT)
            return
        task = channel.loop.create_task(self._extend(channel, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _extend(self, channel: Channel, event: Extend) -> None:
        code = Reset.INTERNAL
        try:
            await self._connect(channel, event)
        except DialError as error:
            code = error.code
        except (RemoteError, ValueError) as error:
            _log.info("a circuit was not made longer: %s", type(error).__name__)
            code = Reset.PROTOCOL
        except OSError:
            code = Reset.UNREACHABLE
        except Exception as error:
            _log.error("a circuit could not be made longer: %s", type(error).__name__)
        else:
            return
        channel.close_circuit(event.circuit, code)

    async def _connect(self, channel: Channel, event: Extend) -> None:
        peer = verify(event.descriptor, self._disguise.clock.now())
        if peer.via:
            return await self._hand_over(channel, event, peer)
        failed: Exception | None = None
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            allowed = await dialable(self._policy, peer)
            for number, place in enumerate(allowed, 1):
                try:
                    async with asyncio.timeout(None if number == len(allowed) else NEXT_SECONDS):
                        return await self._dial(channel, event, peer, place)
                except (OSError, RemoteError) as error:
                    failed = error
        assert failed is not None  # noqa: S101 - there was at least one place
        raise failed

    async def _hand_over(self, channel: Channel, event: Extend, peer: Descriptor) -> None:
        """Go on over a connection that the hidden ``peer`` keeps here: nothing is dialled."""
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            link = await self.reservations.take(peer.identity)
        if channel.ended or not channel.session.extends(event.circuit):
            link.close("the circuit is gone")
            raise DialError(Reset.LINK_LOST)
        bound = link.channel.session.handshake_hash
        transport = link.release()
        hop = NextHop(channel, event.circuit, Passage(), transport)
        transport.set_protocol(hop)
        channel.circuits[event.circuit] = hop
        channel.session.extended(event.circuit, bound, NO_COVER)
        channel.flush()

    async def _dial(self, channel: Channel, event: Extend, peer: Descriptor, place: tuple[str, int]) -> None:
        keys, disguise = peer_keys(peer), self._disguise
        now, gateway = disguise.clock.system() + disguise.clock.offset(keys.peer_id), await router()

        def begin(transport: asyncio.Transport) -> CoverOpening:
            guise = disguise.guise(now, keys, network_of(transport, gateway))
            return CoverOpening(keys, guise, os.urandom, now)

        async with dialled(begin, place, HANDSHAKE_SECONDS) as (transport, done):
            if channel.ended or not channel.session.extends(event.circuit):
                raise DialError(Reset.LINK_LOST)
            exchange = Exchange(done.result, done.trailing)
            hop = NextHop(channel, event.circuit, exchange, transport)
            hop.on_answer = lambda: disguise.keep(exchange.tickets, keys, network_of(transport, gateway))
            for each in done.result.last:
                transport.write(each)
            transport.set_protocol(hop)
            channel.circuits[event.circuit] = hop
            channel.session.extended(event.circuit, done.result.client_digest, done.result.server_digest)
            channel.flush()
            transport.resume_reading()
