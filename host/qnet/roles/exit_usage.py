"""How much an exit carried: since its start, by day and by month, in a small file that outlives the process.

The file is JSON, ``{"days": {"2026-11-25": [up, down]}}``: UTC days, bytes of content. Nothing says whose they were.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from qnet.settings import replace_file
from qnet.wire.messages import Traffic

KEPT_DAYS = 400
LIMIT = 1 << 16
"""Bytes of the file that are read at most; 400 days are 18 kB."""

_log = logging.getLogger(__name__)


class _File(msgspec.Struct):
    days: dict[str, tuple[int, int]] = {}


class Usage:
    """``path``: the file, or None to keep nothing. ``monthly_limit``: bytes both ways together, 0 for none."""

    def __init__(
        self, path: Path | None = None, monthly_limit: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._limit = monthly_limit
        self._clock = clock
        self._days = _read(path) if path else {}
        self._up = self._down = 0
        self._changed = False

    @property
    def since_start(self) -> Traffic:
        """Of this process."""
        return Traffic(up=self._up, down=self._down)

    @property
    def this_month(self) -> int:
        """Bytes both ways since the month began (UTC)."""
        month = self._day()[:7]
        return sum(up + down for day, (up, down) in self._days.items() if day.startswith(month))

    @property
    def used_up(self) -> bool:
        """Whether the month's limit is reached."""
        return bool(self._limit) and self.this_month >= self._limit

    def add(self, up: int, down: int) -> None:
        """Content that went to destinations, and that came from them, in bytes."""
        if up or down:
            before = self._days.get(self._day(), (0, 0))
            self._days[self._day()] = before[0] + up, before[1] + down
            self._up += up
            self._down += down
            self._changed = True

    def take(self) -> bytes | None:
        """The file's new content if it changed; for ``write``."""
        if self._path is None or not self._changed:
            return None
        self._changed = False
        for day in sorted(self._days)[:-KEPT_DAYS]:
            del self._days[day]
        return msgspec.json.encode(_File(self._days))

    def write(self, content: bytes | None) -> None:
        """Replace the file; may run in a thread. A disk that takes nothing costs the account, not the exit."""
        if content is None or self._path is None:
            return
        try:
            replace_file(self._path, content)
        except OSError as error:
            self._changed = True
            _log.warning("the exit's usage could not be kept: %s", error.strerror)

    def _day(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d")


def _read(path: Path) -> dict[str, tuple[int, int]]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LIMIT), type=_File).days
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        _log.warning("the exit's kept usage cannot be read: it begins anew")
        return {}
