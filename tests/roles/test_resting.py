"""A tunnel that is switched on and that nobody uses: it rests, as an idle browser does, and is there when asked."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qnet.net.decoy import Parting
from qnet.roles import tunnel as tunnel_module
from qnet.roles.tunnel import NoTunnelError
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.messages import State
from tests.roles.test_tunnel import Run, echo, running, works
from tests.support.cover_pair import NAME, authority
from tests.support.links import site, until
from tests.support.peers import gone, peer
from tests.support.tls_servers import nginx

pytestmark = pytest.mark.anyio
SOON = Parting(0.8, (34, 19))


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


async def rested(run: Run) -> None:
    await run.state(State.CONNECTED)
    await until(lambda: run.tunnel.view().resting)
    assert not run.tunnel._circuits.routes


async def test_it_rests_connected_and_nothing_is_dialled(decoy: int) -> None:
    async with peer(decoy, parting=SOON) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await rested(run)
        await asyncio.sleep(1.5)
        view = run.tunnel.view()
        assert view.state is State.CONNECTED and view.resting
        assert [hop.nickname for hop in view.hops] == ["tulip"]
        assert (view.attempts, view.last_error) == (0, None)
        assert len(made.made) == 1
        assert run.tunnel._failures == {}


async def test_a_browser_that_lets_go_by_itself(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Firefox does where the decoy keeps idle connections for longer."""
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 0.6)
    firefox = replace(APPEARANCES["firefox"], patience=0.8)
    async with peer(decoy) as made, running(made.descriptor()) as run:
        run.tunnel._circuits._disguise.look = firefox
        run.tunnel.lease("browser")
        await rested(run)
        await until(lambda: gone(made.made[0].client))
        assert len(made.made) == 1


async def test_the_next_stream_wakes_it(decoy: int) -> None:
    async with site(echo) as port, peer(decoy, exit_port=port, parting=SOON) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        for visit in (2, 3):
            await rested(run)
            await works(await run.tunnel.open("127.0.0.1", port))
            assert run.tunnel.view().state is State.CONNECTED
            assert not run.tunnel.view().resting
            assert len(made.made) == visit
        assert len(run.tunnel._circuits._disguise.tickets) > 0, "and resumes as a browser would"


async def test_a_person_who_asks_again_wakes_it(decoy: int) -> None:
    async with peer(decoy, parting=SOON) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await rested(run)
        run.tunnel.lease("another browser")
        await until(lambda: len(made.made) == 2 and run.tunnel.view().state is State.CONNECTED)


async def test_the_last_release_ends_its_rest(decoy: int) -> None:
    async with peer(decoy, parting=SOON) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await rested(run)
        run.tunnel.release("browser")
        await run.state(State.OFFLINE)
        assert run.tunnel.view().hops == []
        assert len(made.made) == 1


async def test_a_peer_that_went_away_meanwhile_is_found_out_when_it_is_needed(decoy: int) -> None:
    async with running() as run:
        async with peer(decoy, parting=SOON) as made:
            run.known.append(made.descriptor())
            run.tunnel.lease("browser")
            await rested(run)
        with pytest.raises(NoTunnelError):
            await run.tunnel.open("127.0.0.1", 1)
        view = run.tunnel.view()
        assert view.state is State.CONNECTING and not view.resting
        assert view.last_error is not None and view.last_error.code == "peer-unreachable"
        tried = len(run.attempts)
        await until(lambda: len(run.attempts) > tried)


async def test_another_choice_ends_its_rest(decoy: int) -> None:
    async with peer(decoy, parting=SOON) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await rested(run)
        run.tunnel.choose(1, "NL")
        await until(lambda: len(made.made) == 2 and run.tunnel.view().state is State.CONNECTED)
