"""Starting the helper so that it outlives the browser, which ends its native hosts and all their children.

As a service of the user's systemd where there is one, otherwise as a session of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from qnet.net.control_client import AlreadyRunningError, NotRunningError, connect
from qnet.settings import Folders
from qnet.wire.errors import LocalError

WAIT_SECONDS = 10.0
LOG_LIMIT = 1 << 20
"""Bytes of old log beyond which it starts anew."""
_CARRIED = ("QNET_", "STEALTH_", "EXIT_", "XDG_")


class HelperStartError(LocalError):
    """The helper did not start."""

    code = "helper-start"
    exit_code = 72


def start_helper(folders: Folders, environ: Mapping[str, str]) -> socket.socket:
    """Start a helper and connect to it; raises ``HelperStartError`` with the helper's own last line."""
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        start = _prepare_log(folders.log)
        for command in _commands(folders.log, environ):
            with folders.log.open("ab") as log:
                # systemd has its own way to the log; what systemd-run itself says is of no use there.
                output = log if command[0] == sys.executable else subprocess.DEVNULL
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
                )
            connection = _wait(process, folders.control, deadline)
            ended = process.poll() is not None
            # It is meant to outlive us: nobody waits for it, and Popen need not warn of that.
            process.returncode = 0
            if connection is not None:
                return connection
            if words := _last_line(folders.log, start):
                raise HelperStartError(words, f"See {folders.log}")
            if not ended:
                break
    except OSError as error:
        raise HelperStartError(f"the helper cannot be started ({error.strerror})", "Install QNet again") from None
    raise HelperStartError("the helper did not start in time", f"Try: qnet run. See {folders.log}")


def _commands(log: Path, environ: Mapping[str, str]) -> Iterator[list[str]]:
    """What to try, in this order."""
    helper = [sys.executable, "-I", "-m", "qnet", "run"]
    systemd = shutil.which("systemd-run", path=environ.get("PATH"))
    runtime = environ.get("XDG_RUNTIME_DIR")
    if systemd and runtime and (Path(runtime) / "systemd" / "private").exists():
        carried = [f"--setenv={name}={value}" for name, value in environ.items() if name.startswith(_CARRIED)]
        outputs = [f"--property=Standard{name}=append:{log}" for name in ("Output", "Error")]
        yield [systemd, "--user", "--wait", "--collect", "--quiet", *carried, *outputs, *helper]
    yield helper


def _wait(process: subprocess.Popen[bytes], control: Path, deadline: float) -> socket.socket | None:
    """The connection; ``None`` if the process ends without one or the time is over."""
    while time.monotonic() < deadline:
        try:
            return connect(control, None)
        except NotRunningError:
            pass
        # Another browser may have been faster: then its helper is about to listen.
        if process.poll() not in (None, AlreadyRunningError.exit_code):
            return None
        time.sleep(0.02)
    return None


def _prepare_log(path: Path) -> int:
    """Create the log, 0600, or shorten one that grew too long; returns its length in bytes."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size <= LOG_LIMIT:
            return size
        os.ftruncate(handle, 0)
        return 0
    finally:
        os.close(handle)


def _last_line(path: Path, start: int) -> str:
    """The last line written after ``start``, without our own prefix; at most 300 characters."""
    with path.open("rb") as log:
        log.seek(max(start, log.seek(0, os.SEEK_END) - 4096))
        lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("qnet: ")[:300] if lines else ""
