"""How fast content passes: sums seen from time to time, as bytes a second."""

from collections import deque

from qnet.wire.messages import Rates, Traffic

SHORT = 1.0
LONG = 60.0


class RateMeter:
    """``now``: any steady clock, in seconds. Ask it about once a second; oftener changes nothing."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def update(self, now: float, sums: Traffic) -> Rates:
        """The rates, when ``sums`` is what has passed until ``now``."""
        seen = self._seen
        if not seen or now - seen[-1][0] >= SHORT / 2:
            seen.append((now, sums.up, sums.down))
        while now - seen[0][0] > LONG and len(seen) > 1 and now - seen[1][0] >= LONG:
            seen.popleft()
        short = next((each for each in reversed(seen) if now - each[0] >= SHORT), seen[0])
        up, down = _rate(short, now, sums)
        up_60, down_60 = _rate(seen[0], now, sums)
        return Rates(up=up, down=down, up_60=up_60, down_60=down_60)


def _rate(since: tuple[float, int, int], now: float, sums: Traffic) -> tuple[int, int]:
    at, up, down = since
    seconds = max(now - at, SHORT)
    return round((sums.up - up) / seconds), round((sums.down - down) / seconds)
