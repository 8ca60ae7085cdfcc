"""What a node does because of the network it has joined; begun anew when it joins another or a newer file."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from qnet.app.modes import Capabilities
from qnet.keys import NodeKeys
from qnet.net.client_link import Disguise
from qnet.roles.directory_client import DirectoryClient
from qnet.roles.directory_http import Source
from qnet.roles.discovery import Discovery
from qnet.roles.networks import NETWORK, NetworkError, Networks
from qnet.roles.operator_link import OperatorLink
from qnet.roles.registrar import Registrar
from qnet.settings import Folders, Settings
from qnet.wire.descriptor import Descriptor, identity_of
from qnet.wire.errors import RemoteError
from qnet.wire.network_file import TUNNEL_DIRECTORY, NetworkFile, Operator
from qnet.wire.scratch import Scratch

if TYPE_CHECKING:
    import httpx

    from qnet.app.directory import Api, OperatorDirectory
    from qnet.roles.directory import Prove

CACHE = "peers.cache"
LOOK_SECONDS = 1.0
"""How soon a network that was joined while the helper runs is noticed."""
NEAR_SECONDS = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Public:
    """What a node that others reach brings along. ``describe``: its descriptor, issued at a time, for directories."""

    keys: NodeKeys
    api: "Api"
    prove: "Prove"
    describe: Callable[[float], bytes]


class Membership:
    """``wanted``: whether somebody uses the peers; ``public``: none for a node that nobody reaches."""

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        can: Capabilities,
        disguise: Disguise,
        scratch: Scratch,
        discovery: Discovery,
        wanted: Callable[[], bool],
    ) -> None:
        self.public: Public | None = None
        self._settings = settings
        self._data = folders.data
        self._can = can
        self._disguise = disguise
        self._scratch = scratch
        self._discovery = discovery
        self._wanted = wanted
        self._networks = Networks(folders.data)
        self._mark = self._look()
        self._links: dict[bytes, OperatorLink] = {}
        self._network = self._networks.current(time.time())
        """Raises ``NetworkError``: a node that cannot tell where it belongs does not start."""
        discovery.join(self._network, ask=can.queries_directory)

    async def run(self) -> None:
        """Until cancelled; raises ``LocalError`` when the directory cannot be set up."""
        while True:
            async with anyio.create_task_group() as group:
                group.start_soon(self._take_part)
                await self._change()
                group.cancel_scope.cancel()
            self._discovery.join(self._network, ask=self._can.queries_directory)

    async def _change(self) -> None:
        """Wait until the node's network is another."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            mark = self._look()
            if mark == self._mark:
                continue
            self._mark = mark
            try:
                self._network = self._networks.current(time.time())
            except NetworkError as error:
                _log.warning("%s; the present one stays in use", error.message)
                continue
            return

    def _look(self) -> tuple[int, int] | None:
        try:
            found = (self._data / NETWORK).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    async def _take_part(self) -> None:
        network = self._network
        try:
            async with anyio.create_task_group() as group:
                directory = self._directory(network)
                if directory is not None:
                    assert self.public is not None  # noqa: S101
                    ready = anyio.Event()
                    group.start_soon(directory.run, self.public.api, self._others(network), ready.set)
                    await ready.wait()
                sources = self._sources(network, directory)
                if self._can.registers and self.public is not None and sources:
                    group.start_soon(self._registrar(self.public, sources).run)
                if self._can.queries_directory and network is not None:
                    client = DirectoryClient(network, sources, self._data / CACHE, self._disguise.clock.now)
                    wanted = self._wanted if self._can.proxies else None
                    group.start_soon(self._discovery.run, client, wanted)
                if self._settings.mdns:
                    group.start_soon(self._near, network)
        finally:
            for link in self._links.values():
                link.close()
            self._links.clear()

    def _directory(self, network: NetworkFile | None) -> "OperatorDirectory | None":
        """This node's own directory, if it is to run one."""
        if not self._can.runs_directory or self.public is None:
            return None
        from qnet.app.directory import OperatorDirectory, policy_of

        policy = policy_of(network, self._own())
        if policy is None:
            _log.warning("this node is no operator of the network it has joined: it runs no directory")
            return None
        return OperatorDirectory(self._settings, self._data, self.public.keys, policy, self.public.prove)

    def _own(self) -> bytes:
        return self.public.keys.identity.public_key().public_bytes_raw() if self.public is not None else b""

    def _registrar(self, public: Public, sources: list[Source]) -> Registrar:
        clock = self._disguise.clock.now
        return Registrar(public.keys.identity, public.describe, self._endorsements, sources, clock=clock)

    def _endorsements(self) -> list[bytes]:
        return self._networks.endorsements(time.time())

    async def _near(self, network: NetworkFile | None) -> None:
        """Begun anew now and then: a computer moves from one local network to another, or has none for a while."""
        from qnet.roles.near import advertise, look

        while True:
            try:
                if self.public is not None:
                    await advertise(self.public.describe, self._endorsements)
                else:
                    with anyio.move_on_after(NEAR_SECONDS):
                        await look(network, self._discovery.near)
            except OSError as error:
                _log.warning("multicast DNS cannot be used now (%s)", error.strerror)
                await anyio.sleep(NEAR_SECONDS)

    # --- where the operators' directories are

    def _sources(self, network: NetworkFile | None, own: "OperatorDirectory | None") -> list[Source]:
        """Every operator's directory, this node's own among them."""
        found = self._others(network)
        if own is not None:
            app = own.service.app

            def inside() -> "httpx.AsyncBaseTransport":
                import httpx

                return httpx.ASGITransport(app)

            found.append(Source(self._own(), TUNNEL_DIRECTORY, inside))
        return found

    def _others(self, network: NetworkFile | None) -> list[Source]:
        operators = network.operators if network is not None else ()
        pairs = [(identity_of(each.descriptor), each) for each in operators]
        return [self._source(identity, each) for identity, each in pairs if identity != self._own()]

    def _source(self, identity: bytes, operator: Operator) -> Source:
        if operator.directory:
            return Source(identity, operator.url)
        link = self._links.get(identity)
        if link is None:
            link = OperatorLink(partial(self._newest, identity), self._disguise, self._scratch)
            self._links[identity] = link

        def through() -> "httpx.AsyncBaseTransport":
            from qnet.roles.tunnel_http import TunnelTransport

            return TunnelTransport(link.open)

        return Source(identity, operator.url, through)

    def _newest(self, identity: bytes) -> Descriptor:
        found = self._discovery.operator(identity)
        if found is None:
            raise RemoteError("the operator is in the network no more")
        return found
