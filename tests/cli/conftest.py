"""Helpers in processes of their own, as the command line and the native host meet them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HELPER = Path(__file__).with_name("small_helper.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A QNET_HOME whose folders exist."""
    for name in ("config", "data", "run"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return {"QNET_HOME": str(home), "PATH": os.defpath, "HOME": str(home)}


@pytest.fixture
def helper(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A small helper with a real control server, running."""
    process = subprocess.Popen([sys.executable, str(HELPER), str(home / "run" / "control.sock")])
    wait_until(lambda: listening(home))
    yield process
    process.kill()
    process.wait()


def listening(home: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(home / "run" / "control.sock")) == 0


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def small_helper_python(tmp_path: Path, home: Path) -> Iterator[Path]:
    """An “interpreter” that runs the small helper whatever it is asked to run; what it started ends with the test."""
    pids = tmp_path / "pids"
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\necho $$ >>"{pids}"\necho helper starts >&2\n'
        f'exec "{sys.executable}" "{HELPER}" "{home}/run/control.sock"\n'
    )
    script.chmod(0o755)
    yield script
    for pid in pids.read_text().split() if pids.exists() else ():
        try:
            os.kill(int(pid), signal.SIGKILL)
            os.waitpid(int(pid), 0)
        except (ProcessLookupError, ChildProcessError):
            pass
