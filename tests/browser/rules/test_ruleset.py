"""Beyond ``test_agreement``: where the deciding rule is, what is too much, and what 100,000 rules cost."""

import random
import time
from itertools import product

import pytest

from qnet.browser.pac import compile_pac
from qnet.browser.rules import ruleset
from qnet.browser.rules.rule import checked
from qnet.browser.rules.ruleset import RuleSet, RuleSetError, Section, Verdict, glob
from qnet.browser.rules.table import table
from qnet.wire.messages import Rule, RuleAction, RuleKind

TUNNEL, DIRECT, BLOCK = RuleAction


def domain(pattern: str, action: RuleAction = DIRECT, **fields: object) -> Rule:
    return checked(Rule(kind=RuleKind.DOMAIN, pattern=pattern, action=action, **fields))  # type: ignore[arg-type]


def many(action: RuleAction) -> list[Rule]:
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [domain(f"{''.join(rng.choices(letters, k=9))}{n}.{rng.choice(letters)}x", action) for n in range(100_000)]


def test_a_verdict_names_its_rule_and_where_it_is() -> None:
    own = [domain("a.test", BLOCK), domain("b.test", TUNNEL, country="NL", hops=2)]
    rules = RuleSet([Section("", own), Section("empty", []), Section("list", [domain("c.test"), domain("a.test")])])
    assert rules.verdict("x.a.test", 80) == Verdict(BLOCK, own[0], "", 0)
    found = rules.verdict("b.test", 80)
    assert (found.index, found.country, found.hops) == (1, "NL", 2)
    assert (rules.verdict("c.test", 443).section, rules.verdict("c.test", 443).index) == ("list", 0)
    assert rules.verdict("d.test", 443) == Verdict(TUNNEL)


def test_the_meshs_own_names_are_never_direct() -> None:
    rules = RuleSet([Section("", [domain("qnet"), Rule(kind=RuleKind.WILDCARD, pattern="*", action=DIRECT)])], DIRECT)
    assert rules.verdict("a.qnet", 80) == Verdict(BLOCK)


def test_glob_is_what_it_says() -> None:
    texts = ["".join(each) for size in range(5) for each in product("ab", repeat=size)]
    for pattern in ["".join(each) for size in range(5) for each in product("a?*", repeat=size)]:
        for text in texts:
            assert glob(pattern, text) == _slow_glob(pattern, text), (pattern, text)


def _slow_glob(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_slow_glob(pattern[1:], text[cut:]) for cut in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _slow_glob(pattern[1:], text[1:])


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruleset, "MAX_RULES", 2)
    monkeypatch.setattr(ruleset, "MAX_SEARCHED", 1)
    with pytest.raises(RuleSetError, match="3 rules"):
        RuleSet([Section("", [domain("a.test")] * 3)])
    keyword = Rule(kind=RuleKind.KEYWORD, pattern="a", action=BLOCK)
    with pytest.raises(RuleSetError, match="2 rules are wildcards"):
        RuleSet([Section("", [keyword, keyword])])
    monkeypatch.setattr(ruleset, "MAX_CHARACTERS", 5)
    with pytest.raises(RuleSetError, match="too long"):
        RuleSet([Section("", [domain("a.test")])])


def test_what_the_browser_needs_not_know_costs_it_nothing() -> None:
    rules = RuleSet([Section("", [domain("a.test"), *many(BLOCK)])])
    assert table(rules)["segments"] == [["a.test", "", []]]
    assert compile_pac(1088, RuleSet([Section("", [domain("a.test", BLOCK)])])) == compile_pac(1088)


def test_100_000_rules_are_compiled_in_half_a_second() -> None:
    rules = many(DIRECT)
    best = min(_compile_seconds(rules) for _ in range(3))
    assert best < 0.5, best


def _compile_seconds(rules: list[Rule]) -> float:
    started = time.perf_counter()
    made = compile_pac(1088, RuleSet([Section("", rules)]))
    seconds = time.perf_counter() - started
    assert len(made.text) > 1_000_000
    return seconds
