"""A rule as it goes over the control socket and into files."""

from enum import StrEnum

import msgspec


class RuleKind(StrEnum):
    """What a rule's pattern is; every kind sees the canonical host only (``destination.canonical_host``)."""

    DOMAIN = "domain"
    """The name and everything below it."""
    HOST = "host"
    """This very name or address."""
    WILDCARD = "wildcard"
    """The whole host, ``*`` for any characters, ``?`` for one."""
    REGEX = "regex"
    """Found anywhere in the host; the subset of ``qnet.browser.rules.regex``."""
    CIDR = "cidr"
    """Addresses written as such; names are not looked up."""
    KEYWORD = "keyword"
    """Contained in the host."""


class RuleAction(StrEnum):
    """What happens to what a rule matches."""

    TUNNEL = "tunnel"
    DIRECT = "direct"
    BLOCK = "block"


class Rule(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One rule; of an ordered list the first that matches decides.

    ``port`` 0 is any. ``country`` (two letters) and ``hops`` are what a tunnel must have for it, empty and 0 any.
    """

    kind: RuleKind
    pattern: str
    action: RuleAction
    port: int = 0
    country: str = ""
    hops: int = 0
    enabled: bool = True
    note: str = ""


def rule_size(rule: Rule) -> int:
    """Characters of a rule as JSON, at least."""
    return len(rule.pattern) + len(rule.note) + 120
