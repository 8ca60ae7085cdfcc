"""An ordered list of rules and what it says of a host: the first rule that matches decides, else the default."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from qnet.browser.rules.keys import key_of, keys_of
from qnet.browser.rules.regex import translate
from qnet.browser.rules.rule import RuleError
from qnet.wire.destination import is_mesh_name
from qnet.wire.messages import Rule, RuleAction, RuleKind

MAX_RULES = 250_000
MAX_SEARCHED = 5_000
"""Rules that must be tried one by one: wildcards, expressions, keywords, and whatever names a port."""
MAX_CHARACTERS = 12 * 1024 * 1024
"""Of all patterns together: the browser's script stays below 16 MiB."""

Matcher = Callable[[str], bool]


class RuleSetError(RuleError):
    """There are more rules than can be used."""

    code = "too-many-rules"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the list: the person's own rules have no ``name``, a subscription's have its."""

    name: str
    rules: Sequence[Rule]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a host, and the rule that decided; ``rule`` is None where the default did.

    ``index`` is the rule's place in the section ``section``.
    """

    action: RuleAction
    rule: Rule | None = None
    section: str = ""
    index: int = -1

    @property
    def is_particular(self) -> bool:
        """Whether not every tunnel will do."""
        return bool(self.country or self.hops)

    @property
    def country(self) -> str:
        """Where the tunnel must end; empty for anywhere."""
        return self.rule.country if self.rule else ""

    @property
    def hops(self) -> int:
        """How many hops the tunnel must have; 0 for any number."""
        return self.rule.hops if self.rule else 0


class RuleSet:
    """Checked rules, ready to be asked. Raises ``RuleSetError`` where there are too many."""

    def __init__(self, sections: Sequence[Section] = (), default: RuleAction = RuleAction.TUNNEL) -> None:
        self.sections = tuple(sections)
        self.default = default
        self.rules = tuple(rule for section in self.sections for rule in section.rules)
        self._ends = list(accumulate(len(section.rules) for section in self.sections))
        if len(self.rules) > MAX_RULES:
            raise RuleSetError(f"there are {len(self.rules)} rules", f"At most {MAX_RULES} can be used")
        if sum(len(rule.pattern) for rule in self.rules) > MAX_CHARACTERS:
            raise RuleSetError("the rules are too long", "Together they may have 12 million characters")
        self._keyed: dict[str, int] = {}
        self._searched: list[tuple[int, int, Matcher]] = []
        for index, rule in enumerate(self.rules):
            if not rule.enabled:
                continue
            key = key_of(rule)
            if key is None:
                self._searched.append((index, rule.port, matcher(rule)))
            else:
                self._keyed.setdefault(key, index)
        if len(self._searched) > MAX_SEARCHED:
            raise RuleSetError(
                f"{len(self._searched)} rules are wildcards, expressions, keywords or have a port",
                f"At most {MAX_SEARCHED} can be used; domains and address ranges cost nothing",
            )

    def verdict(self, host: str, port: int) -> Verdict:
        """What happens to the canonical ``host``."""
        if is_mesh_name(host):
            return Verdict(RuleAction.BLOCK)
        if not self.rules:
            return Verdict(self.default)
        best = min((self._keyed[key] for key in keys_of(host) if key in self._keyed), default=len(self.rules))
        for index, wanted, matches in self._searched:
            if index > best:
                break
            if wanted in (0, port) and matches(host):
                best = index
                break
        if best == len(self.rules):
            return Verdict(self.default)
        section = bisect_right(self._ends, best)
        start = self._ends[section - 1] if section else 0
        rule = self.rules[best]
        return Verdict(rule.action, rule, self.sections[section].name, best - start)


def matcher(rule: Rule) -> Matcher:
    """A function of a canonical host for one checked rule, whatever its port."""
    pattern = rule.pattern
    match rule.kind:
        case RuleKind.KEYWORD:
            return lambda host: pattern in host
        case RuleKind.WILDCARD:
            return lambda host: glob(pattern, host)
        case RuleKind.REGEX:
            found = re.compile(translate(pattern), re.ASCII).search
            return lambda host: found(host) is not None
    keyed = key_of(Rule(kind=rule.kind, pattern=pattern, action=rule.action))
    return lambda host: any(key == keyed for key in keys_of(host))


def glob(pattern: str, text: str) -> bool:
    """Whether ``text`` as a whole is ``pattern``: ``*`` any characters, ``?`` one. At most len × len steps."""
    at = place = 0
    star, resume = -1, 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""
