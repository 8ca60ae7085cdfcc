"""A network's sign-in page in both browsers: it opens by a press, and nothing but it goes directly."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Error, Playwright

from e2e import hosts
from e2e.bidi import BidiError
from e2e.browsers import Chromium, build_seeing, chromium
from e2e.firefox import ALLOWING, Firefox, firefox
from tools.extension import build

PROBES = {"chromium": "www.gstatic.com", "firefox": "detectportal.firefox.com"}
LOGIN = "login.test"
PICTURE = "pictures.login.test"
OTHER = "other.test"
PAGE = f"<title>sign in</title><img src='http://{PICTURE}/logo.svg'><a href='http://{LOGIN}/agree'>agree</a>"


@contextmanager
def captive_network() -> Iterator[tuple[int, list[str]]]:
    """A server that answers for every host, as such a network does; gives its port and the hosts asked for, in order.

    Firefox cannot be told another port for a name, so it is 80.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host = self.headers["Host"].partition(":")[0]
            asked.append(host)
            led = host in PROBES.values()
            body = b"" if led else PAGE.encode()
            self.send_response(302 if led else 200)
            if led:
                self.send_header("Location", f"http://{LOGIN}/")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", 80), Handler)
    except OSError:
        pytest.skip("port 80 is not free")
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


@contextmanager
def started(name: str, playwright: Playwright, folder: Path) -> Iterator[Chromium | Firefox]:
    launcher = hosts.scene(folder / "host", "troubled", hosts.dead_port())
    names = (*PROBES.values(), LOGIN, PICTURE, OTHER)
    if name == "chromium":
        extension = build_seeing(folder / "extension")
        rules = ", ".join(f"MAP {each} 127.0.0.1" for each in names)
        arguments = [f"--host-resolver-rules={rules}"]
        with chromium(playwright, folder / "profile", extension, launcher=launcher, arguments=arguments) as browser:
            yield browser
    else:
        extension = build("firefox", folder / "extension")
        preferences = {**ALLOWING, "network.dns.localDomains": ",".join(names)}
        home = folder / "person"
        with firefox(home, extension, launcher=launcher, env=dict(os.environ), preferences=preferences) as running:
            yield running


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def refused(browser: Chromium | Firefox, host: str) -> bool:
    try:
        browser.open(f"http://{host}/?{time.monotonic()}")
    except (Error, BidiError):
        return True
    return False


@pytest.mark.timeout(150)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: port 80")
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_the_sign_in_page_alone_goes_directly(name: str, playwright: Playwright, tmp_path: Path) -> None:
    with captive_network() as (_, asked), started(name, playwright, tmp_path) as browser:
        popup = browser.open_surface("popup/popup.html")
        popup.click("#press")
        popup.wait_for("#sign-in", "sign in")
        assert refused(browser, LOGIN)
        asked.clear()
        portal = browser.open_surface("portal/portal.html")
        portal.click("#open")
        until(lambda: PICTURE in asked, f"the page and its pictures come: {asked}")
        assert asked[0] == PROBES[name] and set(asked) == {PROBES[name], LOGIN, PICTURE}, asked
        portal.wait_for("#hosts", LOGIN)
        popup.wait_for("#held", "sign-in page")
        assert refused(browser, OTHER)
        portal.click("#close")
        popup.wait_for("#held", "bypass")
        assert refused(browser, LOGIN)
        assert OTHER not in asked
