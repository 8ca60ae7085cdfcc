"""Multicast DNS for real, on loopback only."""

import asyncio
import time
from contextlib import suppress

import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from qnet.mesh.eligibility import Eligible
from qnet.roles.near import SERVICE, advertise, look
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import Peer

pytestmark = pytest.mark.anyio
LOOPBACK = ["127.0.0.1"]


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_relay_is_found_within_five_seconds_whoever_comes_first() -> None:
    relay, found = Peer(), asyncio.Queue[Eligible]()
    looking = asyncio.create_task(look(None, found.put_nowait, LOOPBACK))
    await asyncio.sleep(0.2)
    announcing = asyncio.create_task(advertise(relay.descriptor, list, LOOPBACK))
    try:
        async with asyncio.timeout(5):
            assert (await found.get()).descriptor.peer_id == relay.id
        await end(looking)
        looking = asyncio.create_task(look(None, found.put_nowait, LOOPBACK))
        async with asyncio.timeout(5):
            assert (await found.get()).descriptor.peer_id == relay.id
    finally:
        await end(looking, announcing)


async def test_junk_and_strangers_are_passed_over() -> None:
    now = time.time()
    operator, stranger, friend = Peer(), Peer(), Peer()
    network = NetworkFile(bytes(32), "n", int(now), (Operator(operator.descriptor(now)),))
    found = asyncio.Queue[Eligible]()
    net = AsyncZeroconf(interfaces=LOOPBACK)
    junk: ServiceInfo = AsyncServiceInfo(
        SERVICE,
        f"junk.{SERVICE}",
        port=1,
        properties={"0": b"x" * 200},
        server="junk.local.",
        parsed_addresses=LOOPBACK,
    )
    await net.async_register_service(junk)
    tasks = [
        asyncio.create_task(advertise(stranger.descriptor, list, LOOPBACK)),
        asyncio.create_task(advertise(friend.descriptor, lambda: [friend.endorsed(operator.key, now)], LOOPBACK)),
    ]
    await asyncio.sleep(1.5)
    tasks.append(asyncio.create_task(look(network, found.put_nowait, LOOPBACK)))
    try:
        async with asyncio.timeout(5):
            assert (await found.get()).descriptor.peer_id == friend.id
        await asyncio.sleep(0.3)
        assert found.empty()
    finally:
        await end(*tasks)
        await net.async_unregister_all_services()
        await net.async_close()
