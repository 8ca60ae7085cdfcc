"""The time, corrected by what verified decoys say of it: a computer's own clock may be wrong by hours.

A credential in a ClientHello must be dated as the peer's clock says. A peer that did not know us although its decoy
told another time is tried again at that time; if it knows us then, the difference is kept for it. What holds for all
else (which descriptors are valid) is the median of what peers agreed to, so that none of them alone moves it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from statistics import median

PEERS = 32
LEAST = 30.0
"""Seconds of difference from which on the clock may be why a peer did not know us: it allows for 120."""

MOST = 86400.0
"""Seconds of difference that are corrected: beyond, certificates and descriptors mean little, and a person must act."""


class Clock:
    """``system`` gives unix seconds. An offset is what is added to them."""

    def __init__(self, system: Callable[[], float] = time.time) -> None:
        self.system = system
        self._offsets: OrderedDict[bytes, float] = OrderedDict()

    def now(self) -> float:
        """The time as far as it is known, in unix seconds."""
        return self.system() + self._usual()

    def offset(self, peer_id: bytes) -> float:
        """The offset with which to meet ``peer_id``."""
        return self._offsets.get(peer_id, self._usual())

    def agreed(self, peer_id: bytes, offset: float) -> None:
        """``peer_id`` knew us with ``offset``."""
        self._offsets.pop(peer_id, None)
        self._offsets[peer_id] = offset
        if len(self._offsets) > PEERS:
            self._offsets.popitem(last=False)

    def _usual(self) -> float:
        return median(self._offsets.values()) if self._offsets else 0.0
