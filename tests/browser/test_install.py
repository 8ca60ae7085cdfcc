import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qnet.browser import registry
from qnet.browser.install import (
    OF_A_PERSON,
    Action,
    InstallError,
    UnknownPlatformError,
    check_for_all,
    install,
    install_profile,
    uninstall,
)
from qnet.browser.launcher import write_launcher
from qnet.browser.manifests import BROWSERS, NAME, SANDBOXED, SYSTEM, Browser, Family, Platform

UNIX = [Platform.LINUX, Platform.MACOS]


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "qnet-host"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("platform", UNIX)
def test_no_browser_no_file(platform: str, home: Path, launcher: Path) -> None:
    outcome = install(launcher, home, platform)
    assert {i.browser for i in outcome} == {b.name for b in OF_A_PERSON if platform in b.places}
    assert {i.action for i in outcome} == {Action.ABSENT}
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("platform", UNIX)
@pytest.mark.parametrize("browser", BROWSERS, ids=lambda b: b.name)
def test_one_browser(browser, platform: Platform, home: Path, launcher: Path) -> None:
    place = browser.places[platform]
    for present in place.present:
        folder = home / present
        folder.mkdir(parents=True)
        outcome = {i.browser: i for i in install(launcher, home, platform)}
        written = outcome.pop(browser.name)
        assert written.action is Action.WRITTEN
        assert written.path == home / place.folder / f"{NAME}.json"
        assert written.path.stat().st_mode & 0o777 == 0o644
        manifest = json.loads(written.path.read_text())
        assert manifest["path"] == str(launcher)
        assert ("allowed_origins" in manifest) == (browser.family is Family.CHROMIUM)
        assert {i.action for i in outcome.values()} == {Action.ABSENT}
        assert {i.browser: i.action for i in install(launcher, home, platform)}[browser.name] is Action.UNCHANGED
        assert {i.browser: i.action for i in uninstall(launcher, home, platform)}[browser.name] is Action.REMOVED
        assert {i.action for i in uninstall(launcher, home, platform)} == {Action.ABSENT}
        assert tree(home) == {}
        shutil.rmtree(folder)


def test_other_peoples_files_stay(home: Path, launcher: Path) -> None:
    folder = home / ".config/chromium/NativeMessagingHosts"
    folder.mkdir(parents=True)
    (folder / "org.other.host.json").write_text('{"name": "org.other.host"}')
    (home / ".config/chromium/Preferences").write_text("{}")
    before = tree(home)
    install(launcher, home, "linux")
    assert set(tree(home)) - set(before) == {f".config/chromium/NativeMessagingHosts/{NAME}.json"}
    uninstall(launcher, home, "linux")
    assert tree(home) == before


@pytest.mark.parametrize("text", ["not json", '{"name": "org.other.host"}', "\xff"])
def test_uninstall_leaves_what_is_not_ours(home: Path, launcher: Path, text: str) -> None:
    folder = home / ".config/chromium/NativeMessagingHosts"
    folder.mkdir(parents=True)
    (folder / f"{NAME}.json").write_text(text, encoding="latin-1")
    before = tree(home)
    assert {i.action for i in uninstall(launcher, home, "linux")} == {Action.ABSENT}
    assert tree(home) == before


def test_a_moved_launcher_is_mended(home: Path, launcher: Path) -> None:
    (home / ".mozilla").mkdir()
    install(launcher, home, "linux")
    outcome = {i.browser: i for i in install(launcher.with_name("other"), home, "linux")}
    assert outcome["Firefox"].action is Action.WRITTEN
    assert json.loads(outcome["Firefox"].path.read_text())["path"] == str(launcher.with_name("other"))


def test_a_blocked_folder_says_what_to_do(home: Path, launcher: Path) -> None:
    (home / ".config/chromium").mkdir(parents=True)
    (home / ".config/chromium/NativeMessagingHosts").write_text("a file in the way")
    with pytest.raises(InstallError) as caught:
        install(launcher, home, "linux")
    assert "Chromium" in caught.value.message
    assert caught.value.hint


def test_unknown_platform(home: Path, launcher: Path) -> None:
    with pytest.raises(UnknownPlatformError):
        install(launcher, home, "plan9")


def test_custom_profile(tmp_path: Path, launcher: Path) -> None:
    first = install_profile(launcher, tmp_path / "profile")
    assert first.action is Action.WRITTEN
    assert first.path == tmp_path / "profile" / "NativeMessagingHosts" / f"{NAME}.json"
    assert install_profile(launcher, tmp_path / "profile").action is Action.UNCHANGED
    (tmp_path / "file").touch()
    with pytest.raises(InstallError):
        install_profile(launcher, tmp_path / "file")


class Keys(dict[str, str]):
    """The registry's default values, as far as ``registry`` uses them."""

    read = dict.get
    write = dict.__setitem__
    delete = dict.__delitem__


