from pathlib import Path

import pytest

from qnet.browser.rules import store as store_module
from qnet.browser.rules.store import (
    KEPT,
    Document,
    NoGenerationError,
    RulesChangedError,
    RulesFileError,
    RuleStore,
    Saved,
    document_of,
)
from qnet.wire.messages import Rule, RuleAction, RuleKind


def document(*names: str) -> Document:
    return Document(rules=[Rule(kind=RuleKind.DOMAIN, pattern=name, action=RuleAction.BLOCK) for name in names])


@pytest.fixture
def store(tmp_path: Path) -> RuleStore:
    return RuleStore(tmp_path / "data" / "rules")


def fill(store: RuleStore, count: int) -> None:
    for number in range(count):
        store.save(document(f"n{number}.test"), number)


def test_nothing_saved_is_everything_through_the_tunnel(store: RuleStore) -> None:
    assert store.load() == Saved(0, Document())
    assert store.load().document.default is RuleAction.TUNNEL


def test_ten_generations_are_kept_and_can_be_restored(store: RuleStore) -> None:
    fill(store, 15)
    assert store.generations() == list(range(15, 5, -1))
    assert len(store.generations()) == KEPT
    assert store.restore(8, 15).generation == 16
    assert store.load() == Saved(16, document("n7.test"))
    with pytest.raises(NoGenerationError):
        store.restore(1, 16)
    assert all(time > 0 for time in store.read_times(store.generations()))


def test_who_comes_second_overwrites_nothing(store: RuleStore) -> None:
    fill(store, 3)
    with pytest.raises(RulesChangedError):
        store.save(document("late.test"), 2)
    assert store.load() == Saved(3, document("n2.test"))


def test_only_the_owner_reads_them(store: RuleStore, tmp_path: Path) -> None:
    fill(store, 1)
    folder = tmp_path / "data" / "rules"
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o077 for path in folder.iterdir()] == [0]


@pytest.mark.parametrize("damage", [b"", b"{", b"[" * 100_000, b"\xff", b'{"version": 2}', b'{"rules": [{}]}'])
def test_a_damaged_file_is_passed_over_and_kept(damage: bytes, store: RuleStore, tmp_path: Path) -> None:
    fill(store, 3)
    last = tmp_path / "data" / "rules" / "00000003.json"
    last.write_bytes(damage)
    assert store.load() == Saved(3, document("n1.test"), damaged=1)
    assert last.read_bytes() == damage
    assert store.save(document("new.test"), 3).generation == 4
    assert store.load().damaged == 0


def test_all_damaged_is_an_error_and_not_no_rules(store: RuleStore, tmp_path: Path) -> None:
    fill(store, 2)
    for path in (tmp_path / "data" / "rules").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(RulesFileError):
        store.load()


def test_a_failed_write_changes_nothing(store: RuleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(RulesFileError, match="No space"):
        store.save(document("lost.test"), 2)
    monkeypatch.undo()
    assert store.load() == Saved(2, document("n1.test"))
    assert sorted(path.name for path in (tmp_path / "data" / "rules").iterdir()) == ["00000001.json", "00000002.json"]


def test_a_bad_rule_is_named_by_its_number() -> None:
    rule = b'{"kind":"host","pattern":"%s","action":"block"}'
    text = b'{"rules": [%s, %s]}' % (rule % b"a.test", rule % b" ")
    with pytest.raises(RulesFileError, match="rule 2"):
        document_of(text)
