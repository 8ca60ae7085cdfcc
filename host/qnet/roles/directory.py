"""The operator's directory over HTTP.

1. ``POST /api/relay/register`` ``{"descriptor", "endorsements", "heartbeat"}``, values in base64, the first two only
   when they are new to the directory → ``{"registered": true, "is_new": …}``
2. ``GET /api/relays/by-country[?country=US][&since=ETAG]`` → ``{"US": [item, …], …}`` and an ``ETag``; an item is
   ``{"peer_id", "descriptor", "endorsements"}``. With ``since``, the tag of an earlier answer, only what is new in
   comparison, and ``"gone"``: the ids that are not shown any more. A tag that is not remembered gives the whole,
   without ``"gone"``.
3. ``GET /api/relays/prune`` → ``{"pruned": …}``; from this computer, or with ``Authorization: Bearer TOKEN``
4. ``POST /api/gossip``: messages of ``mesh.gossip``, between operators

Errors are ``{"error": {"code", "message", …}}``. A clock that is wrong is told the right time as ``now``.
"""

import base64
import binascii
import gzip
import hashlib
import hmac
import json
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, Protocol

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qnet.mesh.buckets import network_of
from qnet.mesh.directory import PRUNE_SECONDS, Candidate, Directory, Entry, Refusal, RefusedError
from qnet.mesh.gossip import LIMIT as GOSSIP_LIMIT
from qnet.mesh.gossip import Gossip
from qnet.mesh.rate import RateLimit
from qnet.roles.directory_store import Record, Store, StoreError, merge
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError

BODY_LIMIT = 8 * 1024
BODY_SECONDS = 10.0
PROOF_SECONDS = 10.0
SYNC_SECONDS = 1.0
_REMEMBERED = 2048
_PACKED = 64

STATUS = {
    "malformed": 400,
    "oversized": 413,
    "signature": 403,
    "future": 409,
    "expired": 409,
    Refusal.OLDER: 409,
    Refusal.REPLAYED: 409,
    Refusal.UNKNOWN_PEER: 404,
    Refusal.UNENDORSED: 403,
    Refusal.UNPROVEN: 403,
    Refusal.QUOTA: 429,
    Refusal.FULL: 503,
}
"""The HTTP status of each refusal; its name is the ``code``."""


class Prove(Protocol):
    """Makes a handshake with a peer to see that it holds its keys. It dials only what the exit's address policy allows.

    ``via``: the relay through which alone the peer is reached, if it is so and that relay is listed.
    """

    def __call__(self, peer: Descriptor, via: Descriptor | None = None) -> Awaitable[bool]: ...


_log = logging.getLogger(__name__)


