"""The report: a page of Markdown and a picture with four panels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.simulate.directory_bytes import ASKED, CHURN, CLIENTS_PER_RELAY, OPERATORS, REFRESH
from tools.simulate.load_balance import PLACES
from tools.simulate.repair import NOTICE_SECONDS, SILENT, TIMEOUT_SECONDS

Found = Mapping[str, Sequence[Any]]

_PAGE = """# The mesh on paper

Made by `python -m tools.simulate`, which runs the directory, the gossip and the path selection of `host/qnet` under a
clock that jumps. What is assumed stands with each table; what is not ours (round trips, how relays die) is a guess.

![Four panels with the figures of this page](images/simulation.svg)

## What the directory costs

{clients} clients for each relay, each asking {asked} of {operators} operators every {refresh:g} s; {churn:.0%} of the
relays change in an hour. A client sees its bucket only, so what it fetches does not grow with the mesh.

| relays | first answer | refresh | one operator, in and out |
|---|---|---|---|
{directory}

## How fast directories agree

A relay registers with one operator; each operator talks with another at random every 10 s. Seconds until all list it.

| operators | seconds | rounds | bytes a second at rest, each |
|---|---|---|---|
{gossip}

## How evenly relays are used

Circuits per unit of bandwidth, 20 clients a relay but at most 8,000, one circuit each: the busiest hundredth of the
relays beside the mean, and the share that carries nothing (in the largest network there are fewer clients than relays).

| relays | place | busiest / mean | unused |
|---|---|---|---|
{load}

## How long a client is without a circuit

A hop dies. {silent:.0%} of the deaths say nothing and are noticed after {notice:g} s; the others are heard at once. Of
the relays that are down as many do not answer at all, which costs an attempt {timeout:g} s.

| relays down | median | 95 of 100 | median where the death is heard |
|---|---|---|---|
{repair}
"""


def text(found: Found) -> str:
    """The whole page."""
    return _PAGE.format(
        clients=CLIENTS_PER_RELAY,
        asked=ASKED,
        operators=OPERATORS,
        refresh=REFRESH,
        churn=CHURN,
        silent=SILENT,
        notice=NOTICE_SECONDS,
        timeout=TIMEOUT_SECONDS,
        directory=_rows(
            (
                f"{row.relays:,}",
                f"{row.first / 1000:.0f} KB",
                f"{row.refresh:.0f} B",
                f"{row.operator / 1000:,.0f} KB/s",
            )
            for row in found["directory"]
        ),
        gossip=_rows(
            (f"{row.operators}", f"{row.seconds:.0f}", f"{row.rounds:.1f}", f"{row.octets:,.0f}")
            for row in found["gossip"]
        ),
        load=_rows((f"{row.relays:,}", row.place, f"{row.busiest:.1f}", f"{row.unused:.0%}") for row in found["load"]),
        repair=_rows(
            (f"{row.down:.0%}", f"{row.median:.1f} s", f"{row.p95:.1f} s", f"{row.heard:.1f} s")
            for row in found["repair"]
        ),
    )


def _rows(rows: Any) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plot(found: Found, path: Path) -> None:
    """One panel for each table."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "qnet"
    from matplotlib import pyplot

    figure, ((top_left, top_right), (left, right)) = pyplot.subplots(2, 2, figsize=(10, 7))
    sizes = [row.relays for row in found["directory"]]
    top_left.loglog(sizes, [row.first for row in found["directory"]], "o-", label="a client's first answer, bytes")
    top_left.loglog(sizes, [row.refresh for row in found["directory"]], "o-", label="a client's refresh, bytes")
    top_left.loglog(sizes, [row.operator for row in found["directory"]], "o-", label="an operator, bytes/s")
    top_left.set(xlabel="relays", title="The directory's cost")
    top_left.legend()
    counts = [row.operators for row in found["gossip"]]
    top_right.plot(counts, [row.seconds for row in found["gossip"]], "o-")
    top_right.set(xlabel="operators", ylabel="seconds", title="Until all directories agree", ylim=0, xscale="log")
    top_right.set_xticks(counts, [str(count) for count in counts])
    for place in PLACES:
        rows = [row for row in found["load"] if row.place == place]
        left.semilogx([row.relays for row in rows], [row.busiest for row in rows], "o-", label=place)
    left.set(xlabel="relays", ylabel="busiest hundredth / mean", title="Circuits per bandwidth", ylim=0)
    left.legend()
    down = [100 * row.down for row in found["repair"]]
    right.plot(down, [row.heard for row in found["repair"]], "o-", label="median, death heard")
    right.plot(down, [row.median for row in found["repair"]], "o-", label="median")
    right.plot(down, [row.p95 for row in found["repair"]], "o-", label="95 of 100")
    right.set(xlabel="relays down, %", ylabel="seconds", title="Without a circuit", ylim=0)
    right.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
