"""Hosts files and plain lists of domains.

# comment
0.0.0.0 ads.example tracker.example     these very names
ads.example     *.ads.example           the domain
||ads.example^                          the domain, as ad blockers write it
"""

import ipaddress

from qnet.browser.rules.parse_autoproxy import decoded
from qnet.browser.rules.parsed import LINE, Parsed
from qnet.wire.messages import Rule, RuleAction, RuleKind

_LOCAL = frozenset({"localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"})  # noqa: S104
"""What every hosts file says of its own machine."""


def parse_hosts(text: str, action: RuleAction) -> Parsed:
    """A rule for each name; raises ``ImportFormatError`` for a list that is too long."""
    parsed = Parsed()
    for line in decoded(text).splitlines():
        if len(line) > LINE:
            parsed.warn(line, f"left out: a line has at most {LINE} characters")
            continue
        entry = line.partition("#")[0].strip()
        if not entry or entry.startswith(("!", "[")):
            continue
        words = entry.split()
        if len(words) > 1 and _is_address(words[0]):
            for name in words[1:]:
                if name.lower() not in _LOCAL and not name.lower().startswith("ip6-"):
                    parsed.add(name, Rule(kind=RuleKind.HOST, pattern=name, action=action))
        elif len(words) == 1:
            name = entry.removeprefix("||").removesuffix("^").removeprefix("*.")
            parsed.add(entry, Rule(kind=RuleKind.DOMAIN, pattern=name, action=action))
        else:
            parsed.warn(entry, "left out: neither “address name” nor one name")
    return parsed


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True
