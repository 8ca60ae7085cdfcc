"""One rule: what a person or a list wrote, brought into its one written form or refused with a reason."""

import ipaddress
import re

import msgspec

from qnet.browser.rules.regex import RegexError, translate
from qnet.wire.destination import canonical_host
from qnet.wire.errors import LocalError
from qnet.wire.messages import Rule, RuleAction, RuleKind

PATTERN_LENGTH = 512
NOTE_LENGTH = 200
MAX_HOPS = 3

_CANONICAL = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.){0,30}[a-z](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_COUNTRY = re.compile(r"([A-Z]{2})?")
_WILDCARD = re.compile(r"[a-z0-9_.:*?-]+")
_KEYWORD = re.compile(r"[a-z0-9_.:-]+")


class RuleError(LocalError):
    """A rule cannot be used."""

    code = "rule"
    exit_code = 65


def checked(rule: Rule) -> Rule:
    """``rule`` in its one written form; raises ``RuleError``."""
    pattern = rule.pattern
    if len(pattern) > PATTERN_LENGTH:
        raise RuleError(f"the pattern has {len(pattern)} characters", f"At most {PATTERN_LENGTH} are allowed")
    if len(rule.note) > NOTE_LENGTH:
        raise RuleError(f"the note has {len(rule.note)} characters", f"At most {NOTE_LENGTH} are allowed")
    if not 0 <= rule.port <= 65535:
        raise RuleError(f"{rule.port} is not a port", "Ports go from 1 to 65535; 0 stands for any")
    if not _COUNTRY.fullmatch(rule.country):
        raise RuleError(f"{_shown(rule.country)} is not a country", "Write its two letters, such as NL")
    if not 0 <= rule.hops <= MAX_HOPS:
        raise RuleError(f"a tunnel has no {rule.hops} hops", f"Choose 1 to {MAX_HOPS}; 0 stands for any")
    if rule.action is not RuleAction.TUNNEL and (rule.country or rule.hops):
        raise RuleError("a country and hops belong to a tunnel", "Choose the action “tunnel”, or leave them out")
    # Most of a list of 100,000 is written canonically already.
    if rule.kind is RuleKind.DOMAIN and len(pattern) <= 253 and _CANONICAL.fullmatch(pattern):
        return rule
    canonical = _pattern(rule.kind, pattern.strip())
    return rule if canonical == pattern else msgspec.structs.replace(rule, pattern=canonical)


def _pattern(kind: RuleKind, text: str) -> str:
    if not text:
        raise RuleError("the pattern is empty", "Write what the rule is about")
    match kind:
        case RuleKind.DOMAIN | RuleKind.HOST:
            return _host(text)
        case RuleKind.CIDR:
            return _network(text)
        case RuleKind.REGEX:
            try:
                translate(text)
            except RegexError as error:
                raise RuleError(f"{_shown(text)}: {error}", "Write it simpler") from None
            return text
        case RuleKind.WILDCARD:
            # “**” means no more than “*”.
            return _part(_WILDCARD, re.sub(r"\*+", "*", text), "*, ? and the characters of host names")
        case RuleKind.KEYWORD:
            return _part(_KEYWORD, text, "the characters of host names")


def _host(text: str) -> str:
    try:
        return canonical_host(text.removeprefix("."))
    except ValueError as error:
        hint = "Write only the name, such as example.org; for * use a wildcard rule"
        raise RuleError(f"{_shown(text)} is no host name ({error})", hint) from None


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise RuleError(f"{_shown(text)} is no address range", "Write it as 192.168.0.0/16 or fc00::/7") from None
    if isinstance(network, ipaddress.IPv6Network) and (mapped := network.network_address.ipv4_mapped):
        return f"{mapped}/{network.prefixlen - 96}"
    return str(network)


def _part(allowed: re.Pattern[str], text: str, what: str) -> str:
    lower = text.lower() if text.isascii() else text
    if not allowed.fullmatch(lower):
        hint = f"Use {what}; an international name in its xn-- form"
        raise RuleError(f"{_shown(text)} cannot be a part of a host name", hint)
    return lower


def _shown(text: str) -> str:
    """For a message: short, quoted, and without characters that change how a line looks."""
    short = text if len(text) <= 60 else text[:60] + "…"
    return "“" + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short) + "”"
