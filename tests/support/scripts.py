"""A small profile of scripts."""

from struct import pack

HEAD = [452, [3000, 500], 1, 300, 5, 60, 20, 0, 1]
UP, DOWN = pack(">10H", 103, 1, 0, 0, 100, 60, 0, 0, 1, 0), pack(">6H", 900, 1, 0, 16401, 2, 0)
TINY = {
    0: 7,
    1: [[[HEAD], [[UP, DOWN]]]],
}
NAME = 20
"""Bytes of the decoy's name."""
