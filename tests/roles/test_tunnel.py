"""The client's tunnel against real peers in front of a real decoy: states in order, back-off, demand, loss, rest."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.net.stream import StreamSocket
from qnet.roles import circuits as circuits_module
from qnet.roles import tunnel as tunnel_module
from qnet.roles.peer_book import PeerBook
from qnet.roles.tunnel import NoTunnelError, Tunnel
from qnet.wire.descriptor import Descriptor, sign
from qnet.wire.errors import Place
from qnet.wire.messages import State
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import NAME, authority
from tests.support.links import attach, silent_listener, site, until
from tests.support.peers import disguise, gone, peer
from tests.support.tls_servers import nginx

pytestmark = pytest.mark.anyio
OFFLINE, CONNECTING, CONNECTED = State.OFFLINE, State.CONNECTING, State.CONNECTED


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


class Run:
    """A running tunnel; ``states`` in the order in which they were seen."""

    def __init__(self, *known: Descriptor) -> None:
        self.known = list(known)
        self.states: list[State] = []
        self.errors: list[str] = []
        self.attempts: list[float] = []
        self.tunnel = Tunnel(self.peers, disguise(), Scratch(), self.changed)

    def peers(self, now: float) -> list[Descriptor]:
        self.attempts.append(time.monotonic())
        return self.known

    def changed(self) -> None:
        view = self.tunnel.view()
        if self.states[-1:] != [view.state]:
            self.states.append(view.state)
        if view.last_error is not None and self.errors[-1:] != [view.last_error.code]:
            self.errors.append(view.last_error.code)

    async def state(self, state: State, seconds: float = 5) -> None:
        await until(lambda: self.tunnel.view().state is state, seconds)


@asynccontextmanager
async def running(*known: Descriptor) -> AsyncIterator[Run]:
    run = Run(*known)
    task = asyncio.create_task(run.tunnel.run())
    await until(lambda: run.states)
    try:
        yield run
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    await reader.read()


async def echo_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)


async def works(stream: StreamSocket) -> None:
    assert await stream.opened is None
    reader, writer = await attach(stream)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_a_lease_builds_it_and_the_last_release_ends_it(decoy: int) -> None:
    async with peer(decoy) as made, running(made.descriptor()) as run:
        await until(lambda: run.tunnel.view().peers == 1)
        assert run.tunnel.view().state is OFFLINE
        run.tunnel.lease("browser")
        run.tunnel.lease("another")
        await run.state(CONNECTED)
        view = run.tunnel.view()
        assert (view.peers, view.leases, view.attempts, view.last_error) == (1, 2, 0, None)
        assert [(hop.nickname, hop.country, hop.exit) for hop in view.hops] == [("tulip", "NL", True)]
        run.tunnel.release("browser")
        run.tunnel.release("browser")
        await asyncio.sleep(0.05)
        assert run.tunnel.view().state is CONNECTED
        run.tunnel.release("another")
        await run.state(OFFLINE)
        assert run.tunnel.view().hops == [] and run.states == [OFFLINE, CONNECTING, CONNECTED, OFFLINE]
        await until(lambda: gone(made.made[0].decoy))


async def test_no_peer_is_offline_with_a_reason_and_one_that_is_joined_later_is_found(decoy: int) -> None:
    async with peer(decoy) as made, running() as run:
        run.tunnel.lease("browser")
        await until(lambda: run.tunnel.view().last_error)
        view = run.tunnel.view()
        assert view.state is OFFLINE and view.last_error is not None
        assert (view.last_error.code, view.last_error.place, view.peers) == ("no-peers", Place.HOST, 0)
        run.known.append(made.descriptor())
        await run.state(CONNECTED)
        assert run.tunnel.view().last_error is None


async def test_peers_that_are_no_exit_or_have_expired_do_not_count(decoy: int) -> None:
    async with peer(decoy) as made:
        known = [made.descriptor(roles=("entry",)), made.descriptor(expires=int(time.time()) - 1)]
        async with running(*known) as run:
            with pytest.raises(NoTunnelError):
                await run.tunnel.open("site.test", 80)
            assert run.tunnel.view().peers == 0 and run.errors == ["no-peers"]


async def test_an_unreachable_peer_is_tried_again_after_growing_pauses(decoy: int, dead: str) -> None:
    async with peer(decoy) as made, running(made.descriptor(addresses=(dead,))) as run:
        run.tunnel.lease("browser")
        await until(lambda: len(run.attempts) >= 5)
        error = run.tunnel.view().last_error
        assert error is not None and (error.code, error.place) == ("peer-unreachable", Place.LOCAL_NETWORK)
        pauses = [b - a for a, b in zip(run.attempts[1:], run.attempts[2:], strict=False)]
        assert 0.2 < pauses[0] < 0.8 and pauses[-1] > 0.9
        assert run.states == [OFFLINE, CONNECTING]
        run.tunnel.release("browser")
        assert run.tunnel.view().state is OFFLINE


async def test_another_country_is_gone_to_at_once_and_one_without_exits_is_said(decoy: int) -> None:
    async with peer(decoy) as one, peer(decoy) as two:
        exits = one.descriptor(country="NL"), two.descriptor(country="DE")
        async with running(*exits) as run:
            for country in ("DE", "NL", "DE"):
                run.tunnel.choose(1, country)
                run.tunnel.lease("browser")
                await until(lambda: [hop.country for hop in run.tunnel.view().hops] == [country])  # noqa: B023
            run.tunnel.choose(1, "FR")
            await until(lambda: "no-exit-there" in run.errors)
            assert run.tunnel.view().hops == []
            run.tunnel.choose(1, "")
            await run.state(CONNECTED)
            assert run.errors == ["no-exit-there"]


async def test_a_person_who_asks_again_does_not_wait(decoy: int, dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_module, "backoff", lambda attempt, rng: 60.0)
    async with peer(decoy) as made, running(made.descriptor(addresses=(dead,))) as run:
        run.tunnel.lease("browser")
        await until(lambda: run.errors)
        run.known[:] = [made.descriptor()]
        run.tunnel.lease("browser")
        await run.state(CONNECTED)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cover_secret": bytes(32)}, "peer-unproven"),
        ({"decoy": "other.test"}, "certificate"),
        ({"addresses": ("a..b:443",)}, "peer-unreachable"),
        ({"addresses": ("x" * 70 + ":443",)}, "peer-unusable"),
        ({"decoy": "näme.test"}, "peer-unusable"),
        ({"noise": b"\x09" + bytes(31)}, "peer-failed"),
    ],
    ids=["secret", "name", "empty label", "long label", "no host name", "static key"],
)
async def test_every_failure_has_its_reason_and_ends_nothing(decoy: int, changes: dict[str, object], code: str) -> None:
    async with peer(decoy) as made, running(made.descriptor(**changes)) as run:
        run.tunnel.lease("browser")
        await until(lambda: run.errors)
        assert run.errors[0] == code or (code == "peer-unreachable" and run.errors[0] == "peer-unusable")
        run.known[:] = [made.descriptor()]
        await run.state(CONNECTED)


async def test_one_dead_peer_of_several(decoy: int, dead: str) -> None:
    async with peer(decoy) as made:
        bad = [made.descriptor(identity=bytes([number]) * 32, addresses=(dead,)) for number in range(5)]
        async with running(*bad, made.descriptor()) as run:
            began = time.monotonic()
            run.tunnel.lease("browser")
            await run.state(CONNECTED)
            assert time.monotonic() - began < 1
            assert run.tunnel.view().peers == 6


async def test_a_program_alone_brings_it_up_and_idleness_ends_it(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 0.6)
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        stream = await run.tunnel.open("127.0.0.1", port)
        assert await stream.opened is None
        reader, writer = await attach(stream)
        await asyncio.sleep(1)
        assert run.tunnel.view().state is CONNECTED, "an open stream is a use"
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await run.state(OFFLINE)
        assert run.states == [OFFLINE, CONNECTING, CONNECTED, OFFLINE]
        assert run.tunnel.view().traffic.up == run.tunnel.view().traffic.down == 5, "sums survive the link"
        await works(await run.tunnel.open("127.0.0.1", port))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks after circuits twice a second; a stream that is silent for half a second stands still."""
    monkeypatch.setattr(tunnel_module, "IDLE_SECONDS", 6.0)
    monkeypatch.setattr(circuits_module, "STILL_SECONDS", 0.5)


