"""A relay's connection to the next hop of somebody's circuit: records pass through, one AEAD operation each.

Conversation (client – this relay – next peer), after this relay has made the next peer's cover:

1. → FORWARD(N1): wrapped as the cover's first request; ← N2, unwrapped: FORWARD(N2); → FORWARD(N3): wrapped
2. ↔ records as they are, each in one FORWARD frame

A hidden peer has no cover: there its own connection to this relay serves, and ``Passage`` carries N1 to N3.

Back pressure: a full link to the client pauses the reading here. The other way only the hop credit stops the client,
so that one slow hop never stops the others' circuits on the link: it is granted anew as the connection takes the
records; a circuit that overruns it is closed.
"""

import asyncio
from collections.abc import Callable

from qnet.net import endings
from qnet.net.alive import tune
from qnet.net.channel import Channel
from qnet.net.stream import TRANSPORT_KEEPS_VIEWS
from qnet.wire.channel import RECORD_HEADER, record, record_length
from qnet.wire.cover.exchange import Exchange
from qnet.wire.errors import RemoteError
from qnet.wire.frames import FrameError, Reset
from qnet.wire.layers import split_records
from qnet.wire.reservation import Passage


class NextHop(asyncio.BufferedProtocol):
    """One circuit's way on. A ``CircuitHandler`` of the client's channel. ``on_answer`` is called when N2 is there."""

    def __init__(
        self, channel: Channel, circuit: int, exchange: Exchange | Passage, transport: asyncio.Transport
    ) -> None:
        self._channel = channel
        self._circuit = circuit
        self._exchange = exchange
        self.on_answer: Callable[[], None] = lambda: None
        self._messages = 0
        self._answered = False
        self._carry = b""
        self._undrained = 0
        self._transport = transport
        # Zero: any byte that the socket does not take calls pause_writing, and its leaving calls resume_writing.
        transport.set_write_buffer_limits(high=0)
        tune(transport)
        self._gone = False

    # --- from the client

    def forwarded(self, records: memoryview) -> None:
        """Records of the client for the next hop."""
        if self._gone:
            return
        try:
            if self._messages < 2:
                for body in split_records(records):
                    self._forward_message(bytes(body))
            else:
                self._pass_on(records)
        except RemoteError as error:
            self._give_up(Reset.LIMIT if isinstance(error, FrameError) else Reset.PROTOCOL)

    def _pass_on(self, records: memoryview | bytes) -> None:
        """Records of the next layer, on account of the client's credit."""
        channel = self._channel
        channel.session.hop_taken(self._circuit, len(records))
        self._transport.write(records)
        self._undrained += len(records)
        self._account()

    def _account(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if waiting and TRANSPORT_KEEPS_VIEWS:
            self._channel.scratch.renew_plain(self._channel.session.depth)
        drained = self._undrained - waiting
        if drained > 0 and not self._channel.ended:
            self._undrained = waiting
            self._channel.session.hop_drained(self._circuit, drained, self._channel.loop.time())

    def pause_writing(self) -> None:
        """The next hop is slow: records wait in the transport, and are granted again as they leave."""

    def resume_writing(self) -> None:
        self._account()
        self._channel.flush()

    def _forward_message(self, body: bytes) -> None:
        self._messages += 1
        match self._messages:
            case 1:
                self._exchange.first(body)
            case 2:
                self._exchange.third(body)
            case _:
                self._pass_on(record(body))
                return
        self._transport.write(self._exchange.take_output())
        self._tidy()

    def _tidy(self) -> None:
        """A circuit may last for hours: what only its handshake needed is not kept so long."""
        if self._messages >= 2 and self._answered:
            self._exchange = Passage()
            self.on_answer = lambda: None

    def extended(self, client_digest: bytes, server_digest: bytes) -> None:
        """Only clients are told this."""

    def credited(self) -> None:
        """Nor this."""

    def closed(self, code: Reset) -> None:
        """The client gave the circuit up, or is gone."""
        self._gone = True
        endings.close(self._transport)

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # --- from the next hop

    def get_buffer(self, sizehint: int) -> memoryview:
        wire = self._channel.scratch.wire
        wire[: len(self._carry)] = self._carry
        return wire[len(self._carry) :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._gone:
            return
        end = len(self._carry) + nbytes
        arrived = self._channel.scratch.wire[:end]
        try:
            if self._answered:
                self._receive_records(arrived)
            else:
                self._receive_second(bytes(arrived))
        except RemoteError:
            self._give_up(Reset.PROTOCOL)

    def _receive_second(self, data: bytes) -> None:
        exchange = self._exchange
        second = exchange.receive(data)
        output = exchange.take_output()
        if output:
            self._transport.write(output)
        if second is not None:
            self._answered = True
            self.on_answer()
            self._carry = exchange.trailing
            self._channel.send_message(self._circuit, second)
            self._tidy()

    def _receive_records(self, arrived: memoryview) -> None:
        position = 0
        try:
            while len(arrived) - position >= RECORD_HEADER:
                after = position + RECORD_HEADER + record_length(arrived, position)
                if after > len(arrived):
                    break
                position = after
        finally:  # what precedes something that is no record of a link's may be its last word
            self._carry = bytes(arrived[position:])
            if position:
                self._channel.forward(self._circuit, arrived[:position])

    def eof_received(self) -> bool:
        self._give_up(Reset.LINK_LOST)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(Reset.LINK_LOST)

    def _give_up(self, code: Reset) -> None:
        if self._gone:
            return
        self._gone = True
        endings.close(self._transport)
        self._channel.close_circuit(self._circuit, code)
