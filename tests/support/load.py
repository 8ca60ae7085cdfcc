"""Work for a proxy, timed: ``python -m tests.support.load SOCKS_PORT HOST PORT WORK ARGUMENTS…``, one line of JSON.

SOCKS_PORT 0 goes without a proxy. Works, their arguments and what they print:

- ``download BYTES [PARALLEL]``, ``upload BYTES [PARALLEL]``: seconds of all together, and bytes
- ``first COUNT``: seconds to the first byte of a new stream, one after the other, each
- ``connections COUNT PARALLEL [BYTES]``: seconds for COUNT requests of 1 KB (or BYTES), each on a stream of its own
- ``pages COUNT PARALLEL BYTES``: seconds of each page, a page being PARALLEL streams of BYTES at once
- ``idle COUNT``: opens COUNT streams, says ``held``, and keeps them until standard input ends
"""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BLOCK = memoryview(bytes(1 << 20))
TIMEOUT = 120.0


class Loader:
    """Opens streams to one destination."""

    def __init__(self, socks: int, host: str, port: int) -> None:
        self._socks = socks
        self._host = host
        self._port = port

    def connect(self) -> socket.socket:
        """A stream, by SOCKS5 with the name (RFC 1928)."""
        if not self._socks:
            return socket.create_connection((self._host, self._port), TIMEOUT)
        connection = socket.create_connection(("127.0.0.1", self._socks), TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"\5\1\0")
        if _exactly(connection, 2) != b"\5\0":
            raise OSError("no SOCKS5 proxy without a password")
        name = self._host.encode()
        connection.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack(">H", self._port))
        reply = _exactly(connection, 4)
        if reply[1]:
            raise OSError(f"SOCKS reply {reply[1]}")
        _exactly(connection, {1: 4, 4: 16}[reply[3]] + 2)
        return connection

    def fetch(self, size: int) -> float:
        """Fetch ``size`` bytes on a new stream; gives the seconds to the first byte."""
        began = time.perf_counter()
        with self.connect() as connection:
            connection.sendall(b"GET /%d HTTP/1.1\r\nHost: site\r\n\r\n" % size)
            data = connection.recv(65536)
            first = time.perf_counter() - began
            head = data.index(b"\r\n\r\n") + 4
            left = size - (len(data) - head)
            buffer = bytearray(1 << 20)
            while left > 0:
                if not (count := connection.recv_into(buffer)):
                    raise OSError("ended early")
                left -= count
        return first

    def post(self, size: int) -> float:
        """Send ``size`` bytes on a new stream and wait for the answer."""
        with self.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % size)
            left = size
            while left > 0:
                connection.sendall(BLOCK[: min(left, len(BLOCK))])
                left -= len(BLOCK)
            if not connection.recv(65536).endswith(str(size).encode()):
                raise OSError("not all arrived")
        return 0.0


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (more := connection.recv(count - len(data))):
            raise OSError("the proxy closed")
        data += more
    return data


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _together(pool: ThreadPoolExecutor, work: Callable[[int], float], size: int, count: int) -> float:
    return _timed(lambda: list(pool.map(work, [size] * count)))


def main(arguments: list[str]) -> None:
    """Do the work and print what it took."""
    socks, host, port, work, *rest = arguments
    loader = Loader(int(socks), host, int(port))
    numbers = [int(number) for number in rest]
    result: object
    match work, numbers:
        case (("download" | "upload"), [size, *more]):
            parallel = more[0] if more else 1
            with ThreadPoolExecutor(parallel) as pool:
                each = loader.fetch if work == "download" else loader.post
                result = {"seconds": _together(pool, each, size // parallel, parallel), "bytes": size}
        case "first", [count]:
            result = [loader.fetch(1000) for _ in range(count)]
        case "connections", [count, parallel, *more]:
            with ThreadPoolExecutor(parallel) as pool:
                result = {"seconds": _together(pool, loader.fetch, more[0] if more else 1000, count), "count": count}
        case "pages", [count, parallel, size]:
            with ThreadPoolExecutor(parallel) as pool:
                result = [_together(pool, loader.fetch, size, parallel) for _ in range(count)]
        case "idle", [count]:
            held: list[socket.socket] = []
            lock = threading.Lock()

            def hold(_: int) -> None:
                connection = loader.connect()
                with lock:
                    held.append(connection)

            with ThreadPoolExecutor(20) as pool:
                list(pool.map(hold, range(count)))
            print("held", flush=True)
            sys.stdin.read()
            result = len(held)
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
