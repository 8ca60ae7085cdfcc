"""The record of accepted hellos that several processes of one node share: accepted by one, known to all."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qnet.roles.replay_journal import ReplayJournal, boot_id
from qnet.roles.replay_record import ENTRY, FILE_NAME, HEAD, ReplayFollower
from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import KEEP_SECONDS, ReplayCache

NOW = 1_800_000_000.0
BOOT = b"b" * 16


def journal(folder: Path, now: float = NOW, *, fresh: bool = True) -> ReplayJournal:
    return ReplayJournal(folder, now, fresh=fresh, boot=BOOT, shared=True)


def accepts(cache: ReplayCache, random: bytes, now: float = NOW, *, dated: float | None = None) -> bool:
    try:
        cache.admit(random, int(now if dated is None else dated), "192.0.2", now)
    except NotAuthenticError:
        return False
    return True


def test_what_one_has_accepted_none_accepts_again(tmp_path: Path) -> None:
    first = journal(tmp_path)
    caches = [first.cache, *(ReplayFollower(tmp_path, first.since).cache for _ in range(2))]
    for number in range(30):
        random = os.urandom(32)
        assert accepts(caches[number % 3], random)
        assert not any(accepts(cache, random) for cache in caches)
    assert (tmp_path / FILE_NAME).stat().st_size == HEAD + 30 * ENTRY


def test_the_record_begun_anew_is_followed(tmp_path: Path) -> None:
    first = journal(tmp_path)
    other = ReplayFollower(tmp_path, first.since)
    old, late, new = (os.urandom(32) for _ in range(3))
    assert accepts(other.cache, old)
    assert accepts(other.cache, late, NOW + KEEP_SECONDS - 1)
    assert accepts(first.cache, new, NOW + KEEP_SECONDS + 1), "which begins the record anew"
    assert (tmp_path / FILE_NAME).stat().st_size == HEAD + 2 * ENTRY, "what is old enough is gone"
    assert not accepts(other.cache, new, NOW + KEEP_SECONDS + 2)
    assert not accepts(first.cache, late, NOW + KEEP_SECONDS + 2)
    assert accepts(other.cache, os.urandom(32), NOW + KEEP_SECONDS + 2)


def test_a_later_life_knows_what_others_have_accepted(tmp_path: Path) -> None:
    first = journal(tmp_path)
    random = os.urandom(32)
    assert accepts(ReplayFollower(tmp_path, first.since).cache, random)
    assert not accepts(journal(tmp_path, NOW + 5, fresh=False).cache, random, NOW + 5)


def test_who_outlives_the_first_process_adds_to_the_next_ones_record(tmp_path: Path) -> None:
    left = ReplayFollower(tmp_path, journal(tmp_path).since)
    assert accepts(left.cache, os.urandom(32))
    after = journal(tmp_path, NOW + 5, fresh=False)
    random = os.urandom(32)
    assert accepts(left.cache, random, NOW + 6)
    assert not accepts(after.cache, random, NOW + 6)


def test_without_a_record_the_others_accept_nothing(tmp_path: Path) -> None:
    first = journal(tmp_path)
    other = ReplayFollower(tmp_path, first.since)
    assert accepts(other.cache, os.urandom(32))
    (tmp_path / FILE_NAME).unlink()
    assert not accepts(other.cache, os.urandom(32))
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 10)
    assert not accepts(other.cache, os.urandom(32))


def test_who_does_not_know_an_earlier_life_refuses_in_every_process(tmp_path: Path) -> None:
    first = journal(tmp_path, fresh=False)
    other = ReplayFollower(tmp_path, first.since)
    assert not accepts(other.cache, os.urandom(32), dated=NOW + SKEW - 1)
    assert accepts(other.cache, os.urandom(32), NOW + SKEW + 1)


def test_an_entry_that_does_not_fit_leaves_the_record_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = journal(tmp_path)
    other = ReplayFollower(tmp_path, first.since)
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, content: write(handle, content[:7]))
        assert not accepts(other.cache, os.urandom(32)), "the disk is full"
    assert (tmp_path / FILE_NAME).stat().st_size == HEAD
    random = os.urandom(32)
    assert accepts(other.cache, random) and not accepts(first.cache, random)


ADMIT = """
import pathlib, sys
from qnet.roles.replay_record import ReplayFollower
from qnet.wire.cover.auth import NotAuthenticError
cache = ReplayFollower(pathlib.Path(sys.argv[1]), 0.0).cache
now, count = float(sys.argv[2]), 0
for number in range(400):
    try:
        cache.admit(number.to_bytes(32, "big"), int(now), "192.0.2", now)
        count += 1
    except NotAuthenticError:
        pass
print(count)
"""


def test_of_many_processes_exactly_one_accepts_each(tmp_path: Path) -> None:
    now = time.time()
    first = ReplayJournal(tmp_path, now, fresh=True, boot=boot_id(), shared=True)
    command = [sys.executable, "-c", ADMIT, str(tmp_path), str(now)]

    def admitted(_: int) -> int:
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(admitted, range(4))) == 400
    assert not accepts(first.cache, (399).to_bytes(32, "big"), now)
