"""AutoProxy lists (GFWList): lines in the manner of Adblock, the whole often in base64.

[AutoProxy 0.2.9]                header
! text                           a comment; includes (``!#include``) are never followed
||example.org                    the domain
|https://example.org/path        what begins so
/^https?:\\/\\/[^\\/]+blog/          an expression about the URL
.example.org    example.org/x    contained in the URL: taken as the domain
@@||example.org                  an exception
"""

import base64
import binascii
import re

from qnet.browser.rules.parsed import LINE, MAX_BYTES, ImportFormatError, Parsed
from qnet.wire.messages import RuleAction

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+=*\s*")


def parse_autoproxy(text: str, action: RuleAction, exceptions: RuleAction) -> Parsed:
    """The list's rules: what it names gets ``action``, what it excepts ``exceptions``; these come first."""
    excepted, named = Parsed(), Parsed()
    for line in decoded(text).splitlines():
        entry = line.strip()
        if len(line) > LINE:
            named.warn(entry, f"left out: a line has at most {LINE} characters")
        elif entry.startswith(("!#include", "#include")):
            named.warn(entry, "left out: lists within lists are not fetched")
        elif not entry or entry.startswith(("!", "[")):
            continue
        elif entry.startswith("@@"):
            _take(excepted, entry, entry[2:], exceptions)
        else:
            _take(named, entry, entry, action)
    return Parsed(
        excepted.rules + named.rules,
        (excepted.warnings + named.warnings)[:100],
        excepted.trouble + named.trouble,
    )


def decoded(text: str) -> str:
    """The list itself, out of base64 where it is in it; raises ``ImportFormatError`` where it is too long."""
    if len(text) > MAX_BYTES:
        raise ImportFormatError("the list is too long", f"At most {MAX_BYTES >> 20} MiB can be read")
    if _BASE64.fullmatch(text):
        try:
            plain = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return text
        if plain.lstrip().startswith("[AutoProxy"):
            return plain
    return text


def _take(parsed: Parsed, source: str, entry: str, action: RuleAction) -> None:
    if len(entry) > 1 and entry.startswith("/") and entry.endswith("/"):
        parsed.add_url_regex(source, entry[1:-1], action)
        return
    entry, dollar, _ = entry.partition("$")
    if dollar:
        parsed.warn(source, "its conditions behind “$” were dropped")
    entry = entry.removesuffix("|").removesuffix("^").rstrip("*")
    if entry.startswith("||"):
        parsed.add_address(source, "*." + entry[2:].removeprefix("."), action)
    elif entry.startswith("|"):
        parsed.add_address(source, entry[1:], action)
    elif "." in entry.partition("/")[0] and not entry.startswith("/"):
        bare = entry.removeprefix("http://").removeprefix("https://").lstrip(".*")
        parsed.add_address(source, "*." + bare, action)
    else:
        parsed.warn(source, "left out: it is about words in a path, which a rule does not see")
