"""Names to addresses, and connections to exactly those."""

import asyncio
import errno
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from blockbuster import BlockBuster

from qnet.net import dial
from qnet.net.dial import DialError, OutOfFilesError, connect, own_among, resolve, routable
from qnet.wire.frames import Reset
from tests.support.links import silent_listener, site

pytestmark = pytest.mark.anyio


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
    assert own_among(["127.0.0.1", "127.9.9.9", "192.0.2.1", "8.8.8.8", mine]) == {"127.0.0.1", "127.9.9.9", mine}
    assert own_among(["::1", f"::ffff:{mine}"]) >= {"::1"}
    assert own_among(["not an address"]) == frozenset()


class Recorder(asyncio.Protocol):
    """Where it is connected to."""

    peer: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = transport.get_extra_info("peername")[:2]
        transport.abort()  # type: ignore[attr-defined]


async def test_a_silent_address_holds_nobody_up() -> None:
    """RFC 8305: after 250 ms the next one is tried beside it, and the families take turns."""
    made = Recorder()
    async with site(nothing) as port:
        began = time.monotonic()
        # TEST-NET answers nothing; the server is the first of the other family.
        await connect(lambda: made, ["2001:db8::1", "2001:db8::2", "2001:db8::3", "127.0.0.1"], port)
        assert made.peer == ("127.0.0.1", port)
        assert time.monotonic() - began < 0.24 + 0.5


async def test_after_a_silent_address_the_next_comes_a_quarter_of_a_second_later() -> None:
    with silent_listener() as port:
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.2", port)
        async with server:
            made = Recorder()
            began = time.monotonic()
            await connect(lambda: made, ["127.0.0.1", "127.0.0.2"], port)
            assert made.peer == ("127.0.0.2", port)
            assert 0.2 < time.monotonic() - began < 1
            await asyncio.sleep(0.02)


async def test_nothing_but_the_given_addresses_is_dialled(connects: list[tuple[str, int]]) -> None:
    given = ["127.0.0.9", "::1", "127.0.0.8"]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DialError):
            await connect(asyncio.Protocol, given, port)
        assert connects == [("127.0.0.9", port), ("::1", port), ("127.0.0.8", port)]
        connects.clear()
        with pytest.raises(DialError):
            await connect(asyncio.Protocol, [f"127.0.1.{number}" for number in range(1, 200)], port)
        assert connects == [(f"127.0.1.{number}", port) for number in range(1, 5)]


async def test_it_leaves_from_where_it_is_told(connects: list[tuple[str, int]]) -> None:
    seen: list[str] = []

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await reader.read()

    async with site(who) as port:
        await connect(Recorder, ["::1", "127.0.0.1"], port, ["127.0.0.77"])
        await asyncio.sleep(0.05)
        assert seen == ["127.0.0.77"] and connects == [("127.0.0.1", port)]
        with pytest.raises(DialError) as caught:
            await connect(asyncio.Protocol, ["::1"], port, ["127.0.0.77"])
        assert caught.value.code is Reset.UNREACHABLE


def test_a_machine_without_a_route_does_not_try() -> None:
    assert routable(["127.0.0.1", "255.255.255.255", "not an address"]) == ["127.0.0.1"]


async def test_a_machine_without_ipv6_reaches_the_other_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyIPv4(socket.socket):
        def __init__(self, family: int = -1, *more: int, **named: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", OnlyIPv4)
    assert own_among(["2001:db8::1", "::1", "127.0.0.1"]) == {"127.0.0.1"}
    assert routable(["2001:db8::1", "127.0.0.1"]) == ["127.0.0.1"]
    async with site(nothing) as port:
        await connect(Recorder, ["::1", "127.0.0.1"], port)


INTERFACES = """
ip link set lo up || exit 77
for address in 192.0.2.2/24 192.0.2.3/24 198.51.100.9/32 2001:db8::2/64 2001:db8::3/64; do
  ip addr add $address dev lo
done
exec "$0" -c 'from qnet.net.dial import own_among
print(sorted(own_among("192.0.2.2 192.0.2.3 203.0.113.4 198.51.100.9 2001:db8::2 2001:db8::3 2001:db8::4".split())))'
"""


def test_an_interfaces_further_addresses_are_own_too() -> None:
    """The system reaches those from the first one."""
    command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", INTERFACES, sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system gives no network namespace")
    own = ["192.0.2.2", "192.0.2.3", "198.51.100.9", "2001:db8::2", "2001:db8::3"]
    assert done.stdout.strip() == str(own), done.stderr


async def test_without_file_descriptors_nothing_is_known_to_be_a_strangers() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as one:
        resource.setrlimit(resource.RLIMIT_NOFILE, (one.fileno(), hard))
        try:
            with pytest.raises(OutOfFilesError):
                own_among(["8.8.8.8"])
            with pytest.raises(OutOfFilesError) as caught:
                await connect(asyncio.Protocol, ["127.0.0.1"], 80)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code is Reset.LIMIT


def test_what_this_machine_is_to_an_address_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def own(addresses: Sequence[str]) -> frozenset[str]:
        asked.extend(addresses)
        return frozenset(addresses) & {"192.0.2.1"}

    monkeypatch.setattr(dial, "own_among", own)
    monkeypatch.setattr(dial, "routable", lambda addresses: [each for each in addresses if each != "192.0.2.3"])
    here = dial.Surroundings()
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    for now in (5.0, 5.9):
        assert here.own(addresses, now) == {"192.0.2.1"}
        assert here.routable(addresses, now) == addresses[:2]
    assert asked == addresses
    assert here.own(["192.0.2.4"], 5.95) == frozenset()
    assert here.own(addresses, 6.0) == {"192.0.2.1"}
    assert asked == [*addresses, "192.0.2.4", *addresses]
