"""What a node's first process and its further ones tell each other: JSON, a line each, over a socket pair.

Conversation (first process on the left):

1. → Setup: what to be
2. → News: whenever something changes
3. ← Report: once a second what came of it since the last one, if anything
4. → end of file; ← Report, end of file; the process ends
"""

import msgspec

from qnet.settings import Settings
from qnet.wire.messages import ExitCounts

LIMIT = 1 << 20
"""Bytes of a line at most."""


class Setup(msgspec.Struct, frozen=True):
    """``settings``: this process's share of the node's. ``since``: see ``ReplayFollower``.

    ``quiet_after``, ``quiet_after_resumed``: see ``net.decoy.Calibration``.
    """

    settings: Settings
    since: float
    quiet_after: int
    quiet_after_resumed: int


class News(msgspec.Struct, frozen=True):
    """``idle_seconds``, ``sizes``: how the decoy ends idle connections (``net.decoy.Parting``), 0 for not known.

    ``keys``: grows whenever the key file has changed. ``used_up``: whether the exit has carried what it may.
    """

    idle_seconds: float = 0.0
    sizes: tuple[int, ...] = ()
    keys: int = 0
    used_up: bool = False


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an exit did since the last report; ``refusals``: lines of its abuse log."""

    counts: ExitCounts = ExitCounts()
    refusals: tuple[str, ...] = ()
