"""Peers on the local network, by multicast DNS: a relay announces itself, a client looks. Both only when asked to.

1. relay → 224.0.0.251: ``<id>._qnet._tcp.local.`` with what ``mesh.near`` puts into its TXT record
2. client → the same: who is ``_qnet._tcp.local.``? ← the record, verified before anything is done with it

A query says aloud that QNet is used here; so no node sends one by itself.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from zeroconf import Error, InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from qnet.mesh.eligibility import Eligible
from qnet.mesh.near import announce, announced
from qnet.wire import descriptor as descriptors
from qnet.wire.errors import RemoteError
from qnet.wire.network_file import NetworkFile

SERVICE = "_qnet._tcp.local."
RENEW_SECONDS = 6 * 3600.0
MAX_PEERS = 64
"""Peers taken from one local network."""

_ANSWER_MILLISECONDS = 3000
_log = logging.getLogger(__name__)


async def advertise(
    describe: Callable[[float], bytes],
    endorsed: Callable[[], list[bytes]],
    interfaces: Sequence[str] | None = None,
) -> None:
    """Announce this node. ``describe``: see ``Registrar``; ``interfaces``: addresses, all by default."""
    async with _multicast(interfaces) as net:
        published: AsyncServiceInfo | None = None
        while True:
            data = describe(time.time())
            try:
                info = _service(data, announce(data, endorsed()))
                await (net.async_register_service(info) if published is None else net.async_update_service(info))
                published = info
            except (ValueError, OSError, Error) as error:
                _log.warning("this node is not announced on the local network (%s)", type(error).__name__)
            await anyio.sleep(RENEW_SECONDS)


def _service(descriptor: bytes, pairs: dict[bytes, bytes]) -> AsyncServiceInfo:
    peer = descriptors.verify(descriptor, time.time())
    name = peer.peer_id.hex()[:16]
    addresses = []
    for text in peer.addresses:
        with suppress(ValueError):
            addresses.append(str(ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))))
    return AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=int(peer.addresses[0].rpartition(":")[2]),
        properties=pairs,
        server=f"{name}.local.",
        parsed_addresses=addresses,
    )


async def look(
    network: NetworkFile | None, found: Callable[[Eligible], None], interfaces: Sequence[str] | None = None
) -> None:
    """Look for peers until cancelled; ``found`` is given each that may be used."""
    tasks: set[asyncio.Task[None]] = set()
    seen: set[str] = set()

    async def ask(net: Zeroconf, name: str) -> None:
        info = AsyncServiceInfo(SERVICE, name)
        try:
            if await info.async_request(net, _ANSWER_MILLISECONDS):
                peer = announced(info.properties, network, time.time())
                if peer is not None:
                    found(peer)
        except (RemoteError, OSError, Error) as error:
            _log.info("an announcement on the local network is of no use: %s", type(error).__name__)

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed or (name not in seen and len(seen) >= MAX_PEERS):
            return
        seen.add(name)
        task = asyncio.get_running_loop().create_task(ask(zeroconf, name))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with _multicast(interfaces) as net:
        browser = AsyncServiceBrowser(net.zeroconf, SERVICE, handlers=[changed])
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for task in tasks:
                    task.cancel()
                await browser.async_cancel()


@asynccontextmanager
async def _multicast(interfaces: Sequence[str] | None) -> AsyncIterator[AsyncZeroconf]:
    """Multicast DNS while the block runs; its announcements are taken back at the end."""
    net = AsyncZeroconf(interfaces=InterfaceChoice.All if interfaces is None else list(interfaces))
    try:
        yield net
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await net.async_unregister_all_services()
            await net.async_close()
