"""Buffers that all links of one event loop share: every use begins and ends within one callback."""

from qnet.wire.channel import MAX_PLAINTEXT, RECORD_HEADER, TAG
from qnet.wire.frames import MAX_DATA, STREAM_HEADER
from qnet.wire.streams import Budget

HEADROOM = STREAM_HEADER.size
"""Bytes before a payload in which its frame's header is written."""

RECORDS = 16
BULK = RECORDS * MAX_DATA
"""Payload bytes sealed at once: whole records only, so that bulk data leaves no small record behind."""

RECORD_ROOM = RECORD_HEADER + MAX_PLAINTEXT + TAG
MAX_HOPS = 3
"""Layers of records within records that a client may build."""


def _buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


class Scratch:
    """``wire``: received records; ``plain``: a buffer per layer, opened; ``payload``, ``layers``, ``sealed``: to send.

    ``owners``: who writes into each buffer of ``plain`` at the moment. ``budget``: what all links may keep besides.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.wire = _buffer(BULK + 2 * RECORD_ROOM)
        self.payload = _buffer(HEADROOM + BULK)
        self.layers = [_buffer(RECORD_ROOM) for _ in range(MAX_HOPS)]
        self.owners: list[object] = [None] * MAX_HOPS
        self.plain = [_buffer(HEADROOM + len(self.wire)) for _ in range(MAX_HOPS)]
        self.renew_sealed()

    def renew_plain(self, depth: int) -> None:
        """A fresh buffer for a layer's opened payload, when somebody kept a view of the last one."""
        self.plain[depth] = _buffer(HEADROOM + len(self.wire))

    def renew_sealed(self) -> None:
        """A fresh buffer for sealed records, when somebody kept a view of the last one."""
        # A relay seals everything that ``wire`` holds once more: the smallest records (31 bytes) grow by 19 each.
        self.sealed = _buffer(2 * len(self.wire))
