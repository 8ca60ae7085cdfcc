"""Names to addresses: what is asked, what is remembered and for how long. The name server is a real one."""

import asyncio
import time

import pytest

from qnet.net import resolver as resolver_module
from qnet.net.dial import DialError
from qnet.net.resolver import MAX_ADDRESSES, MAX_NAMES, Resolver
from qnet.wire.frames import Reset
from tests.support.dns import name_server

pytestmark = pytest.mark.anyio
BOTH = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("host", "found"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1.", "127.0.0.1"), ("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"),
     ("0x7f000001", "127.0.0.1"), ("0177.0.0.1", "127.0.0.1"), ("0x7F.1", "127.0.0.1"), ("::1", "::1"),
     ("0:0:0:0:0:0:0:1", "::1"), ("0", "0.0.0.0"), ("192.0.2.1", "192.0.2.1")],
)  # fmt: skip
async def test_an_address_in_any_spelling_is_not_asked_for(host: str, found: str) -> None:
    async with name_server(lambda name, nth: ["192.0.2.9"]) as server:
        assert await Resolver([("127.0.0.1", server.port)]).addresses(host) == [found]
        assert not server.asked


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "any.localhost"])
async def test_localhost_is_this_computer_whatever_the_dns_says(host: str) -> None:
    async with name_server(lambda name, nth: ["192.0.2.9"]) as server:
        assert await Resolver([("127.0.0.1", server.port)]).addresses(host) == ["127.0.0.1", "::1"]
        assert not server.asked


@pytest.mark.parametrize("host", ["name.invalid", "x.onion", "printer.local", "directory.qnet", "a..b", "x" * 70, ".",
                                  "", "a b.test", "a\\046b.test", "a\0b.test", "ä" * 80, "\udc80.test"])  # fmt: skip
async def test_what_is_no_name_of_the_dns_is_not_found(host: str) -> None:
    async with name_server(lambda name, nth: ["192.0.2.9"]) as server:
        with pytest.raises(DialError) as caught:
            await Resolver([("127.0.0.1", server.port)]).addresses(host)
        assert caught.value.code is Reset.NAME_NOT_FOUND
        assert not server.asked


async def test_both_families_are_asked_and_a_full_name_only() -> None:
    async with name_server(lambda name, nth: BOTH if name == "intranet" else None) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        assert await resolver.addresses("Intranet.") == BOTH
        assert set(server.asked) == {("intranet", "A"), ("intranet", "AAAA")}
        with pytest.raises(DialError) as caught:
            await resolver.addresses("nowhere.test")
        assert caught.value.code is Reset.NAME_NOT_FOUND


@pytest.mark.parametrize("silent", ["A", "AAAA"])
async def test_a_family_that_is_never_answered_costs_little(silent: str) -> None:
    async with name_server(lambda name, nth: BOTH, silent=frozenset([silent])) as server:
        began = time.monotonic()
        found = await Resolver([("127.0.0.1", server.port)]).addresses("half.test")
        assert time.monotonic() - began < 2
        assert found == [address for address in BOTH if (":" in address) == (silent == "A")]


async def test_a_name_without_this_family_waits_for_the_other() -> None:
    async with name_server(lambda name, nth: ["192.0.2.1"]) as server:
        assert await Resolver([("127.0.0.1", server.port)]).addresses("four.test") == ["192.0.2.1"]
    async with name_server(lambda name, nth: []) as server:
        with pytest.raises(DialError) as caught:
            await Resolver([("127.0.0.1", server.port)]).addresses("none.test")
        assert caught.value.code is Reset.NAME_NOT_FOUND


async def test_an_answer_is_remembered_for_its_ttl_and_for_five_minutes_at_most() -> None:
    for ttl, kept in ((0, 0), (60, 60), (2**31 - 1, 300)):
        clock = Clock()
        async with name_server(lambda name, nth: ["192.0.2.1"], ttl=ttl) as server:
            resolver = Resolver([("127.0.0.1", server.port)], clock)
            for _ in range(3):
                await resolver.addresses("kept.test")
            assert server.asked["kept.test", "A"] == (1 if kept else 3)
            if kept:
                clock.now += kept - 2
                await resolver.addresses("KEPT.test.")
                assert server.asked["kept.test", "A"] == 1
                clock.now += 3
                await resolver.addresses("kept.test")
                assert server.asked["kept.test", "A"] == 2


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "MAX_NAMES", 3)
    many = [f"192.0.2.{number}" for number in range(1, 28)]
    async with name_server(lambda name, nth: many, ttl=60) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        for number in range(5):
            assert len(await resolver.addresses(f"n{number}.test")) == MAX_ADDRESSES
        assert list(resolver._known) == ["n2.test", "n3.test", "n4.test"]
    assert MAX_NAMES * MAX_ADDRESSES * 2 < 200_000


async def test_slow_names_do_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver holds a thread for each name."""
    monkeypatch.setattr(resolver_module, "RESOLVE_SECONDS", 2.0)
    silent = {"A", "AAAA"}
    async with (
        name_server(lambda name, nth: None, silent=frozenset(silent)) as never,
        name_server(lambda name, nth: ["192.0.2.1"]) as quick,
    ):
        slow = Resolver([("127.0.0.1", never.port)])
        waiting = [asyncio.create_task(slow.addresses(f"slow{number}.test")) for number in range(200)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert await Resolver([("127.0.0.1", quick.port)]).addresses("quick.test") == ["192.0.2.1"]
        assert time.monotonic() - began < 1
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {outcome.code for outcome in outcomes if isinstance(outcome, DialError)} == {Reset.TIMEOUT}
        assert len(outcomes) == 200


async def test_the_systems_name_servers_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    resolver = Resolver(clock=clock)
    first = resolver._configuration()
    clock.now += 30
    assert resolver._configuration() is first
    clock.now += 31
    assert resolver._configuration() is not first
