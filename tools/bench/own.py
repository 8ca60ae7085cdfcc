"""The figures that need nobody else: links, starts, memory, the record channel."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.network import joined_client
from tools.bench import crypto, links, memory, starts
from tools.bench.measures import Bound, Result
from tools.bench.subjects import Subject

COLD_TRIES = 40


class Own(NamedTuple):
    """One row."""

    name: str
    unit: str
    bound: Bound
    measure: Callable[[], list[float]]


def rows(subjects: Mapping[str, Subject], folder: Path, site: int, rounds: int, wanted: str) -> Iterator[Result]:
    """Those with ``wanted`` in their names."""
    one, three = subjects["one"], subjects["three"]
    roots = {subject: folder / subject / "root.crt" for subject in ("one", "three")}
    idle = joined_client(folder / "idle", one.nodes[1:], roots["one"])

    def cold(subject: str, *, shaped: bool) -> list[float]:
        homes = [node.home for node in subjects[subject].nodes[1:]]
        return links.cold_links(homes, roots[subject], COLD_TRIES, shaped=shaped)

    table = (
        Own("cold link", "ms", Bound("≤", 10, 40), lambda: cold("one", shaped=True)),
        Own("cold circuit of three hops", "ms", Bound("≤", 40, 160), lambda: cold("three", shaped=True)),
        Own(
            "native host to its first status",
            "ms",
            Bound("≤", 150, 600),
            lambda: [starts.host_start(one.nodes[0].environment) for _ in range(4 * rounds)],
        ),
        Own(
            "helper until it listens",
            "ms",
            Bound("≤", 500, 2000),
            lambda: [starts.helper_start(idle) for _ in range(2 * rounds)],
        ),
        Own("memory of an idle helper", "MB", Bound("≤", 60, 90), lambda: [memory.idle(idle)]),
        Own("memory per idle stream", "KB", Bound("≤", 16, 48), lambda: [memory.per_idle_stream(one, site)]),
        Own(
            "memory per idle circuit, relay",
            "KB",
            Bound("≤", 40, 120),
            lambda: [memory.per_idle_circuit(three, roots["three"])],
        ),
        Own("memory with 1,000 busy streams", "MB", Bound("≤", 300, 600), lambda: [memory.busy(one, site)]),
    )
    for each in table:
        if wanted in each.name:
            yield Result(each.name, each.unit, each.bound, {"QNet": each.measure()})
    for subject, name in (("one", "cold link, shaped"), ("three", "cold circuit of three hops, shaped")):
        if wanted in name:
            pair = {"QNet": cold(subject, shaped=True), "without shaping": cold(subject, shaped=False)}
            yield Result(name, "ms", None, pair, "shaping")
    if wanted in "seal open 16 kib records":
        rates = [(*crypto.record_rates(), crypto.openssl_rate()) for _ in range(rounds)]
        seal, opened, limit = ([*each] for each in zip(*rates, strict=True))
        yield Result("seal 16 KiB records", "MB/s", Bound("≥", 0.8, 0.4), {"QNet": seal, "OpenSSL": limit})
        yield Result("open 16 KiB records", "MB/s", Bound("≥", 0.8, 0.4), {"QNet": opened, "OpenSSL": limit})
