"""Runs the extension's own tests in Node."""

import subprocess
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob("*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_node(file: Path) -> None:
    run = subprocess.run(["node", "--test", file], capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_tests() -> None:
    assert len(FILES) >= 5
