"""The tester's question: which destination a URL, or what a person typed in its place, stands for."""

from urllib.parse import urlsplit

from qnet.wire.destination import canonical_host
from qnet.wire.errors import LocalError

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ftp": 21}
_LENGTH = 4096


class AddressError(LocalError):
    """The text is no address of a web page."""

    code = "address"
    exit_code = 65


def destination_of(text: str) -> tuple[str, int]:
    """Canonical host and port of a URL, ``host`` or ``host:port`` (443 without a scheme); raises ``AddressError``."""
    address = text.strip()[:_LENGTH]
    if "://" not in address:
        bare = f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address
        address = f"https://{bare}"
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS[parts.scheme.lower()]
        return canonical_host(parts.hostname or ""), port
    except (ValueError, KeyError):
        raise AddressError(
            "this is no address of a web page", "Write it as https://example.org/ or example.org"
        ) from None
