"""Settings: folders, the three sources and their order, and files that cannot be used."""

import json
import os
import re
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.settings import (
    VARIABLES,
    FolderError,
    Folders,
    Settings,
    SettingsError,
    find_folders,
    load_settings,
    overlay,
    read_settings,
    save_settings,
    split_address,
)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = find_folders({"QNET_HOME": str(tmp_path / "home")})
    found.create()
    return found


def test_home_relocates_everything(tmp_path: Path, folders: Folders) -> None:
    assert [folder.relative_to(tmp_path / "home") for folder in folders] == [Path("config"), Path("data"), Path("run")]
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in folders)


def test_platform_folders_do_not_depend_on_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    without = find_folders({})
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/elsewhere")
    assert find_folders({}) == without
    assert without.config.name == without.data.name == "qnet"


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_folder_others_can_write_is_refused(folders: Folders, mode: int) -> None:
    folders.run.chmod(mode)
    with pytest.raises(FolderError, match="others can write") as caught:
        folders.create()
    assert caught.value.hint == f"Run: chmod 700 {folders.run}"


def test_folder_of_another_user_is_refused(folders: Folders) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folders.data, 12345, 12345)
    with pytest.raises(FolderError, match="another user"):
        folders.create()


def test_file_in_a_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    with pytest.raises(FolderError, match="cannot be made"):
        find_folders({"QNET_HOME": str(tmp_path)}).create()


def test_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="too long"):
        find_folders({"QNET_HOME": str(tmp_path / ("d" * 100))}).create()


def test_defaults_without_a_file(folders: Folders) -> None:
    settings = load_settings(folders, {})
    assert settings == Settings()
    assert (settings.mode, settings.socks_port, settings.status_port) == ("client", 1088, 8088)
    assert not folders.settings.exists()


def test_round_trip(folders: Folders) -> None:
    settings = Settings(mode="super", listen="[::]:443", decoy="www.example:443", exit_map={"site.test:80": "[::1]:81"})
    save_settings(folders, settings)
    assert read_settings(folders.settings) == settings
    assert stat.S_IMODE(folders.settings.stat().st_mode) == 0o600
    assert [path.name for path in folders.config.iterdir()] == ["settings.json"]


def test_a_failed_save_leaves_the_old_file(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    save_settings(folders, Settings(nickname="before"))

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SettingsError, match="No space left"):
        save_settings(folders, Settings(nickname="after"))
    assert read_settings(folders.settings).nickname == "before"
    assert [path.name for path in folders.config.iterdir()] == ["settings.json"]


def test_later_sources_win(folders: Folders) -> None:
    save_settings(folders, Settings(mode="relay", socks_port=1, status_port=1))
    environ = {"STEALTH_MODE": "exit", "STEALTH_STATUS_PORT": "3"}
    settings = load_settings(folders, environ, {"mode": "super", "socks_port": 2, "status_port": 2})
    assert (settings.mode, settings.socks_port, settings.status_port) == ("exit", 2, 3)


def test_every_variable(folders: Folders) -> None:
    values = {
        "STEALTH_MODE": "exit",
        "STEALTH_SOCKS_PORT": "2088",
        "STEALTH_STATUS_PORT": "9088",
        "EXIT_ABUSE_EMAIL": "abuse@example.org",
        "EXIT_MAX_CONNECTIONS": "7",
        "EXIT_CONNECTS_PER_CLIENT": "8",
        "EXIT_STREAMS_PER_MINUTE": "9",
        "EXIT_MONTHLY_GIGABYTES": "10",
        "EXIT_BIND": "192.0.2.7, 2001:db8::7",
        "EXIT_ALLOWED_PORTS": "80, 443,8080",
    }
    assert values.keys() == VARIABLES.keys()
    assert load_settings(folders, values) == Settings(
        mode="exit",
        socks_port=2088,
        status_port=9088,
        abuse_email="abuse@example.org",
        exit_max_connections=7,
        exit_connects_per_client=8,
        exit_streams_per_minute=9,
        exit_monthly_gigabytes=10,
        exit_bind=["192.0.2.7", "2001:db8::7"],
        exit_allowed_ports=(80, 443, 8080),
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "array"),
        (b"\xff", "malformed"),
        (b"[" * 100_000, "array"),
        (b'{"mod": "client"}', "mod"),
        (b'{"mode": "king"}', r"\$\.mode"),
        (b'{"socks_port": "1088"}', r"\$\.socks_port"),
        (b'{"socks_port": 65536}', r"\$\.socks_port"),
        (b'{"exit_allowed_ports": [0]}', r"\$\.exit_allowed_ports"),
        (b'{"exit_max_connections": 0}', r"\$\.exit_max_connections"),
        (b'{"exit_bind": ["exit.example"]}', "exit_bind"),
        (b'{"exit_bind": ["192.0.2.1", "192.0.2.2"]}', "exit_bind: at most one"),
        (b'{"country": "de"}', r"\$\.country"),
        (b'{"listen": "443"}', "listen"),
        (b'{"decoy": "::1:443"}', "decoy"),
        (b'{"exit_map": {"site.test:80": "nowhere"}}', "exit_map"),
    ],
)
def test_unusable_file_is_named_and_kept(folders: Folders, content: bytes, named: str) -> None:
    folders.settings.write_bytes(content)
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings(folders, {})
    assert str(folders.settings) in caught.value.message
    assert caught.value.hint
    assert folders.settings.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STEALTH_MODE", "king"),
        ("STEALTH_SOCKS_PORT", "many"),
        ("STEALTH_SOCKS_PORT", "-1"),
        ("EXIT_ALLOWED_PORTS", "80,x"),
        ("EXIT_ALLOWED_PORTS", "0"),
    ],
)
def test_bad_variable_is_named(folders: Folders, name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings(folders, {name: text})


def test_bad_flag_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^command line: .*listen"):
        overlay(Settings(), {"listen": "nowhere"}, "command line")


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps({"mode": value}).encode()
))  # fmt: skip
def test_any_file_gives_settings_or_a_settings_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    try:
        assert isinstance(read_settings(path), Settings)
    except SettingsError as error:
        assert error.hint


@pytest.mark.parametrize(
    ("text", "address"),
    [("a.example:443", ("a.example", 443)), ("[::1]:0", ("::1", 0)), ("127.0.0.1:80", ("127.0.0.1", 80))],
)
def test_split_address(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", ":", "a", ":80", "a:", "a:65536", "a:-1", "a:²", "::1:80"])
def test_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="“"):
        split_address(text)


def test_the_exit_guide_says_what_there_is() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "EXIT_GUIDE.md").read_text()
    example = msgspec.json.decode(guide.partition("```json\n")[2].partition("```")[0], type=Settings)
    assert example.mode == "exit" and len(example.exit_bind) == 2
    defaults = msgspec.structs.asdict(Settings())
    table = dict(re.findall(r"^\| `(exit_[a-z_]+)` \| (\d+|none)", guide, re.MULTILINE))
    assert len(table) == 6
    assert {name: str(defaults[name] or "none") for name in table} == {
        name: "none" if said == "0" else said for name, said in table.items()
    }
    assert set(re.findall(r"`(EXIT_[A-Z_]+)`", guide)) == {name for name in VARIABLES if name.startswith("EXIT_")}
    assert set(re.findall(r"`\"?(exit_[a-z_]+)", guide)) <= set(defaults)
