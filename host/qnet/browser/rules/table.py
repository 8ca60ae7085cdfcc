"""A rule set as the browser gets it: only what is direct and what is not, in segments of sets and short lists.

    {"direct": the default, "segments": [[direct keys, other keys, searched], …]}

Keys (see ``keys``) are one string, separated by spaces; searched is a list of ``[direct, port, kind, text, three]``,
where ``three`` are characters without which the rule cannot match, or empty: of 1,000 rules few need be tried. A
segment is asked keys first, the narrowest first, then its list in order; what no segment knows gets the default. That
is the same as asking rule after rule, because a segment holds

- no key that an earlier, wider key of the same segment has taken the effect of,
- no key from behind a searched rule with the other outcome: then a new segment begins.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from qnet.browser.rules.keys import key_of, wider
from qnet.browser.rules.regex import required, translate
from qnet.browser.rules.ruleset import RuleSet
from qnet.wire.messages import Rule, RuleAction, RuleKind


@dataclass(slots=True)
class _Segment:
    keys: dict[str, bool] = field(default_factory=dict)
    searched: list[tuple[bool, int, str, str, str]] = field(default_factory=list)


def table(rules: RuleSet) -> dict[str, Any]:
    """The table of ``rules``, all ASCII."""
    default = rules.default is RuleAction.DIRECT
    segments = _segments(rules.rules)
    while segments:
        _drop_defaults(segments[-1], default)
        if segments[-1].keys or segments[-1].searched:
            break
        segments.pop()
    return {"direct": default, "segments": [_written(segment) for segment in segments]}


def _segments(rules: Iterable[Rule]) -> list[_Segment]:
    segments = [_Segment()]
    taken: Counter[str] = Counter()
    outcomes: set[bool] = set()  # of the last segment's searched rules
    for rule in rules:
        if not rule.enabled:
            continue
        direct = rule.action is RuleAction.DIRECT
        key = key_of(rule)
        if key is None:
            kind, text = _search(rule)
            segments[-1].searched.append((direct, rule.port, kind, text, _three(kind, rule.pattern, text, taken)))
            outcomes.add(direct)
            continue
        if not outcomes <= {direct}:
            segments.append(_Segment())
            outcomes = set()
        keys = segments[-1].keys
        if not any(each in keys for each in wider(key)):
            keys[key] = direct
    return segments


def _drop_defaults(segment: _Segment, default: bool) -> None:
    """Forget what the last segment says just as the default does: a list of 100,000 to block costs the browser none."""
    while segment.searched and segment.searched[-1][0] == default:
        segment.searched.pop()
    if any(direct != default for direct, *_ in segment.searched):
        return
    other = {key for key, direct in segment.keys.items() if direct != default}
    segment.keys = {
        key: direct
        for key, direct in segment.keys.items()
        if direct != default or (other and any(each in other for each in wider(key)))
    }


def _search(rule: Rule) -> tuple[str, str]:
    match rule.kind:
        case RuleKind.REGEX:
            return "regex", translate(rule.pattern)
        case RuleKind.WILDCARD | RuleKind.KEYWORD:
            return str(rule.kind), rule.pattern
    key = key_of(Rule(kind=rule.kind, pattern=rule.pattern, action=rule.action))
    assert key is not None  # noqa: S101 - without its port it has one
    return "key", key


def _three(kind: str, pattern: str, text: str, taken: Counter[str]) -> str:
    """Three characters that every match has, of those possible the ones that fewest rules before have ``taken``."""
    match kind:
        case "regex":
            literal = required(pattern)
        case "wildcard":
            literal = max(re.split(r"[*?]", pattern), key=len)
        case "keyword":
            literal = pattern
        case _:
            literal = "" if text[0] == "/" else text.removeprefix("=")
    possible = [literal[at : at + 3] for at in range(len(literal) - 2)]
    three = min(possible, key=taken.__getitem__, default="")
    taken[three] += 1
    return three


def _written(segment: _Segment) -> list[Any]:
    direct = " ".join(key for key, direct in segment.keys.items() if direct)
    other = " ".join(key for key, direct in segment.keys.items() if not direct)
    return [direct, other, segment.searched]
