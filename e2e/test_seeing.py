"""What one sees of one's pages, in both browsers: the log, what failed and its repair, the graph, rules as a file."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e.browsers import Chromium, build_seeing, chromium, keep_extension
from e2e.firefox import ALLOWING, Firefox, firefox
from e2e.listeners import Site, site
from qnet.browser.launcher import write_launcher
from qnet.net.control_client import request
from qnet.wire.messages import GetRules, Rule
from tests.support.network import Node, joined_client, network
from tools.extension import build

pytestmark = pytest.mark.timeout(150)
BROWSERS = pytest.mark.parametrize("name", ["chromium", "firefox"])


@dataclass
class Person:
    """``inside`` is behind the exit, and its page has a picture that no exit reaches; ``outside`` has it."""

    browser: Chromium | Firefox
    client: Node
    inside: Site
    outside: Site

    @property
    def url(self) -> str:
        return f"http://site.test:{self.outside.port}/"

    def rules(self) -> list[Rule]:
        page = request(self.client.home / "run" / "control.sock", GetRules(id=1)).rules
        assert page is not None
        return page.rules


@contextmanager
def person(name: str, playwright: Playwright, folder: Path) -> Iterator[Person]:
    with site("<title>outside</title>") as outside:
        picture = f"<img src='http://picture.test:{outside.port}/p.png'>"
        with (
            site(f"<title>inside</title>{picture}{'x' * 300_000}") as inside,
            network(folder, f"--exit-map=site.test:{outside.port}=127.0.0.1:{inside.port}", "--exit-only") as qnet,
        ):
            client = joined_client(folder / "browser", [qnet.peer], qnet.roots)
            (client.home / "data").mkdir(mode=0o700, exist_ok=True)
            launcher = write_launcher(client.home / "data")
            if name == "chromium":
                extension = build_seeing(folder / "extension")
                rules = "--host-resolver-rules=MAP site.test 127.0.0.1, MAP picture.test 127.0.0.1"
                with chromium(
                    playwright,
                    folder / "profile",
                    extension,
                    launcher=launcher,
                    env=client.environment,
                    arguments=[rules],
                ) as browser:
                    yield Person(browser, client, inside, outside)
            else:
                extension = build("firefox", folder / "extension")
                preferences = {**ALLOWING, "network.dns.localDomains": "site.test,picture.test"}
                with firefox(
                    folder / "person",
                    extension,
                    launcher=launcher,
                    env=client.environment,
                    preferences=preferences,
                ) as running:
                    yield Person(running, client, inside, outside)
            client.command("stop")


def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@BROWSERS
def test_the_log_the_failures_and_their_repair(name: str, playwright: Playwright, tmp_path: Path) -> None:
    with person(name, playwright, tmp_path) as somebody:
        browser = somebody.browser
        popup = browser.open_surface("popup/popup.html")
        popup.click("#press")
        popup.wait_for("#title", "Connected")
        log = browser.open_surface("options/options.html#log")
        assert browser.title_of(somebody.url) == "inside"
        assert log.text("#log-rows") == ""  # it is off
        log.click("#log-on")
        until(lambda: log.evaluate("chrome.storage.local.get('log').then(({ log }) => log === true)"), "the log is on")
        assert browser.title_of(somebody.url + "again") == "inside"
        log.wait_for("#log-rows", "site.test")
        log.wait_for("#log-rows", "picture.test")
        assert "Tunnel" in log.text("#log-rows") and "default" in log.text("#log-rows")
        assert until_drawn(popup)
        failures = browser.open_surface("options/options.html#failures")
        failures.wait_for("#failures", "picture.test")
        assert not somebody.outside.hits
        failures.click("#failures li:first-child .quiet")  # go directly
        until(lambda: [str(rule.action) for rule in somebody.rules()] == ["direct"], "the rule is made")
        assert somebody.rules()[0].pattern == "picture.test"
        until(
            lambda: browser.title_of(somebody.url) == "inside" and "/p.png" in somebody.outside.hits,
            "the picture goes directly",
        )
        log.click("#log-clear")
        until(lambda: log.text("#log-rows") == "", "the log is empty")
        log.click("#log-on")
        until(lambda: log.evaluate("chrome.storage.local.get('log').then(({ log }) => log === false)"), "it is off")


def until_drawn(popup: object) -> bool:
    """Wait until the graph has more than one height."""
    heights = "new Set(document.querySelector('#graph-down').getAttribute('d').match(/ [0-9.]+/g)).size"
    until(lambda: popup.evaluate(heights) > 1, "the graph rises")  # type: ignore[attr-defined]
    return True


@BROWSERS
def test_rules_as_a_file(name: str, playwright: Playwright, tmp_path: Path) -> None:
    with person(name, playwright, tmp_path) as somebody:
        file = tmp_path / "hosts.txt"
        file.write_text("0.0.0.0 ads.example\n0.0.0.0 track.example\n")
        options = somebody.browser.open_surface("options/options.html#rules")
        options.wait_for("#rules-empty", "No rules yet")
        options.choose_file("#import-file", file)
        options.wait_for("#import-found", "Rules found: 2")
        options.click("#import-append")
        options.wait_for("#rules-list", "track.example")
        assert [rule.pattern for rule in somebody.rules()] == ["ads.example", "track.example"]
        # What would be saved, caught on its way: a test's browser has no folder for downloads.
        options.evaluate("void (URL.createObjectURL = (blob) => (globalThis.saved = blob.text(), 'about:blank#'))")
        options.evaluate("void (HTMLAnchorElement.prototype.click = () => {})")
        options.click("#export")
        exported = json.loads(options.evaluate("globalThis.saved"))
        assert [rule["pattern"] for rule in exported["rules"]] == ["ads.example", "track.example"]
        again = tmp_path / "again.json"
        again.write_text(json.dumps(exported))
        options.choose_file("#import-file", again)
        options.wait_for("#import-found", "Rules found: 2")
        options.click("#import-replace")
        until(lambda: len(somebody.rules()) == 2, "the same rules again")


def test_nothing_of_firefoxs_private_windows(playwright: Playwright, tmp_path: Path) -> None:
    """A private window goes through the tunnel, too, and leaves no word in the log."""
    with person("firefox", playwright, tmp_path) as somebody:
        assert isinstance(somebody.browser, Firefox)
        popup = somebody.browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        log = somebody.browser.open_surface("options/options.html#log")
        log.click("#log-on")
        until(lambda: log.evaluate("chrome.storage.local.get('log').then(({ log }) => log === true)"), "the log is on")
        before = len(somebody.inside.hits)
        opened = f"browser.windows.create({{ url: '{somebody.url}private', incognito: true }}).then(({{ id }}) => id)"
        window = somebody.browser.in_background(opened)
        until(lambda: "/private" in somebody.inside.hits[before:], "the private page comes through the tunnel")
        time.sleep(1)
        log.evaluate(f"browser.windows.remove({window}).then(() => true)")  # or the next tab would be in it
        assert somebody.browser.title_of(somebody.url + "ordinary") == "inside"
        log.wait_for("#log-rows", "site.test")
        entries = log.evaluate("chrome.storage.session.get('entries').then(({ entries }) => JSON.stringify(entries))")
        hosts = [entry["host"] for entry in json.loads(entries) if entry["host"].startswith("site.test")]
        assert len(hosts) == 1
        assert not somebody.outside.hits


def test_nothing_of_private_windows(playwright: Playwright, tmp_path: Path) -> None:
    """Chromium's private window goes through the tunnel where the extension is let in, and leaves no word."""
    with person("chromium", playwright, tmp_path) as somebody:
        assert isinstance(somebody.browser, Chromium)
        popup = somebody.browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        somebody.browser.worker().evaluate("chrome.storage.local.set({ log: true })")
        profile, environment = tmp_path / "profile", somebody.client.environment
        somebody.browser.context.close()
        keep_extension(profile, private_windows=True)
        launcher = somebody.client.home / "data"
        with chromium(playwright, profile, None, launcher=write_launcher(launcher), env=environment) as browser:
            popup = browser.open_popup()
            popup.wait_for("connected")
            before = len(somebody.inside.hits)
            browser.worker().evaluate(
                "url => { chrome.windows.create({ url, incognito: true }); }", somebody.url + "private"
            )
            until(lambda: len(somebody.inside.hits) > before, "the private page comes through the tunnel")
            assert browser.title_of(somebody.url + "ordinary") == "inside"
            log = browser.open_surface("options/options.html#log")
            log.wait_for("#log-rows", "site.test")
            entries = browser.worker().evaluate("chrome.storage.session.get('entries')")["entries"]
            assert len([entry for entry in entries if entry["host"].startswith("site.test")]) == 1
            assert not somebody.outside.hits
