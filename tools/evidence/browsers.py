"""Many first hellos of a real browser: a page asks for as many names, and nobody answers.

The listener takes one record of each connection and closes it. Only a name's first hello counts, because what a
browser does after a failure is another matter.
"""

import os
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello
from tools.capture_hello import FIREFOX_PREFERENCES, read_record, write_preferences

DOMAIN = "evidence.test"
AT_ONCE = 8
SECONDS = 180.0
PAGE = """<!doctype html><script>
const left = [...Array(%d).keys()];
async function work() {
  while (left.length) {
    const name = "n" + String(left.shift()).padStart(5, "0");
    const url = ["https:", "", name + ".%s:%d", ""].join("/");
    try { await fetch(url, { mode: "no-cors" }); } catch { continue; }
  }
}
for (let at = 0; at < %d; at += 1) work();
</script>"""


def server_name(number: int) -> str:
    """Names of one length, so that sizes can be compared."""
    return f"n{number:05}.{DOMAIN}"


def hellos(browser: str, count: int) -> list[bytes]:
    """``count`` first ClientHello records, each for another name of ours; raises ``TimeoutError``."""
    found: dict[str, bytes] = {}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as tls,
        socket.create_server(("127.0.0.1", 0)) as http,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(2 * AT_ONCE) as pool,
    ):
        page = PAGE % (count + count // 50 + 5, DOMAIN, tls.getsockname()[1], AT_ONCE)
        threading.Thread(target=_serve_page, args=(http, page.encode()), daemon=True).start()
        threading.Thread(target=_take, args=(tls, pool, found), daemon=True).start()
        command = _command(browser, Path(folder), f"http://127.0.0.1:{http.getsockname()[1]}/")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env={**os.environ, "HOME": folder}, **quiet)
        try:
            deadline = time.monotonic() + SECONDS
            while len(found) < count:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{browser}: {len(found)} hellos of {count}")
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait()
            for listener in (tls, http):
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
            time.sleep(0.5)  # the browser's children still write into the profile
    return [found[name] for name in sorted(found)][:count]


def _take(listener: socket.socket, pool: ThreadPoolExecutor, found: dict[str, bytes]) -> None:
    def one(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            record = read_record(connection)
            with suppress(RemoteError):
                name = ClientHello.parse(record[5:]).server_name() or ""
                if name.endswith(DOMAIN):
                    found.setdefault(name, record)

    with suppress(OSError, RuntimeError):  # it is closed, or the pool is
        while True:
            pool.submit(one, listener.accept()[0])


def _serve_page(listener: socket.socket, page: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                with suppress(OSError):
                    asked = connection.recv(65536)
                    connection.sendall(head % len(page) + page if b"GET / " in asked else head % 0)


def _command(browser: str, profile: Path, url: str) -> list[str]:
    if browser == "chromium":
        options = ["--headless", *(["--no-sandbox"] if os.geteuid() == 0 else []), "--disable-gpu", "--disable-quic"]
        options += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
        options += ["--disable-sync", f"--user-data-dir={profile}"]
        return [
            "chromium",
            *options,
            f"--host-resolver-rules=MAP *.{DOMAIN} 127.0.0.1",
            "--remote-debugging-port=0",
            url,
        ]
    write_preferences(profile, FIREFOX_PREFERENCES | {"network.dns.forceResolve": "127.0.0.1"})
    return ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), url]
