"""Backups of SwitchyOmega and ZeroOmega: profiles under ``+name``, of which a switch profile has an ordered list.

    {"-startupProfileName": "auto switch",
     "+auto switch": {"profileType": "SwitchProfile", "defaultProfileName": "direct",
                      "rules": [{"condition": {"conditionType": "HostWildcardCondition", "pattern": "*.example.org"},
                                 "profileName": "proxy"}]},
     "+proxy": {"profileType": "FixedProfile", …},
     "+list": {"profileType": "RuleListProfile", "ruleList": "…", "matchProfileName", "defaultProfileName"}}

A rule that leads to another switch profile or list takes the rules in there along only where that is the default of
the first (how these extensions make "my rules, then the list"). Profiles that lead in a circle end where it closes.
"""

from typing import Any

from qnet.browser.rules.parse_autoproxy import parse_autoproxy
from qnet.browser.rules.parsed import ImportFormatError, Parsed
from qnet.wire.messages import Rule, RuleAction, RuleKind

_SWITCHES = ("SwitchProfile", "RuleListProfile", "AutoProxyRuleListProfile", "SwitchyRuleListProfile")


def is_switchyomega(backup: dict[str, Any]) -> bool:
    """Whether a decoded JSON object looks like such a backup."""
    return any(key[:1] == "+" and isinstance(value, dict) and "profileType" in value for key, value in backup.items())


def import_switchyomega(backup: dict[str, Any]) -> Parsed:
    """The list of the profile in use and of those it falls back on; raises ``ImportFormatError`` without any."""
    parsed = Parsed()
    name = _start(backup)
    seen: set[str] = set()
    while True:
        profile = _profile(backup, name)
        if name in seen or profile.get("profileType") not in _SWITCHES:
            break
        seen.add(name)
        if profile["profileType"] == "SwitchProfile":
            _take_rules(parsed, backup, profile)
        else:
            _take_list(parsed, backup, profile)
        name = str(profile.get("defaultProfileName"))
    if name in seen:
        parsed.warn(name, "the profiles lead in a circle; it ends here")
    else:
        parsed.default = _action(parsed, backup, name)
    return parsed


def _start(backup: dict[str, Any]) -> str:
    names = [key[1:] for key, value in backup.items() if key[:1] == "+" and isinstance(value, dict)]
    switches = [name for name in names if _profile(backup, name).get("profileType") in _SWITCHES]
    if not switches:
        raise ImportFormatError("the backup has no switch profile", "Only switch profiles have rules")
    chosen = backup.get("-startupProfileName")
    if chosen in switches:
        return str(chosen)
    plain = [name for name in switches if _profile(backup, name)["profileType"] == "SwitchProfile"]
    return (plain or switches)[0]


def _profile(backup: dict[str, Any], name: str) -> dict[str, Any]:
    found = backup.get(f"+{name}")
    return found if isinstance(found, dict) else {}


def _action(parsed: Parsed, backup: dict[str, Any], name: str) -> RuleAction:
    for _ in range(20):
        if name == "direct":
            return RuleAction.DIRECT
        profile = _profile(backup, name)
        if profile.get("profileType") != "VirtualProfile":
            break
        name = str(profile.get("defaultProfileName"))
    if _profile(backup, name).get("profileType") != "FixedProfile":
        parsed.warn(name, "this profile has no counterpart here: what led to it goes through the tunnel")
    return RuleAction.TUNNEL


def _take_list(parsed: Parsed, backup: dict[str, Any], profile: dict[str, Any]) -> None:
    text = profile.get("ruleList")
    if not isinstance(text, str) or not text:
        parsed.warn(str(profile.get("name")), "its list is not in the backup: import it as a file of its own")
        return
    matched = _action(parsed, backup, str(profile.get("matchProfileName")))
    other = _action(parsed, backup, str(profile.get("defaultProfileName")))
    found = parse_autoproxy(text, matched, other)
    for rule in found.rules:
        parsed.add(rule.pattern, rule)
    parsed.warnings = (parsed.warnings + found.warnings)[:100]
    parsed.trouble += found.trouble


def _take_rules(parsed: Parsed, backup: dict[str, Any], profile: dict[str, Any]) -> None:
    rules = profile.get("rules")
    for entry in rules if isinstance(rules, list) else []:
        condition = entry.get("condition") if isinstance(entry, dict) else None
        if isinstance(condition, dict):
            action = _action(parsed, backup, str(entry.get("profileName")))
            note = str(entry.get("note") or "")[:200]
            _take(parsed, condition, action, note)


def _take(parsed: Parsed, condition: dict[str, Any], action: RuleAction, note: str) -> None:
    kind = condition.get("conditionType")
    text = condition.get("pattern")
    pattern = text if isinstance(text, str) else ""
    match kind:
        case "HostWildcardCondition" | "UrlWildcardCondition":
            for each in pattern.split("|"):
                parsed.add_address(each, each.strip(), action, note=note)
        case "HostRegexCondition":
            parsed.add(pattern, Rule(kind=RuleKind.REGEX, pattern=pattern, action=action, note=note))
        case "UrlRegexCondition":
            parsed.add_url_regex(pattern, pattern, action, note=note)
        case "KeywordCondition":
            parsed.add(pattern, Rule(kind=RuleKind.KEYWORD, pattern=pattern, action=action, note=note))
        case "IpCondition":
            pattern = f"{condition.get('ip')}/{condition.get('prefixLength')}"
            parsed.add(pattern, Rule(kind=RuleKind.CIDR, pattern=pattern, action=action, note=note))
        case "TrueCondition":
            parsed.add("*", Rule(kind=RuleKind.WILDCARD, pattern="*", action=action, note=note))
        case "FalseCondition":
            pass
        case _:
            parsed.warn(str(kind), "left out: this kind of condition has no counterpart here")
