"""The short form of the evidence suite: every bound holds, and the controls see what they are meant to see."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "part",
    ["first hellos", "resumed hellos", "server side", "probes", "replay", "first flight", "latency", "classifier"],
)
def test_every_bound_holds(part: str) -> None:
    command = [sys.executable, "-m", "tools.evidence", "--short", "--json", "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row for row in rows if row["held"] is False] == [], done.stderr
    assert done.returncode == 0 and sum(row["held"] is True for row in rows) >= 3


def test_a_part_that_does_not_exist_is_named() -> None:
    command = [sys.executable, "-m", "tools.evidence", "--only", "telepathy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "hellos" in done.stderr
