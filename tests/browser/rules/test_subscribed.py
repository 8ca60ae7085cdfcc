from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.browser.rules.keeper import RuleKeeper
from qnet.browser.rules.ruleset import RuleSetError, Section
from qnet.browser.rules.store import RuleStore
from qnet.browser.rules.subscribed import DAY, LAST_RETRY, Entry, SubscriptionError, SubscriptionStore, due
from qnet.wire.messages import Edit as E
from qnet.wire.messages import EditRules, Rule, RuleAction, RuleKind

NAMES = st.sampled_from(["a.test", "b.a.test", "test", "c.test", "x.b.a.test"])
RULES = st.lists(
    st.builds(Rule, kind=st.just(RuleKind.DOMAIN), pattern=NAMES, action=st.sampled_from(RuleAction)), max_size=6
)


@given(RULES, st.lists(RULES, max_size=3))
def test_no_list_changes_what_a_rule_of_the_persons_own_says(
    tmp_path_factory: pytest.TempPathFactory, own: list[Rule], lists: list[list[Rule]]
) -> None:
    keeper = RuleKeeper(RuleStore(tmp_path_factory.mktemp("rules")), 1088)
    keeper.edit(EditRules(id=1, base=0, edits=[E(at=0, insert=own)]))
    hosts = ["a.test", "b.a.test", "x.b.a.test", "c.test", "other.example"]
    before, page = [keeper.verdict(host, 443) for host in hosts], keeper.page()
    keeper.follow([Section(f"list {number}", rules) for number, rules in enumerate(lists)])
    for host, was in zip(hosts, before, strict=True):
        if was.rule is not None:
            assert keeper.verdict(host, 443) == was
    assert keeper.page() == page
    keeper.follow([])
    assert [keeper.verdict(host, 443) for host in hosts] == before


def test_too_many_rules_leave_all_as_it_was(tmp_path: Path) -> None:
    keeper = RuleKeeper(RuleStore(tmp_path), 1088)
    good = [Rule(kind=RuleKind.DOMAIN, pattern="a.test", action=RuleAction.BLOCK)]
    keeper.follow([Section("good", good)])
    hash_ = keeper.pac.hash
    with pytest.raises(RuleSetError):
        keeper.follow([Section("much", good * 250_001)])
    assert (keeper.verdict("a.test", 443).section, keeper.pac.hash) == ("good", hash_)


@given(st.integers(0, 1000), st.floats(0, 0.999))
def test_the_next_check_is_neither_at_once_nor_never(failures: int, chance: float) -> None:
    wait = due(failures, 1e9, chance) - 1e9
    assert (0.74 * DAY if failures == 0 else 44) <= wait <= (1.26 * DAY if failures == 0 else 1.26 * LAST_RETRY)


def test_a_damaged_file_is_told_and_stays(tmp_path: Path) -> None:
    store = SubscriptionStore(tmp_path)
    assert store.load() == []
    store.save([Entry(url="https://lists.test/", action=RuleAction.BLOCK)])
    assert [entry.url for entry in store.load()] == ["https://lists.test/"]
    path = tmp_path / "subscriptions.json"
    assert path.stat().st_mode & 0o777 == 0o600
    for damaged in (b"{", b'{"lists": [{"url": "\xa7"}]}'):
        path.write_bytes(damaged)
        with pytest.raises(SubscriptionError):
            store.load()
        assert path.read_bytes() == damaged
