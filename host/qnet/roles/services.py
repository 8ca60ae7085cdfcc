"""What a peer does for its clients: exit, relay, or refuse with a reason. The ``LinkOwner`` of a peer's links."""

from qnet.net.channel import Channel
from qnet.net.link import Link
from qnet.roles.exit import Exit
from qnet.roles.relay import Relay
from qnet.wire.events import Extend, StreamOpen
from qnet.wire.frames import Reset


class Services:
    """``exit`` or ``relay`` may be missing."""

    def __init__(self, exit: Exit | None, relay: Relay | None) -> None:
        self._exit = exit
        self._relay = relay
        self._links: set[Link] = set()

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A client wants a stream."""
        self._links.add(channel.link)
        if self._exit is not None:
            self._exit.stream_opened_by_client(channel, event)
        else:
            channel.session.reset(event.circuit, event.stream, Reset.POLICY)

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """A client wants its circuit to go on."""
        self._links.add(channel.link)
        if self._relay is not None:
            self._relay.extend(channel, event)
        else:
            channel.close_circuit(event.circuit, Reset.POLICY)

    def link_closed(self, link: Link, reason: str) -> None:
        """The client is gone; what it had ended with it."""
        self._links.discard(link)
        if self._exit is not None:
            self._exit.link_closed(link, reason)

    def close(self) -> None:
        """End every link in use: what was cut off ends with RST, not as if it had been complete."""
        for link in list(self._links):
            link.close("the peer ends")
