import json
from pathlib import Path

import pytest

from qnet.browser.pac import compile_pac
from qnet.browser.rules.keeper import EditError, RuleKeeper
from qnet.browser.rules.rule import RuleError
from qnet.browser.rules.store import RulesChangedError, RuleStore
from qnet.wire.framing import LIMIT
from qnet.wire.messages import Answer, Edit, EditRules, ImportRules, Rule, RuleAction, RuleKind, encode

TUNNEL, DIRECT, BLOCK = RuleAction
PORT = 1088


def rule(name: str, action: RuleAction = BLOCK, note: str = "") -> Rule:
    return Rule(kind=RuleKind.DOMAIN, pattern=name, action=action, note=note)


def names(keeper: RuleKeeper) -> list[str]:
    return [each.pattern for each in keeper.page().rules]


@pytest.fixture
def keeper(tmp_path: Path) -> RuleKeeper:
    made = RuleKeeper(RuleStore(tmp_path / "rules"), PORT)
    made.edit(EditRules(id=0, base=0, edits=[Edit(at=0, insert=[rule(f"{name}.test") for name in "abc"])]))
    return made


def test_a_new_keeper_sends_everything_through_the_tunnel(tmp_path: Path) -> None:
    fresh = RuleKeeper(RuleStore(tmp_path / "rules"), PORT)
    assert fresh.pac == compile_pac(PORT)
    assert (fresh.generation, fresh.page().total, fresh.page().problem) == (0, 0, None)
    assert fresh.verdict("a.test", 80).action is TUNNEL


def test_an_edit_is_in_force_saved_and_numbered(keeper: RuleKeeper, tmp_path: Path) -> None:
    edits = [Edit(at=1, remove=1), Edit(at=0, insert=[rule("D.test.", DIRECT)])]
    keeper.edit(EditRules(id=0, base=1, edits=edits, default=BLOCK))
    again = RuleKeeper(RuleStore(tmp_path / "rules"), PORT)
    for each in (keeper, again):
        assert names(each) == ["d.test", "a.test", "c.test"]
        assert (each.generation, each.page().default) == (2, BLOCK)
        assert each.verdict("x.d.test", 80).action is DIRECT
        assert each.pac.hash != compile_pac(PORT).hash
    assert [each.number for each in keeper.page().generations] == [2, 1]


def test_what_does_not_fit_changes_nothing(keeper: RuleKeeper) -> None:
    before = keeper.page()
    for base, edit, error in [
        (0, Edit(at=0), RulesChangedError),
        (1, Edit(at=4), EditError),
        (1, Edit(at=-1), EditError),
        (1, Edit(at=0, remove=4), EditError),
        (1, Edit(at=2, remove=-1), EditError),
        (1, Edit(at=0, insert=[rule("b d")]), RuleError),
    ]:
        with pytest.raises(error):
            keeper.edit(
                EditRules(id=0, base=base, edits=[Edit(at=0, remove=1), Edit(at=0, insert=[rule("a.test")]), edit])
            )
        assert keeper.page() == before


def test_restoring(keeper: RuleKeeper) -> None:
    keeper.edit(EditRules(id=0, base=1, edits=[Edit(at=0, remove=3)]))
    keeper.restore(1, 2)
    assert (names(keeper), keeper.generation) == (["a.test", "b.test", "c.test"], 3)


def test_a_trial_reports_and_changes_nothing(keeper: RuleKeeper) -> None:
    before = keeper.page()
    report = keeper.take("new.test\nbad name\n", ImportRules(id=0, base=1, trial=True))
    assert (report.rules, report.direct, report.trouble) == (1, 0, 1)
    assert keeper.take("a.test\nb.test", ImportRules(id=0, base=1, action=DIRECT, trial=True)).direct == 2
    assert keeper.page() == before


def test_imports_go_behind_or_in_place(keeper: RuleKeeper) -> None:
    keeper.take("new.test", ImportRules(id=0, base=1, action=DIRECT))
    assert names(keeper) == ["a.test", "b.test", "c.test", "new.test"]
    backup = {"format": "qnet-rules", "default": "direct", "rules": []}
    keeper.take(json.dumps(backup), ImportRules(id=0, base=2, replace=True))
    assert (names(keeper), keeper.page().default) == ([], DIRECT)


def test_pages_fit_a_message_whatever_the_rules(keeper: RuleKeeper) -> None:
    long = [Rule(kind=RuleKind.REGEX, pattern="a" * 512, action=BLOCK, note="\x01" * 200)] * 3000
    keeper.edit(EditRules(id=0, base=1, edits=[Edit(at=0, remove=3, insert=long)]))
    got: list[Rule] = []
    while len(got) < 3000:
        page = keeper.page(len(got))
        assert page.rules and page.total == 3000 and page.offset == len(got)
        assert len(encode(Answer(id=1, ok=True, rules=page))) < LIMIT
        got += page.rules
    assert got == long
    assert keeper.page(3000).rules == keeper.page(9999).rules == []
    assert keeper.page(-5).offset == 0


def test_damaged_rules_are_said(keeper: RuleKeeper, tmp_path: Path) -> None:
    keeper.edit(EditRules(id=0, base=1, edits=[Edit(at=0, remove=3)]))
    (tmp_path / "rules" / "00000002.json").write_text("{")
    passed_over = RuleKeeper(RuleStore(tmp_path / "rules"), PORT)
    assert names(passed_over) == ["a.test", "b.test", "c.test"]
    problem = passed_over.page().problem
    assert problem is not None and "damaged" in problem.message
    (tmp_path / "rules" / "00000001.json").write_text("{")
    none = RuleKeeper(RuleStore(tmp_path / "rules"), PORT)
    assert none.page().problem is not None and none.pac == compile_pac(PORT)
    none.edit(EditRules(id=0, base=2, edits=[Edit(at=0, insert=[rule("new.test")])]))
    assert none.page().problem is None
