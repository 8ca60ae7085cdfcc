"""Pictures of every screen, for people to look at and for the stores: ``python -m e2e.screens [OUT] [--only TEXT]``.

OUT/BROWSER/LOCALE-SCREEN-light.png (and dark) in each browser and language; OUT/store/ has what the stores ask for:
screenshots of 1280 × 800 and a tile of 440 × 280, made of Chromium's pictures (``store_pictures``).
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from e2e import hosts
from e2e.browsers import Chromium, build_with_tabs, chromium
from e2e.firefox import Firefox, firefox
from e2e.firefox import Surface as FirefoxSurface
from e2e.pages import Surface as ChromiumSurface
from e2e.store_pictures import store_pictures
from qnet.browser.install import install, install_profile
from tools.extension import ROOT, build

Surface = ChromiumSurface | FirefoxSurface
BROWSERS = ("chromium", "firefox")
LOCALES = ("en", "fa")
PARTS = ("connection", "network", "rules", "lists", "settings", "mode", "log", "failures", "diagnostics", "about")
SCENES = {
    "connecting": "connecting",
    "troubled": "connecting",
    "start": "failed",
    "nonsense": "blocked",
    "biased": "connected",
    "busy": "connected",
}
"""The scripted host's scenes, and the state that each ends in. The last stays for the pages that need a helper."""
POPUP, PAGE = (360, 420), (960, 700)
PRESS_OFF = "void chrome.runtime.connect().postMessage({ press: 'off' })"
OPEN_SITE = "chrome.tabs.create({ url: 'https://www.example.org/', active: false }).then(({ id }) => id)"


class Camera:
    """Takes a page in light and dark."""

    def __init__(self, out: Path, locale: str, only: str) -> None:
        self._out = out
        self._locale = locale
        self._only = only

    def take(self, page: Surface, screen: str, size: tuple[int, int]) -> None:
        """``size``: width and least height, CSS pixels."""
        stem = f"{self._locale}-{screen}"
        if self._only not in stem:
            return
        page.size(*size)
        for theme in ("light", "dark"):
            page.screenshot(self._out / f"{stem}-{theme}.png", dark=theme == "dark")


def bad_hosts(launcher: Path, register: Callable[[bool], None]) -> Iterator[tuple[str, str]]:
    """Makes one kind of bad host after the other; gives its screen's name, and the state that the popup reaches."""
    yield "missing", "host_missing"
    hosts.script(launcher, "exit 0")
    register(True)
    yield "forbidden", "host_forbidden"
    register(False)
    hosts.script(launcher, "echo this is no frame; exec cat >/dev/null")
    yield "broken", "host_broken"
    hosts.script(launcher, "exit 1")
    yield "crashed", "host_crashed"


def photograph(browser: Chromium | Firefox, camera: Camera, launcher: Path, register: Callable[[bool], None]) -> None:
    """Every screen of one browser in one language."""
    popup = browser.open_surface("popup/popup.html")
    wait(popup, "off")
    camera.take(popup, "popup-off", POPUP)
    for screen, state in bad_hosts(launcher, register):
        if screen == "forbidden" and isinstance(browser, Firefox):
            continue  # Firefox does not tell that from a missing one
        press(popup, state)
        camera.take(popup, f"popup-{screen}", POPUP)
        if screen == "missing":
            once(browser, camera, "welcome/welcome.html", "welcome-missing", "#command")
        turn_off(popup)
    for scene, state in SCENES.items():
        hosts.scene(launcher, scene, hosts.dead_port())
        press(popup, state)
        popup.evaluate("new Promise((resolve) => setTimeout(resolve, 3000))")
        camera.take(popup, f"popup-{scene}", POPUP)
        if scene == "busy":
            break
        turn_off(popup)
    popup.click("#exit-change")
    popup.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
    camera.take(popup, "popup-exits", POPUP)
    # The page itself does not load: the scripted host has no proxy.
    site = browser.open_surface(f"popup/popup.html?tab={popup.evaluate(OPEN_SITE)}")
    site.wait_for("#site-host", "example")
    site.evaluate("new Promise((resolve) => setTimeout(resolve, 3000))")
    camera.take(site, "popup-site", POPUP)
    once(browser, camera, "welcome/welcome.html", "welcome-done", "#connect-text")
    once(browser, camera, "portal/portal.html", "portal", "#open")
    for part in PARTS:
        options = browser.open_surface(f"options/options.html#{part}")
        options.wait_for(f"[data-part={part}]:not(body)", "")
        options.evaluate("new Promise((resolve) => setTimeout(resolve, 400))")
        if part == "network":
            options.click("#invite-show")
            options.wait_for("#invite-found", "")
        camera.take(options, f"options-{part}", PAGE)
        if part == "rules":
            options.click("#rules-add")
            camera.take(options, "options-dialog", PAGE)
        options.close()


def once(browser: Chromium | Firefox, camera: Camera, path: str, screen: str, part: str) -> None:
    page = browser.open_surface(path)
    page.wait_for(part, "")
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 800))")
    camera.take(page, screen, PAGE)
    page.close()


def press(popup: Surface, state: str) -> None:
    popup.click("#press")
    wait(popup, state)


def turn_off(popup: Surface) -> None:
    popup.evaluate(PRESS_OFF)
    wait(popup, "off")


def wait(popup: Surface, state: str) -> None:
    popup.wait_for(f"body[data-kind={state}] #title", "")


@contextmanager
def opened(
    name: str, locale: str, playwright: Playwright, folder: Path
) -> Iterator[tuple[Chromium | Firefox, Path, Callable[[bool], None]]]:
    """A browser without a host; the launcher to write, and what registers it (``True``: for a stranger only)."""
    launcher, home = folder / "host", folder / "person"
    if name == "chromium":
        extension = build_with_tabs(folder / "extension", locale)
        with chromium(playwright, home, extension) as browser:
            yield browser, launcher, lambda strange: install_profile(launcher, home, ["p" * 32] if strange else ())
    else:
        extension = build("firefox", folder / "extension", locale=locale)
        with firefox(home, extension, env={"PATH": "/usr/bin:/bin"}) as running:
            yield running, launcher, lambda _: install(launcher, home, sys.platform) and None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "screens")
    parser.add_argument("--only", default="", metavar="TEXT", help="only screens with this in their name")
    parser.add_argument("--browser", choices=BROWSERS, action="append")
    parser.add_argument("--locale", action="append", help="any of the extension's languages; default: en and fa")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    with sync_playwright() as playwright:
        for name in options.browser or BROWSERS:
            for locale in options.locale or LOCALES:
                with (
                    tempfile.TemporaryDirectory() as folder,
                    opened(name, locale, playwright, Path(folder)) as (browser, launcher, register),
                ):
                    photograph(browser, Camera(options.out / name, locale, options.only), launcher, register)
        if "chromium" in (options.browser or BROWSERS) and not options.only:
            store_pictures(playwright, options.out / "chromium", options.out / "store", options.locale or LOCALES)
    print(options.out)


if __name__ == "__main__":
    main()
