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
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error, Playwright

from e2e.bidi import BidiError
from e2e.browsers import Chromium, chromium, keep_extension
from e2e.firefox import Firefox, firefox
from e2e.firefox import Popup as FirefoxPopup
from e2e.leak_lab import SITE, Lab
from e2e.pages import Popup as ChromiumPopup
from tools.extension import build

RESTARTS = int(os.environ.get("QNET_RESTARTS", "3"))
STARTS = ("up", "down", "late")
TROUBLES = ("killed", "background killed", "reloaded")
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
