"""The abuse log: what is in it, how much, and for how long."""

import json
from pathlib import Path

import pytest

from qnet.roles.abuse_log import ROWS_A_MINUTE, SIZE_LIMIT, AbuseLog, Refusal

NOW = 1_790_000_000.0
DAY = 86400


def test_a_minutes_refusals_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    log = AbuseLog(path)
    for second in range(3):
        log.note(Refusal.PORT, 25, NOW + second)
    log.note(Refusal.ADDRESS, 25, NOW)
    log.note(Refusal.PORT, 25, NOW + 60)
    log.write(log.take(), NOW)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["what"], line["port"], line["count"]) for line in lines] == [
        ("port", 25, 3),
        ("address", 25, 1),
        ("port", 25, 1),
    ]
    assert {frozenset(line) for line in lines} == {frozenset(("minute", "what", "port", "count"))}
    assert lines[0]["minute"] == "2026-09-21T14:13Z"
    assert path.stat().st_mode & 0o777 == 0o600
    assert log.take() == []


def test_it_forgets_after_seven_days_also_when_nothing_comes(tmp_path: Path) -> None:
    log = AbuseLog(tmp_path / "abuse.log")
    log.note(Refusal.PORT, 25, NOW)
    log.write(log.take(), NOW)
    log.write([], NOW + 7 * DAY - 60)
    assert (tmp_path / "abuse.log").read_text()
    log.write([], NOW + 7 * DAY + 60)
    assert (tmp_path / "abuse.log").read_text() == ""


def test_who_asks_for_every_port_fills_nothing(tmp_path: Path) -> None:
    log = AbuseLog(tmp_path / "abuse.log")
    for port in range(1, 10_000):
        log.note(Refusal.PORT, port, NOW)
    lines = [json.loads(line) for line in log.take()]
    assert len(lines) == ROWS_A_MINUTE + 1
    assert sum(line["count"] for line in lines) == 9_999 and lines[-1]["port"] == 0


def test_its_size_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    log = AbuseLog(path)
    for minute in range(320):
        for port in range(1, ROWS_A_MINUTE + 1):
            log.note(Refusal.PORT, port, NOW + minute * 60)
    log.write(log.take(), NOW + 320 * 60)
    assert SIZE_LIMIT - 200 < path.stat().st_size <= SIZE_LIMIT
    first = json.loads(path.read_text().splitlines()[0])["minute"]
    assert first > "2026-09-21T14:13Z"


def test_what_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    path.write_bytes(b'\xff\n{"minute": 3}\n' + b"[" * 5000 + b"\n")
    log = AbuseLog(path)
    log.note(Refusal.LIMIT, 443, NOW)
    log.write(log.take(), NOW)
    assert [json.loads(line)["what"] for line in path.read_text().splitlines()] == ["limit"]


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AbuseLog(tmp_path / "missing" / "abuse.log")
    log.note(Refusal.LIMIT, 443, NOW)
    log.write(log.take(), NOW)
    assert "could not be written" in caplog.text
