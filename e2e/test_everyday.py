"""A person's first hour, the same in both browsers: from nothing to connected, then another country, rules, the log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e.browsers import Chromium, chromium
from e2e.firefox import Firefox, firefox
from e2e.listeners import site
from qnet.browser.install import install, install_profile
from qnet.browser.launcher import write_launcher
from tests.support.network import Community, Node, community, joined_client
from tools.extension import build

URL = "http://site.test/"


@dataclass
class Person:
    """``install``: what `qnet install` does for this browser."""

    browser: Chromium | Firefox
    client: Node
    install: Callable[[], None]


@pytest.fixture(scope="module")
def meadow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Community]:
    """Two exits, in two countries, of one network."""
    with site("<title>inside</title>through the exit") as inside:
        rules = [f"--exit-map=site.test:80=127.0.0.1:{inside.port}", "--exit-only"]
        folder = tmp_path_factory.mktemp("meadow")
        with community(folder, relays=0, exits=0, operators=2, exit_rules=rules, countries=["NL", "DE"]) as made:
            yield made


@contextmanager
def person(name: str, locale: str, meadow: Community, playwright: Playwright, folder: Path) -> Iterator[Person]:
    client = joined_client(folder / "qnet", [], meadow.roots)
    launcher = write_launcher(client.home / "data")
    home = folder / "person"
    if name == "chromium":
        extension = build("chrome", folder / "extension", locale=locale)
        with chromium(playwright, home, extension, env=client.environment) as browser:
            yield Person(browser, client, lambda: install_profile(launcher, home, ()) and None)
    else:
        extension = build("firefox", folder / "extension", locale=locale)
        with firefox(home, extension, env=client.environment) as running:
            yield Person(running, client, lambda: install(launcher, home, sys.platform) and None)
    client.command("stop")


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_from_nothing_to_connected_and_to_another_country(
    name: str, meadow: Community, playwright: Playwright, tmp_path: Path
) -> None:
    with person(name, "en", meadow, playwright, tmp_path) as somebody:
        browser = somebody.browser
        welcome = browser.open_surface("welcome/welcome.html")
        welcome.wait_for("#install-text", "Helper not found")
        assert welcome.text("#command") == "qnet install"
        somebody.install()  # the page notices by itself
        welcome.fill("#join-link", "qnet:AAAA")
        welcome.click("#join-look")
        welcome.wait_for("#join-error", "cannot be used")
        welcome.fill("#join-link", meadow.link)
        welcome.click("#join-look")
        welcome.wait_for("#join-found", "Tulip Friends")
        welcome.click("#join-agree")
        welcome.wait_for("#join-state", "Tulip Friends")
        welcome.click("#press")
        welcome.wait_for("#connect-text", "You are connected")
        options = browser.open_surface("options/options.html#connection")
        popup = browser.open_surface("popup/popup.html")
        for country, code, at in (("Germany", "DE", 1), ("Netherlands", "NL", 0)):
            if code == "DE":
                options.wait_for("#exit-list", country)
                options.click(f"#exit-list label:has([value={code}])")
            else:
                popup.click("#exit-change")
                popup.fill("#chooser-search", country[:4])
                popup.wait_for("#chooser-list", country)
                popup.click(f"#chooser-list label:has([value={code}])")
            popup.wait_for("#exit-row", country)
            before = meadow.operators[at].status()["exit"]["success"]
            assert browser.title_of(URL) == "inside"
            assert meadow.operators[at].status()["exit"]["success"] > before
        options.go("#network")
        options.wait_for("#network-name", "Tulip Friends")
        options.go("#diagnostics")
        options.wait_for("#report", "state: connected")
        assert "site.test" not in options.text("#report") and "127.0.0.1" not in options.text("#report")


PAGES = ["popup/popup.html", "welcome/welcome.html", "options/options.html", "portal/portal.html"]
EMPTY = (
    "[...document.querySelectorAll('[data-text]')].filter((each) => !each.textContent).map((each) => each.dataset.text)"
)


@pytest.mark.parametrize(("locale", "direction"), [("en", "ltr"), ("fa", "rtl")])
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_every_page_has_all_its_words(
    name: str, locale: str, direction: str, meadow: Community, playwright: Playwright, tmp_path: Path
) -> None:
    with person(name, locale, meadow, playwright, tmp_path) as somebody:
        for path in PAGES:
            page = somebody.browser.open_surface(path)
            page.wait_for("h1", "")
            assert page.evaluate(EMPTY) == []
            assert page.evaluate("getComputedStyle(document.body).direction") == direction
