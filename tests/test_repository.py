"""What holds for the repository as a whole."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = {".py", ".js", ".sh"}
LINES = 500
ADDRESS = re.compile(r"https?://[^\s\"')>]+")
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|yarnpkg\.com|jsr\.io|/simple/?$|deb\.debian\.org|-i(ndex-url)?\b.*http|"
    r"artifact|nexus",
    re.IGNORECASE,
)


def tracked() -> list[Path]:
    """Files that are or would be committed."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("path", [ROOT / "requirements" / "run.txt", ROOT / "requirements" / "dev.txt"], ids=str)
def test_lock_files_have_hashes_and_name_no_place(path: Path) -> None:
    text = path.read_text()
    assert not ADDRESS.search(text)
    assert not re.search(r"^\s*-(-|i)", text.replace("--hash=", ""), re.MULTILINE)
    requirements = re.findall(r"^[a-z0-9].*==.*\\\n\s+--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(requirements) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 10


def test_nothing_names_a_registry() -> None:
    own = Path(__file__)
    found = [
        (path.relative_to(ROOT).as_posix(), address)
        for path in tracked()
        if path != own and path.suffix in SOURCE | {".md", ".txt", ".toml", ".json", ".html", ""}
        for address in ADDRESS.findall(path.read_text(errors="replace"))
        if REGISTRIES.search(address)
    ]
    assert found == []


def test_files_are_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in tracked()
        if path.suffix in SOURCE
    }
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_print_is_allowed_where_stdout_is_not_a_channel_only() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "T20" in lint["select"]
    freed = {pattern for pattern, rules in lint["per-file-ignores"].items() if "T20" in rules}
    assert {pattern for pattern in freed if pattern.startswith("host")} == {"host/qnet/cli/*"}
