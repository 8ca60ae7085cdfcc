"""For all tests: the event loop, and which TCP connections this process tries to make (by its audit events)."""

import socket
import sys
from collections.abc import Iterator

import pytest

_watching: list[list[tuple[str, int]]] = []
_hooked = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and _watching:
        sock, address = arguments
        if isinstance(sock, socket.socket) and sock.type == socket.SOCK_STREAM and isinstance(address, tuple):
            for each in _watching:
                each.append(address[:2])


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop that the data path is for."""
    return "asyncio"


@pytest.fixture
def connects() -> Iterator[list[tuple[str, int]]]:
    """Every attempt at a TCP connection during the test. A hook cannot be taken back, so there is one."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    tried: list[tuple[str, int]] = []
    _watching.append(tried)
    try:
        yield tried
    finally:
        _watching.remove(tried)
