"""What a detector has to say: one row of the table."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """``figure`` and ``bound`` are text; ``tries``: of how many; ``held``: None where nothing is bounded."""

    detector: str
    figure: str
    bound: str
    tries: int
    held: bool | None


def count(detector: str, found: int, tries: int) -> Row:
    """A row of which none may be found."""
    return Row(detector, str(found), "0", tries, found == 0)


def seen(detector: str, figure: str, tries: int, visible: bool) -> Row:
    """A control: what the detector is known to see, it has to see; a blind one proves nothing."""
    return Row(detector, figure, "seen (control)", tries, visible)


def at_most(detector: str, values: Sequence[float], most: float, unit: str = "ms") -> Row:
    """A row about a median; ``values`` are in ``unit``."""
    middle = median(values)
    return Row(detector, f"{middle:.2f} {unit}", f"≤ {most:g} {unit}", len(values), middle <= most)


Say = Callable[[str], None]
"""Told what is going on."""
