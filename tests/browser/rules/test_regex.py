import re
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.browser.rules.regex import LENGTH, RegexError, required, translate

LONG = ["a" * 253, ("a" * 63 + ".") * 3 + "a" * 61, "ab." * 84, "a." * 126 + "a", "foo" * 84, "-" * 253]


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        (r"(^|\.)google\.[a-z]+(\.[a-z]+)?$", ["google.co.uk", "www.google.com"], ["xgoogle.com", "google.com.x.y"]),
        (r"^.*\.cn$", ["a.cn"], ["cn", "a.cnx"]),
        ("ADS?[0-9]", ["my-ads1.test", "ad2"], ["adx"]),
        ("^(ab|cd)+x", ["abcdx"], ["abcx"]),
        (r"[^a-z.\-]", ["a1", "_"], ["a-b.c"]),
        ("", ["anything"], []),
        ("a{2,3}b", ["xaab", "aaaab"], ["ab"]),
        (r"\s", [], ["a", "a.b"]),
    ],
)
def test_what_is_found(pattern: str, found: list[str], missed: list[str]) -> None:
    expression = re.compile(translate(pattern), re.ASCII)
    assert [host for host in found if not expression.search(host)] == []
    assert [host for host in missed if expression.search(host)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+", "repeat within a repeat"),
        ("(a*)*b", "repeat within a repeat"),
        (r"^([a-z0-9-]+\.)*example\.com$", "repeat within a repeat"),
        ("(a|a)*b", "begin with different"),
        ("(|a)*", "empty group"),
        ("(a|ab)*c", "begin with different"),
        ("a*a*a*b", "very long"),
        ("[a-z]*foo[a-z]*x", "very long"),
        ("^" + "(a|ab)" * 40 + "c", "very long"),
        ("a?" * 30 + "a" * 30, "very long"),
        (r"(a)\1", "back references"),
        (r"\k<x>", "not allowed"),
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?i)a", "look-around"),
        ("(?P<x>a)", "named groups"),
        ("a**", "repeat of a repeat"),
        ("a{2}{3}", "repeat of a repeat"),
        ("*a", "nothing to act on"),
        ("a{x}", "numbers"),
        ("a{3,2}", "backwards"),
        ("a{999}", "numbers"),
        ("[z-a]", "backwards"),
        ("[]", "empty class|ends within"),
        ("[a", "ends within"),
        ("(a", "ends within"),
        ("a)", "without its"),
        ("\\", "ends within"),
        ("^*", "cannot be repeated"),
        ("é", "xn--"),
        ("[а-я]", "xn--"),  # Cyrillic
        ("a" * (LENGTH + 1), "characters"),
        ("(" * 100 + ")" * 100, "groups within"),
        (r"\p{L}", "not allowed"),
    ],
)
def test_what_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(RegexError, match=why):
        translate(pattern)


TOKENS = ["a", "b", ".", "\\.", "[ab]", "[^a]", "\\d", "(", ")", "(?:", "|", "*", "+", "?", "{1,9}", "{2,}", "^", "$"]


@given(st.text(max_size=30) | st.lists(st.sampled_from([*TOKENS, "-", "[", "]"]), max_size=24).map("".join))
def test_any_text_is_refused_or_quick(pattern: str) -> None:
    try:
        text = translate(pattern)
    except RegexError as error:
        assert str(error)
        return
    assert text.isascii()
    expression = re.compile(text, re.ASCII)
    started = time.perf_counter()
    for host in LONG:
        expression.search(host)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("pattern", ["[a-z]+[a-z.]+-", "(a|ab).*a[a-z.]*-", "a{1,120}[a.]*-", "^a*a*b"])
def test_the_worst_that_is_allowed(pattern: str) -> None:
    expression = re.compile(translate(pattern), re.ASCII)
    started = time.perf_counter()
    for host in LONG:
        expression.search(host)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"(^|\.)ads12\.[a-z]+$", "ads12."),
        ("^Google", "google"),
        ("(?:ab(cd))e", "abcde"),
        ("a(b|c)d", "a"),
        ("ab*cd", "cd"),
        ("[a]b", "ab"),
        ("", ""),
        ("a|b", ""),
        (".*abc.*", "abc"),
    ],
)
def test_what_every_match_contains(pattern: str, literal: str) -> None:
    assert required(pattern) == literal


@given(st.lists(st.sampled_from(["a", "b", ".", "(ab)", "a*", "b+", "[ab]", "(a|b)", "a?"]), max_size=8).map("".join))
def test_every_match_contains_it(pattern: str) -> None:
    try:
        expression, literal = re.compile(translate(pattern)), required(pattern)
    except RegexError:
        return
    for host in ("".join(each) for size in range(6) for each in product("ab", repeat=size)):
        assert literal in host or not expression.search(host)


def test_ten_megabytes() -> None:
    with pytest.raises(RegexError, match="10000000 characters"):
        translate("(a+)+" * 2_000_000)
