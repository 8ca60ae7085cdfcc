"""A client whose clock is wrong, at a peer in front of a real decoy."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qnet.net.client_link import Disguise, WrongClockError
from qnet.net.clock import Clock
from qnet.wire.cover.opening import UnprovenPeerError
from tests.support.cover_pair import NAME, authority
from tests.support.peers import disguise, peer
from tests.support.tls_servers import nginx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


def dressed(ahead: float) -> Disguise:
    """A client whose clock is ``ahead`` seconds ahead."""
    return replace(disguise(), clock=Clock(lambda: time.time() + ahead))


@pytest.mark.parametrize("ahead", [-36000, -150, 150, 7200])
async def test_a_wrong_clock_is_corrected_by_the_decoys_date(decoy: int, ahead: float) -> None:
    wears = dressed(ahead)
    async with peer(decoy) as made:
        link = await made.bare(wears)
        assert len(made.made) == 2, "the second connection met the peer"
        assert abs(wears.clock.now() - time.time()) < 3
        (await made.bare(wears)).close("enough")
        assert len(made.made) == 3, "the next one knows"
        link.close("enough")


async def test_a_clock_that_is_wrong_by_days_is_for_a_person_to_mend(decoy: int) -> None:
    wears = dressed(3 * 86400)
    async with peer(decoy) as made:
        with pytest.raises(WrongClockError):
            await made.bare(wears)
        assert len(made.made) == 1
        assert wears.clock.offset(made.keys.peer_id) == 0


@pytest.mark.parametrize(("ahead", "connections"), [(0, 1), (7200, 2)])
async def test_a_peer_that_does_not_know_us_is_believed_no_time(decoy: int, ahead: float, connections: int) -> None:
    wears = dressed(ahead)
    async with peer(decoy) as made:
        with pytest.raises(UnprovenPeerError):
            await made.bare(wears, cover_secret=bytes(32))
        assert len(made.made) == connections
        assert wears.clock.offset(made.keys.peer_id) == 0
