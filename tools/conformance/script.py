"""The script of a seed, from section 8 of docs/PROTOCOL.md: rows of (body size, records to wait for, pause)."""

import hashlib
import struct
from typing import Any

import cbor2

Row = tuple[int, int, float]
LEAST = 52


class Draw:
    """``below(n)`` of the document."""

    def __init__(self, seed: bytes) -> None:
        self._block = hashlib.shake_256(b"qnet script" + seed).digest(8192)
        self._at = 0

    def below(self, count: int) -> int:
        if self._at + 8 > len(self._block):
            self._block, self._at = hashlib.shake_256(self._block).digest(8192), 0
        self._at += 8
        return int.from_bytes(self._block[self._at - 8 : self._at], "big") % count


def script(profile: bytes, seed: bytes, name: int) -> tuple[list[Row], list[Row], int]:
    """Rows up, rows down (pauses in seconds), and how many of these the page has. ``name``: the decoy's, in bytes."""
    content: dict[int, Any] = cbor2.loads(profile)
    groups, draw = content[1], Draw(seed)

    def vary(size: int) -> int:
        if size < 600 or size >= 16401:
            return size
        return min(max(size - size // 4 // 2 + draw.below(size // 4), 600), 16400)

    def jitter(pause: int) -> float:
        return pause * (768 + draw.below(513)) / 1024 / 10000

    every = [(head, bodies) for heads, bodies in groups for head in heads]
    (request, page, after, before_third, *_), bodies = every[draw.below(len(every))]
    cookies = max(request - min(head[0] for head, _ in every) - 8, 0) // 2
    asks = request - cookies // 2 + draw.below(cookies) if cookies >= 2 else request
    up: list[Row] = [(asks + name, 0, 0.0)]
    down: list[Row] = [(vary(size), 1, 0.0) for size in page]
    while len(up) < 2 or len(up) + len(down) < LEAST:
        heard, said = len(down), len(up)
        rows_up, rows_down = splice(bodies, draw)
        for size, named, within, beyond, pause in rows_up:
            body = min(vary(size) + named * name, 16401)
            up.append((body, heard + beyond if beyond else min(after + within, heard), jitter(pause)))
        for size, asked, pause in rows_down:
            down.append((vary(size), said + asked, jitter(pause)))
        if said == 1:
            up[1] = (up[1][0], after, jitter(before_third))
        after = len(down)
    return up, down, len(page)


def splice(packed: list[tuple[bytes, bytes]], draw: Draw) -> tuple[list[Any], list[Any]]:
    """A visit's rows up and down, as in a body."""
    bodies = [(list(struct.iter_unpack(">5H", up)), list(struct.iter_unpack(">3H", down))) for up, down in packed]
    said: list[Any] = []
    answered: list[Any] = []

    def state(rows: list[Any], answers: int) -> tuple[Any, ...]:
        sizes = [row[0] for row in rows]
        return sizes[-3:], sorted(size for size in sizes[1:] if size < 50 or size > 57), rows[-1][2:4], answers

    def answer(first: int, end: int) -> None:
        moved = len(said) - row
        answered.extend((size, asked + moved, pause) for size, asked, pause in down if first < asked <= end)

    up, down = bodies[draw.below(len(bodies))]
    row = begun = 0
    while row < len(up):
        if said and draw.below(2) == 0:
            answer(begun, row)
            near = range(max(len(said) - 4, 1), len(said) + 5)
            alike = [
                (body, at)
                for at in near
                for body in bodies
                if at < len(body[0])
                and state(body[0][:at], sum(asked <= at for _, asked, _ in body[1])) == state(said, len(answered))
            ]
            (up, down), row = alike[draw.below(len(alike))]
            begun = row
        said.append(up[row])
        row += 1
    answer(begun, 4096)
    return said, answered
