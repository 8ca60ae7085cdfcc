"""``python -m tools.simulate [--small]``: measures the imagined mesh, prints tables, writes docs/SIMULATION.md."""

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tools.simulate.directory_bytes import costs
from tools.simulate.gossip_rounds import agreements
from tools.simulate.load_balance import balances
from tools.simulate.population import relays
from tools.simulate.repair import repairs
from tools.simulate.report import plot, text

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main(arguments: Sequence[str]) -> int:
    """Run every simulation with one seed, so that two runs agree."""
    parser = argparse.ArgumentParser("simulate", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a minute instead of several; writes nothing")
    options = parser.parse_args(arguments)
    rng = random.Random(20261125)
    small = options.small
    found: dict[str, list[Any]] = {
        "directory": list(costs((100, 1000) if small else (100, 1000, 10_000, 100_000), rng)),
        "gossip": list(
            agreements(
                (2, 4, 8) if small else (2, 3, 5, 8, 16, 32),
                list(relays(100, rng, signed=True)),
                rng,
                3 if small else 5,
            )
        ),
        "load": list(balances((100, 1000) if small else (100, 1000, 10_000), 5 if small else 20, rng)),
        "repair": list(repairs((0.0, 0.1) if small else (0.0, 0.02, 0.05, 0.1, 0.2, 0.4), 50 if small else 200, rng)),
    }
    for name, rows in found.items():
        print(f"\n{name}")
        for row in rows:
            print("  " + ", ".join(f"{field.name} {_short(getattr(row, field.name))}" for field in fields(row)))
    if not small:
        (DOCS / "SIMULATION.md").write_text(text(found))
        plot(found, DOCS / "images" / "simulation.svg")
    return 0


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
