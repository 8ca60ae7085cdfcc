"""The last things that this program said, in memory: what ``/logs`` shows.

Only our own loggers, at INFO and above: by the rule for those nothing in them is personal. What an exception holds is
left out, because nobody checked it.
"""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

SIZE = 500
LINE = 300
"""Characters of a line at most."""


class LogRing(logging.Handler):
    """Keeps the last ``size`` records."""

    def __init__(self, size: int = SIZE) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=size)

    def emit(self, record: logging.LogRecord) -> None:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = " ".join(record.getMessage().split())
        self._lines.append(f"{when} {record.levelname} {record.name}: {text}"[:LINE])

    def tail(self, count: int) -> list[str]:
        """The last ``count`` lines, oldest first."""
        return list(self._lines)[-count:] if count > 0 else []


@contextmanager
def collected(ring: LogRing) -> Iterator[None]:
    """Let ``ring`` hear our loggers within the block; warnings go to stderr as well, as they do without it."""
    ours = logging.getLogger("qnet")
    handlers: list[logging.Handler] = [ring]
    if not logging.getLogger().handlers:
        stderr = logging.StreamHandler()
        stderr.setLevel(logging.WARNING)
        handlers.append(stderr)
    before = ours.level
    ours.setLevel(min(logging.INFO, before or logging.INFO))
    for handler in handlers:
        ours.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            ours.removeHandler(handler)
        ours.setLevel(before)
