import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tools.extension import BROWSERS

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "package" / "package.py"
LINTER = TOOL.parent / "node_modules" / ".bin" / "web-ext"


def packages(out: Path, *, umask: int = 0o022) -> dict[str, Path]:
    """Every browser's package, made by a process of its own."""
    command = [sys.executable, str(TOOL), "--no-lint", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, umask=umask, env={**os.environ, "PYTHONHASHSEED": "7"})
    return {browser: next(out.glob(f"qnet-{browser}-*.zip")) for browser in BROWSERS}


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first = packages(tmp_path / "first")
    time.sleep(2.1)  # a zip's clock has steps of two seconds
    second = packages(tmp_path / "second", umask=0o077)
    for browser in BROWSERS:
        assert first[browser].read_bytes() == second[browser].read_bytes(), browser
        assert first[browser].stat().st_size <= 400 * 1024


def test_a_package_has_the_sources_and_no_key(tmp_path: Path) -> None:
    for browser, path in packages(tmp_path).items():
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            manifest = json.loads(archive.read("manifest.json"))
            for name in names:
                source = ROOT / "extension" / name
                assert name == "manifest.json" or archive.read(name) == source.read_bytes(), name
        assert names == sorted(names)
        assert "key" not in manifest
        assert ("browser_specific_settings" in manifest) == (browser == "firefox")


@pytest.mark.skipif(not LINTER.exists(), reason="python3 tools/dev.py package has not installed the linter")
def test_mozillas_linter_has_nothing_to_say(tmp_path: Path) -> None:
    path = packages(tmp_path)["firefox"]
    command = [str(LINTER), "lint", "--source-dir", str(path), "--warnings-as-errors", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert (done.returncode, found["errors"], found["warnings"], found["notices"]) == (0, [], [], [])
