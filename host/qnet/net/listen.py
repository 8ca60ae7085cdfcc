"""Listening sockets, with the two failures that a person can mend said in words."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from qnet.wire.errors import LocalError

BACKLOG = 1024


class ListenError(LocalError):
    """The port cannot be listened on."""

    code = "listen"
    exit_code = 71


class PortInUseError(ListenError):
    """Another program listens on the port."""

    code = "port-in-use"
    exit_code = 75


def bind(host: str, port: int, *, what: str, option: str, shared: bool = False) -> socket.socket:
    """A listening socket on ``host``:``port`` (0: any free one).

    ``what`` and ``option`` are for the error: what would listen there, and how to choose another port.
    ``shared``: other processes of ours listen there too, and the system deals connections out (``SO_REUSEPORT``).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because accepted sockets inherit it, and asyncio turns Nagle's algorithm off only where it
    # is TCP's: without that, small answers wait for the other side's delayed acknowledgement, 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # On Windows this option would let another program take the port from us.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} for {what} is in use"
            raise PortInUseError(message, f"stop the other program or choose another port with {option}") from None
        reason = (error.strerror or str(error)).lower()
        message = f"port {port} for {what} cannot be opened: {reason}"
        raise ListenError(message, f"choose another with {option}") from None
    return bound


async def serve(factory: Callable[[], asyncio.BaseProtocol], bound: socket.socket) -> asyncio.Server:
    """Accept connections on a listening socket."""
    return await asyncio.get_running_loop().create_server(factory, sock=bound, backlog=BACKLOG)
