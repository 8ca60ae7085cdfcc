"""Lists that others keep: fetched through the tunnel, kept on disk, put in force behind the person's own rules.

1. A list is due (a day after it was checked; after failures sooner) and the tunnel is up for somebody: it is asked for,
   with the server's own words on what we have (``ETag``); the tunnel is not built for this, unless a person asks.
2. Nothing new: the next check is a day off.
3. A new text: parsed; put in force; kept. If it cannot be read or is too much, the last good one stays.

Bounds: 8 MiB, 60 seconds, five redirections, https alone, 32 lists; together with the person's own not more rules than
a rule set takes.
"""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskStatus

from qnet.browser.rules.importing import read_list
from qnet.browser.rules.parsed import ImportFormatError, Parsed
from qnet.browser.rules.rule import RuleError
from qnet.browser.rules.ruleset import Section
from qnet.browser.rules.subscribed import (
    MAX_BYTES,
    MAX_LISTS,
    Entry,
    SubscriptionError,
    SubscriptionStore,
    checked_url,
    due,
)
from qnet.wire.errors import LocalError
from qnet.wire.messages import ErrorInfo, Subscribe, Subscription

if TYPE_CHECKING:
    import httpx

LOOK_SECONDS = 30.0
FETCH_SECONDS = 60.0
REDIRECTIONS = 5
_random = random.SystemRandom()


class FetchError(LocalError):
    """The list could not be fetched."""

    code = "list-fetch"
    exit_code = 69


@dataclass(frozen=True, slots=True)
class Fetched:
    """A list's text, and the server's words on it."""

    text: str
    etag: str
    modified: str


