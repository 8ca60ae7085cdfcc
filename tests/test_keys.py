"""The key file: made once, whole, for its owner only; anything doubtful is refused and left alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qnet.keys import FILE_NAME, KeyFileError, NodeKeys, load_or_create


def raw(keys: NodeKeys) -> list[bytes]:
    return [
        keys.identity.private_bytes_raw(),
        keys.noise.private_bytes_raw(),
        keys.cover.private_bytes_raw(),
        keys.cover_secret,
    ]


def test_created_once_and_loaded_again(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    assert raw(load_or_create(tmp_path)) == raw(keys)
    assert len(set(raw(keys))) == 4
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_different_nodes_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not set(raw(load_or_create(tmp_path / "a"))) & set(raw(load_or_create(tmp_path / "b")))


def test_repr_shows_nothing_secret(tmp_path: Path) -> None:
    assert repr(load_or_create(tmp_path)) == "NodeKeys()"


def test_two_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_create(tmp_path), range(8)))
    assert len({tuple(raw(keys)) for keys in found}) == 1
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_a_crash_while_writing_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(KeyFileError, match="Input/output error"):
            load_or_create(tmp_path)
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_process_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.abcdef").write_bytes(b"qnetkey1half")
    assert raw(load_or_create(tmp_path)) == raw(load_or_create(tmp_path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_others_with_any_access(tmp_path: Path, mode: int) -> None:
    load_or_create(tmp_path)
    path = tmp_path / FILE_NAME
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="others can read") as caught:
        load_or_create(tmp_path)
    assert caught.value.hint == f"Run: chmod 600 {path}"
    path.chmod(0o600)
    load_or_create(tmp_path)


def test_another_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    load_or_create(tmp_path)
    os.chown(tmp_path / FILE_NAME, 12345, 12345)
    with pytest.raises(KeyFileError, match="another user"):
        load_or_create(tmp_path)


def test_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").mkdir()
    load_or_create(tmp_path / "real")
    (tmp_path / "linked" / FILE_NAME).symlink_to(tmp_path / "real" / FILE_NAME)
    with pytest.raises(KeyFileError, match="symbolic link"):
        load_or_create(tmp_path / "linked")


def test_dangling_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_not_a_file(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / FILE_NAME)
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path)


@pytest.mark.parametrize("content", [b"", b"qnetkey1", b"qnetkey1" + bytes(127), b"qnetkey1" + bytes(129), bytes(136)])
def test_damaged_file_is_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged") as caught:
        load_or_create(tmp_path)
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be made"):
        load_or_create(tmp_path / "missing")
