"""Screenshots of every state of the popup, the settings page's parts and onboarding: ``python -m e2e.screens [OUT]``.

Light and dark, in each language.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from e2e import hosts
from e2e.browsers import Chromium, build_with_tabs, chromium
from e2e.pages import Options
from tools.extension import ROOT

PARTS = ("connection", "network", "settings", "mode", "log", "diagnostics", "about")
LOCALES = ("en", "fa")
SCENES = {
    "busy": "connected",
    "connecting": "connecting",
    "troubled": "connecting",
    "lost": "blocked",
    "start": "failed",
}
"""The scripted host's scenes, and the state that each ends in."""


def launchers(folder: Path) -> dict[str, tuple[Path | None, str]]:
    """Native hosts by the name of the picture, each with the state that the popup reaches."""
    port = hosts.dead_port()
    bad: dict[str, tuple[Path | None, str]] = {
        "missing": (None, "host_missing"),
        "forbidden": (hosts.script(folder / "forbidden", "exit 0"), "host_forbidden"),
        "broken": (hosts.script(folder / "broken", "echo this is no frame; exec cat >/dev/null"), "host_broken"),
        "crashed": (hosts.script(folder / "crashed", "exit 1"), "host_crashed"),
    }
    return bad | {name: (hosts.scene(folder / name, name, port), state) for name, state in SCENES.items()}


def take(playwright: Playwright, out: Path) -> None:
    """Write ``<locale>-<picture>-<light|dark>.png`` into ``out``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for locale in LOCALES:
            extension = build_with_tabs(folder / locale, locale)
            for picture, (launcher, state) in launchers(folder / "hosts").items():
                allowed = ["p" * 32] if picture == "forbidden" else []
                profile = folder / f"{locale}-{picture}"
                with chromium(playwright, profile, extension, launcher=launcher, allowed=allowed) as browser:
                    popup = browser.open_popup()
                    popup.wait_for("off")
                    for shown in ("off", state) if picture == "missing" else (state,):
                        if shown != "off":
                            popup.press()
                            popup.wait_for(shown)
                            popup.page.wait_for_timeout(500)
                        for theme in ("light", "dark"):
                            stem = "off" if shown == "off" else picture
                            popup.screenshot(out / f"{locale}-{stem}-{theme}.png", dark=theme == "dark")
                    if picture in ("missing", "busy"):
                        welcome = Options(browser.open_surface("welcome/welcome.html").page)
                        welcome.page.wait_for_timeout(800)
                        for theme in ("light", "dark"):
                            stem = f"{locale}-welcome-{picture}-{theme}.png"
                            welcome.screenshot(out / stem, dark=theme == "dark")
                    if picture == "busy":
                        take_rules(browser, out, locale)


def take_rules(browser: Chromium, out: Path, locale: str) -> None:
    """The popup about a page's site, and the options page."""
    # The page itself does not load: the scripted host has no proxy.
    tab = browser.worker().evaluate(
        "chrome.tabs.create({url: 'https://www.example.org/', active: false}).then((t) => t.id)"
    )
    popup = browser.open_popup(tab)
    popup.page.locator("#site-host").wait_for()
    options = browser.open_options()
    options.page.set_viewport_size({"width": 900, "height": 900})
    options.wait()
    options.test("https://www.example.org/")
    for part in PARTS:
        page = browser.open_surface(f"options/options.html#{part}").page
        page.set_viewport_size({"width": 900, "height": 700})
        page.wait_for_timeout(400)
        for theme in ("light", "dark"):
            Options(page).screenshot(out / f"{locale}-{part}-{theme}.png", dark=theme == "dark")
    for theme in ("light", "dark"):
        popup.screenshot(out / f"{locale}-site-{theme}.png", dark=theme == "dark")
        options.screenshot(out / f"{locale}-options-{theme}.png", dark=theme == "dark")


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "screens"
    shutil.rmtree(out, ignore_errors=True)
    with sync_playwright() as playwright:
        take(playwright, out)
    print(out)


if __name__ == "__main__":
    main()
