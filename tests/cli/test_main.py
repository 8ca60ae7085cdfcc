"""The command line: options, one line per error, and an exit code per kind that the documentation knows."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import qnet
from qnet import app, cli
from qnet.net.control_client import AlreadyRunningError
from qnet.settings import Folders, Settings
from qnet.wire.errors import LocalError

QNET = [sys.executable, "-I", "-m", "qnet"]
INTERNAL = "qnet: internal error (ValueError). Run it again with --debug and report what it says\n"
EXIT_CODES = Path(__file__).parents[2] / "docs" / "EXIT_CODES.md"


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QNET, *arguments], env=environ, capture_output=True, text=True, timeout=20)


def test_status_for_a_person(environ: dict[str, str], helper: subprocess.Popen[bytes]) -> None:
    done = run(environ, "status")
    assert done.returncode == 0
    for words in ("connected since", "client (version 9.9)", "far (NL, exit)", "mesh: It broke. Mend it"):
        assert words in done.stdout


def test_status_for_a_program(environ: dict[str, str], helper: subprocess.Popen[bytes]) -> None:
    assert json.loads(run(environ, "status", "--json").stdout)["state"] == "connected"


def test_stop(environ: dict[str, str], helper: subprocess.Popen[bytes]) -> None:
    assert run(environ, "stop").returncode == 0
    assert helper.wait(5) == 0
    assert run(environ, "stop").returncode == 69


@pytest.mark.parametrize("command", ["status", "stop"])
def test_no_helper(environ: dict[str, str], command: str) -> None:
    done = run(environ, command)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == "qnet: no helper is running. Start one with: qnet run\n"


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run", "--socks-port", "many"], ["run", "--exit-map", "x"], ["join"]]
)
def test_usage_errors(environ: dict[str, str], arguments: list[str]) -> None:
    done = run(environ, *arguments)
    assert done.returncode == 2
    assert "usage: qnet" in done.stderr


def test_corrupt_settings_are_one_line_with_the_file_and_the_field(environ: dict[str, str], home: Path) -> None:
    settings = home / "config" / "settings.json"
    settings.write_text('{"socks_port": 70000}')
    done = run(environ, "run")
    assert done.returncode == 78
    assert done.stderr.startswith(f"qnet: {settings}: ")
    assert "socks_port" in done.stderr
    assert done.stderr.count("\n") == 1


class Called(Exception):
    """Ends the command where the engine would begin."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> list[tuple[Settings, bool]]:
    """What the helper is started with, instead of starting it."""
    calls: list[tuple[Settings, bool]] = []

    def run(settings: Settings, folders: Folders, *, connect: bool, ready: Callable[[], None]) -> None:
        calls.append((settings, connect))

    monkeypatch.setattr(app, "run", run, raising=False)
    monkeypatch.setattr("os.environ", environ)
    return calls


def test_run_without_options(started: list[tuple[Settings, bool]]) -> None:
    assert cli.main(["run"]) == 0
    assert started == [(Settings(), False)]


def test_run_with_every_option(started: list[tuple[Settings, bool]]) -> None:
    arguments = (
        "run --helper-mode super --socks-port 0 --status-port 1 --listen [::]:443 --decoy www.example:443 "
        "--decoy-address 192.0.2.1:443 --decoy-roots /r.pem --exit-allow 10.0.0.0/8:80 --exit-allow ::1/128:81 "
        "--exit-map a.test:80=127.0.0.1:8000 --exit-map b.test:80=[::1]:8001 --exit-only --connect"
    )
    assert cli.main(arguments.split()) == 0
    assert started == [
        (
            Settings(
                mode="super",
                socks_port=0,
                status_port=1,
                listen="[::]:443",
                decoy="www.example:443",
                decoy_address="192.0.2.1:443",
                decoy_roots="/r.pem",
                exit_allow=["10.0.0.0/8:80", "::1/128:81"],
                exit_map={"a.test:80": "127.0.0.1:8000", "b.test:80": "[::1]:8001"},
                exit_only=True,
            ),
            True,
        )
    ]


@pytest.mark.parametrize(
    ("flag", "mode"), [("--relay-only", "relay"), ("--exit-node", "exit"), ("--bootstrap", "bootstrap")]
)
def test_mode_aliases(started: list[tuple[Settings, bool]], flag: str, mode: str) -> None:
    assert cli.main(["run", flag]) == 0
    assert started[0][0].mode == mode


def test_the_variable_wins_over_the_flag(started: list[tuple[Settings, bool]], environ: dict[str, str]) -> None:
    environ["STEALTH_MODE"] = "exit"
    assert cli.main(["run", "--relay-only"]) == 0
    assert started[0][0].mode == "exit"


def test_unknown_mode_is_named(started: list[tuple[Settings, bool]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--helper-mode", "king"]) == 78
    assert "king" in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LocalError("first\nsecond.", "do\nthis"), 1, "qnet: first second. Do this\n"),
        (ExceptionGroup("", [ValueError(), ExceptionGroup("", [LocalError("deep", "Dig")])]), 1, "qnet: deep. Dig\n"),
        (ValueError("secret"), 70, INTERNAL),
        (ExceptionGroup("", [ValueError("secret")]), 70, INTERNAL),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    started: list[tuple[Settings, bool]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(app, "run", fail)
    assert cli.main(["run"]) == code
    assert capsys.readouterr().err == said


def test_debug_shows_where(started: list[tuple[Settings, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Called

    monkeypatch.setattr(app, "run", fail)
    with pytest.raises(Called):
        cli.main(["run", "--debug"])


def test_install_and_uninstall(environ: dict[str, str], home: Path) -> None:
    (home / ".config" / "chromium").mkdir(parents=True)
    done = run(environ, "install", "--profile", str(home / "profile"))
    assert done.returncode == 0, done.stderr
    manifests = [home / ".config/chromium/NativeMessagingHosts", home / "profile/NativeMessagingHosts"]
    (found,) = (json.loads(path.read_text()) for path in manifests[0].iterdir())
    assert len(list(manifests[1].iterdir())) == 1
    (home / "run").chmod(0o777)  # so that the launched host has a reason to say no
    launched = subprocess.run([found["path"], "--help"], env=environ, stdin=subprocess.DEVNULL, capture_output=True)
    assert b"helper-start" in launched.stdout
    (home / "run").chmod(0o700)
    assert run(environ, "uninstall").returncode == 0
    assert list(manifests[0].iterdir()) == []


def _kinds(kind: type[LocalError] = LocalError) -> Iterator[type[LocalError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def test_exit_codes_are_documented() -> None:
    """Every kind of local error has its row, and every row its kind."""
    for module in pkgutil.walk_packages(qnet.__path__, "qnet."):
        if module.name != "qnet.__main__":
            importlib.import_module(module.name)
    kinds = {kind for kind in _kinds() if kind.__module__.startswith("qnet.") and kind is not LocalError}
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \| (.+?) \|$", EXIT_CODES.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((str(kind.exit_code), kind.code, str(kind.__doc__)) for kind in kinds)


def test_kinds_have_codes_of_their_own() -> None:
    codes = [kind.code for kind in _kinds() if kind.__module__.startswith("qnet.")]
    assert len(codes) == len(set(codes))


def test_another_helper_is_told_apart_by_its_exit_code() -> None:
    """Who starts a helper waits when another was faster, and gives up at once for any other reason."""
    same = [kind for kind in _kinds() if kind.exit_code == AlreadyRunningError.exit_code]
    assert same == [AlreadyRunningError]
