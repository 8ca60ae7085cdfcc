"""Debian's Chromium with the built extension, a fresh or kept profile, and a native host of the test's choice."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright, Worker

from e2e.pages import Options, Popup, Surface
from qnet.browser.install import install_profile
from qnet.browser.manifests import DEV_ID
from tools.extension import build

TIMEOUT = 30_000
"""Milliseconds that anything in the browser may take."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass(slots=True)
class Chromium:
    """A running browser. ``extension_id`` is fixed by the key in manifests/chrome.json."""

    context: BrowserContext
    extension_id: str = DEV_ID

    def worker(self) -> Worker:
        """The extension's background; waits until it runs."""
        for worker in self.context.service_workers:
            if self.extension_id in worker.url:
                return worker
        return self.context.wait_for_event("serviceworker", timeout=TIMEOUT)

    def open_popup(self, tab: int | None = None) -> Popup:
        """The popup as a page of its own, about the site of ``tab`` if that is given."""
        page = self.context.new_page()
        page.set_viewport_size({"width": 360, "height": 600})
        page.goto(f"chrome-extension://{self.extension_id}/popup/popup.html{'' if tab is None else f'?tab={tab}'}")
        return Popup(page)

    def open_options(self) -> Options:
        """The options page, at its rules."""
        page = self.context.new_page()
        page.goto(f"chrome-extension://{self.extension_id}/options/options.html#rules")
        return Options(page)

    def open_surface(self, path: str) -> Surface:
        """A page of the extension, such as ``welcome/welcome.html``."""
        page = self.context.new_page()
        page.goto(f"chrome-extension://{self.extension_id}/{path}")
        return Surface(page)

    def title_of(self, url: str) -> str:
        """The title of a fresh page at ``url``."""
        return self.open(url).title()

    def open(self, url: str) -> Page:
        """A fresh page at ``url``; raises playwright's ``Error`` where it does not load."""
        page = self.context.new_page()
        page.goto(url, timeout=TIMEOUT)
        return page

    def kill_worker(self) -> None:
        """End the extension's background, as the browser does when it is idle; the next event starts it again."""
        page = self.context.new_page()
        page.goto(f"chrome-extension://{self.extension_id}/lib/format.js")
        session = self.context.new_cdp_session(page)
        session.send("ServiceWorker.enable")
        session.send("ServiceWorker.stopAllWorkers")
        page.close()

    def wait_for_worker(self, expression: str, *, seconds: float = 15.0) -> object:
        """Evaluate ``expression`` in the background until it is truthy; returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.worker().evaluate(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds} s: {expression}")
            time.sleep(0.1)


def build_with_tabs(out: Path, locale: str | None = None) -> Path:
    """The extension for tests of the popup about a page's site.

    A test cannot press the toolbar's button, which is what shows the popup the page's address; this build sees all.
    """
    build("chrome", out, locale=locale)
    path = out / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["permissions"].append("tabs")
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return out


def build_seeing(out: Path) -> Path:
    """The extension as after a person let it see requests: no test can answer Chromium's own question."""
    build("chrome", out)
    path = out / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["optional_permissions"].remove("webRequest")
    manifest["permissions"].append("webRequest")
    manifest.pop("optional_host_permissions", None)
    manifest["host_permissions"] = ["<all_urls>"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return out


def keep_extension(profile: Path, *, private_windows: bool = False) -> None:
    """Make the extension of the last launch one that a person loaded in chrome://extensions; the browser is closed.

    Chromium forgets at each start what an extension from the command line had set, the proxy included.
    ``private_windows`` lets it into them.
    """
    path = profile / "Default" / "Preferences"
    preferences = json.loads(path.read_text(encoding="utf-8"))
    extensions = preferences["extensions"]
    extensions["settings"][DEV_ID]["location"] = 4  # ManifestLocation::kUnpacked
    extensions["settings"][DEV_ID]["incognito"] = private_windows
    extensions.setdefault("ui", {})["developer_mode"] = True
    path.write_text(json.dumps(preferences), encoding="utf-8")


@contextmanager
def chromium(
    playwright: Playwright,
    profile: Path,
    extension: Path | None,
    *,
    launcher: Path | None = None,
    allowed: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    headless: bool = True,
    program: Path | None = None,
) -> Iterator[Chromium]:
    """Launch Chromium on ``profile`` (kept afterwards, so that a second launch is a restart).

    ``extension`` is the built folder to load, or None for the one that the profile has (see ``keep_extension``).

    ``launcher`` is the native host to register in the profile, for the extension IDs ``allowed`` (default: ours);
    None registers none. ``env`` is what browser and native host run in (default: this process's). ``program`` is run
    in the browser's place, which it shall start.
    """
    if launcher is not None:
        install_profile(launcher, profile, allowed)
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=program or shutil.which("chromium"),
        headless=headless,
        args=[
            *ARGUMENTS,
            *([f"--disable-extensions-except={extension}", f"--load-extension={extension}"] if extension else []),
            *arguments,
        ],
        ignore_default_args=[] if extension else ["--disable-extensions"],
        env=dict(env) if env is not None else None,
        timeout=TIMEOUT,
    )
    try:
        context.set_default_timeout(TIMEOUT)
        yield Chromium(context)
    finally:
        context.close()