def test_windows_points_each_key_to_one_file_per_family(
    home: Path, launcher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {"Software\\Google\\Chrome\\NativeMessagingHosts\\org.other.host": "C:\\other.json"}
    keys = Keys(foreign)
    for name in ("read", "write", "delete"):
        monkeypatch.setattr(registry, name, getattr(keys, name))
    (home / "AppData/Local/Vivaldi").mkdir(parents=True)
    (home / "AppData/Roaming/Mozilla").mkdir(parents=True)
    outcome = {i.browser: i.action for i in install(launcher, home, "win32")}
    assert {b for b, action in outcome.items() if action is Action.WRITTEN} == {"Vivaldi", "Firefox"}
    assert keys == foreign | {
        f"Software\\Google\\Chrome\\NativeMessagingHosts\\{NAME}": str(launcher.with_name(f"{NAME}.chromium.json")),
        f"Software\\Mozilla\\NativeMessagingHosts\\{NAME}": str(launcher.with_name(f"{NAME}.firefox.json")),
    }
    assert Action.WRITTEN not in {i.action for i in install(launcher, home, "win32")}
    uninstall(launcher, home, "win32")
    assert keys == foreign
    assert list(launcher.parent.iterdir()) == [launcher]


def test_no_registry_off_windows() -> None:
    with pytest.raises(registry.NoRegistryError):
        registry.write("Software\\x", "y")


FLATPAKS = [browser for browser in SANDBOXED if browser.places[Platform.LINUX].wrapper]


@pytest.mark.parametrize("browser", FLATPAKS, ids=lambda b: b.name)
def test_a_flatpak_browser_gets_an_entry_and_a_way_out_that_it_can_see(
    browser: Browser, home: Path, launcher: Path
) -> None:
    place = browser.places[Platform.LINUX]
    sandbox = home / place.present[0]
    sandbox.mkdir(parents=True)
    (written,) = (i for i in install(launcher, home, "linux") if i.action is Action.WRITTEN)
    assert written.browser == browser.name
    started = Path(json.loads(written.path.read_text())["path"])
    for path in (written.path, started):
        assert path.is_relative_to(sandbox)
    assert started.stat().st_mode & 0o777 == 0o755
    assert written.advice.endswith(f"flatpak override --user --talk-name=org.freedesktop.Flatpak {sandbox.name}")
    assert Action.WRITTEN not in {i.action for i in install(launcher, home, "linux")}
    assert {i.action for i in uninstall(launcher, home, "linux") if i.browser == browser.name} == {Action.REMOVED}
    assert tree(home) == {}


def test_the_way_out_of_a_sandbox_leads_to_the_launcher(home: Path, tmp_path: Path) -> None:
    launcher = write_launcher(tmp_path / "it's data", Path("/bin/echo"))
    (home / ".var/app/org.mozilla.firefox").mkdir(parents=True)
    (written,) = (i for i in install(launcher, home, "linux") if i.action is Action.WRITTEN)
    outside = tmp_path / "bin" / "flatpak-spawn"
    outside.parent.mkdir()
    outside.write_text('#!/bin/sh\n[ "$1" = --host ] || exit 1\nshift\nexec "$@"\n')
    outside.chmod(0o755)
    command = [json.loads(written.path.read_text())["path"], str(written.path), "extension@qnet"]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": f"{outside.parent}:{os.defpath}"})
    assert run.stdout == f"-I -m qnet host {written.path} extension@qnet\n"


def test_snap_firefox_reads_the_ordinary_folder(home: Path, launcher: Path) -> None:
    (home / "snap/firefox").mkdir(parents=True)
    (written,) = (i for i in install(launcher, home, "linux") if i.action is Action.WRITTEN)
    assert written.path == home / ".mozilla/native-messaging-hosts" / f"{NAME}.json"
    assert written.advice.endswith(f"flatpak permission-set webextensions {NAME} snap.firefox yes")


def test_for_every_user_where_a_browser_is_installed(tmp_path: Path, launcher: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    for present in ("usr/bin/chromium", "usr/bin/firefox-esr"):
        (root / present).touch()
    (root / "opt/google/chrome").mkdir(parents=True)
    outcome = {i.browser: i for i in install(launcher, root, "linux", SYSTEM)}
    assert {name for name, i in outcome.items() if i.action is Action.WRITTEN} == {"Chromium", "Chrome", "Firefox"}
    for folder in ("etc/chromium", "etc/opt/chrome", "usr/lib/mozilla"):
        entry = json.loads((root / folder / "native-messaging-hosts" / f"{NAME}.json").read_text())
        assert entry["path"] == str(launcher)
    removed = {i.browser for i in uninstall(launcher, root, "linux", SYSTEM) if i.action is Action.REMOVED}
    assert removed == {"Chromium", "Chrome", "Firefox"}


def test_what_others_cannot_reach_is_not_installed_for_them(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "python").touch(mode=0o755)
    with pytest.raises(InstallError, match="other users cannot reach"):
        check_for_all(private / "python")
    check_for_all(Path("/bin/sh"))
