"""The proxy auto-configuration that the extension gives to the browser.

What does not go out directly goes to the helper's SOCKS port. Measured in Chromium: a ``FindProxyForURL`` that
returns an empty or unknown value makes the browser go direct, even with ``mandatory``; a dead proxy with nothing
after it blocks. So the script returns its one proxy whatever happens and appends no alternative. ``DIRECT`` is
in it only where a rule, or the default that the person chose, says so, and is returned alone.

Firefox needs no script: its listener reads the lines that begin with ``var PROXY`` and ``var TABLE``, which are JSON,
and decides with the same engine.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources

from qnet.browser.rules.ruleset import RuleSet
from qnet.browser.rules.table import table

_EVERYTHING = """\
var PROXY = "SOCKS5 127.0.0.1:{port}";
function FindProxyForURL(url, host) {{
  try {{
    return PROXY;
  }} catch (failure) {{
    return PROXY;
  }}
}}
"""

_BY_RULES = """\
var PROXY = "SOCKS5 127.0.0.1:{port}";
var TABLE = {table};
{engine}
var decide = null;
function FindProxyForURL(url, host) {{
  try {{
    decide = decide || decider(TABLE);
    return decide(url, host) === true ? "DIRECT" : PROXY;
  }} catch (failure) {{
    return PROXY;
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Pac:
    """A compiled script, all ASCII; ``hash`` is the SHA-256 of its text, in lower-case hex."""

    text: str
    hash: str


def compile_pac(port: int, rules: RuleSet | None = None) -> Pac:
    """The script for a helper that listens on 127.0.0.1:``port``; raises ``ValueError`` for what is no port."""
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a TCP port")
    made = table(rules or RuleSet())
    if made["segments"] or made["direct"]:
        engine = resources.files("qnet.browser").joinpath("decide.js").read_text(encoding="utf-8")
        written = json.dumps(made, separators=(",", ":"))
        text = _BY_RULES.format(port=port, table=written, engine=engine)
    else:
        text = _EVERYTHING.format(port=port)
    return Pac(text, hashlib.sha256(text.encode()).hexdigest())
