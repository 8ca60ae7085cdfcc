"""Proof that a peer holds its keys: a real handshake with a real peer before a real decoy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.mesh.exit_policy import ExitPolicy, parse_allowance
from qnet.roles.prover import Prover
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import NAME, authority
from tests.support.peers import disguise, hidden, peer
from tests.support.routes import local_relay
from tests.support.tls_servers import free_port, nginx

pytestmark = pytest.mark.anyio
OWN = bytes(32)


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("decoy")
    with nginx(folder, authority().issue(NAME)) as port:
        yield port


def prover(*allowed: str) -> Prover:
    policy = ExitPolicy(range(1, 65536), tuple(map(parse_allowance, allowed)))
    return Prover(policy, disguise(), Scratch(), OWN)


async def test_a_peer_with_its_keys_is_proven(decoy: int) -> None:
    async with peer(decoy) as made:
        assert await prover("127.0.0.1/32:*").prove(made.descriptor())


@pytest.mark.parametrize("key", ["noise", "cover", "cover_secret"])
async def test_a_peer_without_one_of_its_keys_is_not(decoy: int, key: str) -> None:
    async with peer(decoy) as made:
        assert not await prover("127.0.0.1/32:*").prove(made.descriptor(**{key: bytes(range(1, 33))}))


async def test_no_address_is_dialled_that_the_policy_forbids(decoy: int) -> None:
    async with peer(decoy) as made:
        assert not await prover().prove(made.descriptor())
        assert not await prover(f"127.0.0.1/32:{free_port()}").prove(made.descriptor())
        assert not made.made


async def test_a_peer_that_is_down_is_not_proven(decoy: int) -> None:
    async with peer(decoy) as made:
        gone = made.descriptor(addresses=(f"127.0.0.1:{free_port()}",))
        assert not await prover("127.0.0.1/32:*").prove(gone)


async def test_a_node_takes_its_own_word(decoy: int) -> None:
    async with peer(decoy) as made:
        assert await prover().prove(made.descriptor(identity=OWN))
        assert not made.made


async def test_a_hidden_relay_is_proven_through_the_one_that_it_is_reached_through(decoy: int) -> None:
    async with peer(decoy, relay=local_relay()) as public, hidden(public) as made:
        found = made.descriptor()
        assert await prover("127.0.0.1/32:*").prove(found, public.descriptor())
        assert not await prover("127.0.0.1/32:*").prove(found), "nobody knows where that one is"
        assert not await prover("127.0.0.1/32:*").prove(made.descriptor(noise=bytes(range(1, 33))), public.descriptor())


async def test_a_node_knows_itself_who_waits_at_it(decoy: int) -> None:
    relay = local_relay()
    async with peer(decoy, relay=relay) as public, hidden(public) as made:
        own = public.descriptor().identity
        proving = Prover(ExitPolicy(range(1, 65536)), disguise(), Scratch(), own, relay.reservations.has)
        assert await proving.prove(made.descriptor())
        stranger = public.descriptor(via=public.keys.peer_id, identity=bytes(32))
        assert not await proving.prove(stranger)
