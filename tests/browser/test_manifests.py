import base64
import hashlib
import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.browser.manifests import BROWSERS, DEV_ID, GECKO_ID, NAME, STORE_IDS, Family, Platform, is_ours, render

MANIFESTS = Path(__file__).parents[2] / "manifests"
LAUNCHER = PurePosixPath("/opt/qnet/qnet-host")


def test_dev_id_follows_from_the_manifest_key() -> None:
    key = base64.b64decode(json.loads((MANIFESTS / "chrome.json").read_text())["key"], validate=True)
    digest = hashlib.sha256(key).hexdigest()[:32]
    assert "".join("abcdefghijklmnop"[int(digit, 16)] for digit in digest) == DEV_ID


def test_gecko_id_is_the_manifests() -> None:
    assert json.loads((MANIFESTS / "firefox.json").read_text())["browser_specific_settings"]["gecko"]["id"] == GECKO_ID


def test_chromium_manifest() -> None:
    manifest = json.loads(render(Family.CHROMIUM, LAUNCHER))
    origins = manifest.pop("allowed_origins")
    assert origins == [f"chrome-extension://{i}/" for i in (DEV_ID, *STORE_IDS)]
    assert manifest.pop("description")
    assert manifest == {"name": NAME, "path": "/opt/qnet/qnet-host", "type": "stdio"}


def test_firefox_manifest() -> None:
    manifest = json.loads(render(Family.FIREFOX, LAUNCHER))
    assert manifest["allowed_extensions"] == [GECKO_ID]
    assert "allowed_origins" not in manifest


def test_other_extension_ids() -> None:
    manifest = json.loads(render(Family.CHROMIUM, LAUNCHER, ["p" * 32]))
    assert manifest["allowed_origins"] == [f"chrome-extension://{'p' * 32}/"]


@pytest.mark.parametrize(
    ("browser", "linux", "macos", "key"),
    [
        ("Chromium", "chromium", "Chromium", "Chromium"),
        ("Chrome", "google-chrome", "Google/Chrome", "Google\\Chrome"),
        ("Edge", "microsoft-edge", "Microsoft Edge", "Microsoft\\Edge"),
        ("Brave", "BraveSoftware/Brave-Browser", "BraveSoftware/Brave-Browser", "Google\\Chrome"),
        ("Vivaldi", "vivaldi", "Vivaldi", "Google\\Chrome"),
    ],
)
def test_chromium_places(browser: str, linux: str, macos: str, key: str) -> None:
    (places,) = (b.places for b in BROWSERS if b.name == browser)
    assert places[Platform.LINUX].folder == f".config/{linux}/NativeMessagingHosts"
    assert places[Platform.MACOS].folder == f"Library/Application Support/{macos}/NativeMessagingHosts"
    assert places[Platform.WINDOWS].registry == f"Software\\{key}\\NativeMessagingHosts\\{NAME}"


def test_firefox_family_places() -> None:
    firefox, librewolf = (b.places for b in BROWSERS if b.family is Family.FIREFOX)
    assert firefox[Platform.LINUX].folder == ".mozilla/native-messaging-hosts"
    assert firefox[Platform.MACOS].folder == "Library/Application Support/Mozilla/NativeMessagingHosts"
    assert firefox[Platform.WINDOWS].registry == f"Software\\Mozilla\\NativeMessagingHosts\\{NAME}"
    assert librewolf[Platform.LINUX].folder == ".librewolf/native-messaging-hosts"
    assert librewolf[Platform.MACOS].folder == "Library/Application Support/librewolf/NativeMessagingHosts"
    assert Platform.WINDOWS not in librewolf


def test_ours_is_recognised() -> None:
    assert is_ours(render(Family.FIREFOX, LAUNCHER))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "org.other.host"}', "[" * 100_000])
def test_others_are_not_ours(text: str) -> None:
    assert not is_ours(text)


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert is_ours(text) in (True, False)
