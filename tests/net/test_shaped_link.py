"""Links whose first records are a script's, over real sockets."""

import asyncio
import os
import random
import socket
import time

import pytest

from qnet.app.profile import load_profile
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.alive import NOT_SENT
from qnet.net.link import SCRIPT_UNSENT
from qnet.roles.visits import Visits
from tests.support.links import Pair, allowing, echo, link_pair, site, until

pytestmark = pytest.mark.anyio


def shape(pair: Pair, seed: bytes) -> None:
    script = load_profile("chromium").script(seed, 20)
    client, peer = script.both(asyncio.get_running_loop().time())
    pair.client.session.shape(client, script)
    pair.peer.session.shape(peer, script)
    pair.client.link.pump()
    pair.peer.link.pump()


def unsent(pair: Pair) -> list[int]:
    """What the kernel may keep unsent of both ends."""
    sockets = [end.link._transport.get_extra_info("socket") for end in (pair.client, pair.peer)]
    return [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) for each in sockets]


def unshaped(pair: Pair) -> bool:
    return pair.client.session.next_timer() is None and pair.peer.session.next_timer() is None


@pytest.mark.parametrize("size", [10, 2000, 3_000_000])
async def test_what_is_said_during_the_script_arrives_both_ways(size: int) -> None:
    async with site(echo) as port, link_pair(ExitPolicy([], allowances=allowing(port))) as pair:
        shape(pair, b"seed")
        (reader, writer), _ = await pair.application(port)
        data = os.urandom(size)
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(size), 20) == data
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await until(lambda: unshaped(pair))


async def test_a_link_with_nothing_to_say_plays_its_script_to_the_end() -> None:
    async with link_pair(ExitPolicy([])) as pair:
        began = time.monotonic()
        shape(pair, b"another")
        await until(lambda: unshaped(pair))
        assert time.monotonic() - began < 3
        assert pair.client.session.opened_records > 5 < pair.peer.session.opened_records


async def test_a_link_that_ends_in_the_middle_leaves_no_timer() -> None:
    async with link_pair(ExitPolicy([])) as pair:
        shape(pair, b"third")
        pair.client.link.close("enough")
        assert pair.client.link._alarm._handle is None
        await until(lambda: pair.peer.link.closed)
        assert pair.peer.link._alarm._handle is None


async def test_an_idle_link_visits_further_pages_and_carries_what_is_said_meanwhile() -> None:
    async with site(echo) as port, link_pair(ExitPolicy([], allowances=allowing(port))) as pair:
        shape(pair, b"fourth")
        assert unsent(pair) == [SCRIPT_UNSENT] * 2
        await until(lambda: unshaped(pair))
        assert unsent(pair) == [NOT_SENT] * 2
        up, down = pair.peer.session.opened_records, pair.client.session.opened_records
        visits = Visits(1e9, random.Random(1))
        for _ in range(3):
            visits.look([pair.client.link], asyncio.get_running_loop().time())
            await asyncio.sleep(0.002)
        await until(lambda: pair.peer.session.opened_records > up and pair.client.session.opened_records > down)
        assert unsent(pair) == [SCRIPT_UNSENT] * 2
        (reader, writer), _ = await pair.application(port)
        data = os.urandom(5000)
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data
        writer.close()
        await until(lambda: unshaped(pair))
        assert not pair.client.link.closed


async def test_a_budget_is_kept_in_the_long_run() -> None:
    spent = []

    class Idle:
        streams = 0

        class channel:
            class session:
                can_visit = True

        def visit(self, seed: bytes) -> int:
            spent.append(300_000)
            return 300_000

    visits, link = Visits(10_000, random.Random(2)), Idle()
    for second in range(0, 100_000, 5):
        visits.look([link], second)  # type: ignore[list-item]
    assert 0.8 < sum(spent) / (10_000 * 100_000) < 1.2
    assert not any(Visits(0, random.Random(1)).look([link], second) for second in range(100))  # type: ignore[list-item]
