"""What shaping costs a link: the bytes of its script, and how much later the first page on a new link begins."""

import os
from collections.abc import Iterator
from statistics import median

from qnet.app.profile import load_profile
from qnet.wire.channel import RECORD_HEADER
from qnet.wire.script import SEED
from tools.bench.measures import Result, Work
from tools.bench.subjects import Subject

SCRIPTS = 500
NAME = 20
"""Bytes of a decoy's name in a request."""
ONCE = Work(("first", 1), ("first", 1))


def rows(shaped: Subject, unshaped: Subject, site: int, rounds: int) -> Iterator[Result]:
    """Of links that have just been made."""
    values: dict[str, list[float]] = {shaped.name: [], unshaped.name: []}
    for _ in range(4 * rounds):
        for subject in (shaped, unshaped):
            subject.nodes[0].let_go()
            values[subject.name].append(ONCE.do(subject, site, short=False).answer[0] * 1000)
    yield Result("first byte on a new link, link included", "ms", None, values, "shaping")
    profile = load_profile("chromium")
    made = [profile.script(os.urandom(SEED), NAME) for _ in range(SCRIPTS)]
    kilobytes = [sum(RECORD_HEADER + step.size for step in (*each.up, *each.down)) / 1000 for each in made]
    yield Result("records of a script, both ways", "kB", None, {shaped.name: [median(kilobytes)]}, "shaping")
