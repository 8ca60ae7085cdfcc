"""Native hosts for tests: small scripts for the ways a host can be bad, and the scripted one."""

import shlex
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def script(path: Path, body: str, mode: int = 0o755) -> Path:
    """A shell script that the browser can be told to start as the native host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def scene(path: Path, name: str, port: int) -> Path:
    """A launcher of ``scripted_host`` playing ``name``, with a proxy script for ``port``."""
    command = shlex.join([sys.executable, "-m", "e2e.scripted_host", name, str(port)])
    return script(path, f"cd {shlex.quote(str(ROOT))} && exec {command}")


def dead_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
