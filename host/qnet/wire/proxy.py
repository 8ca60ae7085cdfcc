"""The local proxy port: SOCKS5, HTTP CONNECT and plain HTTP on one port, told apart by the first byte.

Conversation:

1. → ``05`` …: SOCKS5, see ``socks5``; → an upper-case letter …: HTTP, see ``http_proxy``; anything else: the end
2. ``Done(ProxyRequest, trailing)``: the driver opens the destination
3. ← ``success(request)``, then bytes both ways; or ← ``failure(request, reason)`` and the end
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from qnet.wire.destination import FailureReason, ProxyError, ProxyRequest, canonical_host
from qnet.wire.errors import Place
from qnet.wire.http_proxy import HttpProxyHandshake, push_response
from qnet.wire.socks5 import VERSION, Reply, Socks5Handshake, push_reply
from qnet.wire.steps import Done, Receive, Send

__all__ = [
    "FAILURES",
    "Failure",
    "FailureReason",
    "ProxyError",
    "ProxyHandshake",
    "ProxyRequest",
    "canonical_host",
    "failure",
    "success",
]

Step: TypeAlias = Send | Receive | Done[ProxyRequest]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a reason is told: to SOCKS, to HTTP, and to a person."""

    reply: Reply
    status: HTTPStatus
    place: Place
    text: str


FAILURES = {
    FailureReason.REFUSED: Failure(
        Reply.CONNECTION_REFUSED, HTTPStatus.BAD_GATEWAY, Place.DESTINATION, "the site refused the connection"
    ),
    FailureReason.UNREACHABLE: Failure(
        Reply.HOST_UNREACHABLE, HTTPStatus.BAD_GATEWAY, Place.DESTINATION, "the site cannot be reached from the exit"
    ),
    FailureReason.NAME_NOT_FOUND: Failure(
        Reply.HOST_UNREACHABLE, HTTPStatus.BAD_GATEWAY, Place.DESTINATION, "the exit finds no site of this name"
    ),
    FailureReason.TIMEOUT: Failure(
        Reply.TTL_EXPIRED, HTTPStatus.GATEWAY_TIMEOUT, Place.DESTINATION, "the site did not answer in time"
    ),
    FailureReason.POLICY: Failure(
        Reply.NOT_ALLOWED, HTTPStatus.FORBIDDEN, Place.EXIT, "the exit does not allow this destination"
    ),
    FailureReason.BLOCKED: Failure(Reply.NOT_ALLOWED, HTTPStatus.FORBIDDEN, Place.HOST, "blocked on this computer"),
    FailureReason.NO_TUNNEL: Failure(
        Reply.NETWORK_UNREACHABLE, HTTPStatus.SERVICE_UNAVAILABLE, Place.MESH, "there is no tunnel at the moment"
    ),
    FailureReason.NO_ROUTE: Failure(
        Reply.NETWORK_UNREACHABLE,
        HTTPStatus.SERVICE_UNAVAILABLE,
        Place.MESH,
        "no known peers make the route that your rule for this site asks for",
    ),
    FailureReason.LIMIT: Failure(
        Reply.GENERAL_FAILURE,
        HTTPStatus.SERVICE_UNAVAILABLE,
        Place.EXIT,
        "the exit is busy, try again in a minute",
    ),
    FailureReason.INTERNAL: Failure(Reply.GENERAL_FAILURE, HTTPStatus.BAD_GATEWAY, Place.HOST, "the helper failed"),
}


def success(request: ProxyRequest) -> bytes:
    """What tells the program that the destination is open; nothing for plain HTTP, where the site itself answers."""
    match request.kind:
        case "socks5":
            return push_reply(Reply.SUCCEEDED)
        case "connect":
            return b"HTTP/1.1 200 Connection established\r\n\r\n"
        case "http":
            return b""


def failure(request: ProxyRequest, reason: FailureReason) -> bytes:
    """What tells the program why, and at which place, the destination was not opened."""
    told = FAILURES[reason]
    if request.kind == "socks5":
        return push_reply(told.reply)
    return push_response(told.status, f"{told.place}: {told.text}")


class ProxyHandshake:
    """Looks at the first byte and hands over to SOCKS5 or HTTP; raises ``ProxyError``, ``answer`` included."""

    def __init__(self) -> None:
        self._chosen: Socks5Handshake | HttpProxyHandshake | None = None

    def step(self, received: bytes) -> Step:
        """See ``qnet.wire.steps``."""
        if self._chosen is None:
            if not received:
                return Receive()
            if received[0] == VERSION:
                self._chosen = Socks5Handshake()
            elif received[:1].isupper():
                self._chosen = HttpProxyHandshake()
            else:
                raise ProxyError("neither SOCKS5 nor HTTP")
        return self._chosen.step(received)
