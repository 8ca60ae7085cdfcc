"""A shaping profile from recordings: ``python -m tools.corpus profile RECORDING OUT``.

Of each recorded page only its main connection counts, from the request on. What the handshake and HTTP/2 themselves
say (tickets, SETTINGS and its ACK) is left out: those the real decoy says on every link. So is the site's name from
the requests that bring it: a script puts the decoy's in its place. Visits with and without a cookie make a group each.
"""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from qnet.wire.cbor import encode
from qnet.wire.channel import MAX_BODY, MIN_BODY
from qnet.wire.cover.appearance import name_bytes
from qnet.wire.cover.inner import SECOND
from qnet.wire.script import COOKIE, LEAD, LEAST, Profile

VERSIONS = {"chromium": 7, "firefox": 6}
"""By whose visits are in it."""
PREFACE, ACK, TICKETS = 87, 26, 2
CONTROL = 90
"""Body of the largest record with nothing but SETTINGS and WINDOW_UPDATE."""

PART = 1000
"""Body of the smallest record that brings part of a page."""
SETTLED = 100
"""Tenths of a millisecond after which SETTINGS are acknowledged at the latest."""
READING = 6
"""Tenths of a millisecond that a helper takes to read SETTINGS, longer than a browser."""
OPENED = 500
"""Hundredths of a millisecond between Finished, preface and request at the most."""
SOON = 0.002
"""Seconds between two requests of one burst."""
REACTION = 0.001
"""Seconds that a browser needs at least to ask for more when something has come."""
ORIGIN = {"chromium": range(84, 91), "firefox": range(0)}
"""Bodies of the records with a request that names its origin, without the name; Firefox's seldom do. The first behind
the page's names it in both, as its referrer; what comes after repeats either by its index (HPACK)."""

HEADER = 5
KEPT = 72
"""Records of a visit, from its request on."""
SERVER_SECONDS = 0.001
"""What a server needs to answer a hello, at least."""

Row = tuple[float, int]


def main_flow(row: dict[str, Any]) -> dict[str, Any] | None:
    """The connection that brought the page itself."""
    flows = [flow for flow in row["flows"] if flow["name"] == f"www.{row['site']}"]
    return max(flows, key=lambda flow: flow["octets"], default=None)


class Visit(NamedTuple):
    """Records up and down from the request on, as (seconds, body bytes).

    ``trip``: the round trip; ``settle``: until SETTINGS' ACK; ``opening``: Finished to preface, preface to request;
    ``lead``: SETTINGS to the page's first packet. ``acknowledged``: whether the server's SETTINGS ACK came by itself.
    """

    ups: list[Row]
    downs: list[Row]
    trip: float
    settle: float
    opening: tuple[float, float]
    lead: float
    acknowledged: bool


def visit(flow: dict[str, Any]) -> Visit | None:
    """What a profile is made of; None for what cannot serve."""
    records = [(at, size) for at, size, kind in flow["records"] if kind == 23]
    first = next((at for at, size, _ in flow["records"] if size < 0), None)
    start = next((number for number, (_, size) in enumerate(records) if size == PREFACE), None)
    if first is None or start is None:
        return None
    ups = [(at, size) for at, size in records[start + 1 :] if size > 0]
    acknowledged = next((number for number, (_, size) in enumerate(ups) if size == ACK), None)
    if not ups or acknowledged is None:
        return None
    settled, _ = ups.pop(acknowledged)
    downs = [(at, -size) for at, size in records if size < 0 and at > records[start][0]][TICKETS:]
    if not downs:
        return None
    told = min(downs[0][0], settled)
    acknowledged = any(size == ACK for _, size in downs[:3])
    said = before = downs[0][0]
    # What is small and comes before the ACK is SETTINGS, or headers along with them: there a tunnel has the decoy's.
    while downs and (downs[0][1] <= CONTROL or (downs[0][0] <= settled and downs[0][1] < PART)):
        before, size = downs.pop(0)
        said = before if size <= CONTROL else said
    if not downs:
        return None
    page = next((at for at, size in flow["packets"] if size < 0 and at > before), downs[0][0])
    preface = records[start][0]
    finished = next(at for at, size in records if size > 0)
    opening = preface - finished, ups[0][0] - preface
    return Visit(ups, downs, max(first - SERVER_SECONDS, 0.0), settled - told, opening, page - said, acknowledged)


