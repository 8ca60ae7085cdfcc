"""Debian's Firefox with the built extension, driven by WebDriver BiDi, behind the page objects of Chromium's tests."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from e2e.bidi import BidiError, Session, session
from qnet.browser.install import install
from qnet.browser.manifests import GECKO_ID
from tools.capture_hello import write_preferences

T = TypeVar("T")

UUID = "2f6d4c0a-7d0b-4c39-9f0e-5a3b8a6a4f11"
"""Of the extension's pages in the tests' profiles; Firefox would draw one by lot."""

COLOUR_SCHEME = "layout.css.prefers-color-scheme.content-override"
"""0 is dark, 1 light."""

ALLOWING: Mapping[str, object] = {"extensions.webextOptionalPermissionPrompts": False}
"""A person who agrees whenever the browser asks whether the extension may do more."""

TIMEOUT = 30.0
PREFERENCES: Mapping[str, object] = {
    "extensions.webextensions.uuids": json.dumps({GECKO_ID: UUID}),
    "extensions.autoDisableScopes": 0,
    "xpinstall.signatures.required": False,
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "dom.disable_open_during_load": False,
}


def wait_until(condition: Callable[[], T], what: str, seconds: float = TIMEOUT) -> T:
    """The first truthy value of ``condition``; raises ``AssertionError`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return value


@dataclass(slots=True)
class Popup:
    """The extension's popup in a tab of its own; the same words as Chromium's ``pages.Popup``."""

    session: Session
    context: str

    def _ask(self, expression: str) -> Any:
        return self.session.evaluate(self.context, expression)

    def state(self) -> str:
        """The kind of view shown."""
        return str(wait_until(lambda: self._ask("document.body.dataset.kind"), "the popup shows a state"))

    def wait_for(self, state: str, timeout: float = TIMEOUT * 1000) -> None:
        """Wait until ``state`` is shown; raises ``AssertionError`` after ``timeout`` milliseconds."""
        wait_until(lambda: self.state() == state, f"{state} instead of {self.state()}", timeout / 1000)

    def press(self, name: str | None = None) -> None:
        """Press the big button, or the one named, as a person does."""
        press(self.session, self.context, f"#{name or 'press'}")

    def choose(self, action: str) -> None:
        """Press one of the choices for this site: tunnel, direct, block."""
        press(self.session, self.context, f"#site-choices [data-action={action}]")

    def text(self, part: str | None = None) -> str:
        """All visible words, or those of one part."""
        return str(self._ask(f"document.querySelector({json.dumps(f'#{part}' if part else 'body')}).innerText"))

    def shows(self, part: str) -> bool:
        """Whether the part is visible."""
        return bool(self._ask(f"{_found(f'#{part}')}?.checkVisibility() ?? false"))

    def screenshot(self, path: Path) -> None:
        """Save what the popup shows."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = self.session.command("browsingContext.captureScreenshot", context=self.context, origin="document")
        path.write_bytes(base64.b64decode(shot["data"]))


@dataclass(slots=True)
class Surface:
    """Any page of the extension; the same words as ``pages.Surface``."""

    session: Session
    context: str

    def go(self, path: str) -> None:
        """Another part of the same page: what stands behind #."""
        self.evaluate(f"void (location.hash = {json.dumps(path)})")

    def click(self, part: str) -> None:
        """Press it, as soon as it is visible and can be pressed."""
        press(self.session, self.context, part)

    def fill(self, part: str, words: str) -> None:
        """Write into a field."""
        wait_until(lambda: self.evaluate(f"{_found(part)}?.checkVisibility() ?? false"), f"{part} is shown")
        self.evaluate(f"void ({_found(part)}.value = {json.dumps(words)})")
        self.evaluate(f"void {_found(part)}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    def text(self, part: str) -> str:
        """Its visible words."""
        return str(self.evaluate(f"{_found(part)}.innerText"))

    def wait_for(self, part: str, words: str) -> None:
        """Wait until a visible part contains the words."""
        shown = f"{_found(part)}?.checkVisibility() ? {_found(part)}.innerText : null"

        def says() -> bool:
            found = self.evaluate(shown)
            return found is not None and words in found

        wait_until(says, f"{part} says {words}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.session.evaluate(self.context, expression)

    def size(self, width: int, height: int) -> None:
        """The window's inner size, CSS pixels."""
        self.session.command(
            "browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height}
        )

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        """Save the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        in_browser(self.session, f"Services.prefs.setIntPref('{COLOUR_SCHEME}', {0 if dark else 1})")
        time.sleep(0.3)
        shot = self.session.command("browsingContext.captureScreenshot", context=self.context, origin="document")
        path.write_bytes(base64.b64decode(shot["data"]))

    def choose_file(self, part: str, path: Path) -> None:
        """Choose a file for an input."""
        nodes = self.session.command(
            "browsingContext.locateNodes", context=self.context, locator={"type": "css", "value": part}
        )
        self.session.command(
            "input.setFiles",
            context=self.context,
            element={"sharedId": nodes["nodes"][0]["sharedId"]},
            files=[str(path)],
        )

    def close(self) -> None:
        """Close its tab."""
        self.session.command("browsingContext.close", context=self.context)


def press(session: Session, context: str, part: str) -> None:
    """Press a part with the mouse, as soon as it is visible and can be pressed: the browser takes it for a person's."""
    found = _found(part)
    ready = f"({found}?.checkVisibility() && !{found}.disabled) ?? false"
    wait_until(lambda: session.evaluate(context, ready), f"{part} is shown")
    session.evaluate(context, f"{found}.scrollIntoView({{block: 'center'}})")
    where = "(box => ({x: Math.round(box.x + box.width / 2), y: Math.round(box.y + box.height / 2)}))"
    point = session.evaluate(context, f"{where}({found}.getBoundingClientRect())")
    actions = [
        {"type": "pointerMove", **point},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerUp", "button": 0},
    ]
    source = {"type": "pointer", "id": "mouse", "actions": actions}
    session.command("input.performActions", context=context, actions=[source])


def in_browser(session: Session, statement: str) -> None:
    """Run a statement with the browser's own rights."""
    window = session.command("browsingContext.getTree", **{"moz:scope": "chrome"})["contexts"][0]["context"]
    session.evaluate(window, f"({statement}, 0)")


def _found(part: str) -> str:
    return f"document.querySelector({json.dumps(part)})"


@dataclass(slots=True)
class Firefox:
    """A running browser with the extension."""

    session: Session
    process: subprocess.Popen[str]

    def install(self, folder: Path, *, private_windows: bool = True) -> None:
        """Add an unpacked extension for good."""
        self.session.command(
            "webExtension.install",
            extensionData={"type": "archivePath", "path": shutil.make_archive(str(folder), "zip", folder)},
            **{"moz:permanent": True, "moz:allowPrivateBrowsing": private_windows},
        )

    def open_popup(self) -> Popup:
        """The popup as a page of its own."""
        return Popup(self.session, self.session.open(f"moz-extension://{UUID}/popup/popup.html"))

    def open_surface(self, path: str) -> Surface:
        """A page of the extension, such as ``welcome/welcome.html``."""
        return Surface(self.session, self.session.open(f"moz-extension://{UUID}/{path}"))

    def title_of(self, url: str) -> str:
        """The title of a fresh page at ``url``."""
        return self.open(url)

    def open(self, url: str) -> str:
        """The title of a fresh page at ``url``; raises ``BidiError`` where it does not load."""
        return str(self.session.evaluate(self.session.open(url), "document.title"))

    def in_background(self, expression: str) -> Any:
        """Evaluate in an extension page, which has the same interfaces as the background."""
        context = self.session.open(f"moz-extension://{UUID}/lib/format.js")
        try:
            return self.session.evaluate(context, expression)
        finally:
            self.session.command("browsingContext.close", context=context)

    def kill_background(self) -> None:
        """End the extension's background, as the browser does when it is idle; the next event starts it again."""
        policy = f"WebExtensionPolicy.getByID({json.dumps(GECKO_ID)})"
        in_browser(self.session, f"{policy}.extension.terminateBackground({{ignoreDevToolsAttached: true}})")


@contextmanager
def firefox(
    home: Path,
    extension: Path | None,
    *,
    launcher: Path | None = None,
    env: Mapping[str, str],
    preferences: Mapping[str, object] | None = None,
    private_windows: bool = True,
    page: str = "about:blank",
    program: Path | None = None,
) -> Iterator[Firefox]:
    """Launch Firefox with ``home`` as the person's home; its profile is kept there, so a second launch is a restart.

    ``extension``: the built folder to install, or None for what the profile has. ``launcher``: the native host to
    register, as ``qnet install`` does. ``page`` is opened while the browser starts. ``program`` is run in the browser's
    place, which it shall start.
    """
    profile = home / "profile"
    profile.mkdir(parents=True, exist_ok=True)
    (home / ".mozilla").mkdir(exist_ok=True)
    if launcher is not None:
        install(launcher, home, sys.platform)
    write_preferences(profile, {**PREFERENCES, **(preferences or {})})
    command = [str(program or shutil.which("firefox-esr")), "--headless", "--no-remote", "--profile", str(profile)]
    command += ["--remote-debugging-port=0", "--remote-allow-system-access", page]
    log = home / "firefox.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**env, "HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=output, text=True
        )
    try:
        url = wait_until(
            lambda: re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text()), f"Firefox listens: {log}"
        )[1]
        with session(url) as made:
            running = Firefox(made, process)
            if extension is not None:
                running.install(extension, private_windows=private_windows)
            yield running
            with suppress(BidiError, OSError, TimeoutError):
                made.command("browser.close", timeout=5)
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(10)
