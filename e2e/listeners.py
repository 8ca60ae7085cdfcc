"""Small servers that tests watch: who came, and whether anyone came round the proxy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class Site:
    """A web site on 127.0.0.1; ``hits`` are the paths asked for, in order."""

    port: int
    hits: list[str] = field(default_factory=list)


@contextmanager
def site(body: str = "<title>direct</title>reached directly") -> Iterator[Site]:
    """Serve ``body`` at every path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open for more, as real sites keep them

        def do_GET(self) -> None:
            found.hits.append(self.path)
            data = body.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Site(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
