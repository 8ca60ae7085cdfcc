from pathlib import Path

import pytest

from qnet.browser.files import write_if_changed


def test_writes_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    assert write_if_changed(path, "text", 0o644)
    before = path.stat()
    assert not write_if_changed(path, "text", 0o644)
    assert path.stat().st_ino == before.st_ino
    assert path.read_text() == "text"
    assert before.st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("text", "mode"), [("other", 0o644), ("text", 0o755)])
def test_mends_text_and_mode(tmp_path: Path, text: str, mode: int) -> None:
    path = tmp_path / "file"
    write_if_changed(path, "text", 0o644)
    assert write_if_changed(path, text, mode)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (text, mode)


def test_a_link_is_replaced_and_its_target_left(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("text")
    target.chmod(0o644)
    path = tmp_path / "link"
    path.symlink_to(target)
    assert write_if_changed(path, "text", 0o644)
    assert not path.is_symlink()
    assert write_if_changed(path, "new", 0o644)
    assert target.read_text() == "text"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError):
        write_if_changed(path, "text", 0o644)
    assert list(tmp_path.iterdir()) == [path]
