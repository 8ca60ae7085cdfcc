"""The popup and the proxy setting in real Chromium, with native hosts that are bad, or play a scene."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error, Playwright

from e2e import hosts
from e2e.browsers import Chromium, chromium, keep_extension
from e2e.listeners import Site, site
from e2e.pages import Popup
from tools.extension import build

PROXY = "chrome.proxy.settings.get({incognito: false})"
BLOCKED = ("ERR_PROXY_CONNECTION_FAILED", "ERR_MANDATORY_PROXY_CONFIGURATION_FAILED")
STRANGER = "p" * 32


def connect(browser: Chromium, state: str) -> Popup:
    popup = browser.open_popup()
    assert popup.state() == "off"
    popup.press()
    popup.wait_for(state)
    return popup


def test_no_host(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    with chromium(playwright, tmp_path / "profile", extension) as browser:
        popup = connect(browser, "host_missing")
        assert popup.text("command") == "qnet install"
        assert "Install QNet" in popup.text("advice")
        assert "without QNet" in popup.text("held")
        browser.context.grant_permissions(["clipboard-read", "clipboard-write"])
        popup.press("copy")
        assert popup.page.evaluate("navigator.clipboard.readText()") == "qnet install"
        popup.press("escape")
        popup.wait_for("off")


def test_by_keyboard(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    with chromium(playwright, tmp_path / "profile", extension) as browser:
        popup = browser.open_popup()
        popup.wait_for("off")
        keyboard = popup.page.keyboard
        keyboard.press("Tab")
        keyboard.press("Enter")
        popup.wait_for("host_missing")
        assert popup.page.evaluate("document.activeElement.id") == "press"
        keyboard.press("Tab")
        keyboard.press("Space")
        popup.wait_for("off")


def test_another_country_by_keyboard(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", "biased", hosts.dead_port())
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = connect(browser, "connected")
        page, keyboard = popup.page, popup.page.keyboard
        assert "Unusually many routes" in popup.text("warning") and "A larger network" in popup.text("warning")
        assert "1 more route" in popup.text("others")
        for _ in range(10):
            keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "exit-change":
                break
        keyboard.press("Enter")
        page.locator("#chooser-list [value=NL]:checked").wait_for(state="attached")
        assert page.evaluate("document.activeElement.id") == "chooser-search"
        keyboard.type("germ")
        assert "Netherlands" not in popup.text("chooser-list")
        keyboard.press("Tab")
        keyboard.press("Space")
        page.locator("#chooser-list [value=DE]:checked").wait_for(state="attached")
        assert page.evaluate("document.activeElement.value") == "DE"
        keyboard.press("Escape")
        assert not popup.shows("chooser")
        assert page.evaluate("document.activeElement.id") == "exit-change"


def test_host_of_another_extension(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.script(tmp_path / "host", "exit 0")
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher, allowed=[STRANGER]) as browser:
        popup = connect(browser, "host_forbidden")
        assert "different copy" in popup.text("text")
        assert browser.extension_id in popup.text("extension")


@pytest.mark.parametrize(
    ("state", "make"),
    [
        (
            "host_broken",
            lambda path: hosts.script(path, "echo 'this is no frame of native messaging'; exec cat >/dev/null"),
        ),
        ("host_crashed", lambda path: hosts.script(path, "exit 1")),
        ("host_crashed", lambda path: hosts.script(path, "exit 0", mode=0o644)),
    ],
    ids=["garbage", "exits", "not executable"],
)
def test_bad_host(
    state: str, make: Callable[[Path], Path], playwright: Playwright, extension: Path, tmp_path: Path
) -> None:
    with chromium(playwright, tmp_path / "profile", extension, launcher=make(tmp_path / "host")) as browser:
        popup = connect(browser, state)
        assert popup.text("command") == "qnet install"
        assert browser.worker().evaluate(PROXY)["levelOfControl"] == "controllable_by_this_extension"


def test_a_repaired_host_is_found_by_trying_again(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.script(tmp_path / "host", "exit 1")
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = connect(browser, "host_crashed")
        hosts.scene(launcher, "connected", hosts.dead_port())
        popup.press()
        popup.wait_for("connected")


def test_connected(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = connect(browser, "connected")
        facts = popup.text("facts")
        assert all(part in facts for part in ("Netherlands", "birch", "48.3 MB", "1.8 MB"))
        assert "Private windows" in popup.text("notice")
        network = browser.worker().evaluate(
            "Promise.all([chrome.privacy.network.webRTCIPHandlingPolicy.get({}),"
            " chrome.privacy.network.networkPredictionEnabled.get({})])"
        )
        assert [setting["value"] for setting in network] == ["disable_non_proxied_udp", False]
        assert browser.worker().evaluate("chrome.action.getBadgeText({})") == "✓"
        popup.press()
        popup.wait_for("off")
        assert browser.worker().evaluate(PROXY)["levelOfControl"] == "controllable_by_this_extension"


@pytest.mark.parametrize(
    ("scene", "words"),
    [("start", "port 1088 is in use"), ("damaged", "arrived damaged"), ("old", "different versions")],
)
def test_failures_in_words(scene: str, words: str, playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", scene, hosts.dead_port())
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = connect(browser, "failed")
        assert words in popup.text("error")
        assert browser.worker().evaluate(PROXY)["levelOfControl"] == "controllable_by_this_extension"


def test_another_language_from_right_to_left(playwright: Playwright, tmp_path: Path) -> None:
    extension = build("chrome", tmp_path / "fa", locale="fa")
    with chromium(playwright, tmp_path / "profile", extension) as browser:
        popup = connect(browser, "host_missing")
        assert popup.text("title") == "برنامهٔ کمکی پیدا نشد"
        assert popup.page.evaluate("getComputedStyle(document.body).direction") == "rtl"


def reaches(browser: Chromium, target: Site, path: str) -> bool:
    """Whether a page at ``path`` loads; its name resolves to the site only where the proxy is not asked."""
    try:
        browser.open(f"http://direct.test:{target.port}{path}").close()
    except Error as error:
        assert any(reason in error.message for reason in BLOCKED), error.message
        return False
    return True


def held(browser: Chromium) -> None:
    """A script of ours is in force: that of a dead port while the helper is tried again, else the one that throws."""
    setting = browser.worker().evaluate(PROXY)
    assert setting["levelOfControl"] == "controlled_by_this_extension"
    assert setting["value"]["mode"] == "pac_script" and setting["value"]["pacScript"]["mandatory"]


def test_fails_closed(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    """A dead proxy port, a lost host, a restarted browser: nothing goes direct until Turn off."""
    profile = tmp_path / "profile"
    launcher = hosts.scene(tmp_path / "host", "lost", hosts.dead_port())
    arguments = ["--host-resolver-rules=MAP direct.test 127.0.0.1"]
    with site() as target:
        with chromium(playwright, profile, extension, launcher=launcher, arguments=arguments) as browser:
            assert reaches(browser, target, "/before")
            popup = connect(browser, "blocked")
            assert "bypass" in popup.text("held")
            assert "The helper stopped" in popup.text("error")
            assert not reaches(browser, target, "/blocked")
            held(browser)
        hosts.script(launcher, "exit 1")
        keep_extension(profile)
        with chromium(playwright, profile, None, launcher=launcher, arguments=arguments) as browser:
            assert not reaches(browser, target, "/restarted")
            held(browser)
            popup = browser.open_popup()
            popup.wait_for("host_crashed")
            assert "bypass" in popup.text("held")
            assert not reaches(browser, target, "/still")
            popup.press("escape")
            popup.wait_for("off")
            assert reaches(browser, target, "/after")
    assert [hit for hit in target.hits if hit != "/favicon.ico"] == ["/before", "/after"]


def test_a_dropped_setting_is_made_good(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    """Chromium drops what an extension from the command line had set; the background holds pages back again."""
    profile = tmp_path / "profile"
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    arguments = ["--host-resolver-rules=MAP direct.test 127.0.0.1"]
    with site() as target:
        with chromium(playwright, profile, extension, launcher=launcher, arguments=arguments) as browser:
            connect(browser, "connected")
        hosts.script(launcher, "exit 1")
        with chromium(playwright, profile, extension, launcher=launcher, arguments=arguments) as browser:
            popup = browser.open_popup()
            popup.wait_for("host_crashed")
            assert "bypass" in popup.text("held")
            assert not reaches(browser, target, "/held")
            hosts.scene(launcher, "connected", hosts.dead_port())
            popup.press()
            popup.wait_for("connected")
    assert target.hits == []


def test_a_killed_background_comes_back(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = connect(browser, "connected")
        browser.worker().evaluate("globalThis.marked = true")
        browser.kill_worker()
        assert browser.wait_for_worker("globalThis.marked === undefined")
        popup.wait_for("connected")
        assert browser.worker().evaluate(PROXY)["levelOfControl"] == "controlled_by_this_extension"
        popup.press()
        popup.wait_for("off")


@pytest.mark.parametrize("allowed", [False, True], ids=["as installed", "allowed"])
def test_private_windows(allowed: bool, playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    """Chromium lets private windows go direct that the extension is not let into: the popup must say so."""
    profile = tmp_path / "profile"
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    arguments = ["--host-resolver-rules=MAP direct.test 127.0.0.1"]
    with chromium(playwright, profile, extension, launcher=launcher) as browser:
        connect(browser, "connected")
    keep_extension(profile, private_windows=allowed)
    with site() as target, chromium(playwright, profile, None, launcher=launcher, arguments=arguments) as browser:
        popup = browser.open_popup()
        popup.wait_for("connected")
        assert popup.shows("notice") == (not allowed)
        url = f"http://direct.test:{target.port}/private"
        browser.worker().evaluate("url => { chrome.windows.create({ url, incognito: true }); }", url)
        if allowed:
            browser.wait_for_worker(
                "chrome.tabs.query({}).then((tabs) => tabs.some((t) => t.incognito && t.status === 'complete'))"
            )
        deadline = time.monotonic() + (1 if allowed else 15)
        while time.monotonic() < deadline and not target.hits:
            time.sleep(0.05)
    assert ("/private" in target.hits) == (not allowed)
