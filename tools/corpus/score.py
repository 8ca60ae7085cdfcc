"""How well classifiers tell tunnels from direct loads, on recordings, always on sites they were not trained on.

Two tasks, after Xue et al. (USENIX Security 2024) and as a general baseline:

- *encapsulation*: 3-grams of sizes and directions, and bursts, of the first 25 packets after the handshake
- *boosted*: sizes, directions and gaps of the first 50 records after the handshake, gradient-boosted trees

A third, *whole flow*, is for comparing with browsing of the decoy itself: bytes each way, their ratio, duration.

What names the host rather than the tunnel is left out: the handshake, and what the server says before the client has
acknowledged its SETTINGS (tickets, SETTINGS), which on a tunnel's connection the decoy itself says.
"""

import json
import lzma
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction import FeatureHasher
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

PACKETS, RECORDS = 25, 50
ACK = 26
"""Body of the record with the client's SETTINGS ACK."""
FINEST = 1e-4
"""Seconds: shorter gaps count as this. On the way to an observer queues change packets' distances by more."""

FOLDS = 5
RESAMPLES = 300
_APPLICATION_DATA = 23

Event = tuple[float, int]


@dataclass(frozen=True)
class Sample:
    """One load: its main connection after the handshake, as (seconds since, ±bytes).

    ``whole``: of the whole connection the bytes up and down and the seconds; ``took``: seconds to the load event.
    """

    arm: str
    site: str
    packets: Sequence[Event]
    records: Sequence[Event]
    whole: Sequence[float]
    took: float


@dataclass(frozen=True)
class Score:
    """Area under the ROC curve, its 95 % interval by bootstrap over sites, and the loads of each kind."""

    auc: float
    low: float
    high: float
    direct: int
    tunnel: int

    def __str__(self) -> str:
        return f"{self.auc:.2f} [{self.low:.2f}–{self.high:.2f}] of {self.direct} and {self.tunnel} loads"


def read(path: Path) -> Iterator[Sample]:
    """The samples of a recording, or of a corpus that ``pack`` made of some."""
    packed = path.suffix == ".xz"
    text = lzma.decompress(path.read_bytes()).decode() if packed else path.read_text()
    for line in text.splitlines():
        row = json.loads(line)
        sample = Sample(**row) if packed else sample_of(row)
        if sample is not None:
            yield sample


def pack(samples: Iterable[Sample]) -> bytes:
    """What the classifiers look at, and no more: times to ten microseconds."""
    lines = []
    for sample in samples:
        packets = [(round(at, 5), size) for at, size in sample.packets[:PACKETS]]
        records = [(round(at, 5), size) for at, size in sample.records[:RECORDS]]
        row = asdict(replace(sample, packets=packets, records=records))
        lines.append(json.dumps(row, separators=(",", ":")))
    return lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)


def sample_of(row: dict[str, Any]) -> Sample | None:
    """What counts of a load; None where no connection fits."""
    # A site's second name has connections of its own; all else that was recorded is one peer's.
    wanted = f"www.{row['site']}"
    flows = [flow for flow in row["flows"] if row["arm"] != "direct" or flow["name"] == wanted]
    if not flows:
        return None
    flow = max(flows, key=lambda each: each["octets"])
    up = flow.get("up", 0)
    whole = (up, flow["octets"] - up, flow.get("lasted", 0.0))
    if not flow["records"]:
        events = [(at, size) for at, size in flow["packets"]]
        return Sample(row["arm"], row["site"], events, events, whole, row["seconds"])
    finished = next((at for at, size, kind in flow["records"] if kind == _APPLICATION_DATA and size > 0), None)
    if finished is None:
        return None
    settled = next((at for at, size, _ in flow["records"] if at > finished and size == ACK), finished)
    records = [(at, size) for at, size, _ in flow["records"]]
    packets = _after(flow["packets"], finished, settled)
    return Sample(row["arm"], row["site"], packets, _after(records, finished, settled), whole, row["seconds"])


def _after(events: Sequence[Event], finished: float, settled: float) -> list[Event]:
    """Without what came up to ``finished``, and down up to ``settled``."""
    return [(at - finished, size) for at, size in events if at > finished and (size > 0 or at > settled)]


