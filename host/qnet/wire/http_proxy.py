"""HTTP/1.1 proxy, server side: CONNECT (RFC 9110 section 9.3.6) and absolute-form requests (RFC 9112 section 3.2.2).

Conversation:

1. → ``CONNECT host:port HTTP/1.1`` and header; ← ``HTTP/1.1 200``, by the driver, once the destination answered;
   from here on the connection is the tunnel
2. or → ``GET http://host[:port]/path HTTP/1.1`` and header; the destination gets the same request in origin-form
   with ``Connection: close`` and without hop-by-hop fields, then its body; its answer goes back as it is

An origin-form request is refused: it is how a web page would knock at this port. So is every head that two
readers could read in two ways: bare CR or LF, folded lines, a Host that differs from the target, two framings.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import TypeAlias

import h11

from qnet.wire.destination import ProxyError, ProxyRequest, canonical_host, is_mesh_name
from qnet.wire.steps import Done, Receive, Send

HEAD_LIMIT = 16 * 1024
"""Largest request head in bytes, blank line included."""

_END = b"\r\n\r\n"
_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\r[^\n]|\n[ \t]")
_HTTP_URL = re.compile(rb"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?")
_NOT_FORWARDED = frozenset([b"host", b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"])

Step: TypeAlias = Send | Receive | Done[ProxyRequest]


def push_response(status: HTTPStatus, text: str, fields: Iterable[str] = ()) -> bytes:
    """A whole response with a one-line text body, after which the connection closes."""
    body = (text + "\n").encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join(head).encode() + _END + body


def _refused(status: HTTPStatus, text: str, *fields: str) -> ProxyError:
    return ProxyError(text, push_response(status, f"host: {text}", fields))


def _bad(text: str) -> ProxyError:
    return _refused(HTTPStatus.BAD_REQUEST, text)


class HttpProxyHandshake:
    """Reads one request head; raises ``ProxyError`` with the response to send."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def step(self, received: bytes) -> Step:
        """See ``qnet.wire.steps``; ``Done`` leaves the response to the driver."""
        # The last three bytes are looked at again: the end, or a bare LF, may straddle two arrivals.
        seen = max(0, len(self._buffer) - 3)
        self._buffer += received
        end = self._buffer.find(_END, seen)
        if _AMBIGUOUS.search(self._buffer, seen, end + 2 if end >= 0 else len(self._buffer)):
            raise _bad("the request mixes line endings or folds lines")
        if end < 0 and len(self._buffer) < HEAD_LIMIT:
            return Receive()
        if end < 0 or end + len(_END) > HEAD_LIMIT:
            raise _refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large")
        head = bytes(self._buffer[: end + len(_END)])
        return Done(_read_request(_parse(head)), bytes(self._buffer[end + len(_END) :]))


def _parse(head: bytes) -> h11.Request:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        raise _bad("the request is not HTTP/1.1") from None
    if not isinstance(event, h11.Request):
        raise _bad("the request is not HTTP/1.1")
    return event


def _read_request(request: h11.Request) -> ProxyRequest:
    if request.method == b"CONNECT":
        host, port = _authority(request.target, None)
        _check_host_field(request, host, port, None)
        return ProxyRequest(host, port, "connect")
    if request.method == b"TRACE":
        raise _refused(HTTPStatus.METHOD_NOT_ALLOWED, "TRACE is not offered", "Allow: CONNECT, GET, HEAD, POST")
    url = _HTTP_URL.fullmatch(request.target)
    if url is None:
        raise _bad("this is a proxy: ask it with CONNECT or with a whole http:// address")
    host, port = _authority(url[1], 80)
    _check_host_field(request, host, port, 80)
    body = _body_length(request)
    return ProxyRequest(host, port, "http", _origin_form(request, url[2], _join(host, port)), body)


def _authority(text: bytes, default_port: int | None) -> tuple[str, int]:
    """Host and port of ``host[:port]``."""
    match = _AUTHORITY.fullmatch(text.decode("ascii", "replace"))
    try:
        if match is None:
            raise ValueError
        host = canonical_host(match[1])
    except ValueError:
        raise _bad("the address is not one of a host") from None
    port = int(match[2]) if match[2] else default_port
    if port is None or not 0 < port < 65536:
        raise _bad("the port is missing or out of range")
    if is_mesh_name(host):
        raise _refused(HTTPStatus.FORBIDDEN, "names of the mesh itself are not reachable through the proxy")
    return host, port


def _check_host_field(request: h11.Request, host: str, port: int, default_port: int | None) -> None:
    """The Host field, where there is one, names the target; some programs leave out CONNECT's port."""
    for name, value in request.headers:
        if name == b"host" and _authority(value, default_port or port) != (host, port):
            raise _bad("the Host field differs from the address")


def _body_length(request: h11.Request) -> int | None:
    fields = dict(request.headers)
    if b"transfer-encoding" in fields:
        if b"content-length" in fields or request.http_version != b"1.1":
            raise _bad("the request's length is ambiguous")
        return None
    return int(fields.get(b"content-length", b"0"))


def _join(host: str, port: int) -> bytes:
    name = f"[{host}]" if ":" in host else host
    return (name if port == 80 else f"{name}:{port}").encode()


def _origin_form(request: h11.Request, path: bytes, authority: bytes) -> bytes:
    """The head as the destination gets it: origin-form, our Host, no hop-by-hop field (RFC 9110 section 7.6.1)."""
    if not path.startswith(b"/"):
        path = b"*" if request.method == b"OPTIONS" and not path else b"/" + path
    named = {
        option.strip().lower()
        for name, value in request.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    # What frames or names the request stays, whatever the Connection field says.
    dropped = (_NOT_FORWARDED | named) - {b"content-length", b"transfer-encoding"}
    lines = [request.method + b" " + path + b" HTTP/1.1", b"Host: " + authority]
    lines += [
        raw_name + b": " + value
        for (raw_name, value), (name, _) in zip(request.headers.raw_items(), request.headers, strict=True)
        if name not in dropped and not name.startswith(b"proxy-")
    ]
    return b"\r\n".join([*lines, b"Connection: close"]) + _END
