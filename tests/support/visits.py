"""A real browser's visits to a site on this computer, and what an observer sees of each connection."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from e2e.bidi import Session, session
from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.record import RecordReader
from tests.support.tls_servers import free_port
from tools.capture_hello import FIREFOX_PREFERENCES, write_preferences

UP, DOWN = ">", "<"


@dataclass
class Seen:
    """One connection's records: direction, content type and body size; an end is a type of 0 (FIN) or -1 (RST)."""

    records: list[tuple[str, int, int]] = field(default_factory=list)
    first: dict[str, bytes] = field(default_factory=dict)
    """Each direction's first record."""

    @property
    def hello(self) -> ClientHello | None:
        """The ClientHello, if it is one that opened the connection."""
        try:
            return ClientHello.parse(self.first.get(UP, b"")[5:])
        except RemoteError:
            return None

    def sizes(self, direction: str) -> list[int]:
        """Body sizes of one direction's records."""
        return [size for way, kind, size in self.records if way == direction and kind > 0]


@contextmanager
def observed(target: int) -> Iterator[tuple[int, list[Seen]]]:
    """A relay to port ``target`` that takes notes; gives its own port and the connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[Seen] = []
        sockets: list[socket.socket] = []

        def pump(source: socket.socket, sink: socket.socket, notes: Seen, way: str) -> None:
            records = RecordReader()
            try:
                while data := source.recv(1 << 16):
                    with suppress(RemoteError):
                        records.feed(data)
                        while (record := records.next()) is not None:
                            notes.records.append((way, record[0], len(record) - 5))
                            notes.first.setdefault(way, record)
                    sink.sendall(data)
                notes.records.append((way, 0, 0))
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                notes.records.append((way, -1, 0))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", target))
                    sockets.extend((near, far))
                    seen.append(Seen())
                    for arguments in ((near, far, seen[-1], UP), (far, near, seen[-1], DOWN)):
                        threading.Thread(target=pump, args=arguments, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            thread.join(10)


def _load(page: Page, url: str) -> None:
    try:
        page.goto(url)
    except PlaywrightError as error:
        # The server closed just as the browser was to use the connection; the browser tries no other by itself.
        if "ERR_SOCKET_NOT_CONNECTED" not in error.message:
            raise
        page.goto(url)


@contextmanager
def visitor(browser: str, name: str, profile: Path) -> Iterator[Callable[[str], None]]:
    """A running headless ``browser`` to which ``name`` is this computer; gives what opens a URL."""
    if browser == "chromium":
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=shutil.which("chromium"),
                ignore_https_errors=True,
                args=[
                    "--no-sandbox",
                    "--disable-quic",
                    "--disable-background-networking",
                    "--disable-component-update",
                    f"--host-resolver-rules=MAP {name} 127.0.0.1",
                ],
            )
            yield lambda url: _load(context.new_page(), url)
            context.close()
        return
    port = free_port()
    preferences = {**FIREFOX_PREFERENCES, "network.dns.localDomains": name}
    profile.mkdir(exist_ok=True)
    write_preferences(profile, preferences)
    process = subprocess.Popen(
        ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), f"--remote-debugging-port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )
    try:
        with _patiently(port) as remote:
            yield lambda url: remote.open(url) and None
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _patiently(port: int) -> Iterator[Session]:
    deadline = time.monotonic() + 40
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        if time.monotonic() > deadline:
            raise TimeoutError("Firefox does not start")
        time.sleep(0.1)
    with session(f"ws://127.0.0.1:{port}", {"alwaysMatch": {"acceptInsecureCerts": True}}) as remote:
        yield remote
