"""What holds for the repository as a whole."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = {".py", ".js", ".sh"}
LINES = 500
ADDRESS = re.compile(r"https?://[^\s\"')>`]+")
OURS = re.compile(r"(^|\.)(test|example|invalid|localhost|qnet|example\.(org|com|net)|www\.w3\.org|json-schema\.org)$")
"""Test names, examples and name spaces: hosts that nobody is asked for."""


NAMED = {
    "extension/lib/portal.js": {"www.gstatic.com", "detectportal.firefox.com"},
    "e2e/test_update_leak.py": {"www.google.com"},
}
"""Where a browser itself looks whether a network wants a sign-in: asked when the person says so. And a name space."""


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


def test_no_file_names_a_host_of_somebody_else() -> None:
    """Package registries above all: the clients know where they are."""
    found = [
        (path.relative_to(ROOT).as_posix(), address)
        for path in tracked()
        if path.suffix in SOURCE | {".md", ".txt", ".toml", ".json", ".html", ""}
        for address in ADDRESS.findall(path.read_text(errors="replace"))
        if _host_elsewhere(address, NAMED.get(path.relative_to(ROOT).as_posix(), set()))
    ]
    assert found == []


def _host_elsewhere(address: str, named: set[str]) -> bool:
    host = address.split("://", 1)[1].split("/", 1)[0].split("?", 1)[0].rpartition("@")[2].partition(":")[0].lower()
    if host in named or re.search(r"[{}$%]", host):  # the latter are put together at run time
        return False
    return bool(re.search(r"[a-z]", host)) and "." in host and not OURS.search(host)


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
