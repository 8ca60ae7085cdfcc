"""The replay cache's written record: what each kind of end leaves to the next life."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qnet.roles.replay_journal import FILE_NAME, ReplayJournal, boot_id
from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import KEEP_SECONDS

NOW = 1_800_000_000.0
BOOT, OTHER = b"b" * 16, b"o" * 16


def journal(folder: Path, now: float = NOW, *, fresh: bool = False, boot: bytes = BOOT) -> ReplayJournal:
    return ReplayJournal(folder, now, fresh=fresh, boot=boot)


def accept(journal: ReplayJournal, now: float = NOW, *, ahead: float = 0) -> bytes:
    random = os.urandom(32)
    journal.cache.admit(random, int(now + ahead), "192.0.2", now)
    return random


def refuses(journal: ReplayJournal, random: bytes, dated: float, now: float = NOW) -> bool:
    try:
        journal.cache.admit(random, int(dated), "192.0.2", now)
    except NotAuthenticError:
        return True
    return False


@pytest.mark.parametrize("ahead", [-SKEW, 0, SKEW])
def test_after_a_crash_nothing_is_replayed_and_nobody_waits(tmp_path: Path, ahead: float) -> None:
    before = journal(tmp_path, fresh=True)
    randoms = [accept(before, ahead=ahead) for _ in range(50)]
    after = journal(tmp_path, NOW + 5)
    assert all(refuses(after, random, NOW + ahead, NOW + 5) for random in randoms)
    accept(after, NOW + 5, ahead=-SKEW)
    accept(after, NOW + 5)


def test_several_lives(tmp_path: Path) -> None:
    randoms = [accept(journal(tmp_path, NOW + life, fresh=not life), NOW + life) for life in range(5)]
    last = journal(tmp_path, NOW + 5)
    assert all(refuses(last, random, NOW + 1) for random in randoms)


@pytest.mark.parametrize("boot", [OTHER, b""])
def test_after_the_machine_went_down_nobody_is_known_for_one_skew(tmp_path: Path, boot: bytes) -> None:
    """What was accepted last may not have reached the disk: it was dated up to one skew ahead."""
    before = journal(tmp_path, fresh=True, boot=boot)
    accept(before, ahead=SKEW)
    (tmp_path / FILE_NAME).write_bytes((tmp_path / FILE_NAME).read_bytes()[:25])
    after = journal(tmp_path, NOW + 1, boot=BOOT)
    assert refuses(after, os.urandom(32), NOW + SKEW, NOW + 1)
    assert refuses(after, os.urandom(32), NOW + 1, NOW + 1)
    accept(after, NOW + 1 + SKEW)


@pytest.mark.parametrize("orderly", [True, False])
@pytest.mark.parametrize("between", [1.0, SKEW, 2 * SKEW])
def test_a_second_start_does_not_forget_what_the_first_lacked(tmp_path: Path, orderly: bool, between: float) -> None:
    """The machine goes down, and the node is restarted soon after: what was lost can still be replayed."""
    lost = accept(journal(tmp_path, fresh=True, boot=OTHER), ahead=SKEW)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:25])
    first = journal(tmp_path, NOW + 1)
    if orderly:
        first.close()
    again = NOW + between
    assert refuses(journal(tmp_path, again), lost, NOW + SKEW, again)


def test_a_record_is_complete_again_once_nothing_lost_can_be_replayed(tmp_path: Path) -> None:
    first = journal(tmp_path)
    later = NOW + KEEP_SECONDS + 1
    random = accept(first, later)
    second = journal(tmp_path, later + 1)
    assert refuses(second, random, later, later + 1)
    accept(second, later + 1)


def test_an_orderly_end_is_good_in_another_boot(tmp_path: Path) -> None:
    before = journal(tmp_path, fresh=True)
    random = accept(before)
    before.close()
    after = journal(tmp_path, NOW + 1, boot=OTHER)
    assert refuses(after, random, NOW, NOW + 1)
    accept(after, NOW + 1)
    assert refuses(before, os.urandom(32), NOW), "who has ended accepts nothing"


def test_an_orderly_end_counts_once(tmp_path: Path) -> None:
    journal(tmp_path, fresh=True).close()
    accept(journal(tmp_path, boot=OTHER))
    assert refuses(journal(tmp_path, boot=BOOT), os.urandom(32), NOW)


@pytest.mark.parametrize("content", [None, b"", b"qnetrpl1", b"x" * 200])
def test_a_record_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    assert refuses(journal(tmp_path), os.urandom(32), NOW)
    accept(journal(tmp_path / ".", fresh=True))


@pytest.mark.parametrize("torn", range(1, 40))
def test_a_torn_entry(tmp_path: Path, torn: int) -> None:
    before = journal(tmp_path, fresh=True)
    random = accept(before)
    accept(before)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-torn])
    after = journal(tmp_path)
    assert refuses(after, random, NOW)
    second = accept(after)
    assert refuses(journal(tmp_path), second, NOW)


def test_it_is_begun_anew_with_what_still_matters(tmp_path: Path) -> None:
    kept = journal(tmp_path, fresh=True)
    for second in range(0, 4000, 100):
        random = accept(kept, NOW + second)
    size = (tmp_path / FILE_NAME).stat().st_size
    assert size <= 25 + 40 * (2 * KEEP_SECONDS // 100 + 2)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert refuses(journal(tmp_path, NOW + second), random, NOW + second, NOW + second)


def test_what_cannot_be_written_is_not_trusted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = journal(tmp_path, fresh=True)

    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        accept(before)
    assert not (tmp_path / FILE_NAME).exists()
    accept(before)
    assert refuses(journal(tmp_path, NOW), os.urandom(32), NOW)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    before = journal(tmp_path / "data", fresh=True)
    (tmp_path / "data" / FILE_NAME).unlink()
    (tmp_path / "data").rmdir()
    accept(before, NOW + KEEP_SECONDS + 1)
    (tmp_path / "data").mkdir()
    accept(before, NOW + 3 * KEEP_SECONDS)
    assert os.listdir(tmp_path / "data") == [FILE_NAME]


def test_after_a_while_it_is_tried_again(tmp_path: Path) -> None:
    before = journal(tmp_path, fresh=True)
    before._give_up()
    lost = accept(before, NOW + KEEP_SECONDS)
    accept(before, NOW + KEEP_SECONDS + 1)
    after = journal(tmp_path, NOW + KEEP_SECONDS + 1)
    assert refuses(after, lost, NOW + KEEP_SECONDS + 1, NOW + KEEP_SECONDS + 1)


def test_a_killed_process_has_written_what_it_accepted(tmp_path: Path) -> None:
    program = (
        "import os, sys, time, pathlib\n"
        "from qnet.roles.replay_journal import ReplayJournal, boot_id\n"
        "made = ReplayJournal(pathlib.Path(sys.argv[1]), time.time(), fresh=True, boot=boot_id())\n"
        "random = os.urandom(32)\n"
        "made.cache.admit(random, int(time.time()), 'a', time.time())\n"
        "os.write(1, random)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    after = ReplayJournal(tmp_path, time.time(), fresh=False, boot=boot_id())
    assert refuses(after, done.stdout, time.time(), time.time())
    accept(after, time.time())


def test_this_machines_boot() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()
