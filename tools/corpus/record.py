"""Loads the sites' pages in real Chromium on every way, in turn, and writes down what the observer saw."""

import contextlib
import json
import os
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from tools.corpus.arms import ADDRESSES, Way, World, tap, world
from tools.corpus.sites import Site, site

NICE = 15
DECOY_HTML = 15_000
"""Bytes of a decoy's page."""
AFTER_MILLISECONDS = 100
"""How long a loaded page is watched on: what its scripts ask for belongs to it."""


@contextlib.contextmanager
def chromium(inside: Sequence[str], decoys: Sequence[Site], folder: Path) -> Iterator[Browser]:
    """In the client's place; every name of a site leads to the sites', a decoy's to the peer.

    Of the one computer's cores it gets what the others leave, which elsewhere have cores of their own.
    """
    program = folder / "chromium-there"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(inside)} nice -n {NICE} chromium "$@"\n')
    program.chmod(0o700)
    rules = [
        *(f"MAP {name} {ADDRESSES['peer']}" for each in decoys for name in each.origins),
        f"MAP proxy.test {ADDRESSES['peer']}",
        f"MAP *.site.test {ADDRESSES['site']}",
    ]
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--ignore-certificate-errors",
        f"--host-rules={','.join(rules)}",
    ]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=arguments, env=dict(os.environ))
        try:
            yield made
        finally:
            made.close()


def load(browser: Browser, way: Way, url: str, cookie: str) -> float:
    """Seconds to the load event, nothing cached but ``cookie``, if any; raises ``Error`` of Playwright."""
    way.fresh()
    options = {"proxy": {"server": way.proxy}} if way.proxy else {}
    context = browser.new_context(**options, ignore_https_errors=True)  # type: ignore[arg-type]
    try:
        if cookie:
            context.add_cookies([{"name": "was", "value": cookie, "url": url}])
        page = context.new_page()
        began = time.monotonic()
        page.goto(url, wait_until="load", timeout=20_000)
        took = time.monotonic() - began
        page.wait_for_timeout(AFTER_MILLISECONDS)
        return took
    finally:
        context.close()


def record(out: Path, world: World, browser: Browser, wanted: dict[str, int], seconds: float) -> None:
    """Append a line to ``out`` for each load until every arm has its number of loads, or the time is up."""
    have: dict[str, int] = dict.fromkeys(wanted, 0)
    if out.exists():
        for line in out.read_text().splitlines():
            arm = json.loads(line)["arm"]
            have[arm] = have.get(arm, 0) + 1
    observer = tap(world.internet)
    assert observer.stdin is not None and observer.stdout is not None
    ends = time.monotonic() + seconds
    rng = random.Random()
    try:
        with out.open("a") as file:
            while (open_arms := [arm for arm in wanted if have[arm] < wanted[arm]]) and time.monotonic() < ends:
                rng.shuffle(open_arms)
                for name in open_arms:
                    way = rng.choice(world.arms[name])
                    # As many loads of each site on each way.
                    chosen = world.sites[have[name] % len(world.sites)]
                    url = f"https://{(world.decoys[0] if name == 'decoy' else chosen).origins[0]}/"
                    # Half of the visitors have been there before.
                    cookie = "".join(rng.choices("0123456789abcdef", k=int(rng.lognormvariate(5.5, 0.8))))
                    try:
                        took = load(browser, way, url, cookie if rng.random() < 0.5 else "")
                    except Error as error:
                        print(name, chosen.name, str(error).splitlines()[0], file=sys.stderr, flush=True)
                        took = -1.0
                    time.sleep(0.05)
                    observer.stdin.write("\n")
                    observer.stdin.flush()
                    flows = [flow for flow in json.loads(observer.stdout.readline()) if flow["server"] == way.server]
                    if took < 0 or not flows:
                        continue
                    row = {"arm": name, "site": chosen.name, "seconds": round(took, 4), "flows": flows}
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    have[name] += 1
    finally:
        observer.stdin.close()
        observer.wait(10)


def run(
    out: Path,
    seeds: Sequence[int],
    decoys: Sequence[int],
    wanted: dict[str, int],
    shaping: dict[str, bool],
    seconds: float,
) -> None:
    """``seeds``: of the sites; ``decoys``: of the names of those that our peers stand before."""
    sites = [site(seed) for seed in seeds]
    fronts = [Site(site(seed).name, DECOY_HTML, (), 0, 0) for seed in decoys]
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        world(Path(name), sites, fronts, shaping) as made,
        chromium(made.internet.inside("client"), fronts, Path(name)) as browser,
    ):
        record(out, made, browser, wanted, seconds)
