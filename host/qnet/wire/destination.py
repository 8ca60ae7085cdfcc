"""What a program on this machine asks the proxy for, and why it may be refused: shared by SOCKS5 and HTTP.

A destination has one written form, so that a rule, the exit's policy and a log test all see the same: lower case,
A-label (IDNA 2008 with UTS 46 mapping), no trailing dot, canonical IP literal (an IPv4-mapped IPv6 address is the
IPv4 address). Spellings that only some resolvers take for an address (``127.1``, ``0x7f.0.0.1``) are refused.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import idna

from qnet.wire.errors import RemoteError

MESH_SUFFIX = "qnet"
"""Names under it are the mesh's own; a program or a page never reaches them through the proxy."""

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class FailureReason(StrEnum):
    """Why a destination was not reached; ``qnet.wire.proxy.FAILURES`` gives each its answers and its place."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NAME_NOT_FOUND = "name-not-found"
    TIMEOUT = "timeout"
    POLICY = "policy"
    BLOCKED = "blocked"
    NO_TUNNEL = "no-tunnel"
    NO_ROUTE = "no-route"
    LIMIT = "limit"
    INTERNAL = "internal"


class ProxyError(RemoteError):
    """The program's request is refused; write ``answer`` and close. It may be empty."""

    def __init__(self, message: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """What to open: ``host`` canonical, ``port`` 1 to 65535.

    ``first`` goes to the destination before the program's own bytes. ``body`` is how many of those still belong to
    this request, ``None`` without limit: beyond it a plain HTTP program speaks to the proxy again, perhaps about
    another site, and those bytes must not reach this one.
    """

    host: str
    port: int
    kind: Literal["socks5", "connect", "http"]
    first: bytes = b""
    body: int | None = None


def canonical_host(text: str) -> str:
    """The one written form of a host name or address literal; raises ``ValueError`` where there is none."""
    if len(text) > 255:
        raise ValueError("the host name is too long")
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode("ascii")
    host = host.lower().removesuffix(".")
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone has no meaning elsewhere")
        address = ipaddress.IPv6Address(host)
        return str(address.ipv4_mapped or address)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return str(ipaddress.IPv4Address(host))
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("not a host name")
    return host


def is_mesh_name(host: str) -> bool:
    """Whether a canonical host is one of the mesh's own names."""
    return host == MESH_SUFFIX or host.endswith("." + MESH_SUFFIX)
