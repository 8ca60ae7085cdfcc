"""The lists a person subscribed to, on disk, and when each is due. They are data and never code.

subscriptions/subscriptions.json    what, and how the last check went
subscriptions/<SHA-256 of URL>.txt  a list as it was fetched last in good order
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from qnet.browser.files import write_if_changed
from qnet.wire.errors import LocalError
from qnet.wire.messages import ErrorInfo, RuleAction

MAX_LISTS = 32
MAX_BYTES = 8 * 1024 * 1024
"""Of one list."""
DAY = 86400.0
FIRST_RETRY, LAST_RETRY = 60.0, 6 * 3600.0
_URL_LENGTH = 2048


class SubscriptionError(LocalError):
    """The list cannot be subscribed to."""

    code = "subscription"
    exit_code = 65


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One list. ``etag`` and ``modified`` are the server's words, given back to it. Times in unix seconds."""

    url: str
    action: RuleAction
    exceptions: RuleAction = RuleAction.TUNNEL
    etag: str = ""
    modified: str = ""
    fetched: float = 0.0
    checked: float = 0.0
    next: float = 0.0
    failures: int = 0
    error: ErrorInfo | None = None


class _File(msgspec.Struct, kw_only=True, frozen=True):
    format: Literal["qnet-subscriptions"] = "qnet-subscriptions"
    version: Literal[1] = 1
    lists: list[Entry] = []


def checked_url(text: str) -> str:
    """The URL as it is kept; raises ``SubscriptionError``."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "https" and parts.hostname and parts.port != 0 and not (parts.username or parts.password)
    except ValueError:
        fits = False
    if not fits or len(url) > _URL_LENGTH or not url.isprintable() or not url.isascii():
        raise SubscriptionError("this is no address of a list", "Write it as https://…; others could change it on http")
    return parts._replace(fragment="").geturl()


def due(failures: int, now: float, chance: float) -> float:
    """When to check next: a day later, after failures sooner and then ever later; ``chance`` in [0, 1) spreads it."""
    wait = DAY if failures == 0 else min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 20))
    return now + wait * (0.75 + 0.5 * chance)


class SubscriptionStore:
    """``folder`` is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[Entry]:
        """What was saved; raises ``SubscriptionError`` where it is damaged: it is not overwritten then."""
        try:
            return msgspec.json.decode(self._index.read_bytes(), type=_File).lists[:MAX_LISTS]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SubscriptionError("the subscriptions are damaged", f"Move {self._index} away") from None

    def save(self, entries: list[Entry]) -> None:
        """Raises ``SubscriptionError``."""
        self._write(self._index, msgspec.json.format(msgspec.json.encode(_File(lists=entries))).decode())

    def text(self, url: str) -> str:
        """The list as it was last good; empty if it never was."""
        with suppress(OSError, UnicodeDecodeError):
            return self._path(url).read_text(encoding="utf-8")
        return ""

    def keep(self, url: str, text: str) -> None:
        """Keep the list; raises ``SubscriptionError``."""
        self._write(self._path(url), text)

    def forget(self, url: str) -> None:
        """Remove the list's text."""
        self._path(url).unlink(missing_ok=True)

    @property
    def _index(self) -> Path:
        return self._folder / "subscriptions.json"

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.txt"

    def _write(self, path: Path, text: str) -> None:
        try:
            write_if_changed(path, text, 0o600)
        except OSError as error:
            raise SubscriptionError(f"a list cannot be kept ({error.strerror})", "Make room on the disk") from None
