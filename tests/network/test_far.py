"""Peers that stand far apart: true TCP over an emulated internet of network namespaces."""

import subprocess
import time
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
    ours = min(far.measure("download", SIZE)["seconds"] for _ in range(2))
    assert ours <= plain / 0.8


def test_a_page_beside_a_download_takes_at_most_twice_as_long(far: Far) -> None:
    """Twenty streams of 10 KB at once are a page. What queues, queues on the wires."""
    pages = (10, 20, 10_000)
    idle = median(far.measure("pages", *pages))
    far.internet.traffic()
    with subprocess.Popen(far.load("download", 50_000_000), stdout=subprocess.DEVNULL) as download:
        time.sleep(2)
        busy = median(far.measure("pages", *pages))
        assert download.poll() is None, "the download was there all the time"
    assert busy <= 2.5 * idle  # alone on its computer 1.6 to 1.8
    queueing = [carried.wait(0.95) for (_, to), carried in far.internet.traffic().items() if to != "site"]
    assert sum(sorted(queueing)[-3:]) <= 0.15


def test_a_new_stream_costs_two_round_trips_of_the_route(far: Far) -> None:
    assert median(far.measure("first", 5)) <= 2 * 0.06 + 0.04
