import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.browser.rules.rule import RuleError, checked
from qnet.wire.messages import Rule, RuleAction, RuleKind


def rule(kind: str, pattern: str, **fields: object) -> Rule:
    return Rule(kind=RuleKind(kind), pattern=pattern, **({"action": RuleAction.TUNNEL} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "written", "canonical"),
    [
        ("domain", " Example.ORG. ", "example.org"),
        ("domain", ".example.org", "example.org"),
        ("domain", "bücher.example", "xn--bcher-kva.example"),
        ("domain", "аррӏе.com", "xn--80ak6aa92e.com"),  # Cyrillic: a homograph shows itself
        ("host", "::FFFF:10.0.0.1", "10.0.0.1"),
        ("host", "[2001:DB8::1]", "2001:db8::1"),
        ("cidr", "10.1.2.3/8", "10.0.0.0/8"),
        ("cidr", "10.1.2.3", "10.1.2.3/32"),
        ("cidr", "::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("cidr", "FC00::1/7", "fc00::/7"),
        ("wildcard", "**.Ads.*", "*.ads.*"),
        ("keyword", "Ads", "ads"),
        ("regex", "[A-Z]", "[A-Z]"),
    ],
)
def test_one_written_form(kind: str, written: str, canonical: str) -> None:
    found = checked(rule(kind, written))
    assert found.pattern == canonical
    assert checked(found) is found


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("domain", ""),
        ("domain", "  "),
        ("domain", "*.example.org"),
        ("domain", "http://example.org/"),
        ("domain", "127.1"),
        ("domain", "a b"),
        ("domain", "<script>alert(1)</script>"),
        ("domain", 'x.test";alert(1);"'),
        ("domain", "a" * 64 + ".test"),
        ("domain", "a" * 10_000_000),
        ("cidr", "10.0.0.0/33"),
        ("cidr", "example.org"),
        ("wildcard", "*.bücher.example"),
        ("wildcard", "a/b"),
        ("keyword", "a b"),
        ("keyword", "*"),
        ("regex", "("),
        ("regex", "a" * 10_000_000),
    ],
)
def test_refused_in_few_words(kind: str, pattern: str) -> None:
    with pytest.raises(RuleError) as caught:
        checked(rule(kind, pattern))
    assert caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "fields",
    [
        {"port": 65536},
        {"port": -1},
        {"country": "nl"},
        {"country": "<b>"},
        {"hops": 4},
        {"hops": -1},
        {"note": "x" * 201},
        {"action": RuleAction.DIRECT, "country": "NL"},
        {"action": RuleAction.BLOCK, "hops": 2},
    ],
)
def test_fields_that_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        checked(rule("domain", "example.org", **fields))


@given(st.sampled_from([*RuleKind]), st.text(max_size=60))
def test_any_text_is_a_rule_or_refused(kind: RuleKind, pattern: str) -> None:
    try:
        found = checked(rule(kind, pattern))
    except RuleError as error:
        assert error.message.isprintable()
    else:
        assert checked(found) == found
        if kind is not RuleKind.REGEX:
            assert found.pattern.isascii() and not set(found.pattern) & set(" \"'<>\\")
