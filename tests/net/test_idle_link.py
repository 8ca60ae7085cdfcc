"""Links that nobody uses: let go as the decoy lets go of an idle browser, answered as the browser answers that."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from qnet.net import alive
from qnet.net.client_link import Disguise
from qnet.net.decoy import Parting
from qnet.wire import frames
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.frames import Reset
from tests.support.cover_pair import NAME, authority, template
from tests.support.links import CIRCUIT, attach, site, until
from tests.support.peers import Peer, gone, peer
from tests.support.tls_servers import nginx
from tests.support.visits import DOWN, UP, Seen, observed

pytestmark = pytest.mark.anyio
NGINX = Parting(1.0, (34, 19))
"""As nginx ends an idle connection, but sooner."""

FIN = 0, 0


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


def wears(browser: str) -> Disguise:
    return Disguise(template(browser), APPEARANCES[browser], [authority().certificate])


@asynccontextmanager
async def seen_peer(decoy: int, parting: Parting | None) -> AsyncIterator[tuple[Peer, list[Seen]]]:
    """A peer, and what an observer sees on the way to it."""
    async with peer(decoy, parting=parting) as made:
        with observed(made.port) as (made.port, seen):
            yield made, seen


def after(seen: Seen, count: int) -> tuple[list[int], list[int]]:
    """Sizes of the records behind the first ``count``: up, down."""
    rest = Seen(seen.records[count:])
    return rest.sizes(UP), rest.sizes(DOWN)


@pytest.mark.parametrize(("browser", "answer"), [("chromium", []), ("firefox", [34, 19])])
async def test_it_ends_as_the_decoys_and_the_browsers_do(decoy: int, browser: str, answer: list[int]) -> None:
    """Measured at nginx: GOAWAY, close_notify, FIN; Chromium answers with FIN, Firefox with its own two first."""
    async with seen_peer(decoy, NGINX) as (made, seen):
        link = await made.bare(wears(browser))
        await asyncio.sleep(0.3)
        began, before = time.monotonic(), len(seen[0].records)
        await until(lambda: link.closed)
        assert 0.3 < time.monotonic() - began < 1.2
        assert link.rested
        # Firefox's words meet a socket that nginx has closed, and so does ours: the relay between sees it reset.
        await until(lambda: {way for way, kind, _ in seen[0].records if kind <= 0} == {UP, DOWN})
        assert after(seen[0], before) == (answer, [34, 19])
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))


async def test_one_with_a_silent_stream_stays(decoy: int) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))
        await reader.read()

    async with site(wait) as port, peer(decoy, exit_port=port, parting=NGINX) as made:
        link = await made.connect()
        reader, writer = await attach(link.channel.open(CIRCUIT, "127.0.0.1", port))
        await asyncio.sleep(2.2)
        assert not link.closed
        writer.write(b"!")
        assert await reader.read(1) == b"!"
        writer.close()
        await until(lambda: link.rested)


async def test_one_on_which_something_is_said_now_and_then_stays(decoy: int) -> None:
    async with peer(decoy, parting=NGINX) as made:
        link = await made.connect()
        for _ in range(5):
            await asyncio.sleep(0.5)
            link.channel.session._pending += frames.close_frame(77, Reset.CLOSED)  # of a circuit that never was
            link.flush()
        assert not link.closed
        await until(lambda: link.rested)


async def test_nothing_is_said_on_it(decoy: int) -> None:
    """No keep-alive: between the handshake's end and the goodbye there is silence."""
    async with seen_peer(decoy, Parting(4.0, (34, 19))) as (made, seen):
        link = await made.connect()
        await asyncio.sleep(1)
        before = len(seen[0].records)
        await asyncio.sleep(2)
        assert len(seen[0].records) == before
        await until(lambda: link.rested)


async def test_firefox_asks_and_is_let_go_all_the_same(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured: after 58 s a PING of 34 bytes, answered alike; nginx counts its time-out from before."""
    monkeypatch.setattr(alive, "_LOOK_SECONDS", 0.05)
    async with seen_peer(decoy, Parting(3.0, (34, 19))) as (made, seen):
        link = await made.bare(wears("firefox"))
        link.alive.nudge = 2.0
        await asyncio.sleep(0.5)
        before, began = len(seen[0].records), time.monotonic()
        await until(lambda: link.rested)
        assert time.monotonic() - began < 4.5, "the PING at 2 s did not begin the 3 s anew"
        up, down = after(seen[0], before)
        assert down[-3:] == [34, 34, 19]
        assert up[:1] == [34]


async def test_a_client_ends_it_as_its_browser_does(decoy: int) -> None:
    for browser, last in (("firefox", [34, 19]), ("chromium", [])):
        async with seen_peer(decoy, None) as (made, seen):
            link = await made.bare(wears(browser))
            await asyncio.sleep(0.3)
            before = len(seen[0].records)
            link.close("the person has pressed Disconnect")
            notes = seen[0].records
            await until(lambda notes=notes: (UP, *FIN) in notes and (DOWN, *FIN) in notes)
            assert after(seen[0], before) == (last, [])
            await until(lambda made=made: gone(made.made[0].client) and gone(made.made[0].decoy))


async def test_a_goodbye_that_is_forged_is_a_bad_record(decoy: int) -> None:
    """Records of the right sizes do not make one: they are answered as a browser answers what does not open."""
    async with seen_peer(decoy, None) as (made, seen):
        link = await made.bare(wears("chromium"))
        await asyncio.sleep(0.3)
        before = len(seen[0].records)
        made.made[0].client.transport.write(b"\x17\x03\x03\x00\x22" + bytes(34) + b"\x17\x03\x03\x00\x13" + bytes(19))  # type: ignore[union-attr]
        await until(lambda: link.closed)
        assert not link.rested
        await asyncio.sleep(0.1)
        assert after(seen[0], before)[0][:1] == [19], "the browser's alert"
