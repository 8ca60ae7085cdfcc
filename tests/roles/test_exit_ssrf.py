"""What a stranger may not reach through an exit: every way to write an address inside, over a real link.

Nothing is believed: the attempts to connect are counted where the interpreter makes them, and real listeners wait on
all of this machine's addresses at the very port.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from qnet.mesh.exit_policy import Allowance, ExitPolicy, parse_allowance
from qnet.net.resolver import Resolver
from qnet.wire.frames import Reset
from tests.support.dns import NameServer, name_server
from tests.support.links import CIRCUIT, Pair, link_pair, until

pytestmark = pytest.mark.anyio
Connects = list[tuple[str, int]]

WRITTEN = """
127.0.0.1 127.0.0.1. 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.0.0.1 0X7F.1 017700000001 0177.0.0.1
0177.1 127.0x1 00000177.0.0.01 127.0.0.1%lo 0 0.0.0.0 0x0 00 localhost LOCALHOST. a.localhost 169.254.169.254
2852039166 0xa9fea9fe 0251.0376.0251.0376 0xA9.0xFE.0xA9.0xFE 169.254.43518 169.16689662 169.254.170.2
100.100.100.200 168.63.129.16 192.0.0.192 10.0.0.1 10.1 0x0a000001 012.0.0.1 172.16.0.1 192.168.0.1 192.168.1
3232235777 100.64.0.1 198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 240.0.0.1 255.255.255.255
4294967295 :: ::1 0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:0000:0000:0001 ::1%lo ::127.0.0.1 ::7f00:1
::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:a9fe:a9fe ::FFFF:169.254.169.254 0:0:0:0:0:ffff:10.0.0.1 ::ffff:0:127.0.0.1
64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::127.0.0.1 64:ff9b:1:7f00:0:100:: 2002:7f00:1::1
2002:a9fe:a9fe:: 2002:0a00:0001::1 2002:c0a8:0001::1 2001:0:4136:e378:8000:63bf:80ff:fffe 2001::7f00:1
2001:470:1:1:0:5efe:7f00:1 2001:470:1:1:200:5efe:a9fe:a9fe 2001:470:1:1:0:5efe:10.0.0.1 fe80::1 fe80::1%lo fe80::1%1
fe80::a9fe:a9fe%lo fe80::5efe:127.0.0.1 fc00::1 fd00:ec2::254 fd20:ce::254 fec0::1 ff02::1 ff02::1%lo ff0e::1 100::1
2001:db8::1 3fff::1 2001:2::1 5f00::1 4000::1 e000::1
"""
LITERAL = WRITTEN.split()

INSIDE_BY_NAME = {
    "loopback.test": ["127.0.0.1"],
    "loopback6.test": ["::1"],
    "metadata.test": ["169.254.169.254"],
    "metadata6.test": ["fd00:ec2::254"],
    "private.test": ["10.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "sixtofour.test": ["2002:7f00:1::1"],
    "isatap.test": ["2001:470:1:1:0:5efe:7f00:1"],
    "mixed.test": ["93.184.216.34", "127.0.0.1"],
    "mixed6.test": ["2606:4700::1111", "127.0.0.1"],
    "unspecified.test": ["0.0.0.0"],
    "127.0.0.1.test": ["127.0.0.1"],
    "xn--lclhost-x2a.test": ["127.0.0.1"],
}


class Traps:
    """Listeners on every address of this machine, at one port; ``sprung`` counts who came."""

    def __init__(self) -> None:
        self.sprung = 0
        self.port = 0

    async def catch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sprung += 1
        writer.close()


@asynccontextmanager
async def traps() -> AsyncIterator[Traps]:
    made = Traps()
    everywhere = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    made.port = everywhere.getsockname()[1]
    server = await asyncio.start_server(made.catch, sock=everywhere)
    async with server:
        yield made
    await asyncio.sleep(0.02)


@asynccontextmanager
async def exit_for(traps: Traps, server: NameServer, connects: Connects, *allowances: Allowance) -> AsyncIterator[Pair]:
    """An exit that may use the traps' port on the internet, and nothing else but ``allowances``. From here on all
    ``connects`` are its own.
    """
    policy = ExitPolicy(frozenset([traps.port]), allowances)
    async with link_pair(policy, resolver=Resolver([("127.0.0.1", server.port)])) as pair:
        connects.clear()
        yield pair


def inside(name: str, nth: int) -> list[str] | None:
    return INSIDE_BY_NAME.get(name)


async def test_no_form_of_an_inside_address_is_connected_to(connects: Connects) -> None:
    forms = [*LITERAL, *INSIDE_BY_NAME, *(f"{name}." for name in INSIDE_BY_NAME)]
    assert len(set(forms)) > 120
    async with traps() as trap, name_server(inside) as server, exit_for(trap, server, connects) as pair:
        opened = []
        for form in forms:
            outcome = await pair.client.open(CIRCUIT, form, trap.port).opened
            if outcome not in (Reset.POLICY, Reset.NAME_NOT_FOUND):
                opened.append((form, outcome))
        assert opened == []
        assert connects == []
        assert trap.sprung == 0
        assert pair.exit.counts.requests == len(forms) and pair.exit.counts.success == 0
        assert pair.exit.counts.blocked > 100


async def test_the_traps_would_have_caught_it(connects: Connects) -> None:
    """The same exit, allowed one of them: what the test above counts, counts."""
    async with traps() as trap, name_server(inside) as server:
        one = parse_allowance(f"127.0.0.1/32:{trap.port}")
        async with exit_for(trap, server, connects, one) as pair:
            for form in ("127.0.0.1", "2130706433", "0x7f.1", "127.0.0.1.", "loopback.test"):
                assert await pair.client.open(CIRCUIT, form, trap.port).opened is None
            await until(lambda: trap.sprung == 5)
            assert connects == [("127.0.0.1", trap.port)] * 5


async def test_every_address_of_this_machine_is_refused(connects: Connects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no range says so: what the machine itself has, on whatever interface, and what leads back to it."""
    monkeypatch.setattr("qnet.mesh.exit_policy.REFUSED", ())
    async with traps() as trap, name_server(inside) as server, exit_for(trap, server, connects) as pair:
        mine = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]
        for address in [*mine, *_interface_addresses()]:
            assert await pair.client.open(CIRCUIT, address, trap.port).opened is Reset.POLICY, address
        assert connects == [] and trap.sprung == 0