@pytest.mark.usefixtures("quick")
async def test_a_download_goes_on_after_the_last_release_and_what_is_only_kept_ends(decoy: int) -> None:
    async with site(echo_all) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await run.state(CONNECTED)
        reader, writer = await attach(await run.tunnel.open("127.0.0.1", port, lasting=False))
        await asyncio.sleep(1.2)
        run.tunnel.release("browser")
        for _ in range(10):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.sleep(0.2)
        assert run.tunnel.view().state is CONNECTED
        await run.state(OFFLINE, 3)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await until(lambda: gone(made.made[0].client))
        assert run.states == [OFFLINE, CONNECTING, CONNECTED, OFFLINE]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("lasting", "lost"), [(True, False), (False, True)], ids=["a program's", "went away"])
async def test_a_silent_stream_stays_if_it_is_a_programs_or_the_browser_only_went_away(
    decoy: int, lasting: bool, lost: bool
) -> None:
    """An extension's background that the browser ended is back within half a minute."""
    async with site(echo_all) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await run.state(CONNECTED)
        reader, writer = await attach(await run.tunnel.open("127.0.0.1", port, lasting=lasting))
        run.tunnel.release("browser", lost=lost)
        await asyncio.sleep(2)
        for word in (b"x", b"y"):
            writer.write(word)
            assert await reader.readexactly(1) == word
            run.tunnel.lease("browser again")
        assert len(made.made) == 1
        writer.close()


