"""What a peer does for its clients: exit, relay, its directory, or refuse with a reason. Owns a peer's links."""

from qnet.net.channel import Channel
from qnet.net.link import Link
from qnet.roles.directory_door import DirectoryDoor
from qnet.roles.exit import Exit
from qnet.roles.operator_link import DIRECTORY
from qnet.roles.relay import Relay
from qnet.wire.destination import is_mesh_name
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.frames import Reset


class Services:
    """``exit``, ``relay`` or ``directory`` may be missing."""

    def __init__(self, exit: Exit | None, relay: Relay | None, directory: DirectoryDoor | None = None) -> None:
        self._exit = exit
        self._relay = relay
        self._directory = directory
        self._links: set[Link] = set()

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A client wants a stream."""
        self._links.add(channel.link)
        if is_mesh_name(event.host.lower().rstrip(".")):
            # The mesh's own names are nobody else's to resolve, and only one of them leads somewhere.
            if self._directory is not None and (event.host, event.port) == DIRECTORY:
                self._directory.open(channel, event)
            else:
                channel.session.reset(event.circuit, event.stream, Reset.POLICY)
        elif self._exit is not None:
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

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """A hidden relay wants to be reached by its link."""
        self._links.add(channel.link)
        if self._relay is not None:
            self._relay.reservations.ask(channel, event)
        else:
            channel.session.reserved(Reset.POLICY, 0)

    def link_closed(self, link: Link, reason: str) -> None:
        """The client is gone; what it had ended with it."""
        self._links.discard(link)
        if self._relay is not None:
            self._relay.reservations.dropped(link)
        if self._exit is not None:
            self._exit.link_closed(link, reason)

    def close(self) -> None:
        """End every link in use: what was cut off ends with RST, not as if it had been complete."""
        for link in list(self._links):
            link.close("the peer ends")
