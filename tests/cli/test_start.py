"""Starting the helper: detached, once, and with its own words when it will not."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qnet.cli import start
from qnet.cli.start import HelperStartError, start_helper
from qnet.net.control_client import AlreadyRunningError
from qnet.settings import Folders, find_folders


@pytest.fixture
def folders(home: Path) -> Folders:
    return find_folders({"QNET_HOME": str(home)})


def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Make this shell script the interpreter that the helper is started with."""
    script = tmp_path / "fake-python"
    script.write_text("#!/bin/sh\n" + text)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_started_in_a_session_of_its_own(
    folders: Folders, environ: dict[str, str], small_helper_python: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(small_helper_python))
    start_helper(folders, environ).close()
    pid = int((home / "pids").read_text())
    assert os.getsid(pid) == pid != os.getsid(0)
    assert folders.log.read_text() == "helper starts\n"
    assert stat.S_IMODE(folders.log.stat().st_mode) == 0o600


def test_started_as_a_service_where_systemd_is(
    folders: Folders,
    environ: dict[str, str],
    small_helper_python: Path,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    """A stand-in for systemd-run: notes its options, and runs what follows them."""
    monkeypatch.setattr(sys, "executable", str(small_helper_python))
    (home / "systemd").mkdir()
    (home / "systemd" / "private").touch()
    systemd_run = home / "systemd-run"
    systemd_run.write_text(
        '#!/bin/sh\nwhile case "$1" in -*) ;; *) false;; esac; do echo "$1" >>"$0.options"; shift; done\nexec "$@"\n'
    )
    systemd_run.chmod(0o755)
    environ |= {"PATH": f"{home}:{os.defpath}", "XDG_RUNTIME_DIR": str(home), "STEALTH_MODE": "client", "SECRET": "x"}
    start_helper(folders, environ).close()
    options = Path(f"{systemd_run}.options").read_text().splitlines()
    assert {"--user", "--wait", f"--setenv=QNET_HOME={home}", "--setenv=STEALTH_MODE=client"} <= set(options)
    assert f"--property=StandardError=append:{folders.log}" in options
    assert not any("SECRET" in option for option in options)


def test_without_a_working_systemd_it_starts_all_the_same(
    folders: Folders, environ: dict[str, str], small_helper_python: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(small_helper_python))
    (home / "systemd").mkdir()
    (home / "systemd" / "private").touch()
    (home / "systemd-run").symlink_to("/bin/false")
    start_helper(folders, environ | {"PATH": str(home), "XDG_RUNTIME_DIR": str(home)}).close()
    assert folders.log.read_text() == "helper starts\n"


def test_helper_s_last_line_is_the_reason(
    folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders.log.write_text("an older story\n")
    python(monkeypatch, tmp_path, "echo first >&2; echo 'qnet: port 1088 is in use. Choose another' >&2; exit 71\n")
    with pytest.raises(HelperStartError) as caught:
        start_helper(folders, environ)
    assert caught.value.message == "port 1088 is in use. Choose another"


def test_silent_end_is_not_given_an_older_story(
    folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders.log.write_text("an older story\n")
    python(monkeypatch, tmp_path, "exit 1\n")
    with pytest.raises(HelperStartError, match="did not start"):
        start_helper(folders, environ)


def test_no_interpreter(folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(HelperStartError, match="cannot be started"):
        start_helper(folders, environ)


def test_helper_that_never_listens(
    folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(start, "WAIT_SECONDS", 0.3)
    python(monkeypatch, tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 30\n")
    try:
        with pytest.raises(HelperStartError, match="in time"):
            start_helper(folders, environ)
    finally:
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_another_browser_was_faster(
    folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    """Our helper finds that another runs, which then begins to listen."""
    helper = Path(__file__).with_name("small_helper.py")
    other = subprocess.Popen(["sh", "-c", f"sleep 0.3; exec {sys.executable} {helper} {home}/run/control.sock"])
    try:
        python(monkeypatch, tmp_path, f"exit {AlreadyRunningError.exit_code}\n")
        start_helper(folders, environ).close()
    finally:
        other.kill()
        other.wait()


def test_log_starts_anew_when_long(
    folders: Folders, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders.log.write_bytes(b"x" * (start.LOG_LIMIT + 1))
    python(monkeypatch, tmp_path, "echo new >&2; exit 1\n")
    with pytest.raises(HelperStartError, match="new"):
        start_helper(folders, environ)
    assert folders.log.read_text() == "new\n"
