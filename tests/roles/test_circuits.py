"""The client's circuits: several on one link, built when wanted, replaced and taken down, each by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.roles import circuits as circuits_module
from qnet.roles import tunnel as tunnel_module
from qnet.roles.tunnel import NoTunnelError
from qnet.wire.messages import State
from tests.support.cover_pair import NAME, authority
from tests.support.links import attach, until
from tests.support.peers import gone
from tests.support.routes import EXIT, RELAY, Routes, described, routes, works
from tests.support.tls_servers import free_port, nginx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


def names(made: Routes) -> list[list[str]]:
    return [[hop.nickname for hop in route] for route in made.tunnel.view().routes]


def open_links(made: Routes) -> int:
    """Connections to all guards."""
    links = {id(route.circuit.link) for route in made.tunnel._circuits.routes}
    return len(links)


async def test_one_link_carries_all_circuits_and_one_that_ends_leaves_the_others(decoy: int) -> None:
    async with routes(decoy, exits=("NL", "DE", "SE"), relays=2) as made:
        reader, writer = await attach(await made.open(country="NL"))
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        await works(await made.open(country="DE"))
        await works(await made.open())
        view = made.tunnel.view()
        assert len(view.routes) == 3 and open_links(made) == 1
        known = made.tunnel._guard_file.guards.listed[0].peer_id
        guard = next(each for each in made.relays if each.descriptor().peer_id == known)
        assert sum(not gone(each.client) for each in guard.made) == 1
        for route in list(made.tunnel._circuits.routes):
            if route.wish.country != "NL":
                made.tunnel._circuits.close(route)
        await until(lambda: sum(not gone(each.client) for each in made.exits[1].made) == 0)
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()


async def test_a_rule_gets_the_route_that_it_asks_for(decoy: int) -> None:
    async with routes(decoy, exits=("NL", "DE"), relays=2, hops=1) as made:
        for country, hops in (("DE", 3), ("NL", 2), ("DE", None), ("", 3)):
            stream = await made.open(country=country, hops=hops)
            await works(stream)
            assert made.tunnel.meets(stream, country, hops or 1)
            assert not made.tunnel.meets(stream, "SE", 0)
        assert sorted(map(len, names(made))) == [1, 2, 3, 3], "the last wanted no country, so it got its own"
        assert made.tunnel.offers("NL", 3) and not made.tunnel.offers("SE", 0) and not made.tunnel.offers("", 4)
        for country, hops in (("SE", None), ("", 9)):
            with pytest.raises(NoTunnelError) as caught:
                await made.open(country=country, hops=hops)
            assert caught.value.unmet


async def test_a_rule_reuses_a_route_that_happens_to_fit_and_never_the_other_way_round(decoy: int) -> None:
    async with routes(decoy, exits=("NL",), relays=2) as made:
        await works(await made.open())
        await works(await made.open(country="NL"))
        assert len(names(made)) == 1
    async with routes(decoy, exits=("NL",), relays=2) as made:
        await works(await made.open(country="NL"))
        await works(await made.open())
        assert len(names(made)) == 2, "where everything else goes is drawn by itself"


async def test_new_streams_move_to_a_new_circuit_in_time_and_old_ones_end_where_they_are(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 0.6)
    async with routes(decoy, exits=("NL",), relays=2) as made:
        await made.connected()
        first = made.tunnel._circuits.routes[0]
        reader, writer = await attach(await made.open())
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        first.made_at -= circuits_module.ROTATE_SECONDS
        await until(lambda: len(made.tunnel.view().routes) == 2)
        stream = await made.open()
        assert made.tunnel._routes[stream] is not first
        await works(stream)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y", "a stream stays where it began"
        writer.close()
        await until(lambda: first.circuit.closed)
        assert made.tunnel.view().state is State.CONNECTED and open_links(made) == 1


async def test_an_idle_route_that_has_served_long_enough_stays_until_there_is_another(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 0.6)
    async with routes(decoy, exits=("NL",), relays=2) as made:
        await made.connected()
        first, known = made.tunnel._circuits.routes[0], list(made.known)
        made.known.clear()
        first.made_at -= circuits_module.ROTATE_SECONDS
        await asyncio.sleep(1)
        assert made.tunnel.view().state is State.CONNECTED and not first.circuit.closed
        made.known.extend(known)
        await until(lambda: first.circuit.closed)
        view = made.tunnel.view()
        assert (view.state, view.attempts, len(view.routes)) == (State.CONNECTED, 0, 1)


async def test_a_release_while_a_spare_is_built_ends_everything_at_once(decoy: int) -> None:
    async with routes(decoy, exits=("NL", "NL"), relays=3) as made:
        await made.connected()
        await until(lambda: made.tunnel._is_preparing())
        made.tunnel.release("browser")
        assert made.tunnel.view().state is State.OFFLINE and names(made) == []
        for each in (*made.relays, *made.exits):
            await until(lambda each=each: all(gone(one.client) for one in each.made))


async def test_a_gibibyte_is_enough_for_one_circuit(decoy: int) -> None:
    async with routes(decoy, exits=("NL",), relays=2) as made:
        await works(await made.open())
        route = made.tunnel._circuits.routes[0]
        loop = asyncio.get_running_loop()
        assert route.circuit.carried == 10 and route.is_fresh(loop.time())
        route.circuit.channel.session._circuits[route.circuit.number].carried = circuits_module.ROTATE_BYTES
        assert not route.is_fresh(loop.time())


async def test_a_spare_takes_over_at_once_when_a_middle_relay_dies(decoy: int) -> None:
    async with routes(decoy, exits=("NL", "NL"), relays=3) as made:
        await made.connected()
        await until(lambda: len(made.tunnel.view().routes) == 2)
        one, two = names(made)
        assert one[0] == two[0] and set(one[1:]).isdisjoint(two[1:])
        used = made.tunnel._circuits.routes[0] if names(made)[0] == one else made.tunnel._circuits.routes[1]
        dead = next(each for each in (*made.relays, *made.exits) if each.descriptor().peer_id == used.path[1].peer_id)
        for connection in dead.made:
            if connection.client.transport is not None:
                connection.client.transport.abort()
        await until(lambda: used.circuit.closed)
        assert made.tunnel.view().state is State.CONNECTED
        async with asyncio.timeout(1):
            await works(await made.open())
        assert not used.circuit.link.closed


async def test_without_a_spare_new_streams_work_within_two_seconds(decoy: int) -> None:
    async with routes(decoy, exits=("NL",), relays=3) as made:
        await made.connected()
        used = made.tunnel._circuits.routes[0]
        for connection in made.exits[0].made:
            if connection.client.transport is not None:
                connection.client.transport.abort()
        await until(lambda: used.circuit.closed)
        async with asyncio.timeout(2):
            await works(await made.open())
        failures = set(made.tunnel._failures)
        assert failures == {peer.peer_id for peer in used.path[1:]}, "both ends of the edge are blamed, and no other"


async def test_idle_circuits_and_their_link_end(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 0.6)
    async with routes(decoy, exits=("NL", "DE"), relays=2) as made:
        await works(await made.open())
        await works(await made.open(country="DE"))
        await until(lambda: made.tunnel.view().state is State.OFFLINE)
        assert names(made) == []
        for each in (*made.relays, *made.exits):
            await until(lambda each=each: all(gone(one.client) and gone(one.decoy) for one in each.made))


async def test_a_restart_keeps_the_guard(decoy: int, tmp_path: Path) -> None:
    path = tmp_path / "guards.json"
    async with routes(decoy, relays=8, guards=path) as made:
        await works(await made.open())
        guard = made.tunnel._circuits.routes[0].path[0]
        task_tunnel = made.tunnel
        for _ in range(4):
            again = tunnel_module.Tunnel(
                lambda now: made.known,
                task_tunnel._circuits._disguise,
                task_tunnel._circuits._scratch,
                lambda: None,
                hops=3,
                guards=path,
            )
            task = asyncio.create_task(again.run())
            await works(await again.open("127.0.0.1", made.port))
            assert again._circuits.routes[0].path[0].peer_id == guard.peer_id
            task.cancel()
            await asyncio.wait([task])


async def test_every_address_of_a_peer_is_tried(decoy: int) -> None:
    async with routes(decoy, exits=("NL",), relays=1, hops=2) as made:
        dead = f"127.0.0.1:{free_port()}"
        for number, (each, roles) in enumerate(((made.relays[0], RELAY), (made.exits[0], EXIT))):
            made.known[number] = described(each, roles=roles, addresses=(dead, f"127.0.0.1:{each.port}"))
        await works(await made.open())
