"""The account of an exit: days, months, and a file that may be broken."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from qnet.roles.exit_usage import KEPT_DAYS, Usage
from qnet.wire.messages import Traffic


class Clock:
    def __init__(self, *when: int) -> None:
        self.now = datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type]

    def __call__(self) -> float:
        return self.now


def test_a_month_begins_anew(tmp_path: Path) -> None:
    clock = Clock(2026, 1, 31, 23, 59)
    usage = Usage(tmp_path / "usage", 1000, clock)
    usage.add(400, 599)
    assert (usage.this_month, usage.used_up) == (999, False)
    usage.add(1, 0)
    assert (usage.this_month, usage.used_up) == (1000, True)
    clock.now += 120
    assert (usage.this_month, usage.used_up) == (0, False)
    assert usage.since_start == Traffic(up=401, down=599)


def test_it_outlives_the_process_and_forgets_after_a_year(tmp_path: Path) -> None:
    clock = Clock(2026, 1, 1)
    path = tmp_path / "usage"
    usage = Usage(path, clock=clock)
    assert usage.take() is None
    for _ in range(KEPT_DAYS + 20):
        usage.add(1, 2)
        clock.now += 86400
    usage.write(usage.take())
    assert usage.take() is None
    again = Usage(path, clock=clock)
    assert len(again._days) == KEPT_DAYS and again.since_start == Traffic()
    assert again.this_month == usage.this_month > 0


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"days": {"x": [1]}}', b'{"days": 3}', b"\xff", b"[" * 100_000, b'{"days": {"\xa7": [1, 2]}}'],
)
def test_a_broken_file_is_said_and_begun_anew(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "usage"
    path.write_bytes(content)
    usage = Usage(path)
    assert usage.this_month == 0 and "begins anew" in caplog.text and str(path) not in caplog.text
    usage.add(3, 4)
    usage.write(usage.take())
    assert Usage(path).this_month == 7


def test_a_disk_that_takes_nothing_is_said_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    usage = Usage(tmp_path / "missing" / "usage")
    usage.add(1, 1)
    usage.write(usage.take())
    assert "could not be kept" in caplog.text
    (tmp_path / "missing").mkdir()
    usage.write(usage.take())
    assert Usage(tmp_path / "missing" / "usage").this_month == 2
