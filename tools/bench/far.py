"""Over distances: an emulated internet of network namespaces, in which TCP is real from end to end."""

import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.far import SITE_PORT, far_route
from tests.support.tun import Wire
from tools.bench.measures import Bound, Result
from tools.bench.tor import tor_network

LONG = Wire(delay=0.05, rate=200e6 / 8, queue=2_500_000)
"""100 ms there and back, 200 Mbit/s, a queue of one bandwidth-delay product."""

HOP = Wire(delay=0.01, rate=100e6 / 8, queue=1_250_000)
"""20 ms there and back."""

SIZE = 100_000_000
RESOURCES = 60


def long_path(rounds: int) -> Result:
    """One stream through one hop beside plain TCP, over the same long fat path."""
    result = Result(
        "one stream over 100 ms and 200 Mbit/s", "Mbit/s", Bound("≥", 0.9, 0.6), {"QNet, 1 hop": [], "plain TCP": []}
    )
    with tempfile.TemporaryDirectory() as name, far_route(Path(name), LONG, hops=1) as far:
        far.measure("first", 1)
        for _ in range(rounds):
            ours = far.measure("download", SIZE)
            plain = far.measure("download", SIZE, socks=0, host=far.internet.addresses["site"])
            for subject, done in zip(result.values, (ours, plain), strict=True):
                result.values[subject].append(SIZE * 8 / done["seconds"] / 1e6)
    return result


def page(rounds: int) -> Result:
    """A page of 60 resources in real Chromium through three far hops, beside Tor over the same distances."""
    result = Result("page of 60 resources, three far hops", "ms", Bound("≤", 0.5, 1.0), {"QNet, 3 hops": [], "Tor": []})
    with tempfile.TemporaryDirectory() as name, far_route(Path(name) / "qnet", HOP) as far:
        net = far.internet
        places = [place for place in net.addresses if place.startswith("peer")]
        relays = {place: (net.addresses[place], net.inside(place)) for place in places}
        (Path(name) / "tor").mkdir()
        site = net.addresses["site"]
        url = f"http://{site}:{SITE_PORT}/page/{RESOURCES}"
        with (
            tor_network(Path(name) / "tor", relays, net.inside("client")) as (tor, _),
            browser(net.inside("client"), Path(name)) as chromium,
        ):
            proxies = dict(zip(result.values, (far.client.socks_port, tor), strict=True))
            for number in range(rounds + 1):
                for subject, port in proxies.items():
                    took = load(chromium, url, port)
                    if number:  # the first builds circuits
                        result.values[subject].append(took)
    return result


@contextmanager
def browser(inside: Sequence[str], folder: Path) -> Iterator[Browser]:
    """Chromium in another network namespace."""
    program = folder / "chromium-there"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(inside)} chromium "$@"\n')
    program.chmod(0o700)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        made = playwright.chromium.launch(
            executable_path=program, args=arguments, proxy={"server": "per-context"}, env=dict(os.environ)
        )
        try:
            yield made
        finally:
            made.close()


def load(chromium: Browser, url: str, socks: int) -> float:
    """Milliseconds from asking for ``url`` to its load event, with nothing cached."""
    context = chromium.new_context(proxy={"server": f"socks5://127.0.0.1:{socks}"})
    try:
        opened = context.new_page()
        opened.goto(url, wait_until="load", timeout=60_000)
        if (shown := opened.locator("img").count()) != RESOURCES:
            raise RuntimeError(f"{shown} resources")
        return float(opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventStart"))
    finally:
        context.close()