@pytest.mark.usefixtures("quick")
async def test_what_a_browser_asks_for_after_that_is_carried_and_not_kept(decoy: int) -> None:
    """Connections that it began before; no script leads there any more."""
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await run.state(CONNECTED)
        run.tunnel.release("browser")
        assert run.tunnel.view().state is OFFLINE
        await works(await run.tunnel.open("127.0.0.1", port, lasting=False))
        await run.state(OFFLINE, 3)


async def test_who_comes_next_has_a_link_of_its_own_unless_the_former_is_in_use(decoy: int) -> None:
    """It may be another browser, and a link looks like the one for which it was made."""
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        run.tunnel.lease("Chromium")
        await run.state(CONNECTED)
        _, writer = await attach(await run.tunnel.open("127.0.0.1", port, lasting=False))
        run.tunnel.release("Chromium")
        run.tunnel.lease("Firefox")
        assert run.tunnel.view().state is CONNECTED
        run.tunnel.release("Firefox")
        writer.close()
        await until(lambda: run.tunnel.view().streams == 0)
        run.tunnel.lease("Firefox")
        assert run.tunnel.view().state is CONNECTING
        await run.state(CONNECTED)
        assert len(made.made) == 2 and run.tunnel.view().attempts == 0


async def test_a_browser_takes_no_link_that_a_program_has_left(decoy: int) -> None:
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        await works(await run.tunnel.open("127.0.0.1", port))
        await until(lambda: run.tunnel.view().streams == 0)
        run.tunnel.lease("browser")
        await until(lambda: len(made.made) == 2 and run.tunnel.view().state is CONNECTED)
        assert gone(made.made[0].client)


async def test_many_programs_share_one_attempt(decoy: int) -> None:
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        streams = await asyncio.gather(*(run.tunnel.open("127.0.0.1", port) for _ in range(20)))
        await asyncio.gather(*map(works, streams))
        assert len(made.made) == 1


