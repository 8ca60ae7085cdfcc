"""A destination that is never the bottleneck: ``python -m tests.support.source ADDRESS PORT``, HTTP/1.1 over threads.

``GET /N`` gives N bytes, ``GET /page/N`` an HTML page with N resources of ``/RESOURCE`` bytes; a POST is read to its
end and answered with the number of bytes. Connections stay open. Ends with its standard input.
"""

import socket
import sys
import threading
from collections.abc import Iterator

BLOCK = memoryview(bytes(1 << 20))
RESOURCE = 10_000


def _lines(connection: socket.socket, held: bytearray) -> Iterator[tuple[str, str, int]]:
    """Method, path and length of the body of each request; what of the body came along stays in ``held``."""
    while True:
        while (end := held.find(b"\r\n\r\n")) < 0:
            if not (data := connection.recv(65536)) or len(held) > 65536:
                return
            held += data
        head = bytes(held[:end]).decode("latin-1")
        del held[: end + 4]
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        yield method, path, int(fields.get("content-length", 0))


def _serve(connection: socket.socket) -> None:
    held = bytearray()
    buffer = bytearray(1 << 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        for method, path, length in _lines(connection, held):
            if method == "POST":
                left = length - len(held)
                held.clear()
                while left > 0:
                    count = connection.recv_into(buffer)
                    if not count:
                        return
                    left -= count
                _answer(connection, b"text/plain", str(length).encode())
            elif path.startswith("/page/"):
                images = "".join(f'<img src="/{RESOURCE}?{number}">' for number in range(int(path[6:])))
                _answer(connection, b"text/html", b"<!doctype html><title>page</title>" + images.encode())
            else:
                _send(connection, int(path[1:].partition("?")[0] or 0))


def _answer(connection: socket.socket, kind: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n"
    connection.sendall(head % (kind, len(body)) + body)


def _send(connection: socket.socket, left: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n" % left
    first = BLOCK[: min(left, 60_000)]
    connection.sendall(head + first)
    left -= len(first)
    while left > 0:
        connection.sendall(BLOCK[: min(left, len(BLOCK))])
        left -= len(BLOCK)


def _guarded(connection: socket.socket) -> None:
    try:
        _serve(connection)
    except (OSError, ValueError):
        connection.close()


def main(address: str, port: int) -> None:
    """Serve until standard input ends."""
    listener = socket.create_server((address, port), backlog=1024)
    print("ready", flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_guarded, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
