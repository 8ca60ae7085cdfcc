"""A client's circuit, hop by hop: ask the last hop to go on, and make a secure channel with the next through it."""

import asyncio
import os

from qnet.net.channel import Channel
from qnet.net.client_link import CIRCUIT
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.errors import RemoteError
from qnet.wire.frames import Reset
from qnet.wire.hop import HopClient
from qnet.wire.layers import inner_limit, split_records
from qnet.wire.link import LinkSession, settings_frame

EXTEND_SECONDS = 15.0


class ExtendError(RemoteError):
    """The circuit could not be made longer; ``reset`` says why in the relay's words."""

    def __init__(self, reset: Reset) -> None:
        super().__init__(f"the circuit ended: {reset.name}")
        self.reset = reset


def finish(channel: Channel) -> Channel:
    """Let the circuit end at the hop of ``channel``: streams may be opened on it."""
    channel.session.open_circuit(CIRCUIT)
    channel.session.ping(channel.loop.time())
    channel.flush()
    return channel


async def extend(channel: Channel, descriptor: bytes, peer: PeerKeys) -> Channel:
    """Let the circuit go on from the hop of ``channel`` to ``peer``; gives the channel with it.

    Raises ``RemoteError`` of some kind within 15 s; the circuit is then of no use any more.
    """
    waiting = _Waiting(channel)
    channel.circuits[CIRCUIT] = waiting
    channel.session.extend(CIRCUIT, descriptor)
    channel.flush()
    try:
        async with asyncio.timeout(EXTEND_SECONDS):
            hop = HopClient(peer, *(await waiting.digests), os.urandom)
            channel.send_message(CIRCUIT, hop.first())
            second = await waiting.second
    except TimeoutError:
        raise ExtendError(Reset.TIMEOUT) from None
    limit = inner_limit(channel.session.max_plaintext)
    third, keys = hop.second(second, settings_frame(limit))
    channel.send_message(CIRCUIT, third)
    session = LinkSession(
        keys,
        initiator=True,
        scratch=channel.scratch,
        now=channel.loop.time(),
        outer=channel.session,
        circuit=CIRCUIT,
    )
    channel.session.attach(CIRCUIT, session)
    return channel.link.add(session)


class _Waiting:
    """The ``CircuitHandler`` of a client's circuit: first what ``extend`` waits for, then the end of the link."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.digests: asyncio.Future[tuple[bytes, bytes]] = channel.loop.create_future()
        self.second: asyncio.Future[bytes] = channel.loop.create_future()

    def extended(self, client_digest: bytes, server_digest: bytes) -> None:
        if not self.digests.done():
            self.digests.set_result((client_digest, server_digest))

    def forwarded(self, records: memoryview) -> None:
        if self.second.done():
            return
        try:
            self.second.set_result(bytes(split_records(records)[0]))
        except RemoteError as error:
            self.second.set_exception(error)

    def closed(self, code: Reset) -> None:
        if not self.digests.done():
            self.digests.set_exception(ExtendError(code))
            self.second.cancel()
        elif not self.second.done():
            self.second.set_exception(ExtendError(code))
        else:
            # One circuit a link: what is beyond is gone, so the way there is of no use either.
            self._channel.link.close("the circuit ended")

    def pause(self) -> None:
        """Nothing is read for it."""

    def resume(self) -> None:
        """Nothing is read for it."""
