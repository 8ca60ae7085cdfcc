"""Page objects: what a person sees and presses, without the page's inner structure in the tests."""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

TIMEOUT = 30_000


@dataclass(slots=True)
class Popup:
    """The extension's popup."""

    page: Page

    def state(self) -> str:
        """The kind of view shown: off, connecting, connected, blocked, failed, host_missing, …"""
        body = self.page.locator("body")
        expect(body).not_to_have_attribute("data-kind", "")
        return body.get_attribute("data-kind") or ""

    def wait_for(self, state: str, timeout: float = TIMEOUT) -> None:
        """Wait until ``state`` is shown; raises ``AssertionError`` after ``timeout`` milliseconds."""
        expect(self.page.locator("body")).to_have_attribute("data-kind", state, timeout=timeout)

    def press(self, name: str | None = None) -> None:
        """Press the big button, or the one named: ``escape`` (turn off), ``copy``, ``site-forget`` …"""
        self.page.locator(f"#{name or 'press'}").click()

    def choose(self, action: str) -> None:
        """Press one of the choices for this site: tunnel, direct, block."""
        self.page.locator(f"#site-choices [data-action={action}]").click()

    def wait_for_text(self, part: str, words: str) -> None:
        """Wait until a part says just this."""
        expect(self.page.locator(f"#{part}")).to_have_text(words, timeout=TIMEOUT)

    def text(self, part: str | None = None) -> str:
        """All visible words, or those of one part: title, text, held, command, error, facts, press, …"""
        return self.page.locator(f"#{part}" if part else "body").inner_text()

    def shows(self, part: str) -> bool:
        """Whether the part is visible."""
        return self.page.locator(f"#{part}").is_visible()

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """Save what the popup shows, in twice the size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self.page.locator("body").screenshot(path=path, animations="disabled")
