"""An update of the extension, by each browser's own updater, while pages load: nothing goes around the tunnel.

The new version waits until the browser starts again; at that start it takes over without a gap.
Chromium installs and updates by policy, which a mount namespace shows to this one browser.
"""

import functools
import hashlib
import http.server
import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Error, Playwright

from e2e.bidi import BidiError, Session
from e2e.browsers import ARGUMENTS, TIMEOUT, Chromium
from e2e.firefox import Firefox, firefox, wait_until
from e2e.leak_lab import Lab
from qnet.browser.install import install_profile
from qnet.browser.manifests import GECKO_ID
from tools.extension import build, version

NEXT = "99.0"
SECONDS = 5.0
"""How long pages are asked for after the update is there."""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: port 53 and a mount namespace"),
    pytest.mark.timeout(240),
]


@contextmanager
def shop(folder: Path) -> Iterator[str]:
    """A web server on ``folder``, where an updater looks; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def changed(path: Path, **values: object) -> None:
    """Write some keys of a built extension's manifest."""
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | values))


# --- Chromium

UPDATED = """new Promise((resolve) => {
  chrome.runtime.onUpdateAvailable.addListener(({ version }) => resolve(version));
  const ask = () => chrome.runtime.requestUpdateCheck(() => void chrome.runtime.lastError);
  ask();
  setInterval(ask, 5000);
})"""
"""Looks for an update; its version, once it is there and waits."""


