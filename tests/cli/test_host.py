"""The native host as a browser runs it: a process with three pipes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnet.wire.framing import LIMIT, encode_frame
from qnet.wire.messages import AnyRequest, GetPac, GetStatus, Hello, encode

HOST = [sys.executable, "-I", "-m", "qnet", "host", "chrome-extension://abcdefghijklmnop/", "--parent-window=0"]


class Browser:
    """The browser's side of the pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, message: AnyRequest) -> dict[str, object]:
        self.say(encode_frame(encode(message)))
        return self.hear()

    def hear(self) -> dict[str, object]:
        """The next frame; ``EOFError`` if there is none."""
        assert self.process.stdout is not None
        length = self.process.stdout.read(4)
        if not length:
            raise EOFError
        body = self.process.stdout.read(int.from_bytes(length, sys.byteorder))
        message = json.loads(body)
        assert isinstance(message, dict)
        return message

    def hang_up(self) -> int:
        """Close stdin; the host's exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(5)

    def last_words(self) -> tuple[object, int]:
        """The code of the failure said last, and the exit code; nothing may follow."""
        event = self.hear()
        assert event["event"] == "failed"
        with pytest.raises(EOFError):
            self.hear()
        error = event["error"]
        assert isinstance(error, dict)
        assert error["message"]
        assert error["place"] == "host"
        return error["code"], self.process.wait(5)


@contextmanager
def browse(environ: dict[str, str], command: list[str] = HOST) -> Iterator[Browser]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=environ, cwd="/", process_group=0) as process:
        try:
            yield Browser(process)
        finally:
            process.kill()


@pytest.mark.usefixtures("helper")
def test_relays_answers_and_events(environ: dict[str, str]) -> None:
    with browse(environ) as browser:
        heard = [browser.ask(Hello(id=1, version=1, client="chromium")), browser.hear()]
        assert {"event", "id"} == {key for message in heard for key in message if key in ("event", "id")}
        assert browser.ask(GetStatus(id=2))["id"] == 2


@pytest.mark.usefixtures("helper")
def test_first_status_within_150_ms(environ: dict[str, str], record_property: Callable[[str, object], None]) -> None:
    def first_status() -> float:
        started = time.perf_counter()
        with browse(environ) as browser:
            assert browser.ask(GetStatus(id=1))["ok"]
            return time.perf_counter() - started

    # The best of several: what else this machine does is not the host's doing.
    taken = min(first_status() for _ in range(5))
    record_property("first_status_seconds", taken)
    assert taken < 0.150


@pytest.mark.parametrize("offset", [1, 70_000, 400_000])
@pytest.mark.usefixtures("helper")
def test_large_messages_pass_whole(environ: dict[str, str], offset: int) -> None:
    with browse(environ) as browser:
        pac = browser.ask(GetPac(id=1, offset=offset))["pac"]
        assert isinstance(pac, dict)
        assert pac["text"] == "é" * offset


@pytest.mark.usefixtures("helper")
def test_bad_json_is_the_helper_s_to_answer(environ: dict[str, str]) -> None:
    with browse(environ) as browser:
        browser.say(encode_frame(b"{nonsense"))
        assert browser.hear()["ok"] is False
        assert browser.ask(GetStatus(id=1))["ok"]


def test_closing_stdin_ends_the_host_only(environ: dict[str, str], helper: subprocess.Popen[bytes]) -> None:
    with browse(environ) as browser:
        browser.ask(GetStatus(id=1))
        assert browser.hang_up() == 0
    with browse(environ) as browser:
        assert browser.ask(GetStatus(id=2))["ok"]
    assert helper.poll() is None


def test_killed_helper_is_told(environ: dict[str, str], helper: subprocess.Popen[bytes]) -> None:
    with browse(environ) as browser:
        browser.ask(GetStatus(id=1))
        helper.send_signal(signal.SIGKILL)
        assert browser.last_words() == ("helper-lost", 1)


@pytest.mark.usefixtures("helper")
def test_oversize_frame_from_the_browser(environ: dict[str, str]) -> None:
    with browse(environ) as browser:
        browser.say((LIMIT + 1).to_bytes(4, sys.byteorder))
        assert browser.last_words() == ("bad-message", 1)


@pytest.mark.usefixtures("helper")
def test_frame_cut_short_by_the_browser(environ: dict[str, str]) -> None:
    with browse(environ) as browser:
        browser.say(b"\x10\x00\x00\x00{")
        assert browser.process.stdin is not None
        browser.process.stdin.close()
        assert browser.last_words() == ("bad-message", 1)


@pytest.mark.usefixtures("helper")
def test_browser_that_stops_reading_and_goes(environ: dict[str, str]) -> None:
    with browse(environ) as browser:
        browser.ask(GetStatus(id=1))
        assert browser.process.stdout is not None
        browser.process.stdout.close()
        browser.say(encode_frame(encode(GetStatus(id=2))))
        assert browser.process.wait(5) == 0


def test_helper_that_will_not_start_tells_why(environ: dict[str, str], home: Path) -> None:
    (home / "config" / "settings.json").write_text('{"socks_port": "many"}')
    with browse(environ) as browser:
        event = browser.hear()
        error = event["error"]
        assert isinstance(error, dict)
        assert (event["event"], error["code"]) == ("failed", "helper-start")
        assert "socks_port" in error["message"]
        assert "helper.log" in error["hint"]
        assert browser.process.wait(5) == 1


def test_folder_others_can_write_to(environ: dict[str, str], home: Path) -> None:
    (home / "run").chmod(0o777)
    with browse(environ) as browser:
        assert browser.last_words() == ("helper-start", 1)


def test_browsers_arguments_do_not_matter(environ: dict[str, str], home: Path) -> None:
    (home / "run").chmod(0o777)
    with browse(environ, [*HOST[:5], "/path/manifest.json", "qnet@example", "--help"]) as browser:
        assert browser.last_words() == ("helper-start", 1)


def test_starting_imports_nothing_heavy(environ: dict[str, str]) -> None:
    script = (
        "import sys, qnet.cli, qnet.cli.host, qnet.cli.commands, qnet.cli.status;"
        "print(sorted({'asyncio', 'anyio', 'cryptography', 'cbor2', 'starlette', 'noise'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-I", "-c", script], env=environ, capture_output=True, check=True)
    assert shown.stdout == b"[]\n"
    assert os.fsdecode(shown.stderr) == ""


def test_starts_a_helper_that_outlives_it(environ: dict[str, str], home: Path) -> None:
    environ |= {"STEALTH_SOCKS_PORT": "0", "STEALTH_STATUS_PORT": "0"}
    try:
        with browse(environ) as browser:
            assert "hello" in browser.ask(Hello(id=1, version=1, client="chromium"))
            os.killpg(browser.process.pid, signal.SIGKILL)
        with browse(environ) as browser:
            assert browser.ask(GetStatus(id=1))["ok"]
            assert browser.hang_up() == 0
    finally:
        stopped = subprocess.run([*HOST[:4], "stop"], env=environ, capture_output=True, timeout=30)
    assert stopped.returncode == 0, (home / "data" / "helper.log").read_text()
