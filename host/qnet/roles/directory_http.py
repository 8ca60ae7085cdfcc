"""One bounded request to an operator's directory, and what its refusals say."""

import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qnet.wire.errors import RemoteError

if TYPE_CHECKING:
    import httpx

REQUEST_SECONDS = 10.0
ANSWER_LIMIT = 8 << 20
"""Most bytes of an answer after unpacking."""


class DirectoryError(RemoteError):
    """The directory's answer cannot be used; the message says why. ``reason``: the directory's own code, if any."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Source(NamedTuple):
    """A directory to ask: whose, where, and how to get there if not by plain HTTP (an ``httpx`` transport)."""

    operator: bytes
    url: str
    transport: "Callable[[], httpx.AsyncBaseTransport] | None" = None


async def request(source: Source, method: str, path: str, **given: Any) -> tuple[int, str, bytes]:
    """Status, ETag and body of an answer; raises ``DirectoryError``."""
    import httpx

    # No proxy of the environment, no redirect: nobody else shall learn that a directory was asked.
    transport = source.transport() if source.transport is not None else None
    try:
        async with (
            httpx.AsyncClient(transport=transport, trust_env=False, timeout=REQUEST_SECONDS) as client,
            client.stream(method, source.url + path, headers={"Accept-Encoding": "gzip"}, **given) as response,
        ):
            body = await _read(response)
            return response.status_code, response.headers.get("etag", "").strip('"'), body
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DirectoryError(f"the directory is not reached ({type(error).__name__})") from None


async def _read(response: "httpx.Response") -> bytes:
    packed = response.headers.get("content-encoding", "").lower() == "gzip"
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed else None
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk if unpacker is None else unpacker.decompress(chunk, ANSWER_LIMIT + 1)
            if len(body) > ANSWER_LIMIT:
                raise DirectoryError(f"the answer is longer than {ANSWER_LIMIT >> 20} MiB")
    except zlib.error:
        raise DirectoryError("the answer's compression is damaged") from None
    return bytes(body)


def refusal(status: int, body: bytes, now: float | None = None) -> DirectoryError:
    """What a directory's error says. Its time is told to a person, never believed: one directory could lie."""
    try:
        error = json.loads(body)["error"]
        code, message, theirs = str(error["code"])[:40], str(error["message"])[:200], error.get("now")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return DirectoryError(f"the directory answers {status}")
    if now is not None and isinstance(theirs, int) and abs(theirs - now) > 60:
        side = "behind" if theirs > now else "ahead of"
        message += f"; this computer's clock is {abs(int(theirs - now))} s {side} the directory's"
    return DirectoryError(f"the directory refuses: {message if message.isprintable() else status}", code)
