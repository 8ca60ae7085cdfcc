"""Names to addresses, and connections to exactly those."""

import asyncio
import socket
import time

import pytest
from blockbuster import BlockBuster

from qnet.net import dial
from qnet.net.dial import DialError, connect, own_among, resolve
from qnet.wire.frames import Reset
from tests.support.links import silent_listener, site

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1"])
async def test_every_spelling_of_an_address_is_resolved_to_the_same(host: str) -> None:
    assert await resolve(host, 80) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["name.invalid", "a..b", "x" * 70, "nul\0", "", "ä" * 80])
async def test_what_is_no_name_is_not_found(host: str) -> None:
    if host:
        with pytest.raises(DialError) as caught:
            await resolve(host, 80)
        assert caught.value.code is Reset.NAME_NOT_FOUND


async def test_resolving_does_not_block_the_loop() -> None:
    blocker = BlockBuster()
    blocker.activate()
    try:
        assert await resolve("localhost", 80)
        own_among(["127.0.0.1", "192.0.2.1", "::1"])
    finally:
        blocker.deactivate()


async def test_the_next_address_is_tried() -> None:
    async with site(nothing) as port:
        await connect(asyncio.Protocol, ["127.0.0.2", "127.0.0.1"], port)


async def test_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.2)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DialError) as caught:
            await connect(asyncio.Protocol, ["127.0.0.1"], unused.getsockname()[1])
        assert caught.value.code is Reset.REFUSED
    with silent_listener() as port:
        began = time.monotonic()
        with pytest.raises(DialError) as caught:
            await connect(asyncio.Protocol, ["127.0.0.1"], port)
        assert caught.value.code is Reset.TIMEOUT and time.monotonic() - began < 1
    with pytest.raises(DialError) as caught:
        await connect(asyncio.Protocol, ["255.255.255.255"], 80)
    assert caught.value.code is Reset.UNREACHABLE
    with pytest.raises(DialError) as caught:
        await connect(asyncio.Protocol, [], 80)
    assert caught.value.code is Reset.UNREACHABLE


def test_the_machines_own_addresses() -> None:
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe:
        probe.connect(("192.0.2.1", 9))
        mine = probe.getsockname()[0]
    assert own_among(["127.0.0.1", "127.9.9.9", "192.0.2.1", "8.8.8.8", mine]) == {"127.0.0.1", mine} | (
        own_among(["127.9.9.9"])
    )
    assert own_among(["::1", f"::ffff:{mine}"]) >= {"::1"}
    assert own_among(["not an address"]) == frozenset()
