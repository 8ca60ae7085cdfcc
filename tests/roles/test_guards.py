"""The file of guards."""

import stat
from pathlib import Path

import pytest

from qnet.mesh.guards import MAX_GUARDS, Guard, Guards
from qnet.net.client_link import UnreachablePeerError
from qnet.roles.circuits import BuildError
from qnet.roles.guards import GuardFile, load, save
from qnet.wire.errors import RemoteError
from tests.mesh.test_selection import peer


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "guards.json"
    assert load(path) == Guards()
    made = Guards([Guard(b"\xff" * 32, 12.5), Guard(bytes(32), 13.0)], [3.0])
    save(path, made)
    assert load(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"guards": [{"peer": 1}]}', b"\xff" * 100_000, b'{"guards": [{"peer": "\xa7"}]}']
)
def test_a_broken_file_only_loses_the_memory_of_them(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "guards.json"
    path.write_bytes(content)
    assert load(path) == Guards()
    assert "guards" in caplog.text and str(tmp_path) not in caplog.text


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "missing" / "guards.json", Guards([Guard(b"x" * 32, 1.0)]))
    assert "cannot be written" in caplog.text


def test_a_file_with_too_many_is_cut(tmp_path: Path) -> None:
    save(tmp_path / "guards.json", Guards([Guard(bytes([number]) * 32, 1.0) for number in range(30)]))
    assert len(load(tmp_path / "guards.json").listed) == MAX_GUARDS


@pytest.mark.anyio
async def test_what_becomes_of_circuits_decides_who_is_a_guard_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "guards.json"
    first, behind = peer(1), peer(2)
    made = GuardFile(path)
    await made.load()
    await made.tried(first.peer_id, BuildError(UnreachablePeerError("OSError"), [first]))
    assert not path.exists(), "who was never reached is no guard"
    await made.tried(first.peer_id, BuildError(RemoteError("refused"), [first, behind]))
    await made.tried(first.peer_id, None)
    (guard,) = made.guards.listed
    assert (guard.peer_id, guard.begun, guard.made) == (first.peer_id, 2, 1)
    assert [each.peer_id for each in load(path).listed] == [first.peer_id]
    await made.tried(first.peer_id, BuildError(UnreachablePeerError("OSError"), [first]))
    assert guard.rests == 1 and load(path).listed, "it may come back"
    await made.tried(first.peer_id, BuildError(RemoteError("no proof"), [first]))
    assert made.guards.listed == [] and load(path).listed == []


@pytest.mark.anyio
async def test_without_a_file_they_last_as_long_as_the_process() -> None:
    made = GuardFile(None)
    await made.load()
    await made.tried(bytes(32), None)
    assert len(made.guards.listed) == 1
