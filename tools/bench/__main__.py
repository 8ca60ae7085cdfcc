"""``python3 tools/dev.py bench [--peers] [--short] [--rounds N] [--only TEXT] [--write]``: how fast, and beside whom.

Everything runs on this computer, over loopback, one work after the other; in each round every subject does the same
work. Exit code 0 only if every bound holds. Results go to ``build/bench``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.tls_servers import free_port
from tools.bench import far, own, report, shaping, workers
from tools.bench.measures import COMPARISONS, Comparison, Result
from tools.bench.subjects import Subject, as_browser, microsocks, missing, qnet, shadowsocks, tor

FOLDER = Path("build/bench")
PROGRAMS = ("microsocks", "ss-server", "tor")


def main(arguments: list[str]) -> int:
    """Measure; returns 0 if every bound holds."""
    options = _options(arguments)
    if lacking := missing(PROGRAMS):
        print(f"not installed: {', '.join(lacking)}", file=sys.stderr)
        return 69
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        site = stack.enter_context(source())
        subjects = {
            "one": stack.enter_context(qnet(Path(name) / "one", site, 1)),
            "three": stack.enter_context(qnet(Path(name) / "three", site, 3)),
            "unshaped": stack.enter_context(qnet(Path(name) / "unshaped", site, 1, shaping=False)),
        }
        subjects["browser"] = as_browser(subjects["one"])
        if options.peers:
            print("Tor takes about a minute to start …", flush=True)
            subjects["microsocks"] = stack.enter_context(microsocks())
            subjects["shadowsocks"] = stack.enter_context(shadowsocks())
            subjects["tor"] = stack.enter_context(tor(Path(name) / "tor"))
        wanted = options.only.lower()
        for comparison in COMPARISONS if options.peers else ():
            if wanted in " ".join(figure.name for figure in comparison.figures).lower():
                for result in compare(comparison, subjects, site, options):
                    _tell(results, result, options)
        if options.peers and not options.short and wanted in "one stream over 100 ms and 200 mbit/s":
            _tell(results, far.long_path(options.rounds), options)
        if options.peers and not options.short and wanted in "page of 60 resources, three far hops":
            _tell(results, far.page(options.rounds), options)
        for result in own.rows(subjects, Path(name), site, options.rounds, wanted):
            _tell(results, result, options)
        for result in shaping.rows(subjects["one"], subjects["unshaped"], site, options.rounds):
            if wanted in result.name.lower():
                _tell(results, result, options)
        if not options.short and wanted in workers.NAME.lower():
            if workers.can_hold():
                _tell(results, workers.result(Path(name), site, options.rounds), options)
            else:
                print("the row about workers needs control groups that we may make", file=sys.stderr)
    report.write(FOLDER, results, short=options.short)
    if options.write:
        report.document(results)
    held = [result.holds(short=options.short) for result in results]
    print(f"{held.count(True)} of {len(held) - held.count(None)} bounds hold. {FOLDER}/bench.md has the table.")
    return 1 if False in held else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="How fast QNet is.")
    parser.add_argument("--peers", action="store_true", help="also against shadowsocks-libev and a private Tor network")
    parser.add_argument("--short", action="store_true", help="little work and generous bounds, for CI")
    parser.add_argument("--write", action="store_true", help="put the table into docs/PERFORMANCE.md, too")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with TEXT in their name")
    return parser.parse_args(arguments)


def _tell(results: list[Result], result: Result, options: argparse.Namespace) -> None:
    results.append(result)
    print(report.row(result, short=options.short), flush=True)


@contextmanager
def source() -> Iterator[int]:
    """The site; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.source", "127.0.0.1", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield port
        process.communicate()


def compare(
    comparison: Comparison, subjects: dict[str, Subject], site: int, options: argparse.Namespace
) -> list[Result]:
    """All rounds of one comparison, both subjects in each."""
    pair = [subjects[comparison.ours], subjects[comparison.theirs]]
    results = [
        Result(figure.name, figure.unit, figure.bound, {subject.name: [] for subject in pair}, comparison.table)
        for figure in comparison.figures
    ]
    for number in range(options.rounds + 1):
        for subject in pair:
            done = comparison.work.do(subject, site, short=options.short or number == 0)
            if number:  # the first only warms up
                for figure, result in zip(comparison.figures, results, strict=True):
                    result.values[subject.name].append(figure.of(done))
    return results


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent.parent)
    sys.exit(main(sys.argv[1:]))