def _interface_addresses() -> list[str]:
    """This machine's, as it would use them to the outside."""
    found = []
    for family, outside in ((socket.AF_INET, "192.0.2.250"), (socket.AF_INET6, "2001:db8::250")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((outside, 9))
            except OSError:
                continue
            found.append(probe.getsockname()[0])
    return found


@pytest.mark.parametrize("ttl", [0, 1, 3600])
async def test_a_rebinding_name_gets_exactly_the_checked_address_or_none(connects: Connects, ttl: int) -> None:
    """Its server names an allowed address first and an inside one ever after."""

    def rebinding(name: str, nth: int) -> list[str]:
        return ["127.0.0.1"] if nth == 0 else ["127.0.0.9", "169.254.169.254"]

    async with traps() as trap, name_server(rebinding, ttl=ttl) as server:
        one = parse_allowance(f"127.0.0.1/32:{trap.port}")
        async with exit_for(trap, server, connects, one) as pair:
            outcomes = [await pair.client.open(CIRCUIT, "rebind.test", trap.port).opened for _ in range(8)]
            assert outcomes[0] is None
            assert set(outcomes[1:]) <= {Reset.POLICY, None}
            assert (outcomes[1] is Reset.POLICY) is (ttl == 0)
            assert set(connects) == {("127.0.0.1", trap.port)}
            assert len(connects) == outcomes.count(None)


async def test_many_rebinding_names_at_once(connects: Connects) -> None:
    """Half of the answers point inside, whichever query they answer."""

    def flapping(name: str, nth: int) -> list[str]:
        return [["127.0.0.1"], ["127.0.0.2"]][(nth + len(name)) % 2]

    async with traps() as trap, name_server(flapping) as server:
        one = parse_allowance(f"127.0.0.1/32:{trap.port}")
        async with exit_for(trap, server, connects, one) as pair:
            streams = [pair.client.open(CIRCUIT, f"{'x' * (n % 7)}f.test", trap.port) for n in range(60)]
            outcomes = [await stream.opened for stream in streams]
            assert set(outcomes) == {None, Reset.POLICY}
            assert set(connects) == {("127.0.0.1", trap.port)} and len(connects) == outcomes.count(None)


async def test_what_is_remembered_is_checked_again(connects: Connects) -> None:
    """An address that became this exit's own after it was resolved."""
    async with traps() as trap, name_server(lambda name, nth: ["127.0.0.1"], ttl=3600) as server:
        one = parse_allowance(f"127.0.0.1/32:{trap.port}")
        async with exit_for(trap, server, connects, one) as pair:
            assert await pair.client.open(CIRCUIT, "kept.test", trap.port).opened is None
            pair.exit._policy = ExitPolicy(frozenset([trap.port]))
            assert await pair.client.open(CIRCUIT, "kept.test", trap.port).opened is Reset.POLICY
            assert server.asked["kept.test", "A"] == 1 and len(connects) == 1


async def test_a_redirect_inside_leads_nowhere(connects: Connects) -> None:
    """A site that the exit may reach sends its visitor to the cloud's metadata, to loopback, and to a name."""
    targets = iter(["169.254.169.254", "[::ffff:7f00:1]", "metadata.test"])

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://{next(targets)}:{port}/\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with traps() as trap, name_server(inside) as server:
        site = await asyncio.start_server(redirect, "127.0.0.1", 0)
        site_port = site.sockets[0].getsockname()[1]
        port = trap.port
        async with site, exit_for(trap, server, connects, parse_allowance(f"127.0.0.1/32:{site_port}")) as pair:
            for _ in range(3):
                (reader, writer), _ = await pair.application(site_port)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                answer = (await reader.readuntil(b"\r\n\r\n")).decode()
                own = [each for each in connects if each[1] != site_port]
                writer.close()
                place = answer.partition("Location: http://")[2].partition("/")[0].rpartition(":")[0].strip("[]")
                assert await pair.client.open(CIRCUIT, place, port).opened is Reset.POLICY
                connects.remove(own[0])  # the visitor, whose own end this test made
            assert trap.sprung == 0 and connects == [("127.0.0.1", site_port)] * 3
