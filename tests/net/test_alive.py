"""Whoever waits asks, whoever idles asks seldom, and what does not answer is dead in time."""

import asyncio
import socket

import pytest

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net import alive as alive_module
from qnet.net.alive import ANSWER_SECONDS, IDLE_SECONDS, NOT_SENT, WAITING_SECONDS, Alive
from tests.support.links import CIRCUIT, allowing, attach, echo, link_pair, site, until

pytestmark = pytest.mark.anyio


class Clock:
    """What ``Alive`` uses of an event loop, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: object) -> "Clock":
        self.due.append((self.now + delay, call))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            self.now, call = self.due.pop(0)
            call()  # type: ignore[operator]
        self.now = end


class Way:
    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[float] = []
        self.dead: list[float] = []
        self.used = True
        self.alive = Alive(
            self.clock,  # type: ignore[arg-type]
            lambda: self.asked.append(self.clock.now - 1000),
            lambda: self.dead.append(self.clock.now - 1000),
            lambda: self.used,
        )


async def test_an_idle_way_is_asked_within_half_a_minute_and_at_no_fixed_times() -> None:
    pauses = set()
    for _ in range(20):
        way = Way()
        while not way.asked:
            way.clock.run(1)
        assert 0.6 * IDLE_SECONDS <= way.asked[0] <= IDLE_SECONDS + 2
        pauses.add(way.asked[0])
    assert len(pauses) > 3


async def test_a_way_that_nobody_uses_is_left_alone() -> None:
    way = Way()
    way.used = False
    way.clock.run(600)
    assert not way.asked
    way.alive.said()
    way.clock.run(WAITING_SECONDS + 2)
    assert len(way.asked) == 1, "what was said waits for an answer"


async def test_one_that_answers_lives_for_ever() -> None:
    way = Way()
    for _ in range(100):
        way.clock.run(10)
        way.alive.heard()
    assert not way.dead and len(way.asked) <= 100
    way.alive.stop()
    assert way.clock.due == []


async def test_one_that_is_waited_for_is_dead_within_fifteen_seconds() -> None:
    way = Way()
    way.clock.run(3)
    way.alive.said()
    way.clock.run(30)
    assert WAITING_SECONDS <= way.asked[0] - 0 <= 3 + WAITING_SECONDS + 1.5
    assert len(way.dead) == 1 and way.dead[0] - way.asked[0] <= ANSWER_SECONDS + 1.5
    assert way.dead[0] - 3 <= 15
    assert way.clock.due == []


async def test_a_real_link_pings_and_a_dead_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("IDLE_SECONDS", 0.4),
        ("WAITING_SECONDS", 0.2),
        ("ANSWER_SECONDS", 0.4),
        ("_LOOK_SECONDS", 0.05),
    ):
        monkeypatch.setattr(alive_module, name, value)
    async with site(echo) as port, link_pair(ExitPolicy(frozenset(), allowing(port))) as pair:
        stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
        ends = await attach(stream)
        before = pair.client.session.opened_records, pair.peer.session.opened_records
        await asyncio.sleep(1.5)
        assert not pair.client.link.closed and not pair.peer.link.closed
        assert pair.client.session.opened_records > before[0] and pair.peer.session.opened_records > before[1]
        assert pair.client.session.opened_records >= 2 and pair.peer.session.opened_records >= 2
        assert pair.client.session.opened_records < 30, "asking is not answered by asking"
        raw = pair.client.link._transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOT_SENT
        pair.peer.link._transport.pause_reading()
        pair.peer.link.alive.stop()
        await until(lambda: pair.client.link.closed, 3)
        assert pair.owner.reasons == ["no answer"]
        ends[1].close()