class _AnswerError(Exception):
    """An error as an answer."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.response = error_response(status, code, message, **more)


class _Registration(msgspec.Struct):
    heartbeat: bytes
    descriptor: bytes | None = None
    endorsements: list[bytes] = []


def error_response(status: int, code: str, message: str, **more: Any) -> Response:
    """What every refusal looks like."""
    headers = {"Retry-After": str(math.ceil(more["retry_after"]))} if "retry_after" in more else {}
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status, headers)


class DirectoryService:
    """The directory of this node. ``clock``: unix seconds.

    ``prove``: tries a peer's keys before it is listed; ``admin_token``: who has it may prune from anywhere.
    """

    def __init__(
        self,
        directory: Directory,
        store: Store,
        *,
        gossip: Gossip | None = None,
        prove: Prove | None = None,
        admin_token: str = "",
        clock: Callable[[], float] = time.time,
        registrations: RateLimit | None = None,
        queries: RateLimit | None = None,
    ) -> None:
        self.directory = directory
        self.app: ASGIApp = self._application()
        """The ASGI application."""
        self._store = store
        self._gossip = gossip
        self._prove = prove
        self._proving = anyio.CapacityLimiter(16)
        self._admin_token = admin_token
        self._clock = clock
        self._registrations = registrations or RateLimit(rate=4, burst=240)
        self._messages = RateLimit(rate=20, burst=800)
        self._queries = queries or RateLimit(rate=4, burst=240)
        self._shown: OrderedDict[str, bytes] = OrderedDict()
        self._packed: OrderedDict[bytes, bytes] = OrderedDict()
        self._items: dict[bytes, tuple[Descriptor, bytes]] = {}

    async def start(self) -> None:
        """Take in what the store has; raises ``StoreError``."""
        await self._synchronise()

    async def run(self) -> None:
        """Prune every 60 s and keep in step with the store until cancelled. A store that fails is tried again."""
        pruned = time.monotonic()
        try:
            while True:
                await anyio.sleep(SYNC_SECONDS)
                try:
                    await self._synchronise()
                    if time.monotonic() - pruned >= PRUNE_SECONDS:
                        pruned = time.monotonic()
                        self.prune()
                        await self._checkpoint()
                except StoreError as error:
                    _log.warning("%s", error.message)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                try:
                    await self._checkpoint()
                    await self._store.close()
                except StoreError as error:
                    _log.warning("%s", error.message)

    def prune(self) -> int:
        """Take off the list who is silent; says how many."""
        pruned = self.directory.prune(self._clock())
        self._items = {peer: item for peer, item in self._items.items() if peer in self.directory.entries}
        return pruned

    async def _checkpoint(self) -> None:
        await self._store.checkpoint([Record.of(entry) for entry in self.directory.entries.values() if entry.seq >= 0])

    async def _synchronise(self) -> None:
        for record in await self._store.changes():
            merge(self.directory, record, self._clock())

    # --- HTTP

    def _application(self) -> ASGIApp:
        routes = [
            Route("/api/relay/register", self._register, methods=["POST"]),
            Route("/api/relays/by-country", self._by_country),
            Route("/api/relays/prune", self._prune),
            Route("/api/gossip", self._exchange, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={_AnswerError: _answer_failure, HTTPException: _answer_http})

    async def _register(self, request: Request) -> Response:
        self._limit(self._registrations, request)
        try:
            asked = msgspec.json.decode(await _body(request, BODY_LIMIT), type=_Registration)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
            raise _AnswerError(400, "malformed", f"not a registration: {error}") from None
        try:
            return JSONResponse({"registered": True, "is_new": await self._take(asked)})
        except RefusedError as error:
            more = {"now": int(self._clock())} if error.reason in ("future", "expired") else {}
            raise _AnswerError(STATUS[error.reason], error.reason, str(error), what=error.what, **more) from None
        except StoreError as error:
            _log.warning("%s", error.message)
            raise _AnswerError(503, "store", "the directory cannot store registrations now", retry_after=30) from None

    async def _take(self, asked: _Registration) -> bool:
        directory = self.directory
        candidate = self._examine(asked)
        peer = candidate.descriptor.peer_id
        stored = await self._store.fetch(peer)
        if stored is not None:
            merge(directory, stored, self._clock())
        if candidate.changed and self._prove is not None:
            await self._check_proof(candidate)
        new = directory.admit(candidate, self._clock())
        await self._store.save(peer, Record.of(directory.entries[peer]))
        return new

    def _examine(self, asked: _Registration) -> Candidate:
        return self.directory.examine(asked.descriptor, asked.endorsements, asked.heartbeat, self._clock())

    async def _check_proof(self, candidate: Candidate) -> None:
        assert self._prove is not None  # noqa: S101
        proven = False
        with anyio.move_on_after(PROOF_SECONDS):
            async with self._proving:
                found = candidate.descriptor
                entry = self.directory.entries.get(found.via) if found.via else None
                proven = await (self._prove(found, entry.descriptor) if entry else self._prove(found))
        if not proven:
            raise RefusedError(
                Refusal.UNPROVEN, "descriptor", "no handshake with the peer succeeds at the addresses it gives"
            )

    async def _by_country(self, request: Request) -> Response:
        self._limit(self._queries, request)
        country, since = request.query_params.get("country"), request.query_params.get("since", "")
        if country is not None:
            country = country.upper()
            if len(country) != 2 or not country.isascii() or not country.isalpha():
                raise _AnswerError(400, "malformed", "a country is two letters")
        found = self.directory.by_country(network_of(_source(request)), country, self._clock())
        shown = {entry.descriptor.peer_id: entry.descriptor.issued for entries in found.values() for entry in entries}
        tag = self._remember(shown)
        headers = {"ETag": f'"{tag}"', "Cache-Control": "private, max-age=0", "Vary": "Accept-Encoding"}
        if tag in _tags(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        before = self._shown.get(since.strip('"'))
        body = self._whole(found) if before is None else self._difference(found, _unpack(before), shown)
        if "gzip" in request.headers.get("accept-encoding", "") and len(body) > 512:
            body = self._pack(body)
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type="application/json", headers=headers)

    def _remember(self, shown: dict[bytes, int]) -> str:
        """The tag of what is shown, by which it can be compared later."""
        packed = b"".join(peer + issued.to_bytes(5, "big") for peer, issued in shown.items())
        tag = hashlib.sha256(packed).hexdigest()[:32]
        self._shown[tag] = packed
        self._shown.move_to_end(tag)
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return tag

    def _whole(self, found: dict[str, list[Entry]]) -> bytes:
        parts = (
            f'"{place}":['.encode() + b",".join(map(self._item, entries)) + b"]" for place, entries in found.items()
        )
        return b"{" + b",".join(parts) + b"}"

    def _difference(self, found: dict[str, list[Entry]], before: dict[bytes, int], shown: dict[bytes, int]) -> bytes:
        changed: dict[str, list[Entry]] = {}
        for place, entries in found.items():
            new = [each for each in entries if before.get(each.descriptor.peer_id) != each.descriptor.issued]
            if new:
                changed[place] = new
        gone = json.dumps([peer.hex() for peer in before if peer not in shown]).encode()
        rest = self._whole(changed)[1:]
        return b'{"gone":' + gone + (b"," if changed else b"") + rest

    def _item(self, entry: Entry) -> bytes:
        """An entry as JSON, made once for each descriptor."""
        peer = entry.descriptor.peer_id
        cached = self._items.get(peer)
        if cached is not None and cached[0] is entry.descriptor:
            return cached[1]
        words = [_base64(each.signed) for each in entry.endorsements]
        item = {"peer_id": peer.hex(), "descriptor": _base64(entry.descriptor.signed), "endorsements": words}
        encoded = msgspec.json.encode(item)
        self._items[peer] = (entry.descriptor, encoded)
        return encoded

    def _pack(self, body: bytes) -> bytes:
        digest = hashlib.sha256(body).digest()
        packed = self._packed.get(digest)
        if packed is None:
            packed = self._packed[digest] = gzip.compress(body, 1, mtime=0)
            if len(self._packed) > _PACKED:
                self._packed.popitem(last=False)
        return packed

    async def _prune(self, request: Request) -> Response:
        if not self._is_admin(request):
            raise _AnswerError(
                403, "forbidden", "only the operator may prune: from this computer, or with the admin token"
            )
        return JSONResponse({"pruned": self.prune()})

    def _is_admin(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self._admin_token and hmac.compare_digest(given, self._admin_token.encode()):
            return True
        # A web page could make this computer's browser ask, or a proxy in front make everyone local.
        foreign = {"origin", "sec-fetch-site", "forwarded", "x-forwarded-for"} & set(request.headers)
        return _is_loopback(_source(request)) and _is_loopback(request.url.hostname or "") and not foreign

    async def _exchange(self, request: Request) -> Response:
        self._limit(self._messages, request)
        if self._gossip is None:
            raise _AnswerError(404, "not-found", "this directory does not gossip")
        try:
            answer = self._gossip.answer(await _body(request, GOSSIP_LIMIT), self._clock())
        except RemoteError as error:
            raise _AnswerError(403, getattr(error, "reason", "malformed"), str(error)) from None
        return Response(answer, media_type="application/cbor")

    def _limit(self, limit: RateLimit, request: Request) -> None:
        wait = limit.admit(_source(request), time.monotonic())
        if wait:
            raise _AnswerError(429, "rate", "too many requests from this address", retry_after=wait)


class TunnelApp:
    """The directory as ``directory.qnet``, for a loopback port to which only this node's own tunnel end connects.

    ``source_of`` gives, for the local port of such a connection, the address of who is at the other end of the
    tunnel: by it the buckets and limits go. Whoever comes from an unknown port is refused, and nobody is local.
    """

    def __init__(self, app: ASGIApp, source_of: Callable[[int], str | None]) -> None:
        self._app = app
        self._source_of = source_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        client = scope.get("client")
        source = self._source_of(client[1]) if client else None
        if source is None:
            await error_response(403, "forbidden", "only through the tunnel")(scope, receive, send)
            return
        address = "tunnel" if _is_loopback(source) else source
        await self._app({**scope, "client": (address, 0)}, receive, send)


def no_directory() -> ASGIApp:
    """What a node without a directory answers in its place."""

    async def absent(request: Request) -> Response:
        return error_response(404, "not-found", "this node runs no directory")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(routes=[Route("/{path:path}", absent, methods=methods)])


async def _answer_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, _AnswerError)  # noqa: S101
    return error.response


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = {404: "not-found", 405: "method"}.get(error.status_code, "malformed")
    return error_response(error.status_code, code, error.detail)


async def _body(request: Request, limit: int) -> bytes:
    too_large = _AnswerError(413, "oversized", f"the body may have {limit} bytes")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > limit:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise _AnswerError(408, "timeout", "the body did not come in time") from None
    except ClientDisconnect:
        raise _AnswerError(400, "malformed", "the body ended early") from None
    return bytes(body)


def _unpack(shown: bytes) -> dict[bytes, int]:
    items = (shown[at : at + 37] for at in range(0, len(shown), 37))
    return {item[:32]: int.from_bytes(item[32:], "big") for item in items}


def _source(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _tags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
