"""Page objects: what a person sees and presses, without the page's inner structure in the tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def wait_shown(self, part: str, shown: bool) -> None:
        """Wait until a part is there, or is not."""
        expect(self.page.locator(f"#{part}")).to_be_visible(visible=shown, timeout=TIMEOUT)

    def shows(self, part: str) -> bool:
        """Whether the part is visible."""
        return self.page.locator(f"#{part}").is_visible()

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """Save what the popup shows, in twice the size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self.page.locator("body").screenshot(path=path, animations="disabled")


@dataclass(slots=True)
class Surface:
    """Any page of the extension, in the words that ``firefox.Surface`` has too. Parts are CSS selectors."""

    page: Page

    def go(self, path: str) -> None:
        """Another part of the same page: what stands behind #."""
        self.page.goto(self.page.url.partition("#")[0] + path)

    def click(self, part: str) -> None:
        """Press it, as soon as it is visible."""
        self.page.locator(part).click()

    def fill(self, part: str, words: str) -> None:
        """Write into a field."""
        self.page.locator(part).fill(words)

    def text(self, part: str) -> str:
        """Its visible words."""
        return self.page.locator(part).inner_text()

    def wait_for(self, part: str, words: str) -> None:
        """Wait until a visible part contains the words."""
        expect(self.page.locator(part)).to_be_visible(timeout=TIMEOUT)
        expect(self.page.locator(part)).to_contain_text(words, timeout=TIMEOUT)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.page.evaluate(expression)

    def size(self, width: int, height: int) -> None:
        """The window's inner size, CSS pixels."""
        self.page.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """Save the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self.page.screenshot(path=path, animations="disabled", full_page=True)

    def choose_file(self, part: str, path: Path) -> None:
        """Choose a file for an input."""
        self.page.locator(part).set_input_files(path)

    def close(self) -> None:
        """Close its tab."""
        self.page.close()


@dataclass(slots=True)
class Options:
    """The options page."""

    page: Page

    def wait(self, state: str = "ready") -> None:
        """Wait until the rules are shown, or what prevents it (``failed``)."""
        expect(self.page.locator("body")).to_have_attribute("data-state", state, timeout=TIMEOUT)

    def add(self, kind: str, pattern: str, action: str) -> None:
        """Fill in the form for a new rule and save it; the form stays open where the helper refuses."""
        self.page.locator("#rules-add").click()
        self.fill(kind, pattern, action)

    def fill(self, kind: str, pattern: str, action: str) -> None:
        """Fill in the open form and save."""
        form = self.page.locator("#dialog-form")
        form.locator("[name=kind]").select_option(kind)
        form.locator("[name=pattern]").fill(pattern)
        form.locator(f"[name=action][value={action}]").check(force=True)
        self.page.locator("#dialog-save").click()

    def patterns(self) -> list[str]:
        """The patterns of the rows in sight, in order."""
        return self.page.locator(".rule .pattern").all_inner_texts()

    def wait_for(self, *patterns: str) -> None:
        """Wait until the rows in sight are these."""
        expect(self.page.locator(".rule .pattern")).to_have_text(list(patterns), timeout=TIMEOUT)

    def test(self, address: str) -> str:
        """The tester's verdict and reason."""
        result = self.page.locator("#tester-result")
        self.page.locator("#tester-address").fill(address)
        self.page.locator("#tester-why").evaluate("(element) => { element.textContent = ''; }")
        self.page.locator("#tester button").click()
        expect(self.page.locator("#tester-why")).not_to_be_empty()
        return result.inner_text()

    def choose_file(self, name: str, content: bytes) -> None:
        """Choose a file to import and wait for what was found in it."""
        file = {"name": name, "mimeType": "text/plain", "buffer": content}
        self.page.locator("#import-file").set_input_files(file)  # type: ignore[arg-type]
        expect(self.page.locator("#import-report")).to_be_visible(timeout=TIMEOUT)

    def text(self, part: str) -> str:
        """The visible words of one part."""
        return self.page.locator(f"#{part}").inner_text()

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """Save the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self.page.screenshot(path=path, animations="disabled", full_page=True)
