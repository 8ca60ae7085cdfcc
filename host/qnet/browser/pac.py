"""The proxy auto-configuration that the extension gives to the browser.

Everything goes to the helper's SOCKS port. Measured in Chromium: a ``FindProxyForURL`` that returns an empty
or unknown value makes the browser go direct, even with ``mandatory``; a dead proxy with nothing after it blocks.
So the script knows one proxy, returns it whatever happens, and appends no alternative.
"""

import hashlib
from dataclasses import dataclass

_TEMPLATE = """\
var PROXY = "SOCKS5 127.0.0.1:{port}";
function FindProxyForURL(url, host) {{
  try {{
    return PROXY;
  }} catch (failure) {{
    return PROXY;
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Pac:
    """A compiled script; ``hash`` is the SHA-256 of its UTF-8 text, in lower-case hex."""

    text: str
    hash: str


def compile_pac(port: int) -> Pac:
    """The script for a helper that listens on 127.0.0.1:``port``; raises ``ValueError`` for what is no port."""
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a TCP port")
    text = _TEMPLATE.format(port=port)
    return Pac(text, hashlib.sha256(text.encode()).hexdigest())
