"""The directory of an operator's node: what of the roles makes it up, and where it is served."""

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from qnet.keys import NodeKeys
from qnet.mesh.directory import Directory, Policy
from qnet.mesh.gossip import Gossip
from qnet.net.listen import bind
from qnet.roles.directory import DirectoryService, Prove, no_directory
from qnet.roles.directory_door import DirectoryServer
from qnet.roles.directory_http import Source
from qnet.roles.directory_store import MemoryStore, RedisStore, Store
from qnet.roles.gossiper import Gossiper
from qnet.roles.networks import Networks
from qnet.settings import Settings, split_address
from qnet.wire.network_file import NetworkFile

SNAPSHOT = "directory.snapshot"

_log = logging.getLogger(__name__)


class Api:
    """``/api`` of this node, as ASGI: the directory while one runs, else the refusal of a node that has none."""

    def __init__(self) -> None:
        self.directory: ASGIApp | None = None
        self._absent = no_directory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await (self.directory or self._absent)(scope, receive, send)


def listen_for_api(address: str) -> socket.socket:
    """The socket for plain HTTP at ``address``, ``host:port``; raises ``ListenError``."""
    bound = bind(*split_address(address), what="the directory", option="--directory-http")
    _log.warning("the directory answers plain HTTP: whoever scans for it learns that this is an operator")
    return bound


async def serve_api(api: Api, bound: socket.socket) -> None:
    """Answer there until cancelled, whoever asks."""
    await DirectoryServer(api).serve(sockets=[bound])


def policy_of(network: NetworkFile | None, own: bytes) -> Policy | None:
    """Whose word counts in this node's directory; none if it has no business to run one.

    Before there is a network the node is an operator by itself; in somebody's network only if the file says so.
    """
    if network is None:
        return Policy(frozenset({own}))
    return Policy(network.operator_keys, network.open) if own in network.operator_keys else None


class OperatorDirectory:
    """One network's directory at this node. Raises ``StoreError`` or ``NetworkError`` when it cannot be set up."""

    def __init__(self, settings: Settings, data: Path, keys: NodeKeys, policy: Policy, prove: Prove) -> None:
        directory = Directory(policy, Networks(data).bucket_secret())
        store: Store = (
            RedisStore(settings.directory_redis) if settings.directory_redis else MemoryStore(data / SNAPSHOT)
        )
        self.gossip = Gossip(directory, keys.identity)
        self.service = DirectoryService(
            directory, store, gossip=self.gossip, prove=prove, admin_token=settings.directory_admin_token
        )

    async def run(self, api: Api, others: Sequence[Source], started: Callable[[], None]) -> None:
        """Serve through ``api``, gossip with ``others``. ``started`` is called when it can be asked."""
        await self.service.start()
        async with anyio.create_task_group() as group:
            api.directory = self.service.app
            started()
            group.start_soon(Gossiper(self.gossip, others).run)
            group.start_soon(self.service.run)
            try:
                await anyio.sleep_forever()
            finally:
                # At once: what came in while the service writes its last snapshot would be lost.
                api.directory = None