class ChromiumShop:
    """Signed packages of one extension, and the file that says which is the newest."""

    def __init__(self, folder: Path, url: str, work: Path) -> None:
        self._folder = folder
        self._url = url
        self._work = work
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        encoding, none = serialization.Encoding, serialization.NoEncryption()
        self._key = work / "key.pem"
        self._key.write_bytes(key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, none))
        public = key.public_key().public_bytes(encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        letters = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
        self.id = hashlib.sha256(public).hexdigest()[:32].translate(letters)

    def offer(self, number: str) -> None:
        """Version ``number`` is the newest."""
        built = build("chrome", self._work / number, store=True)
        changed(built, version=number, update_url=f"{self._url}/update.xml")
        command = ["chromium", "--no-sandbox", f"--pack-extension={built}", f"--pack-extension-key={self._key}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        shutil.move(f"{built}.crx", self._folder / f"{number}.crx")
        (self._folder / "update.xml").write_text(
            f"""<?xml version="1.0"?><gupdate xmlns="http://www.google.com/update2/response" protocol="2.0">
            <app appid="{self.id}"><updatecheck codebase="{self._url}/{number}.crx" version="{number}"/></app>
            </gupdate>"""
        )

    def policy(self) -> str:
        """What makes Chromium install it and look here for newer ones, and lets tests see what is installed so."""
        forced = [f"{self.id};{self._url}/update.xml"]
        return json.dumps({"ExtensionInstallForcelist": forced, "DeveloperToolsAvailability": 1})


@contextmanager
def managed_chromium(playwright: Playwright, lab: Lab, shop: ChromiumShop, page: str = "") -> Iterator[Chromium]:
    """Chromium that sees our policy and our name server; its updater is on."""
    inner = lab.program("chromium", page)
    policy = lab.folder / "policy.json"
    policy.write_text(shop.policy())
    steps = (
        "mount -t tmpfs tmpfs /etc/chromium && mkdir -p /etc/chromium/policies/managed && "
        f'cp {shlex.quote(str(policy))} /etc/chromium/policies/managed/ && exec {shlex.quote(str(inner))} "$@"'
    )
    program = lab.folder / "managed"
    program.write_text(f'#!/bin/sh\nexec unshare --mount sh -c {shlex.quote(steps)} managed "$@"\n')
    program.chmod(0o755)
    profile = lab.folder / "profile"
    install_profile(lab.launcher, profile, [shop.id])
    off = "--disable-background-networking"
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=program,
        args=[each for each in ARGUMENTS if each != off],
        ignore_default_args=["--disable-extensions", off, "--disable-component-extensions-with-background-pages"],
        env=dict(lab.client.environment),
        timeout=TIMEOUT,
    )
    try:
        context.set_default_timeout(TIMEOUT)
        yield Chromium(context, shop.id)
    finally:
        context.close()


def test_chromium_updates_without_a_gap(playwright: Playwright, lab: Lab) -> None:
    with shop(lab.folder / "shop") as url:
        made = ChromiumShop(lab.folder / "shop", url, lab.folder)
        made.offer(version())
        with managed_chromium(playwright, lab, made) as running:
            wait_until(lambda: installed(running), "the policy installs the extension", 60)
            popup = running.open_popup()
            popup.press()
            popup.wait_for("connected")
            assert running.open(lab.url).title() == "inside"
            made.offer(NEXT)
            assert popup.page.evaluate(UPDATED) == NEXT
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                assert running.open(lab.url).title() == "inside"
            assert installed(running) == version()
        assert lab.leaks() == (0, Counter())
        with managed_chromium(playwright, lab, made, lab.url) as running:
            asked_until_inside(lab, running)
            wait_until(lambda: installed(running) == NEXT, "the update is in force")
        assert lab.leaks() == (0, Counter())


def installed(running: Chromium) -> str:
    """The extension's version; empty while there is none."""
    with suppress(Error):
        page = running.open_surface("popup/popup.html")
        try:
            return str(page.evaluate("chrome.runtime.getManifest().version"))
        finally:
            page.close()
    return ""


def asked_until_inside(lab: Lab, running: Chromium | Firefox) -> None:
    before = len(lab.inside.hits)

    def came() -> bool:
        with suppress(Error, BidiError, TimeoutError):
            running.title_of(lab.url)
        return len(lab.inside.hits) > before

    wait_until(came, "a page comes through the tunnel")


# --- Firefox

UPDATE = """(async () => {
  const addon = await AddonManager.getAddonByID(%s);
  const install = await new Promise((found, failed) => addon.findUpdates({
    onUpdateAvailable: (_, install) => found(install),
    onUpdateFinished: (_, error) => failed(new Error("no update: " + error)),
  }, AddonManager.UPDATE_WHEN_USER_REQUESTED));
  install.install().catch(() => {});
  const end = Date.now() + 20000;
  while (install.state !== AddonManager.STATE_POSTPONED && Date.now() < end) {
    await new Promise((next) => setTimeout(next, 100));
  }
  return install.state === AddonManager.STATE_POSTPONED ? "postponed" : "state " + install.state;
})()"""


def in_chrome(session: Session, expression: str) -> object:
    """The value of an expression with the browser's own rights."""
    window = session.command("browsingContext.getTree", **{"moz:scope": "chrome"})["contexts"][0]["context"]
    return session.evaluate(window, expression)


def firefox_package(folder: Path, url: str, number: str, work: Path) -> Path:
    """A built extension that looks for updates at ``url``; its package is in ``folder``."""
    built = build("firefox", work / f"firefox-{number}")
    gecko = {"id": GECKO_ID, "strict_min_version": "142.0", "update_url": f"{url}/updates.json"}
    changed(built, version=number, browser_specific_settings={"gecko": gecko})
    shutil.move(shutil.make_archive(str(work / "package"), "zip", built), folder / f"{number}.xpi")
    return built


def test_firefox_updates_without_a_gap(lab: Lab) -> None:
    with shop(lab.folder / "shop") as url:
        old = firefox_package(lab.folder / "shop", url, version(), lab.folder)
        firefox_package(lab.folder / "shop", url, NEXT, lab.folder)
        digest = hashlib.sha256((lab.folder / "shop" / f"{NEXT}.xpi").read_bytes()).hexdigest()
        update = {"version": NEXT, "update_link": f"{url}/{NEXT}.xpi", "update_hash": f"sha256:{digest}"}
        (lab.folder / "shop" / "updates.json").write_text(json.dumps({"addons": {GECKO_ID: {"updates": [update]}}}))

        @contextmanager
        def started(extension: Path | None = None, page: str = "about:blank") -> Iterator[Firefox]:
            with firefox(
                lab.folder / "person",
                extension,
                launcher=lab.launcher,
                env=lab.client.environment,
                page=page,
                preferences={"extensions.checkUpdateSecurity": False, "extensions.update.enabled": True},
                program=lab.program("firefox-esr"),
            ) as running:
                yield running

        present = "chrome.runtime.getManifest().version"
        with started(old) as running:
            popup = running.open_popup()
            popup.press()
            popup.wait_for("connected")
            assert running.open(lab.url) == "inside"
            assert in_chrome(running.session, UPDATE % json.dumps(GECKO_ID)) == "postponed"
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                assert running.open(lab.url) == "inside"
            assert running.in_background(present) == version()
        assert lab.leaks() == (0, Counter())
        with started(page=lab.url) as running:
            asked_until_inside(lab, running)
            assert running.in_background(present) == NEXT
        assert lab.leaks() == (0, Counter())
