"""The repository's own tool: what it would run, and what it says when it cannot."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import dev


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of scripts that note that they ran; ``bad`` fails with 3."""
    for name, code in (("good", 0), ("bad", 3), ("last", 0)):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/ran"\necho "words of {name}"\nexit {code}\n')
        script.chmod(0o755)
    monkeypatch.setattr(dev, "BIN", tmp_path)
    monkeypatch.setattr(dev, "set_up_environment", lambda: None)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    return tmp_path


def test_every_program_has_its_package() -> None:
    assert {program for verb in dev.VERBS.values() for program in verb.programs} <= dev.PACKAGES.keys()


def test_what_is_tested_is_linted_and_typed_first() -> None:
    assert [stage.name for stage in dev.VERBS["test"].stages] == ["lint", "format", "layers", "types", "tests"]


def test_arguments_go_to_the_last_stage(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [dev.Stage("good", ["good"]), dev.Stage("last", ["last", "x"], quiet=False)]
    monkeypatch.setitem(dev.VERBS, "trial", dev.Verb("", stages))
    assert dev.main(["trial", "-k", "y"]) == 0
    assert (sandbox / "ran").read_text() == "good \nlast x -k y\n"


def test_the_first_failure_ends_it_and_shows_its_words(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [dev.Stage("one", ["good"]), dev.Stage("two", ["bad"]), dev.Stage("three", ["last"])]
    monkeypatch.setitem(dev.VERBS, "trial", dev.Verb("", stages))
    assert dev.main(["trial"]) == 3
    assert capsys.readouterr().out == "one: ok\nwords of bad\ntwo: failed\n"
    assert "last" not in (sandbox / "ran").read_text()


def test_missing_programs_without_the_right_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("nginx", "node") else "/usr/bin/" + name)
    with pytest.raises(SystemExit) as caught:
        dev.install_programs(("nginx", "curl", "node"))
    assert caught.value.code == dev.UNAVAILABLE
    assert capsys.readouterr().err == (
        "dev.py: missing: nginx-light nodejs. Run: sudo apt-get install --no-install-recommends nginx-light nodejs\n"
    )


def test_set_up_runs_once_and_again_when_the_lock_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    lock = tmp_path / "dev.txt"
    lock.write_text("first")
    monkeypatch.setattr(dev, "LOCK", lock)
    monkeypatch.setattr(dev, "STAMP", tmp_path / "set-up")
    monkeypatch.setattr(dev, "must", lambda command, otherwise: commands.append(command))
    dev.set_up_environment()
    assert [command[-1] for command in commands] == [str(dev.VENV), str(lock), "."]
    dev.set_up_environment()
    assert len(commands) == 3
    lock.write_text("second")
    dev.set_up_environment()
    assert len(commands) == 6


def test_an_interrupted_set_up_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], otherwise: str) -> None:
        raise KeyboardInterrupt

    (tmp_path / "set-up").write_text("of an older lock")
    monkeypatch.setattr(dev, "STAMP", tmp_path / "set-up")
    monkeypatch.setattr(dev, "must", fail)
    with pytest.raises(KeyboardInterrupt):
        dev.set_up_environment()
    assert not (tmp_path / "set-up").exists()


def test_unknown_verb_lists_the_verbs() -> None:
    done = subprocess.run(["python3", str(Path(dev.__file__)), "fly"], capture_output=True, text=True)
    assert done.returncode == 2
    assert all(f"  {name} " in done.stdout for name in dev.VERBS)
