"""Any list or backup a person may have: told apart by what is in it."""

import json
from typing import Any

from qnet.browser.rules.import_foxyproxy import import_foxyproxy, is_foxyproxy
from qnet.browser.rules.import_switchyomega import import_switchyomega, is_switchyomega
from qnet.browser.rules.parse_autoproxy import decoded, parse_autoproxy
from qnet.browser.rules.parse_hosts import parse_hosts
from qnet.browser.rules.parsed import MAX_BYTES, ImportFormatError, Parsed
from qnet.browser.rules.store import FORMAT, Document, document_of
from qnet.wire.messages import RuleAction


def read_list(text: str, action: RuleAction, exceptions: RuleAction = RuleAction.TUNNEL) -> Parsed:
    """A list: AutoProxy, hosts file or domains. Raises ``ImportFormatError``."""
    plain = decoded(text)
    if plain.lstrip().startswith("[AutoProxy") or "\n@@" in plain or "\n||" in f"\n{plain}":
        return parse_autoproxy(plain, action, exceptions)
    return parse_hosts(plain, action)


def read_any(text: str, action: RuleAction = RuleAction.TUNNEL) -> Parsed:
    """A list, or a backup of ours, FoxyProxy or SwitchyOmega; ``action`` is for lists. Raises ``ImportFormatError``."""
    if len(text) > MAX_BYTES:
        raise ImportFormatError("the file is too long", f"At most {MAX_BYTES >> 20} MiB can be read")
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not text.lstrip().startswith("{"):
        return read_list(text, action)
    backup = _object(text)
    if backup.get("format") == FORMAT:
        document: Document = document_of(text.encode())
        return Parsed(list(document.rules), default=document.default)
    if is_switchyomega(backup):
        return import_switchyomega(backup)
    if is_foxyproxy(backup):
        return import_foxyproxy(backup)
    raise ImportFormatError(
        "the file is no backup that QNet knows", "Known are its own, FoxyProxy’s and SwitchyOmega’s, and lists"
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "too deeply nested"
        raise ImportFormatError(f"the file is damaged ({reason})", "Export it again") from None
    return found if isinstance(found, dict) else {}
