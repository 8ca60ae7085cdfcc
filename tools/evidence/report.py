"""The table of the rows: on the terminal, as JSON, and in docs/EVIDENCE.md."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tools.evidence.row import Row

HEAD = """\
# The censor, played

Written by `python3 tools/dev.py evidence --write`. Each row is a detector that a censor has or could have, turned on
the transport of this repository with real browsers, real decoys and real processes on one computer. *Control* rows
show that a detector sees what it is meant to see. Rows without a bound are reported only.
"""
SECTION = """
## {name}

{when}. {form}
{versions}.

| detector | figure | bound | tries | held |
|---|---|---|---|---|
"""
TAIL = """
## What this does not show

* Everything but the classifiers' corpus ran on loopback: no round trips, no loss, no load on the way. What a distant
  decoy adds to a handshake is not measured.
* The corpus: 630 synthetic sites on one nginx, each loaded once on either way in turn, in Chromium over an emulated
  way (round trips of 16 to 116 ms, the same for direct and tunnelled connections, jitter up to 1.5 ms, no loss), each
  load on a new connection and a first visit, in Chromium's guise only. The classifiers see the connection from behind
  the handshake, without what the decoy itself says up to the client's SETTINGS ACK; gaps below 0.1 ms count as 0.1 ms.
  They look at its beginning: what comes after the script is not shaped, and a later handshake inside shows its sizes to
  whoever looks there. The controls are of 60 sites each.
* Tunnelled loads came through 18 decoys, whose names are as long as the sites', two of each of nine lengths: requests
  show how long a name is. Whoever knows a decoy can compare its own visitors, which the last task does by whole flows.
* In the corpus network, servers, peers, helpers and browser share two cores. All but the browser run in real time, so
  that none waits for another's slice to end, as though each had a computer of its own. A peer or a helper on a busy
  computer answers later than these do.
* The shuffle's tests see positions and neighbours of extensions. Dependencies of three or more that leave both alone
  are beyond them.
* Probes compare sets of outcomes. Where a decoy itself gives one of several by chance, as GnuTLS does when data, FIN
  and its own reset cross, how often each comes is not compared.
* An idle tunnel's end, the number of connections, their length and their ratio of up to down are not compared here.
"""


def as_text(row: Row) -> str:
    """One line."""
    return f"{mark(row):8} {row.detector}: {row.figure}" + (f" (bound: {row.bound})" if row.bound else "")


def mark(row: Row) -> str:
    return {True: "held", False: "NOT HELD", None: "reported"}[row.held]


def as_json(rows: Sequence[Row], versions: Mapping[str, str], *, short: bool) -> str:
    return json.dumps({"versions": versions, "short": short, "rows": [row._asdict() for row in rows]}, indent=2) + "\n"


def as_section(name: str, rows: Sequence[Row], versions: Mapping[str, str], *, short: bool) -> str:
    """One detector's table, with when and with what it was made."""
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    when = f"{datetime.now(UTC).date().isoformat()}, {system}"
    head = SECTION.format(
        name=name.capitalize(),
        when=when,
        versions=", ".join(f"{program} {number}" for program, number in versions.items()),
        form="The short form." if short else "The full form.",
    )
    held = {True: "yes", False: "**no**", None: "–"}
    lines = [
        f"| {row.detector} | {row.figure} | {row.bound or '–'} | {row.tries:,} | {held[row.held]} |" for row in rows
    ]
    return head + "\n".join(lines) + "\n"


def as_document(before: str, sections: Mapping[str, str], order: Sequence[str]) -> str:
    """The document with these sections in place of those of ``before``; what was not played anew stays as it was."""
    known = {part.split("\n", 1)[0].lower(): f"\n## {part}" for part in before.split("\n## ")[1:]}
    tail = TAIL.strip("\n").removeprefix("## ").split("\n", 1)[0].lower()
    kept = {name: text for name, text in known.items() if name != tail} | dict(sections)
    return HEAD + "".join(kept[name] for name in order if name in kept) + TAIL
