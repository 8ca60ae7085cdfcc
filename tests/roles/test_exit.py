"""The exit: what it counts, what it refuses, and that it connects to what it has checked."""

import asyncio
import socket

import pytest

from qnet.mesh.exit_policy import ExitPolicy, parse_allowance
from qnet.net.resolver import Resolver
from qnet.wire.frames import Reset
from qnet.wire.messages import ExitCounts
from tests.support.links import CIRCUIT, allowing, link_pair, silent_listener, site, until

pytestmark = pytest.mark.anyio


async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_counts() -> None:
    async with site(wait) as port, link_pair(ExitPolicy(frozenset(), allowing(port))) as pair:
        outcomes = [await pair.client.open(CIRCUIT, host, at).opened for host, at in
                    (("127.0.0.1", port), ("10.0.0.1", port), ("127.0.0.1", 25), ("name.invalid", port))]  # fmt: skip
        assert outcomes == [None, Reset.POLICY, Reset.POLICY, Reset.NAME_NOT_FOUND]
        assert pair.exit.counts == ExitCounts(requests=4, success=1, blocked=2)


async def test_a_mapped_name_is_not_resolved() -> None:
    async with site(wait) as port:
        policy = ExitPolicy(frozenset(), mapped={("site.test", 80): ("127.0.0.1", port)}, only=True)
        async with link_pair(policy) as pair:
            assert await pair.client.open(CIRCUIT, "site.test", 80).opened is None
            assert await pair.client.open(CIRCUIT, "site.test", 443).opened is Reset.POLICY
            assert await pair.client.open(CIRCUIT, "127.0.0.1", port).opened is Reset.POLICY


async def test_a_name_is_resolved_once_and_its_checked_address_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers otherwise the second time gets no second time."""
    answers = iter([["127.0.0.1"], ["127.0.0.9"]])

    async def rebinding(self: Resolver, host: str) -> list[str]:
        return next(answers)

    monkeypatch.setattr(Resolver, "addresses", rebinding)
    peers = []

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("sockname")[0])
        await reader.read()

    async with (
        site(who) as port,
        link_pair(ExitPolicy(frozenset(), (parse_allowance(f"127.0.0.1/32:{port}"),))) as pair,
    ):
        assert await pair.client.open(CIRCUIT, "rebinding.test", port).opened is None
        await until(lambda: peers == ["127.0.0.1"])
        assert await pair.client.open(CIRCUIT, "rebinding.test", port).opened is Reset.POLICY


async def test_it_leaves_from_the_address_it_is_bound_to() -> None:
    seen = []

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await reader.read()

    async with site(who) as port, link_pair(ExitPolicy(frozenset(), allowing(port)), sources=["127.0.0.77"]) as pair:
        assert await pair.client.open(CIRCUIT, "127.0.0.1", port).opened is None
        await until(lambda: seen == ["127.0.0.77"])


async def test_a_name_with_mixed_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mixed(self: Resolver, host: str) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    monkeypatch.setattr(Resolver, "addresses", mixed)
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        assert await pair.client.open(CIRCUIT, "mixed.test", 80).opened is Reset.POLICY


async def test_the_machines_own_addresses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where its address is a public one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        mine = probe.getsockname()[0]

    async def answer(self: Resolver, host: str) -> list[str]:
        return [mine]

    monkeypatch.setattr(Resolver, "addresses", answer)
    monkeypatch.setattr("qnet.mesh.exit_policy.REFUSED", ())
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        assert await pair.client.open(CIRCUIT, "me.test", 80).opened is Reset.POLICY


async def test_an_unexpected_failure_is_one_streams_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Resolver, host: str) -> list[str]:
        raise ZeroDivisionError("secret.test")

    monkeypatch.setattr(Resolver, "addresses", broken)
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        assert await pair.client.open(CIRCUIT, "secret.test", 80).opened is Reset.INTERNAL
        assert not pair.peer.link.closed and pair.peer.streams == 0
    assert "ZeroDivisionError" in caplog.text and "secret.test" not in caplog.text


async def test_closing_ends_every_link_and_attempt() -> None:
    with silent_listener() as port:
        async with link_pair(ExitPolicy(frozenset(), allowing(port))) as pair:
            stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
            await until(lambda: pair.exit._tasks)
            pair.services.close()
            assert await stream.opened is Reset.LINK_LOST
            await until(lambda: not pair.exit._tasks and not pair.exit._links)
