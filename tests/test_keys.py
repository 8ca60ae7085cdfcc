"""The key file: made once, whole, for its owner only; anything doubtful is refused and left alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.keys import FILE_NAME, OVERLAP, QUARTER, WEEK, KeyFileError, KeyRing, NodeKeys, load_or_create
from qnet.wire.cover.inner import PeerKeys


def raw(keys: NodeKeys) -> list[bytes]:
    return [
        keys.identity.private_bytes_raw(),
        keys.noise.private_bytes_raw(),
        keys.cover_secret,
        *(each.seed for each in keys.covers),
    ]


def test_created_once_and_loaded_again(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    assert raw(load_or_create(tmp_path)) == raw(keys)
    assert len(set(raw(keys))) == 3 + len(keys.covers)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_different_nodes_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not set(raw(load_or_create(tmp_path / "a"))) & set(raw(load_or_create(tmp_path / "b")))


def test_repr_shows_nothing_secret(tmp_path: Path) -> None:
    assert repr(load_or_create(tmp_path)) == "NodeKeys()"


def test_two_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_create(tmp_path), range(8)))
    assert len({tuple(raw(keys)) for keys in found}) == 1
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_a_crash_while_writing_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(KeyFileError, match="Input/output error"):
            load_or_create(tmp_path)
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_process_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.abcdef").write_bytes(b"qnetkey1half")
    assert raw(load_or_create(tmp_path)) == raw(load_or_create(tmp_path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_others_with_any_access(tmp_path: Path, mode: int) -> None:
    load_or_create(tmp_path)
    path = tmp_path / FILE_NAME
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="others can read") as caught:
        load_or_create(tmp_path)
    assert caught.value.hint == f"Run: chmod 600 {path}"
    path.chmod(0o600)
    load_or_create(tmp_path)


def test_another_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    load_or_create(tmp_path)
    os.chown(tmp_path / FILE_NAME, 12345, 12345)
    with pytest.raises(KeyFileError, match="another user"):
        load_or_create(tmp_path)


def test_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").mkdir()
    load_or_create(tmp_path / "real")
    (tmp_path / "linked" / FILE_NAME).symlink_to(tmp_path / "real" / FILE_NAME)
    with pytest.raises(KeyFileError, match="symbolic link"):
        load_or_create(tmp_path / "linked")


def test_dangling_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_not_a_file(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / FILE_NAME)
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b""]
    + [b"qnetkey1" + bytes(n) for n in (0, 127, 129)]
    + [b"qnetkey2" + bytes(n) for n in (0, 96, 139, 141, 96 + 17 * 44)],
)
def test_damaged_file_is_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged") as caught:
        load_or_create(tmp_path)
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


# --- rotation

DAY = 86400
NOW = 1_800_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def issued(keys: NodeKeys, now: float, seconds: int) -> PeerKeys:
    """What a client reads in a descriptor of that life."""
    (_, cover), *later = keys.chain(now, now + seconds)
    return PeerKeys(b"", b"", cover, b"", "", later=tuple(later))


def recognised(keys: NodeKeys) -> set[bytes]:
    return {private.public_key().public_bytes_raw() for private in keys.cover_privates}


def test_nothing_is_due_when_it_was_just_made(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, Clock())
    assert not ring.refresh()
    assert 3 <= len(ring.keys.covers) <= 4


def test_two_hundred_days(tmp_path: Path) -> None:
    """Every descriptor gets its clients in for all of its life; nothing is kept for longer than it must be."""
    clock = Clock()
    ring = KeyRing(tmp_path, clock)
    given: list[tuple[float, PeerKeys]] = []
    private = {}
    for day in range(200):
        clock.now = NOW + day * DAY + day * 977 % DAY
        ring.refresh()
        private |= {(each.period, each.until): each.seed for each in ring.keys.covers}
        assert [each.until for each in ring.keys.covers] == sorted(each.until for each in ring.keys.covers)
        given += [(clock.now + life * DAY, issued(ring.keys, clock.now, life * DAY)) for life in (1, 7, 90)]
        for ends, known in given:
            if clock.now < ends:
                assert known.cover_at(clock.now) in recognised(ring.keys)
        content = (tmp_path / FILE_NAME).read_bytes()
        for (_, until), seed in private.items():
            assert (seed in content) == (clock.now < until + OVERLAP)
        assert load_or_create(tmp_path, clock).covers[0].until == ring.keys.covers[0].until
    assert len(private) > 25


def test_descriptors_of_a_week_name_keys_of_weeks(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = (NOW // QUARTER) * QUARTER + 3.5 * WEEK
    keys = KeyRing(tmp_path, clock).keys
    ends = {each.public: each.until for each in keys.covers}
    known = issued(keys, clock.now, WEEK)
    assert [ends[key] - clock.now for key in (known.cover, *(key for _, key in known.later))] == [WEEK / 2, 1.5 * WEEK]
    assert len(issued(keys, clock.now, DAY).later) == 0
    assert len(issued(keys, clock.now, 90 * DAY).later) == 3


def test_copies_keep_in_step(tmp_path: Path) -> None:
    """The front ends of one directory have copies of its keys; some look more often, one was off for long."""
    clocks, rings = [], []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        clocks.append(Clock())
        if rings:
            (tmp_path / name / FILE_NAME).write_bytes((tmp_path / "a" / FILE_NAME).read_bytes())
            (tmp_path / name / FILE_NAME).chmod(0o600)
        rings.append(KeyRing(tmp_path / name, clocks[-1]))
    for day in range(0, 300, 3):
        for number, (clock, ring) in enumerate(zip(clocks, rings, strict=True)):
            clock.now = NOW + day * DAY
            if not day % (3, 6, 150)[number]:
                ring.refresh()
        assert issued(rings[0].keys, NOW + day * DAY, DAY).cover in recognised(rings[1].keys)
    for clock, ring in zip(clocks, rings, strict=True):
        clock.now = NOW + 300 * DAY
        ring.refresh()
    assert rings[0].keys.covers == rings[1].keys.covers == rings[2].keys.covers


def test_a_clock_that_was_ahead_for_a_while(tmp_path: Path) -> None:
    clock = Clock()
    ring = KeyRing(tmp_path, clock)
    clock.now += 60 * DAY
    ring.refresh()
    clock.now -= 60 * DAY
    ring.refresh()
    assert issued(ring.keys, clock.now, WEEK).cover_at(clock.now) in recognised(ring.keys)


def test_clients_with_yesterdays_key_still_get_in(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = (NOW // WEEK + 1) * WEEK - 60
    ring = KeyRing(tmp_path, clock)
    late = issued(ring.keys, clock.now, 0).cover
    clock.now += 60 + DAY - 1
    assert ring.refresh()
    assert late in recognised(ring.keys)
    clock.now += 1
    assert ring.refresh()
    assert late not in recognised(ring.keys)


def test_the_file_that_was_is_overwritten(tmp_path: Path) -> None:
    clock = Clock()
    ring = KeyRing(tmp_path, clock)
    with (tmp_path / FILE_NAME).open("rb") as before:
        clock.now += 9 * DAY
        assert ring.refresh()
        assert before.read().strip(b"\0") == b""
    assert raw(load_or_create(tmp_path, clock)) == raw(ring.keys)
    assert os.listdir(tmp_path) == [FILE_NAME]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_a_crash_while_rotating_leaves_the_keys_that_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    ring = KeyRing(tmp_path, clock)
    before = raw(ring.keys)

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    clock.now += 9 * DAY
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(KeyFileError, match="No space left"):
            ring.refresh()
    assert raw(ring.keys) == before == raw(load_or_create(tmp_path, clock))
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_a_file_of_the_first_layout(tmp_path: Path) -> None:
    """Its one cover key serves for as long as a descriptor that names it can live."""
    path, clock = tmp_path / FILE_NAME, Clock()
    path.write_bytes(b"qnetkey1" + b"i" * 32 + b"n" * 32 + b"c" * 32 + b"s" * 32)
    path.chmod(0o600)
    ring = KeyRing(tmp_path, clock)
    old = X25519PrivateKey.from_private_bytes(b"c" * 32).public_key().public_bytes_raw()
    assert raw(ring.keys)[:3] == [b"i" * 32, raw(ring.keys)[1], b"s" * 32]
    assert path.read_bytes().startswith(b"qnetkey2")
    for day in range(90):
        clock.now = NOW + day * DAY
        ring.refresh()
        assert old in recognised(ring.keys)
    clock.now = NOW + 2 * QUARTER + OVERLAP
    ring.refresh()
    assert old not in recognised(ring.keys)


def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be made"):
        load_or_create(tmp_path / "missing")
