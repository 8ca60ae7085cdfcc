"""SOCKS5, server side (RFC 1928), without authentication and with CONNECT only.

Conversation:

1. → ``05 | n | n methods``; ← ``05 00`` (no authentication), or ``05 FF`` and the end if it is not offered
2. → ``05 | command | 00 | type | address | port``, port 16 bits big-endian;
   address by type: ``01`` four bytes, ``03`` one length byte and a name, ``04`` sixteen bytes
3. ← ``05 | reply | 00 | 01 | 00 00 00 00 | 00 00``, by the driver, once the destination answered or failed

The bound address in the reply is zero: where the exit stands is nobody's business. Names are never resolved here.
"""

import ipaddress
from enum import IntEnum
from typing import TypeAlias

from qnet.wire.destination import ProxyError, ProxyRequest, canonical_host, is_mesh_name
from qnet.wire.steps import Done, Receive, Send

VERSION = 5
NO_AUTHENTICATION = 0
CONNECT = 1

Step: TypeAlias = Send | Receive | Done[ProxyRequest]


class Reply(IntEnum):
    """RFC 1928 section 6."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class AddressType(IntEnum):
    """RFC 1928 section 5."""

    IPV4 = 1
    NAME = 3
    IPV6 = 4


_LENGTHS = {AddressType.IPV4: 4, AddressType.IPV6: 16}


def push_reply(reply: Reply) -> bytes:
    """The answer to a request."""
    return bytes([VERSION, reply, 0, AddressType.IPV4]) + bytes(6)


class Socks5Handshake:
    """Reads greeting and request; raises ``ProxyError`` with the reply to send."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False

    def step(self, received: bytes) -> Step:
        """See ``qnet.wire.steps``; ``Done`` leaves the reply to the driver."""
        self._buffer += received
        return self._request() if self._greeted else self._greeting()

    def _greeting(self) -> Step:
        head = self._buffer
        if head and head[0] != VERSION:
            raise ProxyError("not SOCKS5")
        if len(head) < 2 or len(head) < 2 + head[1]:
            return Receive()
        methods = head[2 : 2 + head[1]]
        if NO_AUTHENTICATION not in methods:
            raise ProxyError("the program insists on authentication", bytes([VERSION, 0xFF]))
        del head[: 2 + len(methods)]
        self._greeted = True
        return Send(bytes([VERSION, NO_AUTHENTICATION]))

    def _request(self) -> Step:
        head = self._buffer
        if head and head[0] != VERSION:
            raise ProxyError("not a SOCKS5 request", push_reply(Reply.GENERAL_FAILURE))
        if len(head) < 5:
            return Receive()
        try:
            kind = AddressType(head[3])
        except ValueError:
            raise ProxyError("unknown address type", push_reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)) from None
        start = 5 if kind is AddressType.NAME else 4
        end = start + _LENGTHS.get(kind, head[4])
        if len(head) < end + 2:
            return Receive()
        if head[1] != CONNECT:
            raise ProxyError("only CONNECT is offered", push_reply(Reply.COMMAND_NOT_SUPPORTED))
        try:
            host = _host(kind, bytes(head[start:end]))
        except ValueError:
            raise ProxyError("not a host name", push_reply(Reply.HOST_UNREACHABLE)) from None
        port = int.from_bytes(head[end : end + 2])
        if is_mesh_name(host):
            raise ProxyError("a name of the mesh itself", push_reply(Reply.NOT_ALLOWED))
        if port == 0:
            raise ProxyError("port 0", push_reply(Reply.CONNECTION_REFUSED))
        return Done(ProxyRequest(host, port, "socks5"), bytes(head[end + 2 :]))


def _host(kind: AddressType, data: bytes) -> str:
    if kind is AddressType.NAME:
        return canonical_host(data.decode())
    return canonical_host(str(ipaddress.ip_address(data)))
