"""Peers that stand far apart: true TCP over an emulated internet of network namespaces."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.support.far import Far, far_route
from tests.support.tun import Wire, available

pytestmark = pytest.mark.skipif(not available(), reason="needs root and /dev/net/tun")

RATE = 50e6 / 8
HOP = Wire(delay=0.01, rate=RATE, queue=400_000)
"""50 Mbit/s, and 20 ms there and back."""

SIZE = 10_000_000


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder: Path = tmp_path_factory.mktemp("far")
    with far_route(folder, HOP) as made:
        made.measure("first", 1)  # the route is built
        yield made


def test_the_emulated_internet_has_the_delay_and_the_rate_it_was_given(far: Far) -> None:
    direct = {"socks": 0, "host": far.internet.addresses["site"]}
    first = far.measure("first", 5, **direct)
    assert 2 * 0.06 <= median(first) <= 2 * 0.06 + 0.01  # TCP's round trip and the request's
    took = far.measure("download", SIZE, **direct)["seconds"]
    assert SIZE / RATE <= took <= 1.5 * SIZE / RATE


def test_three_far_hops_carry_nearly_what_plain_tcp_does(far: Far) -> None:
    plain = far.measure("download", SIZE, socks=0, host=far.internet.addresses["site"])["seconds"]
    ours = far.measure("download", SIZE)["seconds"]
    assert ours <= plain / 0.8


def test_a_new_stream_costs_two_round_trips_of_the_route(far: Far) -> None:
    assert median(far.measure("first", 5)) <= 2 * 0.06 + 0.04
