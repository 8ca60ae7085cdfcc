"""The exit's limits: turns of each client, the cap of all, streams that stand still, a month that is used up."""

import asyncio
import time
from pathlib import Path

import pytest

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net import dial
from qnet.net.stream import StreamSocket
from qnet.roles import exit as exit_module
from qnet.roles import exit_turns
from qnet.roles.abuse_log import AbuseLog
from qnet.roles.exit import Exit
from qnet.roles.exit_turns import ClientLimits
from qnet.roles.exit_usage import Usage
from qnet.wire.frames import Reset
from tests.support.links import AMPLE, CIRCUIT, Pair, allowing, echo, link_pair, silent_listener, site, until

pytestmark = pytest.mark.anyio


def policy(port: int) -> ExitPolicy:
    return ExitPolicy(frozenset(), allowing(port))


def opening(pair: Pair, port: int, count: int) -> list[StreamSocket]:
    return [pair.client.open(CIRCUIT, "127.0.0.1", port) for _ in range(count)]


async def test_so_many_connections_are_made_at_once_for_a_client(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.3)
    with silent_listener() as port:
        async with link_pair(policy(port), clients=ClientLimits(connects=2)) as pair:
            connects.clear()
            began = asyncio.get_running_loop().time()
            streams = opening(pair, port, 5)
            for _ in range(8):
                await asyncio.sleep(0.05)
                tried = connects.count(("127.0.0.1", port))
                turns = 1 + int((asyncio.get_running_loop().time() - began) / 0.3)
                assert tried <= 2 * turns
            assert [await stream.opened for stream in streams] == [Reset.TIMEOUT] * 5


async def test_whoever_waits_too_long_for_a_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_turns, "PATIENCE_SECONDS", 0.2)
    with silent_listener() as port:
        async with link_pair(policy(port), clients=ClientLimits(connects=1)) as pair:
            first, second = opening(pair, port, 2)
            assert await second.opened is Reset.LIMIT
            assert not first.opened.done()
            assert pair.exit.counts.limited == 1 and pair.exit.counts.blocked == 0


async def test_more_streams_in_a_minute_wait_and_then_are_refused() -> None:
    async with site(echo) as port, link_pair(policy(port), clients=ClientLimits(streams_per_minute=60)) as pair:
        began = time.monotonic()
        streams = opening(pair, port, 72)
        assert {await stream.opened for stream in streams[:60]} == {None}
        at_once = time.monotonic() - began
        assert await streams[60].opened is None
        assert time.monotonic() - began >= 0.95 > at_once
        # Turns 61 to 70 come within ten seconds; nobody waits for what would not.
        assert [await stream.opened for stream in streams[70:]] == [Reset.LIMIT] * 2
        assert time.monotonic() - began < 5


async def test_one_clients_excess_is_not_anothers() -> None:
    async with site(echo) as port:
        shared = Exit(policy(port), 1000, clients=ClientLimits(streams_per_minute=1))
        async with link_pair(policy(port), exit=shared) as one, link_pair(policy(port), exit=shared) as other:
            assert [await stream.opened for stream in opening(one, port, 2)] == [None, Reset.LIMIT]
            assert await opening(other, port, 1)[0].opened is None
        await until(lambda: not shared._links and not shared._accounted and not shared._open)


async def test_the_cap_of_all_clients() -> None:
    async with site(echo) as port:
        shared = Exit(policy(port), 3, clients=AMPLE)
        async with link_pair(policy(port), exit=shared) as one, link_pair(policy(port), exit=shared) as other:
            assert [await stream.opened for stream in opening(one, port, 2)] == [None, None]
            assert [await stream.opened for stream in opening(other, port, 2)] == [None, Reset.LIMIT]


async def test_a_stream_that_stands_still_ends_and_a_moving_one_does_not() -> None:
    async with site(echo) as port, link_pair(policy(port), idle_seconds=0.4) as pair:
        books = asyncio.create_task(pair.exit.run())
        (moving, writing), _ = await pair.application(port)
        (still, kept), quiet = await pair.application(port)
        for _ in range(10):
            writing.write(b"x")
            assert await moving.readexactly(1) == b"x"
            await asyncio.sleep(0.1)
        with pytest.raises(ConnectionResetError):
            await still.read()
        kept.close()
        assert quiet.ended and pair.peer.streams == 1
        books.cancel()
        writing.write(b"y")
        assert await moving.readexactly(1) == b"y"
        writing.close()


async def test_what_was_carried_is_counted_and_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    async with site(echo) as port:
        for run in (1, 2):
            async with link_pair(policy(port), usage=Usage(path)) as pair:
                books = asyncio.create_task(pair.exit.run())
                (reader, writer), _ = await pair.application(port)
                writer.write(bytes(100_000))
                await reader.readexactly(100_000)
                writer.write_eof()
                assert await reader.read() == b""
                counts = pair.exit.counts
                assert (counts.traffic.up, counts.traffic.down) == (100_000, 100_000)
                assert counts.month_bytes == run * 200_000
                writer.close()
                await asyncio.sleep(0)
                books.cancel()
                await asyncio.wait([books])
            assert path.stat().st_mode & 0o777 == 0o600
    assert Usage(path).this_month == 400_000


async def test_a_link_that_is_gone_stays_counted() -> None:
    async with site(echo) as port:
        shared = Exit(policy(port), 10)
        async with link_pair(policy(port), exit=shared) as pair:
            (reader, writer), _ = await pair.application(port)
            writer.write(bytes(5000))
            await reader.readexactly(5000)
            writer.close()
        await until(lambda: not shared._links)
        assert shared.counts.traffic.up == 5000


async def test_a_month_that_is_used_up_ends_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exit_module, "HOUSEKEEPING_SECONDS", 0.1)
    async with site(echo) as port:
        usage = Usage(tmp_path / "usage.json", monthly_limit=1000)
        async with link_pair(policy(port), usage=usage) as pair:
            (reader, writer), _ = await pair.application(port)
            writer.write(bytes(400))
            await reader.readexactly(400)
            assert await opening(pair, port, 1)[0].opened is None
            writer.write(bytes(200))
            await reader.readexactly(200)
            books = asyncio.create_task(pair.exit.run())
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert await opening(pair, port, 1)[0].opened is Reset.LIMIT
            books.cancel()
            await asyncio.wait([books])


async def test_refusals_are_kept_without_names(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    async with site(echo) as port:
        limits = ClientLimits(streams_per_minute=4)
        async with link_pair(policy(port), clients=limits, abuse_log=AbuseLog(path)) as pair:
            books = asyncio.create_task(pair.exit.run())
            wanted = [("10.0.0.1", port), ("secret.test", 25), ("10.0.0.2", port), ("127.0.0.1", port)]
            for host, at in [*wanted, ("127.0.0.1", port)]:
                await pair.client.open(CIRCUIT, host, at).opened
            books.cancel()
            await asyncio.wait([books])
    text = path.read_text()
    assert text.count('"what":"address"') == 1 and '"count":2' in text
    assert text.count('"what":"port","port":25') == 1 and text.count('"what":"limit"') == 1
    assert len(text.splitlines()) == 3, "what was let through is not in it"
    for secret in ("10.0.0", "127.0.0", "secret", "test", "circuit"):
        assert secret not in text
