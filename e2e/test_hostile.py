"""A native host, peers, lists and networks that say the worst: shown as text, cut short, and nothing of it runs."""

from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e import hosts
from e2e.browsers import build_with_tabs, chromium
from e2e.pages import TIMEOUT

PARTS = ("connection", "network", "rules", "lists", "mode", "diagnostics", "about")
PAGES = ("popup/popup.html", "welcome/welcome.html", *(f"options/options.html#{part}" for part in PARTS))
STRANGE = "[...document.querySelectorAll('main img, script:not([src]), iframe, b > b, [onerror]')].length"
CLICKS = {"options/options.html#network": "#invite-show"}


@pytest.mark.timeout(150)  # nine pages
def test_the_worst_words_stay_words(playwright: Playwright, tmp_path: Path) -> None:
    extension = build_with_tabs(tmp_path / "extension")
    launcher = hosts.scene(tmp_path / "host", "hostile", hosts.dead_port())
    errors: list[str] = []
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        browser.context.on("weberror", lambda error: errors.append(str(error.error)))
        popup = browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        assert "<script>" in popup.text("route")
        assert len(popup.text()) < 20_000
        for path in PAGES:
            page = browser.open_surface(path).page
            page.locator("body").wait_for(timeout=TIMEOUT)
            page.wait_for_timeout(800)
            if path in CLICKS:
                page.locator(CLICKS[path]).click()
                page.wait_for_timeout(300)
            assert "pwned" not in page.title()
            assert page.evaluate(STRANGE) == 0, path
            # Whatever is long is cut or scrolls by itself: the page is not dragged apart.
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), path
            page.close()
        popup.press()
        popup.wait_for("off")
    assert errors == []


def test_nonsense_after_a_good_start_is_not_green(playwright: Playwright, tmp_path: Path) -> None:
    extension = build_with_tabs(tmp_path / "extension")
    launcher = hosts.scene(tmp_path / "host", "nonsense", hosts.dead_port())
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        popup.wait_for("blocked")
        assert "did not understand" in popup.text("error")
        assert "bypass" in popup.text("held")
