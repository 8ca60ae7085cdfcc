"""Active probing: each script against the decoy, against its twin as the control, and against the peer.

An outcome counts as a difference when the decoy never shows it, in up to ten tries of each, and the twin shows none
of its own in that script either. Closing times are compared by script: peer's median minus decoy's.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

from qnet.wire.tls.verify import ChainVerifier
from tools.evidence.probe import PATIENCE, Outcome, Probe, Script, Target
from tools.evidence.row import Row, Say, at_most, count, seen
from tools.evidence.scripts import table
from tools.evidence.setting import STACKS, Front, Setting

REPEATS = 2
FURTHER = 8
"""Tries of a script in which the first ones differed: under load a reset may overtake what came before it."""
WORKERS = {"nginx": 2, "s_server": 1, "GnuTLS": 1}
"""Probes of one server at a time; s_server takes one connection after the other."""
NGINX_PATIENCE = 4.0
"""Seconds: it gives up after one or two (see ``setting.PATIENCE``), on a busy machine later."""
SHORT_SCRIPTS = 40
MOST_LATE = 5.0
SHORT_SLACK = 8
"""How much wider the short form's bound is: a test runs beside others, and a peer is one more process to be run."""


@dataclass
class Series:
    """The outcomes of one script at one place, and when it closed (seconds)."""

    outcomes: list[Outcome] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)


@dataclass
class Compared:
    """One script at the decoy, its twin and the peer."""

    decoy: Series = field(default_factory=Series)
    twin: Series = field(default_factory=Series)
    peer: Series = field(default_factory=Series)

    @property
    def control_differs(self) -> bool:
        return not all(_is_among(each, self.decoy.outcomes) for each in self.twin.outcomes)

    @property
    def differs(self) -> bool:
        known = self.decoy.outcomes + self.twin.outcomes
        return not all(_is_among(each, known) for each in self.peer.outcomes)


def _is_among(outcome: Outcome, known: Sequence[Outcome]) -> bool:
    """Whether it is one of those; where the decoy itself takes now more bytes, now fewer before it refuses more (it
    closes by a clock of its own), whether it took as many as that, give or take as much as these differ."""
    taken = [each.accepted for each in known if each[:2] == outcome[:2]]
    if not taken:
        return False
    slack = max(taken) - min(taken)
    return min(taken) - slack <= outcome.accepted <= max(taken) + slack


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """Three decoys, all scripts; short: nginx alone, a sample of them."""
    chosen = table()
    if short:
        names = random.Random(3).sample(sorted(chosen), SHORT_SCRIPTS)
        chosen = {name: chosen[name] for name in names}
    fronts = [place.front(name) for name in (("nginx",) if short else STACKS)]
    with ThreadPoolExecutor(len(fronts)) as pool:
        done = list(pool.map(lambda front: compare(front, place, chosen, say), fronts))
    for front, found in zip(fronts, done, strict=True):
        yield from _judge(front, found, say, MOST_LATE * (SHORT_SLACK if short else 1))


def compare(front: Front, place: Setting, scripts: dict[str, Script], say: Say) -> dict[str, Compared]:
    """Every script at the three places side by side; those that differ again."""
    say(f"{len(scripts)} scripts against {front.name}, its twin and its peer")
    found = {name: Compared() for name in scripts}
    _round(front, place, scripts, found, REPEATS)
    again = {name: script for name, script in scripts.items() if found[name].differs or found[name].control_differs}
    if again:
        say(f"{front.name}: {len(again)} scripts once more")
        _round(front, place, again, found, FURTHER)
    return found


def _round(front: Front, place: Setting, scripts: dict[str, Script], found: dict[str, Compared], repeats: int) -> None:
    known = front.known
    verifier = ChainVerifier(place.anchors, time.time())
    patience = NGINX_PATIENCE if front.name == "nginx" else PATIENCE
    targets = {
        "decoy": Target(front.decoy, known, verifier, patience=patience),
        "twin": Target(front.twin, known, verifier, patience=patience),
        "peer": Target(front.public, known, verifier, is_peer=True, patience=patience),
    }
    lock = threading.Lock()

    def one(where: str, name: str) -> None:
        probe = Probe(targets[where])
        outcome = probe.run(scripts[name])
        with lock:
            series = getattr(found[name], where)
            series.outcomes.append(outcome)
            if probe.closed is not None:
                series.closed.append(probe.closed)

    pools = {where: ThreadPoolExecutor(WORKERS[front.name]) for where in targets}
    try:
        waiting = [
            pools[where].submit(one, where, name) for _ in range(repeats) for name in scripts for where in targets
        ]
        for each in waiting:
            each.result()
    finally:
        for pool in pools.values():
            pool.shutdown()


def _judge(front: Front, found: dict[str, Compared], say: Say, most_late: float) -> Iterator[Row]:
    tries = len(found)
    different = [name for name, each in found.items() if each.differs and not each.control_differs]
    control = sum(each.control_differs for each in found.values())
    for name in different:
        strange = set(found[name].peer.outcomes) - set(found[name].decoy.outcomes)
        say(f"{front.name}: {name}: peer {strange}, decoy {set(found[name].decoy.outcomes)}")
    yield count(f"probing {front.name}: differences beyond the control's", len(different), tries)
    yield Row(f"probing {front.name}: differences of the control", str(control), "", tries, None)
    kinds = len({each.decoy.outcomes[0] for each in found.values()})
    yield seen(f"probing {front.name}: different outcomes of all scripts", str(kinds), tries, kinds >= tries // 4)
    later = [
        (median(each.peer.closed) - median(each.decoy.closed)) * 1000
        for each in found.values()
        if each.peer.closed and each.decoy.closed
    ]
    yield at_most(f"probing {front.name}: closes later than the decoy, median", later, most_late)
