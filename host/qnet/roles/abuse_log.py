"""What an exit refused, counted by the minute: what an operator can look at when a complaint comes.

A line is ``{"minute": "2026-11-25T03:07Z", "what": "address", "port": 22, "count": 17}``. It names no client, no
circuit, no destination and no name: of what was let through nothing is written at all, because a list of who was
visited when is what a person here is to be safe from, also after the machine was taken. So it may be on by default.

The file is 0600, at most 1 MiB, and forgets after seven days, also while the exit runs.
"""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec

from qnet.settings import replace_file

KEPT = timedelta(days=7)
SIZE_LIMIT = 1 << 20
ROWS_A_MINUTE = 64
"""Beyond these a minute's further ports are counted together, as port 0: whoever asks chooses the ports."""

_log = logging.getLogger(__name__)
_MINUTE = "%Y-%m-%dT%H:%MZ"


class Refusal(StrEnum):
    """Why a stream was refused."""

    PORT = "port"
    ADDRESS = "address"
    LIMIT = "limit"


class _Line(msgspec.Struct):
    minute: str
    what: Refusal
    port: int
    count: int


class AbuseLog:
    """``now`` everywhere: unix seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: Counter[tuple[str, Refusal, int]] = Counter()
        self._minute = ""
        self._ports = 0

    def note(self, what: Refusal, port: int, now: float) -> None:
        """Count a refusal."""
        minute = datetime.fromtimestamp(now, UTC).strftime(_MINUTE)
        if minute != self._minute:
            self._minute, self._ports = minute, 0
        row = (minute, what, port)
        if row not in self._rows:
            if self._ports >= ROWS_A_MINUTE:
                row = (minute, what, 0)
            else:
                self._ports += 1
        self._rows[row] += 1

    def take(self) -> list[bytes]:
        """The lines counted since; for ``write``."""
        rows, self._rows = self._rows, Counter()
        return [msgspec.json.encode(_Line(*row, count)) for row, count in rows.items()]

    def write(self, lines: list[bytes], now: float) -> None:
        """Add ``lines`` to the file, and forget what is too old or too much; may run in a thread."""
        try:
            kept = self._read()
            oldest = (datetime.fromtimestamp(now, UTC) - KEPT).strftime(_MINUTE)
            fresh = [line for line in kept if _minute(line) >= oldest] + lines
            size = sum(map(len, fresh)) + len(fresh)
            while size > SIZE_LIMIT:
                size -= len(fresh.pop(0)) + 1
            if fresh != kept:
                replace_file(self._path, b"".join(line + b"\n" for line in fresh))
        except OSError as error:
            _log.warning("the abuse log could not be written: %s", error.strerror)

    def _read(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                return file.read(2 * SIZE_LIMIT).splitlines()
        except FileNotFoundError:
            return []


def _minute(line: bytes) -> str:
    """The minute of a line; what cannot be read is older than all."""
    try:
        return msgspec.json.decode(line, type=_Line).minute
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
