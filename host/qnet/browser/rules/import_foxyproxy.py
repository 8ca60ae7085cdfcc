"""Backups of FoxyProxy: each proxy has patterns that include, and patterns that exclude.

- version 8: ``{"data": [{"title", "type", "active", "include": [{"type", "pattern", "active"}], "exclude": […]}]}``
- before: ``{"proxySettings": [{"title", "type", "whitePatterns": [{"type": 1 or 2, …}], "blackPatterns": […]}]}``, or
  the proxies as values of the outermost object

What excludes there means "not this proxy, look on", which a list where the first match decides cannot say. Such
patterns are taken along switched off: switched on they let sites go around the tunnel.
"""

from collections.abc import Iterator
from typing import Any

from qnet.browser.rules.parsed import Parsed
from qnet.wire.messages import RuleAction

_MAX_PROXIES = 1000


def is_foxyproxy(backup: dict[str, Any]) -> bool:
    """Whether a decoded JSON object looks like such a backup."""
    return any(True for _ in _proxies(backup))


def import_foxyproxy(backup: dict[str, Any]) -> Parsed:
    """The patterns of all proxies, in order."""
    parsed = Parsed()
    for proxy in _proxies(backup):
        name = str(proxy.get("title") or proxy.get("hostname") or "FoxyProxy")[:100]
        direct = str(proxy.get("type")).lower() in ("direct", "5")
        active = proxy.get("active") is not False
        for pattern in _patterns(proxy, "exclude", "blackPatterns"):
            parsed.warn(str(pattern.get("pattern")), f"excluded from “{name}”: taken along switched off")
            _take(parsed, pattern, RuleAction.DIRECT, f"FoxyProxy, not {name}", False)
        for pattern in _patterns(proxy, "include", "whitePatterns"):
            action = RuleAction.DIRECT if direct else RuleAction.TUNNEL
            _take(parsed, pattern, action, f"FoxyProxy, {name}", active)
    return parsed


def _take(parsed: Parsed, pattern: dict[str, Any], action: RuleAction, note: str, enabled: bool) -> None:
    text = pattern.get("pattern")
    if not isinstance(text, str) or not text.strip():
        parsed.warn(str(text), "left out: it is no pattern")
        return
    enabled = enabled and pattern.get("active") is not False
    if pattern.get("type") in ("regex", 2):
        parsed.add_url_regex(text, text.strip(), action, enabled=enabled, note=note)
    else:
        parsed.add_address(text, text.strip(), action, enabled=enabled, note=note)


def _proxies(backup: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("data", "proxySettings"):
        if isinstance(backup.get(key), list):
            candidates = backup[key]
            break
    else:
        candidates = list(backup.values())
    for proxy in candidates[:_MAX_PROXIES]:
        if isinstance(proxy, dict) and any(
            isinstance(proxy.get(key), list) for key in ("include", "exclude", "whitePatterns", "blackPatterns")
        ):
            yield proxy


def _patterns(proxy: dict[str, Any], *keys: str) -> Iterator[dict[str, Any]]:
    for key in keys:
        if isinstance(proxy.get(key), list):
            yield from (pattern for pattern in proxy[key] if isinstance(pattern, dict))
