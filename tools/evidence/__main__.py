"""``python3 tools/dev.py evidence [--short] [--json] [--only TEXT] [--write]``: the censor, played against us.

Exit code 0 only if every bound holds. The full form takes about 15 minutes on two cores.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tools.evidence import classifier, first_flight, hellos, latency, probes, replay, report, resumed, server_side
from tools.evidence.row import Row
from tools.evidence.setting import setting, versions

DOCUMENT = Path("docs/EVIDENCE.md")
DETECTORS = {
    "first hellos": hellos.rows,
    "resumed hellos": resumed.rows,
    "server side": server_side.rows,
    "probes": probes.rows,
    "replay": replay.rows,
    "first flight": first_flight.rows,
    "latency": latency.rows,
    "classifier": classifier.rows,
}
"""Name → what gives its rows, given a setting, where to say how far it is, and ``short``. In the table's order."""


def main(arguments: list[str]) -> int:
    """Play; returns 0 if every bound holds."""
    options = _options(arguments)
    names = [name for name in DETECTORS if options.only.lower() in name]
    if not names:
        print(f"no detector is called so; there are: {', '.join(DETECTORS)}", file=sys.stderr)
        return 2
    found: dict[str, list[Row]] = {name: [] for name in names}

    def say(text: str) -> None:
        print(f"… {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder, setting(Path(folder)) as place:
        for name in names:
            for row in DETECTORS[name](place, say, short=options.short):
                found[name].append(row)
                if not options.json:
                    print(report.as_text(row), flush=True)
            if options.write:
                _write({name: report.as_section(name, found[name], versions(), short=options.short)})
    rows = [row for each in found.values() for row in each]
    if options.json:
        print(report.as_json(rows, versions(), short=options.short), end="")
    missed = [row for row in rows if row.held is False]
    bounded = sum(row.held is not None for row in rows)
    print(f"{bounded - len(missed)} of {bounded} bounds hold.", file=sys.stderr)
    return 1 if missed else 0


def _write(sections: dict[str, str]) -> None:
    """At once, so that a long run that is broken off leaves what it has found."""
    before = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    DOCUMENT.write_text(report.as_document(before, sections, list(DETECTORS)))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("evidence", description="The censor, played against the transport.")
    parser.add_argument("--short", action="store_true", help="few tries and wide bounds, under a minute, for CI")
    parser.add_argument("--json", action="store_true", help="the rows as JSON on standard output")
    parser.add_argument("--only", default="", metavar="TEXT", help="only detectors with TEXT in their name")
    parser.add_argument("--write", action="store_true", help=f"write what was played into {DOCUMENT}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
