"""Nothing goes around the tunnel: restarts of a real browser, with the helper up, down, late, and killed on the way.

Each browser runs with a name server of ours as its only one, on loopback, so that one run counts both kinds of leak:
connections at ``outside``, to which that name server leads, and queries for names of the tunnelled site. Without the
extension both are counted, too: a counter that cannot count proves nothing.

A restart opens the site while the browser starts, and keeps asking for it all the time. Restart number n has the
helper (up, down, late)[n mod 3] at its start, and then (killed, background killed, extension reloaded) comes over it,
in turns such that nine restarts have every pair. What goes out in the moment in which a reloaded extension is not
there is counted apart: no extension can prevent it (updates wait for a restart instead, see ``background.js``).
Three restarts are run by default; ``QNET_RESTARTS=50`` asks for more, ``-s`` shows the figures.
Needs root: port 53, and a mount namespace for the browser's ``resolv.conf``.
"""

import itertools
import os
import shlex
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode
import dns.rrset
import pytest
from playwright.sync_api import Error, Playwright

from e2e.bidi import BidiError
from e2e.browsers import Chromium, chromium, keep_extension
from e2e.firefox import Firefox, firefox
from e2e.firefox import Popup as FirefoxPopup
from e2e.listeners import Site, site
from e2e.pages import Popup as ChromiumPopup
from qnet.browser.launcher import write_launcher
from tests.support.network import Node, joined_client, network
from tools.extension import build

RESTARTS = int(os.environ.get("QNET_RESTARTS", "3"))
STARTS = ("up", "down", "late")
TROUBLES = ("killed", "background killed", "reloaded")
LATE_SECONDS = 1.5
NAME_SERVER = "127.83.0.1"
SITE = "site.test"
HINTS = f'<link rel="dns-prefetch" href="//hint.{SITE}"><link rel="preconnect" href="http://{SITE}:PORT">'
ASK = "setInterval(() => fetch('/?' + Math.random()).catch(() => 0), 20)"
"""What the site's page does for as long as it is open."""
UDP = """(async () => {
  const peer = new RTCPeerConnection({ iceServers: [] });
  const found = [];
  const done = new Promise((resolve) => {
    peer.onicecandidate = ({ candidate }) => {
      if (!candidate) resolve();
      else if (candidate.candidate) found.push(candidate.candidate);
    };
  });
  peer.createDataChannel("x");
  await peer.setLocalDescription(await peer.createOffer());
  await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 3000))]);
  peer.close();
  return found.filter((line) => / udp /i.test(line)).length;
})()"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: port 53 and a mount namespace"),
    pytest.mark.timeout(60 + 30 * RESTARTS),
]


@dataclass
class Names:
    """A name server on ``NAME_SERVER``. Every name under ``test`` is 127.0.0.1; ``asked`` counts names."""

    asked: Counter[str] = field(default_factory=Counter)

    @property
    def leaked(self) -> Counter[str]:
        """Queries for the tunnelled site's names."""
        return Counter({name: count for name, count in self.asked.items() if name.endswith(SITE)})

    def answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked[name] += 1
        answer = dns.message.make_response(query)
        if not name.endswith(".test"):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", "127.0.0.1"))
        return answer.to_wire()


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((NAME_SERVER, 53))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    data, source = server.recvfrom(4096)
                    if not data:
                        return
                    with suppress(dns.exception.DNSException, IndexError):
                        server.sendto(made.answer(data), source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield made
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (NAME_SERVER, 53))
        thread.join()


