"""The small executable that a browser starts: native-messaging manifests take a path, no arguments.

``python -I`` keeps the person's PYTHONPATH and user site out and costs nothing (10 ms, as without it);
``-S`` would save 2 ms more and lose the editable installation.
"""

import shlex
import sys
from pathlib import Path

from qnet.browser.files import write_if_changed
from qnet.browser.manifests import Platform


def write_launcher(folder: Path, python: Path | None = None, platform: str = sys.platform) -> Path:
    """Write the launcher for ``python`` (default: the running one) into ``folder``; returns its absolute path.

    Writing again changes nothing. Raises ``OSError`` where the folder cannot be written.
    """
    # Not resolved: the interpreter of a virtual environment is a link, and its own path finds the packages.
    interpreter = str(python or sys.executable)
    if platform == Platform.WINDOWS:
        name, text = "qnet-host.bat", f'@echo off\r\n"{interpreter.replace("%", "%%")}" -I -m qnet host %*\r\n'
    else:
        name, text = "qnet-host", f'#!/bin/sh\nexec {shlex.quote(interpreter)} -I -m qnet host "$@"\n'
    path = folder.absolute() / name
    write_if_changed(path, text, 0o755)
    return path


def write_wrapper(path: Path, launcher: Path) -> bool:
    """Write what a Flatpak browser starts: it asks the session to start ``launcher`` outside, on the same pipes.

    Says whether anything had to be done. Raises ``OSError``.
    """
    return write_if_changed(path, f'#!/bin/sh\nexec flatpak-spawn --host {shlex.quote(str(launcher))} "$@"\n', 0o755)
