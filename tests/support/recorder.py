"""A TCP relay that remembers what went through it: the view of an observer on one link."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Recording:
    """``up`` and ``down``: all bytes each way. ``sources``: the ports that connected."""

    port: int
    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    sources: list[int] = field(default_factory=list)

    @property
    def both(self) -> bytes:
        return bytes(self.up + self.down)


@contextmanager
def recorder(target: int) -> Iterator[Recording]:
    """Relays a port of its own to ``target`` on this computer until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recording = Recording(listener.getsockname()[1])
        open_sockets: list[socket.socket] = []

        def pump(source: socket.socket, sink: socket.socket, into: bytearray) -> None:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    into += data
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, (_, port) = listener.accept()
                    recording.sources.append(port)
                    far = socket.create_connection(("127.0.0.1", target))
                    open_sockets.extend((near, far))
                    for arguments in ((near, far, recording.up), (far, near, recording.down)):
                        threading.Thread(target=pump, args=arguments, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield recording
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for each in open_sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
