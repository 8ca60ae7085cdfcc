"""The fuzzer's targets: their good inputs are good, bad ones end in documented errors, and a planted bug is found."""

import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from qnet.wire.errors import QNetError
from tools.fuzz.targets import TARGETS

REFUSED_SEEDS = {"tls server hello", "tls certificate", "cover client"}
"""What answers a hello that nobody kept, and certificates of zeros: good syntax, refused for what it says."""


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_read(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds and all(len(seed) <= target.longest for seed in seeds)
    for seed in seeds:
        try:
            target.run(seed)
        except QNetError:
            assert name in REFUSED_SEEDS


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_end_in_documented_errors(name: str) -> None:
    """What a fuzzer does first, without one: it is quick, and runs wherever the tests do."""
    target, generator = TARGETS[name], random.Random(name)
    for seed in target.seeds():
        for _ in range(40):
            data = bytearray(seed)
            for _ in range(generator.randint(1, 4)):
                at = generator.randrange(len(data) + 1)
                match generator.randrange(3):
                    case 0:
                        data[at : at + 1] = generator.randbytes(1)
                    case 1:
                        del data[at : at + generator.randint(1, 8)]
                    case 2:
                        data[at:at] = generator.randbytes(generator.randint(1, 8))
            with suppress(QNetError):
                target.run(bytes(data))


PLANTED = """
from tools.fuzz import targets, worker
def run(data):
    if len(data) > 6:
        raise KeyError
targets.TARGETS["planted"] = targets.Target(run, lambda: [b"bug"], 8)
worker.main("planted", "30", {folder!r})
"""


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info >= (3, 14), reason="atheris is not there")
def test_a_planted_bug_is_found_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PLANTED.format(folder=str(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode != 0 and "KeyError" in done.stdout + done.stderr
    assert [len(path.read_bytes()) > 6 for path in tmp_path.glob("crash-*")] == [True]


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info >= (3, 14), reason="atheris is not there")
def test_the_tool_says_how_many_inputs_were_tried() -> None:
    command = [sys.executable, "-m", "tools.fuzz", "--seconds", "2", "--only", "heartbeat"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = done.stdout.splitlines()[1].split()[2].replace(",", "")
    assert int(runs) > 100
