"""What rules refuse at the proxy port, before any tunnel is asked, and on connections that are open already."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from qnet.browser.rules.ruleset import RuleSet, Section, Verdict
from qnet.roles.proxy import Proxy, unmet
from qnet.roles.tunnel import NoTunnelError, Tunnel
from qnet.wire.messages import Rule, RuleAction, RuleKind

TUNNEL, DIRECT, BLOCK = RuleAction
CONNECT = b"CONNECT %b:443 HTTP/1.1\r\nHost: %b:443\r\n\r\n"


def rule(pattern: str, action: RuleAction, **fields: Any) -> Rule:
    return Rule(kind=RuleKind.DOMAIN, pattern=pattern, action=action, **fields)


class Stream(asyncio.Protocol):
    """A stream that the exit has opened."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened.set_result(None)
        self.ended = False

    def send_first(self, data: bytes) -> None: ...

    def give_up(self, code: object) -> None:
        self.ended = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


@dataclass
class OneHop:
    """A tunnel whose peers make one hop to the Netherlands; it carries anything, or nothing where ``streams`` is None.

    ``met``: whether what it has made meets what the rules have come to ask for.
    """

    asked: list[str] = field(default_factory=list)
    streams: list[Stream] | None = None
    met: bool = True

    def offers(self, country: str, hops: int) -> bool:
        return country in ("", "NL") and hops in (0, 1)

    def meets(self, stream: Stream, country: str, hops: int) -> bool:
        return self.met

    async def open(self, host: str, port: int, *, country: str, hops: int | None, lasting: bool) -> Stream:
        if not self.offers(country, hops or 0):
            raise NoTunnelError(unmet=True)
        self.asked.append(host)
        if self.streams is None:
            raise NoTunnelError
        self.streams.append(Stream())
        return self.streams[-1]


@dataclass
class Rules:
    rules: RuleSet

    def verdict(self, host: str, port: int) -> Verdict:
        return self.rules.verdict(host, port)


def ruleset(*rules: Rule) -> RuleSet:
    return RuleSet([Section("", rules)])


@asynccontextmanager
async def serving(tunnel: OneHop, rules: Rules) -> AsyncIterator[tuple[Proxy, int]]:
    proxy = Proxy(cast(Tunnel, tunnel), rules.verdict)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: proxy.protocol(is_browser=False), "127.0.0.1", 0) as server:
        yield proxy, server.sockets[0].getsockname()[1]


async def ask(port: int, host: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CONNECT % (host.encode(), host.encode()))
    answer = await reader.readuntil(b"\r\n\r\n")
    await close(writer)
    return answer.split(b"\r\n")[0]


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.anyio
async def test_refused_before_the_tunnel_hears_of_it() -> None:
    rules = Rules(
        ruleset(
            rule("bad.test", BLOCK),
            rule("far.test", TUNNEL, country="DE"),
            rule("long.test", TUNNEL, hops=3),
            rule("here.test", TUNNEL, country="NL", hops=1),
            rule("direct.test", DIRECT),
        )
    )
    tunnel = OneHop()
    async with serving(tunnel, rules) as (_, port):
        assert b"403" in await ask(port, "www.bad.test")
        assert b"503" in await ask(port, "far.test")
        assert b"503" in await ask(port, "long.test")
        assert tunnel.asked == []
        for host in ("here.test", "direct.test", "other.test"):
            assert b"503" in await ask(port, host)
    assert tunnel.asked == ["here.test", "direct.test", "other.test"]


@pytest.mark.anyio
async def test_open_connections_end_when_a_rule_comes_to_block_them() -> None:
    rules = Rules(ruleset())
    tunnel = OneHop(streams=[])
    async with serving(tunnel, rules) as (proxy, port):
        pairs = []
        for host in ("bad.test", "good.test"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(CONNECT % (host.encode(), host.encode()))
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
            pairs.append((reader, writer))
        rules.rules = ruleset(rule("bad.test", BLOCK))
        proxy.rules_changed()
        with suppress(ConnectionError):
            assert await pairs[0][0].read() == b""
        assert tunnel.streams is not None
        assert [stream.ended for stream in tunnel.streams] == [True, False]
        for _, writer in pairs:
            await close(writer)
        await asyncio.sleep(0.01)
        assert tunnel.streams[1].ended


@pytest.mark.anyio
async def test_an_open_connection_ends_when_a_rule_comes_to_want_another_route() -> None:
    rules = Rules(ruleset())
    tunnel = OneHop(streams=[])
    async with serving(tunnel, rules) as (proxy, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT % (b"far.test", b"far.test"))
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        rules.rules = ruleset(rule("far.test", TUNNEL, country="NL"))
        proxy.rules_changed()
        await asyncio.sleep(0.01)
        assert tunnel.streams is not None and not tunnel.streams[0].ended, "the route it has is as the rule wants"
        tunnel.met = False
        proxy.rules_changed()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert tunnel.streams[0].ended
        await close(writer)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"country": "NL"}, False),
        ({"country": "DE"}, True),
        ({"country": "NL", "hops": 1}, False),
        ({"country": "NL", "hops": 2}, True),
        ({"hops": 3}, True),
    ],
)
def test_unmet(fields: dict[str, Any], expected: bool) -> None:
    verdict = Verdict(TUNNEL, rule("a.test", TUNNEL, **fields))
    assert unmet(verdict, cast(Tunnel, OneHop())) is expected
