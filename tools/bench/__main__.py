"""``python3 tools/dev.py bench [--peers] [--short] [--rounds N] [--only TEXT]``: how fast we are, and beside whom.

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

from tests.support.network import joined_client
from tests.support.tls_servers import free_port
from tools.bench import crypto, far, links, memory, report, starts
from tools.bench.measures import COMPARISONS, Bound, Comparison, Result
from tools.bench.subjects import Subject, missing, qnet, shadowsocks, tor

FOLDER = Path("build/bench")
PROGRAMS = ("ss-server", "tor")
COLD_TRIES = 40


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
        }
        if options.peers:
            print("Tor takes about a minute to start …", flush=True)
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
        for result in own(subjects, Path(name), site, options.rounds, wanted):
            _tell(results, result, options)
    report.write(FOLDER, results, short=options.short)
    missed = [result.name for result in results if not result.bound.holds(result.figure, short=options.short)]
    print(f"{len(results) - len(missed)} of {len(results)} bounds hold. {FOLDER}/bench.md has the table.")
    return 1 if missed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="How fast QNet is.")
    parser.add_argument("--peers", action="store_true", help="also against shadowsocks-libev and a private Tor network")
    parser.add_argument("--short", action="store_true", help="little work and generous bounds, for CI")
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
        Result(figure.name, figure.unit, figure.bound, {subject.name: [] for subject in pair})
        for figure in comparison.figures
    ]
    for number in range(options.rounds + 1):
        for subject in pair:
            done = comparison.work.do(subject, site, short=options.short or number == 0)
            if number:  # the first only warms up
                for figure, result in zip(comparison.figures, results, strict=True):
                    result.values[subject.name].append(figure.of(done))
    return results


def own(subjects: dict[str, Subject], folder: Path, site: int, rounds: int, wanted: str) -> Iterator[Result]:
    """The figures that need nobody else."""
    one, three = subjects["one"], subjects["three"]
    roots = folder / "one" / "root.crt"
    idle = joined_client(folder / "idle", one.nodes[1:], roots)

    for name, unit, bound, measure in (
        ("cold link", "ms", Bound("≤", 10, 40), lambda: links.cold_links([one.nodes[1].home], roots, COLD_TRIES)),
        (
            "cold circuit of three hops",
            "ms",
            Bound("≤", 40, 160),
            lambda: links.cold_links(
                [node.home for node in three.nodes[1:]], folder / "three" / "root.crt", COLD_TRIES
            ),
        ),
        (
            "native host to its first status",
            "ms",
            Bound("≤", 150, 600),
            lambda: [starts.host_start(one.nodes[0].environment) for _ in range(4 * rounds)],
        ),
        (
            "helper until it listens",
            "ms",
            Bound("≤", 500, 2000),
            lambda: [starts.helper_start(idle) for _ in range(2 * rounds)],
        ),
        ("memory of an idle helper", "MB", Bound("≤", 60, 90), lambda: [memory.idle(idle)]),
        ("memory per idle stream", "KB", Bound("≤", 16, 48), lambda: [memory.per_idle_stream(one, site)]),
        ("memory with 1,000 busy streams", "MB", Bound("≤", 300, 600), lambda: [memory.busy(one, site)]),
    ):
        if wanted in name:
            yield Result(name, unit, bound, {"QNet": measure()})
    if wanted in "seal open 16 kib records":
        rates = [(*crypto.record_rates(), crypto.openssl_rate()) for _ in range(rounds)]
        seal, opened, limit = ([*each] for each in zip(*rates, strict=True))
        yield Result("seal 16 KiB records", "MB/s", Bound("≥", 0.8, 0.4), {"QNet": seal, "OpenSSL": limit})
        yield Result("open 16 KiB records", "MB/s", Bound("≥", 0.8, 0.4), {"QNet": opened, "OpenSSL": limit})


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent.parent)
    sys.exit(main(sys.argv[1:]))
