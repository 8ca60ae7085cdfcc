"""Loads the sites' pages in a real browser on every way, in turn, and writes down what the observer saw."""

import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.corpus.arms import World, tap, world
from tools.corpus.browsers import BROWSERS, Load, LoadError
from tools.corpus.sites import Site, site

DECOY_HTML = 15_000
"""Bytes of a decoy's page."""


def record(out: Path, world: World, load: Load, wanted: dict[str, int], seconds: float) -> None:
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
                    # As many loads of each site, and on each way, in every arm.
                    number = have[name] % len(world.sites)
                    chosen, way = world.sites[number], world.arms[name][number % len(world.arms[name])]
                    url = f"https://{(world.decoys[0] if name == 'decoy' else chosen).origins[0]}/"
                    # Half of the visitors have been there before.
                    cookie = "".join(rng.choices("0123456789abcdef", k=int(rng.lognormvariate(5.5, 0.8))))
                    way.fresh()
                    try:
                        took = load(way, url, cookie if rng.random() < 0.5 else "")
                    except LoadError as error:
                        print(name, chosen.name, error, file=sys.stderr, flush=True)
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
    browser: str,
) -> None:
    """``seeds``: of the sites; ``decoys``: of the names of those that our peers stand before.

    ``browser``: what loads the pages, and what our links look like.
    """
    sites = [site(seed) for seed in seeds]
    fronts = [Site(site(seed).name, DECOY_HTML, (), 0, 0) for seed in decoys]
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        world(Path(name), sites, fronts, shaping, browser) as made,
        BROWSERS[browser](made.internet.inside("client"), made.names, Path(name)) as load,
    ):
        record(out, made, load, wanted, seconds)
