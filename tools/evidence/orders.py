"""Whether two samples of shuffles come from one shuffle.

Where each extension stands is a k × k table of counts. For uniform shuffles the statistic

    (k − 1) · n₁n₂ / (n₁ + n₂) · Σ (p₁ − p₂)²        (p: shares of a cell in the two samples)

is chi-square with (k − 1)² degrees of freedom: a shuffle's row and column sums are fixed, so cells are not independent,
and the plain statistic would be too small by (k − 1) / k. Who stands next to whom is a second table; its cells depend
on each other in other ways, so its p comes from 499 relabellings of the pooled samples (at least 0.002).

Limits: with 1,000 of each the first sees a naive Fisher-Yates (every position swapped with any) and pairs kept
together; dependencies of three or more extensions that leave pairs alone are beyond both.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, chi2_contingency

RELABELLINGS = 499


def _tables(orders: NDArray[np.int64], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One row a shuffle: its k² position cells, its k² neighbour cells."""
    n = len(orders)
    positions, neighbours = np.zeros((n, k, k)), np.zeros((n, k, k))
    rows = np.arange(n)[:, None]
    positions[rows, orders, np.arange(k)] = 1
    neighbours[rows, orders[:, :-1], orders[:, 1:]] = 1
    return positions.reshape(n, -1), neighbours.reshape(n, -1)


def compare(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]], seed: int = 1) -> tuple[float, float]:
    """p of the positions and p of the neighbours; each order is a permutation of the same values."""
    kinds = sorted(theirs[0])
    if any(sorted(order) != kinds for order in (*ours, *theirs)):
        return 0.0, 0.0
    k, n1, n2 = len(kinds), len(ours), len(theirs)
    index = {kind: at for at, kind in enumerate(kinds)}
    pooled = np.array([[index[kind] for kind in order] for order in (*ours, *theirs)])
    positions, neighbours = _tables(pooled, k)
    scale = (k - 1) * n1 * n2 / (n1 + n2)
    statistic = scale * float(((positions[:n1].mean(0) - positions[n1:].mean(0)) ** 2).sum())
    return float(chi2.sf(statistic, (k - 1) ** 2)), _relabelled(neighbours, n1, seed)


def _relabelled(cells: NDArray[np.float64], n1: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    total, n = cells.sum(0), len(cells)

    def distance(chosen: NDArray[np.int64]) -> float:
        first = cells[chosen].sum(0)
        return float(((first / n1 - (total - first) / (n - n1)) ** 2).sum())

    found = distance(np.arange(n1))
    beyond = sum(distance(generator.permutation(n)[:n1]) >= found for _ in range(RELABELLINGS))
    return (1 + beyond) / (1 + RELABELLINGS)


def same_choice(ours: Sequence[object], theirs: Sequence[object]) -> float:
    """p that two samples of drawn values come from one distribution (chi-square)."""
    kinds = sorted({repr(value) for value in (*ours, *theirs)})
    if len(kinds) == 1:
        return 1.0
    counts = [[sum(repr(value) == kind for value in sample) for kind in kinds] for sample in (ours, theirs)]
    return float(chi2_contingency(counts).pvalue)
