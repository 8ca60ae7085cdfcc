"""Lists and backups of others: what is understood, what is reduced with a word about it, and what is refused."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.browser.rules import parsed as parsed_module
from qnet.browser.rules.importing import read_any, read_list
from qnet.browser.rules.parse_autoproxy import parse_autoproxy
from qnet.browser.rules.parse_hosts import parse_hosts
from qnet.browser.rules.parsed import MAX_WARNINGS, ImportFormatError, Parsed
from qnet.browser.rules.rule import checked
from qnet.browser.rules.ruleset import RuleSet, Section
from qnet.browser.rules.store import Document, RulesFileError
from qnet.wire.messages import RuleAction

TUNNEL, DIRECT, BLOCK = RuleAction

AUTOPROXY = r"""[AutoProxy 0.2.9]
! a comment
||blocked.example^
|https://sub.other.example/path/page
|http://85.17.73.31/
.dotted.example
bare.example
*.star.example/*
||wild*.example
/^https?:\/\/[^\/]+blog\.(.*)/
/^https?:\/\/(www\.)?news\.example\/politics/
search?q=word
@@||fine.example
!#include https://lists.example/again.txt
/^https?:\/\/(a+)+\.example/
"""


def lines(found: Parsed) -> list[tuple[str, str, str]]:
    return [(str(rule.kind), rule.pattern, str(rule.action)) for rule in found.rules]


def test_autoproxy() -> None:
    found = parse_autoproxy(AUTOPROXY, TUNNEL, DIRECT)
    assert lines(found) == [
        ("domain", "fine.example", "direct"),
        ("domain", "blocked.example", "tunnel"),
        ("host", "sub.other.example", "tunnel"),
        ("host", "85.17.73.31", "tunnel"),
        ("domain", "dotted.example", "tunnel"),
        ("domain", "bare.example", "tunnel"),
        ("domain", "star.example", "tunnel"),
        ("wildcard", "*.wild*.example", "tunnel"),
        ("regex", r"^(?:[^\/]+blog\.(.*))", "tunnel"),
        ("regex", r"^(?:(www\.)?news\.example)$", "tunnel"),
    ]
    assert found.trouble == len(found.warnings) == 5
    told = "\n".join(found.warnings)
    assert "path/page”: a rule sees no paths" in told
    assert "politics/”: a rule sees no paths" in told
    assert "search?q=word”: left out: it is about words in a path" in told
    assert "lists within lists are not fetched" in told
    assert "a repeat within a repeat" in told


def test_base64_is_the_same_list() -> None:
    text = base64.encodebytes(AUTOPROXY.encode()).decode()
    assert read_list(text, TUNNEL, DIRECT) == parse_autoproxy(AUTOPROXY, TUNNEL, DIRECT)


def test_reduced_expressions_match_hosts() -> None:
    rules = RuleSet([Section("", parse_autoproxy(AUTOPROXY, BLOCK, TUNNEL).rules)])
    for host, action in [
        ("myblog.test", BLOCK),
        ("www.news.example", BLOCK),
        ("xnews.example", TUNNEL),
        ("a.wildest.example", BLOCK),
        ("a.fine.example", TUNNEL),
    ]:
        assert rules.verdict(host, 443).action is action, host


def test_hosts_files_and_plain_lists() -> None:
    text = """# comment
127.0.0.1 localhost
::1 ip6-localhost ip6-loopback
0.0.0.0 ads.example tracker.example # both
0.0.0.0 0.0.0.0
plain.example
*.star.example
||adblock.example^
Bücher.example
two words
bad_.-name-
"""
    found = parse_hosts(text, BLOCK)
    assert lines(found) == [
        ("host", "ads.example", "block"),
        ("host", "tracker.example", "block"),
        ("domain", "plain.example", "block"),
        ("domain", "star.example", "block"),
        ("domain", "adblock.example", "block"),
        ("domain", "xn--bcher-kva.example", "block"),
    ]
    assert found.trouble == 2


FOXYPROXY_8 = {
    "mode": "pattern",
    "data": [
        {
            "active": True,
            "title": "Work",
            "type": "socks5",
            "include": [
                {"type": "wildcard", "pattern": "*://*.example.org/*", "active": True},
                {"type": "wildcard", "pattern": "https://one.example.org:8443/inner/*", "active": True},
                {"type": "regex", "pattern": "^https?://([a-z]+\\.)?news\\.example/.*", "active": False},
                {"type": "regex", "pattern": "/watch\\?v=", "active": True},
            ],
            "exclude": [{"type": "wildcard", "pattern": "*://intern.example.org/*", "active": True}],
        },
        {"active": True, "title": "Home", "type": "direct", "include": [{"type": "wildcard", "pattern": "*.lan"}]},
    ],
}


def test_foxyproxy() -> None:
    found = read_any(json.dumps(FOXYPROXY_8))
    assert [(*line, rule.port, rule.enabled) for line, rule in zip(lines(found), found.rules, strict=True)] == [
        ("host", "intern.example.org", "direct", 0, False),
        ("domain", "example.org", "tunnel", 0, True),
        ("host", "one.example.org", "tunnel", 8443, True),
        ("regex", r"^(?:([a-z]+\.)?news\.example)$", "tunnel", 0, False),
        ("domain", "lan", "direct", 0, True),
    ]
    assert found.trouble == 3
    assert found.rules[1].note == "FoxyProxy, Work"


def test_foxyproxy_before_version_8() -> None:
    patterns = {"whitePatterns": [{"title": "t", "active": True, "pattern": "*.a.test", "type": 1, "protocols": 1}]}
    patterns |= {"blackPatterns": [{"active": True, "pattern": "^10\\.", "type": 2}]}
    for backup in ({"proxySettings": [{"title": "P", "type": 3} | patterns]}, {"k1": {"title": "P"} | patterns}):
        assert lines(read_any(json.dumps(backup))) == [("regex", "^10\\.", "direct"), ("domain", "a.test", "tunnel")]


def condition(kind: str, profile: str, **fields: Any) -> dict[str, Any]:
    return {"condition": {"conditionType": kind} | fields, "profileName": profile}


OMEGA: dict[str, Any] = {
    "-startupProfileName": "auto",
    "+proxy": {"profileType": "FixedProfile", "name": "proxy"},
    "+alias": {"profileType": "VirtualProfile", "defaultProfileName": "proxy"},
    "+auto": {
        "profileType": "SwitchProfile",
        "defaultProfileName": "list",
        "rules": [
            condition("HostWildcardCondition", "direct", pattern="*.home.test|nas"),
            condition("HostRegexCondition", "alias", pattern="(^|\\.)video\\."),
            condition("UrlRegexCondition", "proxy", pattern="^https://mail\\.test/inbox"),
            condition("UrlWildcardCondition", "proxy", pattern="http://*.wild.test/*"),
            condition("KeywordCondition", "proxy", pattern="forbidden"),
            condition("IpCondition", "direct", ip="192.168.0.0", prefixLength=16),
            condition("TimeCondition", "direct", startHour=1),
            condition("HostWildcardCondition", "gone", pattern="odd.test"),
            condition("FalseCondition", "direct"),
        ],
    },
    "+list": {
        "profileType": "RuleListProfile",
        "matchProfileName": "proxy",
        "defaultProfileName": "direct",
        "ruleList": AUTOPROXY,
    },
}


def test_switchyomega() -> None:
    found = read_any(json.dumps(OMEGA))
    assert lines(found)[:9] == [
        ("domain", "home.test", "direct"),
        ("host", "nas", "direct"),
        ("regex", "(^|\\.)video\\.", "tunnel"),
        ("regex", "^(?:mail\\.test)$", "tunnel"),
        ("domain", "wild.test", "tunnel"),
        ("keyword", "forbidden", "tunnel"),
        ("cidr", "192.168.0.0/16", "direct"),
        ("host", "odd.test", "tunnel"),
        ("domain", "fine.example", "direct"),
    ]
    assert len(found.rules) == 8 + 10
    assert found.default is DIRECT
    assert found.trouble == 3 + 5


def test_profiles_in_a_circle_end() -> None:
    ring = {f"+{n}": {"profileType": "SwitchProfile", "defaultProfileName": str((n + 1) % 5)} for n in range(5)}
    assert any("circle" in warning for warning in read_any(json.dumps(ring)).warnings)
    ring = {f"+{n}": {"profileType": "VirtualProfile", "defaultProfileName": str(1 - n)} for n in range(2)}
    rules = [condition("HostWildcardCondition", "0", pattern="a.test")]
    ring["+s"] = {"profileType": "SwitchProfile", "defaultProfileName": "1", "rules": rules}  # type: ignore[dict-item]
    assert lines(read_any(json.dumps(ring))) == [("host", "a.test", "tunnel")]


def test_our_own_export_comes_back() -> None:
    rules = read_any(json.dumps(OMEGA)).rules
    text = json.dumps({"format": "qnet-rules", "version": 1, "default": "block", "rules": json.loads(_json(rules))})
    found = read_any(text)
    assert (found.rules, found.default, found.trouble) == (rules, BLOCK, 0)


def _json(rules: Any) -> bytes:
    return msgspec.json.encode(rules)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{",
        '{"format": "qnet-rules", "version": 2}',
        '{"format": "qnet-rules", "rules": [{"kind": "domain", "pattern": "a b", "action": "block"}]}',
        '{"a":' * 100_000,
        '{"data": 7}',
    ],
)
def test_what_is_no_backup(text: str) -> None:
    with pytest.raises((ImportFormatError, RulesFileError)):
        read_any(text)


def test_too_long() -> None:
    with pytest.raises(ImportFormatError, match="too long"):
        read_any("a" * (16 * 1024 * 1024 + 1))


def test_hostile_lines() -> None:
    text = "\n".join(["<script>alert(1)</script>", "x" * 10_000_000, "\u202egnp.exe", "good.example", "a\x00b"])
    found = read_any(text)
    assert lines(found) == [("domain", "good.example", "tunnel")]
    assert found.trouble == 4
    assert all(len(warning) < 400 and warning.isprintable() for warning in found.warnings)


def test_warnings_are_counted_beyond_the_hundredth() -> None:
    found = read_list("bad name here\n" * 1000, BLOCK)
    assert (len(found.warnings), found.trouble) == (MAX_WARNINGS, 1000)


def test_too_many_rules_are_cut_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed_module, "MAX_RULES", 3)
    found = read_list("\n".join(f"a{n}.example" for n in range(9)), BLOCK)
    assert (len(found.rules), found.trouble) == (3, 1)
    assert "at most 3 rules" in found.warnings[0]


KEYS = ["data", "include", "exclude", "pattern", "type", "active", "+a", "+b", "profileType", "rules", "condition"]
KEYS += ["conditionType", "profileName", "defaultProfileName", "ruleList", "matchProfileName", "format"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=4),
            inner | st.sampled_from(["SwitchProfile", "RuleListProfile", "HostWildcardCondition", "a", "regex"]),
            max_size=5,
        )
    ),
    max_leaves=30,
)
PIECES = ["||", "|", "@@", "/", "^", "$", "*", "a.test", "http://", "[", "]", "(", ")+", ":80", " ", "\n", "0.0.0.0 "]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | JSON.map(json.dumps))
def test_any_text_gives_checked_rules_or_an_error_in_words(text: str) -> None:
    try:
        found = read_any(text)
    except (ImportFormatError, RulesFileError) as error:
        assert error.hint
        return
    assert [checked(rule) for rule in found.rules] == found.rules
    assert Document(rules=found.rules).rules == found.rules