@dataclass
class Lab:
    """``launcher`` starts the helper, late if the file ``late`` is there."""

    client: Node
    inside: Site
    outside: Site
    names: Names
    folder: Path
    launcher: Path
    late: Path
    gaps: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{SITE}:{self.outside.port}/"

    def program(self, browser: str, page: str = "") -> Path:
        """The browser, with our name server as the only one; it opens ``page`` when it starts."""
        (self.folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
        path = self.folder / browser
        mount = f"mount --bind {shlex.quote(str(self.folder / 'resolv.conf'))} /etc/resolv.conf"
        # Playwright wants a blank page; the site takes its place.
        instead = f'for a do shift; [ "$a" = about:blank ] && a={page or "about:blank"}; set -- "$@" "$a"; done'
        inner = f'{mount} && {instead}; exec {shutil.which(browser)} "$@"'
        path.write_text(f'#!/bin/sh\nexec unshare --mount sh -c {shlex.quote(inner)} {browser} "$@"\n')
        path.chmod(0o755)
        return path

    def kill_helper(self) -> None:
        """At once, if it runs."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.client.home / "run" / "control.sock"))
            credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            os.kill(int.from_bytes(credentials[:4], "little"), signal.SIGKILL)

    def prepare(self, start: str) -> None:
        """The helper as it shall be when the browser starts: it runs, or it starts with it, or late."""
        self.late.unlink(missing_ok=True)
        if start == "late":
            self.late.touch()
        if start != "up":
            self.kill_helper()
        self.inside.hits.clear()

    def note_gap(self) -> None:
        """While an extension is being reloaded there is none, and nobody who holds pages back: counted apart."""
        self.gaps.append(len(self.outside.hits))
        self.outside.hits.clear()
        self.names.asked.clear()

    def leaks(self) -> tuple[int, Counter[str]]:
        return len(self.outside.hits), self.names.leaked


@pytest.fixture
def lab(tmp_path: Path, names: Names) -> Iterator[Lab]:
    with (
        site("<title>outside</title>reached directly") as outside,
        site(f"<title>inside</title>{HINTS.replace('PORT', str(outside.port))}<script>{ASK}</script>") as inside,
        network(tmp_path, f"--exit-map={SITE}:{outside.port}=127.0.0.1:{inside.port}", "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        (client.home / "data").mkdir(mode=0o700, exist_ok=True)
        real, late = write_launcher(client.home / "data"), tmp_path / "late"
        launcher = tmp_path / "launcher"
        launcher.write_text(f'#!/bin/sh\n[ -e {late} ] && sleep {LATE_SECONDS}\nexec {real} "$@"\n')
        launcher.chmod(0o755)
        yield Lab(client, inside, outside, names, tmp_path, launcher, late)
        client.command("stop")


def scenes() -> Iterator[tuple[str, str]]:
    """How each restart begins, and what comes over it."""
    for number in range(RESTARTS):
        yield STARTS[number % 3], TROUBLES[(number + number // 3) % 3]


def asked_again(lab: Lab, load: Callable[[], object], seconds: float = 15.0) -> None:
    """Ask for the page until it has come through the tunnel."""
    before = len(lab.inside.hits)
    end = time.monotonic() + seconds
    while len(lab.inside.hits) == before:
        with suppress(Error, BidiError, TimeoutError):
            load()
        assert time.monotonic() < end, "no page came through the tunnel"


def reconnect(popup: ChromiumPopup | FirefoxPopup) -> None:
    """Back to connected; opening the popup may have begun that already.

    What the button would say, without the button: it may have become “Disconnect” before it is pressed.
    """
    press = "(chrome.runtime.connect().postMessage({ press: 'reconnect' }), 0)"
    end = time.monotonic() + 30
    while (state := popup.state()) != "connected":
        assert time.monotonic() < end, state
        if state == "blocked" and isinstance(popup, ChromiumPopup):
            popup.page.evaluate(press)
        elif state == "blocked":
            popup.session.evaluate(popup.context, press)
        time.sleep(0.3)


def told(browser: str, lab: Lab) -> str:
    """The figures of a run, for a person who asked for many restarts."""
    hits, queries = lab.leaks()
    gaps = f"{sum(lab.gaps)} requests in {len(lab.gaps)} reloads of the extension"
    others = ", ".join(sorted(set(lab.names.asked) - set(queries))) or "none"
    return (
        f"\n{browser}: {RESTARTS} restarts, {hits} requests and {queries.total()} queries around the tunnel; {gaps}; "
        f"names of the browser's own that were asked for: {others}"
    )


# --- Chromium


@contextmanager
def a_chromium(playwright: Playwright, lab: Lab, extension: Path | None, page: str = "") -> Iterator[Chromium]:
    with chromium(
        playwright,
        lab.folder / "profile",
        extension,
        launcher=lab.launcher,
        env=lab.client.environment,
        program=lab.program("chromium", page),
    ) as running:
        yield running


def test_chromium_without_the_extension_is_counted(playwright: Playwright, lab: Lab) -> None:
    with a_chromium(playwright, lab, None) as running:
        page = running.open(lab.url)
        assert page.title() == "outside"
        udp = page.evaluate(UDP)
    assert lab.outside.hits
    assert lab.names.leaked[SITE]
    assert udp > 0


def test_chromium_leaks_nothing(playwright: Playwright, lab: Lab, extension: Path) -> None:
    with a_chromium(playwright, lab, extension) as running:
        popup = running.open_popup()
        popup.press()
        popup.wait_for("connected")
        assert running.open(lab.url).evaluate(UDP) == 0
    keep_extension(lab.folder / "profile")
    for start, trouble in scenes():
        lab.prepare(start)
        with a_chromium(playwright, lab, None, lab.url) as running:
            asked_again(lab, lambda: running.open(lab.url))
            page = running.context.pages[-1]
            if trouble == "killed":
                lab.kill_helper()
                reconnect(running.open_popup())
            elif trouble == "background killed":
                running.kill_worker()
            else:
                with suppress(Error):
                    running.worker().evaluate("chrome.runtime.reload()")
                time.sleep(1)
            asked_again(lab, lambda: running.open(lab.url))
            if trouble == "reloaded":
                lab.note_gap()
                asked_again(lab, lambda: running.open(lab.url))
            else:
                assert page.evaluate(UDP) == 0
        assert lab.leaks() == (0, Counter()), (start, trouble)
    print(told("Chromium", lab))


# --- Firefox


@contextmanager
def a_firefox(lab: Lab, extension: Path | None = None, page: str = "about:blank") -> Iterator[Firefox]:
    with firefox(
        lab.folder / "person",
        extension,
        launcher=lab.launcher,
        env=lab.client.environment,
        page=page,
        program=lab.program("firefox-esr"),
    ) as running:
        yield running


def evaluate(running: Firefox, url: str, expression: str) -> object:
    return running.session.evaluate(running.session.open(url), expression)


def test_firefox_without_the_extension_is_counted(lab: Lab) -> None:
    with a_firefox(lab) as running:
        assert running.open(lab.url) == "outside"
        udp = evaluate(running, lab.url, UDP)
    assert lab.outside.hits
    assert lab.names.leaked[SITE]
    assert isinstance(udp, int) and udp > 0


def test_firefox_leaks_nothing(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    extension = build("firefox", tmp_path_factory.mktemp("extension") / "firefox")
    with a_firefox(lab, extension) as running:
        popup = running.open_popup()
        popup.press()
        popup.wait_for("connected")
        assert evaluate(running, lab.url, UDP) == 0
    for start, trouble in scenes():
        lab.prepare(start)
        with a_firefox(lab, page=lab.url) as running:
            asked_again(lab, lambda: running.open(lab.url))
            if trouble == "killed":
                lab.kill_helper()
                reconnect(running.open_popup())
            elif trouble == "background killed":
                running.kill_background()
            else:
                with suppress(BidiError):
                    running.in_background("(browser.runtime.reload(), 0)")
                time.sleep(1)
            asked_again(lab, lambda: running.open(lab.url))
            if trouble == "reloaded":
                lab.note_gap()
                asked_again(lab, lambda: running.open(lab.url))
            else:
                assert evaluate(running, lab.url, UDP) == 0
        assert lab.leaks() == (0, Counter()), (start, trouble)
    print(told("Firefox", lab))


def test_nine_restarts_have_every_pair() -> None:
    pairs = {(STARTS[n % 3], TROUBLES[(n + n // 3) % 3]) for n in range(9)}
    assert pairs == set(itertools.product(STARTS, TROUBLES))
