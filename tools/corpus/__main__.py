"""Recordings of real browsing, direct and through tunnels: ``python -m tools.corpus VERB …``.

- ``record OUT [--loads N] [--arms NAME…] [--seconds S] [--browser NAME]``: load pages on every way, needs root and
  ``/dev/net/tun``; goes on where an earlier recording in OUT ended
- ``profile RECORDING… OUT [--browser NAME]``: a shaping profile from direct loads
- ``pack RECORDING… OUT``: what the classifiers look at, as ``docs/EVIDENCE.md`` reads it
- ``score CORPUS``: what they find
"""

import argparse
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qnet.wire.cover.appearance import APPEARANCES, CHROMIUM

SITES, TRAINING, DECOYS = range(630), range(10_000, 11_000), range(24_699, 24_717)
"""Seeds of the sites that are scored, of those that profiles are made of, and of the decoys: none is in two.

The decoys' names are as long as the sites': two of each of nine lengths, which are as good as equally frequent.
"""
ARMS = ("direct", "shaped", "unshaped", "shadowsocks", "tls-in-tls", "decoy")


def record(options: argparse.Namespace) -> None:
    """Record until every arm has its loads, or the time is up."""
    from tools.corpus.record import run

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that namespaces and processes end with this one
    seeds = TRAINING if options.training else SITES
    arms = ["direct"] if options.training else options.arms
    ours = {name: name == "shaped" for name in ("shaped", "unshaped") if name in arms}
    if "decoy" in arms and not ours:
        ours = {"shaped": True}  # whoever browses a decoy does so through its peer
    wanted = dict.fromkeys(arms, options.loads)
    run(options.out, seeds, DECOYS, wanted, ours, options.seconds, options.browser)


def profile(options: argparse.Namespace) -> None:
    """Write a profile."""
    from tools.corpus.profile import build

    packed = build(options.recordings, options.most, options.browser)
    options.out.write_bytes(packed)
    print(f"{options.out}: {len(packed)} bytes")


def trained(site: str) -> bool:
    """Whether profiles are made of this site's loads: direct ones of it show what mere other sites do to a score."""
    from tools.corpus.sites import DOMAIN

    found = re.search(rf"(\d{{5}})\.{re.escape(DOMAIN)}$", site)
    return found is not None and int(found[1]) in TRAINING


def pack(options: argparse.Namespace) -> None:
    """Write a corpus."""
    from tools.corpus.score import pack as packed
    from tools.corpus.score import read

    samples = (sample for path in options.recordings for sample in read(path))
    options.out.write_bytes(packed(replace(each, arm="others") if trained(each.site) else each for each in samples))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


def score(options: argparse.Namespace) -> None:
    """Print each arm's scores."""
    from tools.corpus.score import TASKS, by_arm, read
    from tools.corpus.score import score as scored

    arms = by_arm(read(options.corpus))
    for arm in (name for name in ARMS[1:] if name in arms):
        for task in TASKS:
            found = scored(arms["direct"], arms[arm], task)
            print(f"{arm:12} {task:14} {found}", flush=True)


def main(arguments: list[str]) -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser("python -m tools.corpus", description=__doc__)
    verbs = parser.add_subparsers(required=True)

    def verb(run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = verbs.add_parser(run.__name__, help=run.__doc__)
        made.set_defaults(run=run)
        return made

    recorder = verb(record)
    recorder.add_argument("out", type=Path)
    recorder.add_argument("--loads", type=int, default=600, help="of each arm")
    recorder.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    recorder.add_argument("--seconds", type=float, default=4 * 3600)
    recorder.add_argument("--browser", choices=APPEARANCES, default=CHROMIUM.family)
    recorder.add_argument("--training", action="store_true", help="direct loads of the sites that profiles are made of")
    for each in (profile, pack):
        made = verb(each)
        made.add_argument("recordings", nargs="+", type=Path)
        made.add_argument("out", type=Path)
        if each is profile:
            made.add_argument("--browser", choices=APPEARANCES, default=CHROMIUM.family)
            made.add_argument("--most", type=int, default=1000, help="visits kept")
    verb(score).add_argument("corpus", type=Path)
    options = parser.parse_args(arguments)
    options.run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
