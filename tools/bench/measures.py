"""What is measured: a table of comparisons and of absolute figures, each with the bound that has to hold.

A comparison does the same work with ours and with another in the same round, and is judged by the median of the
rounds' ratios: the machine's mood is then in both.
"""

import json
import operator
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from tools.bench.subjects import Subject

MB, GB = 1_000_000, 1_000_000_000


class Bound(NamedTuple):
    """``sign``: how the figure has to stand to ``limit``; ``short``: the generous limit of the short form."""

    sign: str
    limit: float
    short: float

    def holds(self, value: float, *, short: bool = False) -> bool:
        """Whether ``value`` is within it."""
        compare = operator.ge if self.sign == "≥" else operator.le
        return bool(compare(value, self.short if short else self.limit))


class Done(NamedTuple):
    """What a work gave: the load's answer, and the CPU seconds of the subject's processes meanwhile."""

    answer: Any
    cpu: float


class Work(NamedTuple):
    """Arguments of ``tests.support.load``, and those of the short form."""

    full: tuple[int | str, ...]
    short: tuple[int | str, ...]

    def do(self, subject: Subject, site: int, *, short: bool) -> Done:
        """Do it once through ``subject`` towards the site at port ``site``."""
        host, port = subject.site or ("127.0.0.1", site)
        words = [str(word) for word in (subject.socks, host, port, *(self.short if short else self.full))]
        before = subject.cpu_seconds()
        command = [sys.executable, "-m", "tests.support.load", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(f"{subject.name}: {done.stderr}")
        return Done(json.loads(done.stdout), subject.cpu_seconds() - before)


class Figure(NamedTuple):
    """One figure of a work, and the bound of its ratio ours / theirs; None where it is only reported."""

    name: str
    unit: str
    of: Callable[[Done], float]
    bound: Bound | None = None


@dataclass(frozen=True)
class Comparison:
    """Ours against another, by one work in each round. ``table``: which table its rows belong to."""

    work: Work
    ours: str
    theirs: str
    figures: tuple[Figure, ...]
    table: str = "work"


@dataclass
class Result:
    """What came of one row. ``values``: by subject, one a round; ``figure``: what ``bound``, if any, is about."""

    name: str
    unit: str
    bound: Bound | None
    values: dict[str, list[float]] = field(default_factory=dict)
    table: str = "work"

    def holds(self, *, short: bool = False) -> bool | None:
        """Whether the figure is within its bound; None without one."""
        return None if self.bound is None else self.bound.holds(self.figure, short=short)

    @property
    def is_ratio(self) -> bool:
        """Whether the figure is ours / theirs."""
        return len(self.values) == 2

    @property
    def ratios(self) -> list[float]:
        """Of the rounds; the values themselves if there is nobody to compare with."""
        series = list(self.values.values())
        if not self.is_ratio:
            return series[0]
        return [ours / theirs for ours, theirs in zip(*series, strict=True)]

    @property
    def figure(self) -> float:
        """The median."""
        return median(self.ratios)


def _rate(done: Done) -> float:
    return float(done.answer["bytes"] / done.answer["seconds"] / MB)


def _cpu(done: Done) -> float:
    return float(done.cpu / done.answer["bytes"] * GB)


def _milliseconds(done: Done) -> float:
    return float(median(done.answer) * 1000)


def _per_second(done: Done) -> float:
    return float(done.answer["count"] / done.answer["seconds"])


DOWN = Work(("download", GB), ("download", 100 * MB))
UP = Work(("upload", GB), ("upload", 100 * MB))
PARALLEL = Work(("download", GB, 16), ("download", 100 * MB, 16))
DOWN_ONION = Work(("download", 200 * MB), ("download", 20 * MB))
FIRST = Work(("first", 60), ("first", 20))
CONNECTIONS = Work(("connections", 1000, 16), ("connections", 200, 16))
PAGES = Work(("pages", 30, 6, 20_000), ("pages", 5, 6, 20_000))

COMPARISONS = (
    Comparison(
        DOWN,
        "one",
        "shadowsocks",
        (
            Figure("1 GB download, one hop", "MB/s", _rate, Bound("≥", 1.5, 0.7)),
            Figure("CPU of client and exit, download", "s/GB", _cpu, Bound("≤", 1.0, 2.5)),
        ),
    ),
    Comparison(UP, "one", "shadowsocks", (Figure("1 GB upload, one hop", "MB/s", _rate, Bound("≥", 1.5, 0.5)),)),
    Comparison(
        PARALLEL,
        "one",
        "shadowsocks",
        (Figure("16 parallel downloads, one hop", "MB/s", _rate, Bound("≥", 1.3, 0.6)),),
    ),
    Comparison(
        DOWN_ONION, "three", "tor", (Figure("200 MB download, three hops", "MB/s", _rate, Bound("≥", 15.0, 5.0)),)
    ),
    Comparison(
        FIRST,
        "one",
        "shadowsocks",
        (Figure("first byte of a new stream, one hop", "ms", _milliseconds, Bound("≤", 1.5, 6.0)),),
    ),
    Comparison(
        FIRST,
        "browser",
        "shadowsocks",
        (
            Figure(
                "first byte of a new stream, one hop, as a browser opens it", "ms", _milliseconds, Bound("≤", 1.5, 6.0)
            ),
        ),
    ),
    Comparison(
        FIRST,
        "three",
        "tor",
        (Figure("first byte of a new stream, three hops", "ms", _milliseconds, Bound("≤", 0.15, 0.6)),),
    ),
    Comparison(
        CONNECTIONS,
        "one",
        "shadowsocks",
        (Figure("new connections, one hop", "1/s", _per_second, Bound("≥", 0.5, 0.1)),),
    ),
    Comparison(
        DOWN,
        "one",
        "microsocks",
        (Figure("1 GB download beside a proxy without encryption, the limit", "MB/s", _rate),),
    ),
    *(
        Comparison(work, "one", "unshaped", (figure,), "shaping")
        for work, figure in (
            (DOWN, Figure("1 GB download, shaped link", "MB/s", _rate)),
            (FIRST, Figure("first byte of a new stream, shaped link", "ms", _milliseconds)),
            (PAGES, Figure("six streams of 20 kB at once, shaped link", "ms", _milliseconds)),
        )
    ),
)