def by_arm(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each arm."""
    arms: dict[str, list[Sample]] = {}
    for sample in samples:
        arms.setdefault(sample.arm, []).append(sample)
    return arms


# --- features


def boosted(samples: Sequence[Sample]) -> np.ndarray:
    """Sizes, directions and gaps of the first records."""
    table = np.full((len(samples), RECORDS * 2 + 4), np.nan)
    for row, sample in enumerate(samples):
        before = 0.0
        for column, (at, size) in enumerate(sample.records[:RECORDS]):
            table[row, column] = size
            table[row, RECORDS + column] = math.log10(max(at - before, FINEST))
            before = at
        first = sample.records[:RECORDS]
        ups = [size for _, size in first if size > 0]
        table[row, -4:] = (len(first), len(ups), sum(ups), sum(-size for _, size in first if size < 0))
    return table


def encapsulation(samples: Sequence[Sample]) -> np.ndarray:
    """Bags of 3-grams, and the first bursts."""
    hasher = FeatureHasher(256, input_type="string", alternate_sign=False)
    grams, bursts = [], np.zeros((len(samples), 24))
    for row, sample in enumerate(samples):
        sizes = [size for _, size in sample.packets[:PACKETS]]
        coarse = [_class(size) for size in sizes]
        grams.append([" ".join(coarse[at : at + 3]) for at in range(len(coarse) - 2)] or ["none"])
        run: list[tuple[int, int]] = []
        for size in sizes:
            if run and (size > 0) == (run[-1][0] > 0):
                run[-1] = (run[-1][0] + size, run[-1][1] + 1)
            else:
                run.append((size, 1))
        for column, (octets, count) in enumerate(run[:12]):
            bursts[row, 2 * column : 2 * column + 2] = octets, count
    return np.hstack([hasher.transform(grams).toarray(), bursts])


HELLO, ANSWER, FINISHED = (1500, 2600), (600, 8000), (60, 1000)
"""Bytes that a handshake of today's browsers inside a tunnel shows, up, down and up, with what is around them."""


def flagged(sample: Sample) -> bool:
    """Whether a simple rule sees a handshake inside: three bursts in a row, as DPI heuristics look for them."""
    run: list[int] = []
    for _, size in sample.records[:RECORDS]:
        if run and (size > 0) == (run[-1] > 0):
            run[-1] += size
        else:
            run.append(size)
    return any(
        HELLO[0] <= first <= HELLO[1] and ANSWER[0] <= -second <= ANSWER[1] and FINISHED[0] <= third <= FINISHED[1]
        for first, second, third in zip(run, run[1:], run[2:], strict=False)
    )


def _class(size: int) -> str:
    """A packet's direction and size, as coarse as keeps neighbours together."""
    return f"{'+' if size > 0 else '-'}{int(4 * math.log2(abs(size)))}"


def whole(samples: Sequence[Sample]) -> np.ndarray:
    """Of whole connections: bytes each way, their ratio, and how long they last."""
    table = np.array([sample.whole for sample in samples], dtype=float)
    return np.hstack([table, (table[:, :1] + 1) / (table[:, 1:2] + 1)])


TASKS: dict[str, tuple[Callable[[Sequence[Sample]], np.ndarray], Callable[[], Any]]] = {
    "encapsulation": (encapsulation, lambda: RandomForestClassifier(300, min_samples_leaf=2, random_state=1)),
    "boosted": (boosted, lambda: HistGradientBoostingClassifier(max_iter=200, learning_rate=0.08, random_state=1)),
    "whole flow": (whole, lambda: HistGradientBoostingClassifier(max_iter=100, random_state=1)),
}


def score(direct: Sequence[Sample], tunnel: Sequence[Sample], task: str) -> Score:
    """Train and test ``task`` in folds by site."""
    features, model = TASKS[task]
    samples = [*direct, *tunnel]
    table = features(samples)
    truth = np.array([0] * len(direct) + [1] * len(tunnel))
    sites = np.array([sample.site for sample in samples])
    said = np.zeros(len(samples))
    with threadpool_limits(1):  # threads that wait for each other spin, and take what others need
        for train, test in GroupKFold(FOLDS).split(table, truth, sites):
            said[test] = model().fit(table[train], truth[train]).predict_proba(table[test])[:, 1]
    rng = np.random.default_rng(1)
    places = {site: np.flatnonzero(sites == site) for site in np.unique(sites)}
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([places[site] for site in rng.choice(list(places), len(places))])
        if 0 < truth[chosen].sum() < len(chosen):
            drawn.append(roc_auc_score(truth[chosen], said[chosen]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Score(float(roc_auc_score(truth, said)), float(low), float(high), len(direct), len(tunnel))