async def test_a_program_without_a_tunnel_is_told_in_time(
    decoy: int, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_module, "DEMAND_SECONDS", 0.3)
    async with peer(decoy) as made, running(made.descriptor(addresses=(dead,))) as run:
        with pytest.raises(NoTunnelError):
            await run.tunnel.open("site.test", 80)
        await run.state(OFFLINE)
        with silent_listener() as port:
            run.known[:] = [made.descriptor(addresses=(f"127.0.0.1:{port}",))]
            began = time.monotonic()
            with pytest.raises(NoTunnelError):
                await run.tunnel.open("site.test", 80)
            assert time.monotonic() - began < 1


async def test_a_lost_link_is_replaced_within_two_seconds(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await run.state(CONNECTED)
        for _ in range(2):
            connection = made.made[-1]
            await until(lambda connection=connection: connection._link)
            began = time.monotonic()
            assert connection._link is not None
            connection._link._transport.abort()
            await until(lambda: run.tunnel.view().state is CONNECTING)
            await run.state(CONNECTED, 2)
            assert time.monotonic() - began < 2
            await works(await run.tunnel.open("127.0.0.1", port))
        assert run.tunnel.view().attempts == 2
        assert run.states == [OFFLINE, CONNECTING, CONNECTED, CONNECTING, CONNECTED, CONNECTING, CONNECTED]


async def test_a_stream_that_is_asked_for_at_the_moment_of_loss(decoy: int) -> None:
    """It must neither hang on the dead link nor be forgotten when the loss is dealt with."""
    async with site(echo) as port, peer(decoy, exit_port=port) as made, running(made.descriptor()) as run:
        await works(await run.tunnel.open("127.0.0.1", port))
        run.tunnel._circuits.routes[0].circuit.link.close("lost")
        async with asyncio.timeout(3):
            await works(await run.tunnel.open("127.0.0.1", port))


async def test_a_peer_that_closes_at_once_is_not_called_without_pause(decoy: int) -> None:
    async with peer(decoy) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        async with asyncio.timeout(5):
            for _ in range(150):
                for connection in made.made:
                    if connection._link is not None and not connection._link.closed:
                        connection._link.close("go away")
                await asyncio.sleep(0.01)
        assert 2 <= len(made.made) <= 5
        assert "peer-failed" in run.errors


async def test_a_release_during_the_attempt_leaves_it_offline(decoy: int) -> None:
    async with peer(decoy, quiet_after=10**6) as made, running(made.descriptor()) as run:
        run.tunnel.lease("browser")
        await until(lambda: made.made)
        run.tunnel.release("browser")
        assert run.tunnel.view().state is OFFLINE
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))
        assert run.states == [OFFLINE, CONNECTING, OFFLINE]


async def test_the_end_of_the_helper_resets_what_is_open(decoy: int) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await reader.read()

    async with site(half) as port, peer(decoy, exit_port=port) as made:
        async with running(made.descriptor()) as run:
            reader, writer = await attach(await run.tunnel.open("127.0.0.1", port))
            assert await reader.readexactly(4) == b"half"
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_nothing_blocks_the_loop(decoy: int, tmp_path: Path) -> None:
    async with site(echo) as port, peer(decoy, exit_port=port) as made:
        identity = Ed25519PrivateKey.generate()
        (tmp_path / "peers").mkdir()
        for number in range(3):
            known = made.descriptor(identity=identity.public_key().public_bytes_raw())
            (tmp_path / "peers" / f"{number}.qnet").write_bytes(sign(known, identity))
        tunnel = Tunnel(PeerBook(tmp_path / "peers").peers, disguise(), Scratch(), lambda: None)
        blocker = BlockBuster()
        blocker.activate()
        try:
            task = asyncio.create_task(tunnel.run())
            tunnel.lease("browser")
            await until(lambda: tunnel.view().last_error)
            assert tunnel.view().peers == 3, "the identity differs from the peer's, but the book was read"
            blocked = [each for each in (task,) if each.done()]
            assert blocked == []
            task.cancel()
        finally:
            blocker.deactivate()
        with suppress(asyncio.CancelledError):
            await task