class Subscriptions:
    """``follow`` puts sections in force; ``connected``: whether the tunnel is up anyway.

    Nothing may be changed before ``run`` has started.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        follow: Callable[[Sequence[Section]], Awaitable[None]],
        transport: "Callable[[], httpx.AsyncBaseTransport]",
        connected: Callable[[], bool],
    ) -> None:
        self._store = store
        self._follow = follow
        self._transport = transport
        self._connected = connected
        self._entries: dict[str, Entry] = {}
        self._parsed: dict[str, Parsed] = {}
        self._one = anyio.Lock()
        self._damaged: SubscriptionError | None = None

    def view(self) -> list[Subscription]:
        """Every list and how it is; raises ``SubscriptionError`` where what is on disk cannot be read."""
        if self._damaged is not None:
            raise self._damaged
        none = Parsed()
        return [
            Subscription(
                url=each.url,
                action=each.action,
                exceptions=each.exceptions,
                rules=len(self._parsed.get(each.url, none).rules),
                trouble=self._parsed.get(each.url, none).trouble,
                fetched=each.fetched,
                checked=each.checked,
                next=each.next,
                error=each.error,
            )
            for each in self._entries.values()
        ]

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Put what is on disk in force, which is when it has started; then look for what is due, for ever."""
        async with self._one:
            await self._load()
        task_status.started()
        while True:
            if self._connected():
                for url, entry in tuple(self._entries.items()):
                    if entry.next <= time.time():
                        async with self._one:
                            await self._check(url)
            await anyio.sleep(LOOK_SECONDS)

    async def add(self, request: Subscribe) -> None:
        """Subscribe and fetch; a list that cannot be fetched now is tried again. Raises ``SubscriptionError``."""
        url = checked_url(request.url)
        async with self._turn():
            if url in self._entries:
                raise SubscriptionError("this list is subscribed to already", "Remove it first to change what it does")
            if len(self._entries) >= MAX_LISTS:
                raise SubscriptionError(f"there are {MAX_LISTS} lists", "Remove one first")
            entry = Entry(url=url, action=request.action, exceptions=request.exceptions)
            self._store.save([*self._entries.values(), entry])
            self._entries[url] = entry
            await self._check(url)

    async def remove(self, url: str) -> None:
        """Forget a list and its rules; raises ``SubscriptionError``."""
        async with self._turn():
            self._known(url)
            rest = [entry for entry in self._entries.values() if entry.url != url]
            self._store.save(rest)
            self._entries = {entry.url: entry for entry in rest}
            self._parsed.pop(url, None)
            self._store.forget(url)
            await self._apply()

    async def refresh(self, url: str) -> None:
        """Check a list now; what it met is in the view. Raises ``SubscriptionError``."""
        async with self._turn():
            self._known(url)
            await self._check(url)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One change after the other, and none where what is on disk cannot be read."""
        async with self._one:
            if self._damaged is not None:
                raise self._damaged
            yield

    def _known(self, url: str) -> None:
        if url not in self._entries:
            raise SubscriptionError("there is no such subscription", "See them with: qnet subscriptions list")

    async def _load(self) -> None:
        try:
            self._entries = {entry.url: entry for entry in self._store.load()}
        except SubscriptionError as error:
            self._damaged = error
            return
        for url, entry in self._entries.items():
            if text := self._store.text(url):
                try:
                    self._parsed[url] = await _parse(text, entry)
                except ImportFormatError as error:
                    self._fail(entry, error)
        try:
            await self._apply()
        except RuleError as error:
            self._parsed.clear()
            for entry in tuple(self._entries.values()):
                self._fail(entry, error)

    async def _check(self, url: str) -> None:
        entry = self._entries[url]
        before = self._parsed.get(url)
        try:
            fetched = await fetch(self._transport(), entry)
            if fetched is not None:
                self._parsed[url] = await _parse(fetched.text, entry)
                await self._apply()
                await anyio.to_thread.run_sync(self._store.keep, url, fetched.text)
                entry = msgspec.structs.replace(entry, etag=fetched.etag, modified=fetched.modified)
        except LocalError as error:
            self._parsed.pop(url, None)
            if before is not None:
                self._parsed[url] = before
            self._fail(entry, error)
        else:
            now = time.time()
            following = due(0, now, _random.random())
            self._entries[url] = msgspec.structs.replace(
                entry, fetched=now, checked=now, next=following, failures=0, error=None
            )
        self._store.save(list(self._entries.values()))

    def _fail(self, entry: Entry, error: LocalError) -> None:
        now, failures = time.time(), entry.failures + 1
        info = ErrorInfo(code=error.code, message=error.message, hint=error.hint)
        following = due(failures, now, _random.random())
        self._entries[entry.url] = msgspec.structs.replace(
            entry, checked=now, next=following, failures=failures, error=info
        )

    async def _apply(self) -> None:
        await self._follow([Section(url, self._parsed[url].rules) for url in self._entries if url in self._parsed])


async def _parse(text: str, entry: Entry) -> Parsed:
    return await anyio.to_thread.run_sync(read_list, text, entry.action, entry.exceptions)


async def fetch(transport: "httpx.AsyncBaseTransport", entry: Entry) -> Fetched | None:
    """The list, or None where the server has nothing newer; raises ``FetchError``."""
    # Imported here: a client without lists has no use for it.
    import httpx

    # What every browser's request has, and no name of ours. Compressed it could be any size.
    headers = {"User-Agent": "Mozilla/5.0", "Accept-Encoding": "identity"}
    headers |= {"If-None-Match": entry.etag} if entry.etag else {}
    headers |= {"If-Modified-Since": entry.modified} if entry.modified else {}
    try:
        with anyio.fail_after(FETCH_SECONDS):
            async with (
                httpx.AsyncClient(
                    transport=transport, follow_redirects=True, max_redirects=REDIRECTIONS, trust_env=False, timeout=30
                ) as client,
                client.stream("GET", entry.url, headers=headers) as answer,
            ):
                return await _read(answer)
    except httpx.UnsupportedProtocol:
        raise FetchError("the list's server leads to an unprotected address", "Ask whoever keeps the list") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError):
        raise FetchError("the list's server does not answer as it should", "It is tried again by itself") from None


async def _read(answer: "httpx.Response") -> Fetched | None:
    if answer.status_code == 304:
        return None
    if answer.status_code != 200:
        raise FetchError(f"the list's server answers {answer.status_code}", "Check the address")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchError("the list is compressed", "Ask whoever keeps the list")
    data = bytearray()
    async for piece in answer.aiter_raw():
        data += piece
        if len(data) > MAX_BYTES:
            raise FetchError("the list is too long", f"At most {MAX_BYTES >> 20} MiB can be read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FetchError("the list is no text", "Check the address") from None
    if text.lstrip()[:1] == "<":
        raise FetchError("there is a web page in the list's place", "Check the address")
    return Fetched(text, answer.headers.get("etag", "")[:256], answer.headers.get("last-modified", "")[:64])