def rows(flow: dict[str, Any], browser: str) -> tuple[list[Any], list[Any]] | None:
    """Head and body (rows up, rows down) of a visit; None for what cannot serve."""
    name = name_bytes(flow["name"])
    found = visit(flow)
    if found is None:
        return None
    ups, downs, trip, settle, opening, lead, acknowledged = found
    ends = sorted(at for at, _ in (*ups, *downs))
    ends_at = ends[min(len(ends), KEPT) - 1]
    ups = [row for row in ups if row[0] <= ends_at]
    downs = [row for row in downs if row[0] <= ends_at]
    if len(ups) < 3 or len(downs) < 3 or any(not MIN_BODY <= size <= MAX_BODY for _, size in (*ups, *downs)):
        return None
    if ups[1][1] < MIN_BODY + name:
        return None
    # A record down that came sooner than a round trip after the second request answers the first.
    page = [size for at, size in downs if at < ups[1][0] + trip]
    if sum(page) - 18 * len(page) < SECOND or len(page) == len(downs):
        return None
    first = next((number for number, size in enumerate(page) if size >= PART), len(page))
    if first == len(page) or downs[first][0] > ups[1][0]:
        return None
    # A browser asks for more as soon as it has seen a part of the page, however long the rest takes.
    head = [ups[0][1] - name, page, first + 1, _tenths(ups[1][0] - downs[first][0])]
    head.append(max(min(_tenths(settle), SETTLED) - READING, 0))
    head += [min(_tenths(pause * 10), OPENED) for pause in opening]
    head += [min(_tenths(lead * 5), LEAD), int(acknowledged)]  # half of that is what the way varies by, and does again
    body_up, body_down = [[ups[1][1] - name, 1, 0, 0, head[3]]], []
    within = known = 0
    for (before, _), (at, size) in pairwise(ups[1:]):
        heard = [when for when, _ in downs if when <= at - REACTION]
        new, known = len(heard) - known, len(heard)
        beyond = max(known - len(page), 0)
        if new and at - before > SOON:
            within += new
        since = max(heard[-1], before) if new and (beyond or at - before > SOON) else before
        named = size - name in ORIGIN[browser]
        body_up.append([size - name * named, int(named), min(within, len(page)), beyond, _tenths(at - since)])
    begins = _begins(flow)
    for at, size in downs[len(page) :]:
        # Behind a queue a record takes long, and meanwhile more is asked for, which it does not answer.
        asked = sum(when + trip <= begins.get((at, size), at) for when, _ in ups)
        body_down.append([size, max(asked - 1, 1), 0])
    return head, [body_up, body_down]


def _begins(flow: dict[str, Any]) -> dict[Row, float]:
    """When each record down began to come, by when it had come and its size; of those whose packets were kept."""
    packets = [(at, -size) for at, size in flow["packets"] if size < 0]
    found, position, seen, number = {}, 0, 0, 0
    for at, size, _ in flow["records"]:
        if size > 0:
            continue
        while number < len(packets) and seen + packets[number][1] <= position:
            seen += packets[number][1]
            number += 1
        if number == len(packets):
            break
        found[at, -size] = packets[number][0]
        position += HEADER - size
    return found


def _tenths(seconds: float) -> int:
    """Rounded down: an end plays a step some 0.05 ms late."""
    return min(max(math.floor(seconds * 1e4 + 1e-3), 0), 20_000)


def _length(body: list[Any]) -> int:
    up, down = body
    return len(up) + len(down)


def _packed(rows: list[list[int]]) -> bytes:
    return b"".join(struct.pack(f">{len(row)}H", *row) for row in rows)


def build(recordings: Sequence[Path], most: int, browser: str, least: int = LEAST) -> bytes:
    """The packed profile of the direct loads in ``recordings``, which are of ``browser``."""
    made = [each for path in recordings for each in _read(path, browser)][:most]
    groups, bare = [], min(head[0] for head, _ in made)
    for cookie in (False, True):
        own = [(head, body) for head, body in made if (head[0] >= bare + COOKIE) is cookie]
        # A short visit's end would stand in the middle of a script, where no visit has one.
        bodies = [list(map(_packed, body)) for head, body in own if 1 + len(head[1]) + _length(body) >= least]
        if bodies:
            groups.append([[head for head, _ in own], bodies])
    content = encode({0: VERSIONS[browser], 1: groups})
    Profile.parse(content)
    return zstandard.ZstdCompressor(level=19).compress(content)


def _read(path: Path, browser: str) -> Iterator[tuple[list[Any], list[Any]]]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        flow = main_flow(row) if row["arm"] == "direct" else None
        if flow is not None and (found := rows(flow, browser)) is not None:
            yield found
