import os
import subprocess
import sys
from pathlib import Path

from qnet.browser.launcher import write_launcher


def test_passes_arguments_and_streams_to_the_host(tmp_path: Path) -> None:
    python = tmp_path / "it's a python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"; cat\n')
    python.chmod(0o755)
    launcher = write_launcher(tmp_path / "data", python)
    run = subprocess.run([launcher, "chrome-extension://x y/"], input=b"in", capture_output=True, check=True)
    assert run.stdout == b"-I\n-m\nqnet\nhost\nchrome-extension://x y/\nin"
    assert run.stderr == b""


def test_is_absolute_executable_and_written_once(tmp_path: Path) -> None:
    launcher = write_launcher(tmp_path)
    assert launcher.is_absolute()
    assert launcher.stat().st_mode & 0o777 == 0o755
    before = launcher.stat().st_ino
    assert write_launcher(tmp_path) == launcher
    assert launcher.stat().st_ino == before


def test_the_running_python_finds_the_package_isolated(tmp_path: Path) -> None:
    launcher = write_launcher(tmp_path)
    text = launcher.read_text().replace("-m qnet host", "-c 'import qnet; print(qnet.__name__)'")
    launcher.write_text(text)
    run = subprocess.run([launcher], capture_output=True, env={"PATH": os.defpath}, cwd="/", check=True)
    assert run.stdout == b"qnet\n"


def test_windows_gets_a_batch_file(tmp_path: Path) -> None:
    launcher = write_launcher(tmp_path, Path(r"C:\100%\python.exe"), "win32")
    assert launcher.name == "qnet-host.bat"
    assert launcher.read_bytes() == b'@echo off\r\n"C:\\100%%\\python.exe" -I -m qnet host %*\r\n'


def test_default_python_is_not_resolved(tmp_path: Path) -> None:
    assert sys.executable in write_launcher(tmp_path).read_text()
