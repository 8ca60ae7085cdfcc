"""Network files: what a person needs to join a network. Given by hand, as a file, a ``qnet:`` link or its QR code.

The envelope is ``signed``'s, the context ``"qnet-network-1"``, the signer the founder in the body:

| key | field | type |
|---|---|---|
| 1 | founder: Ed25519, one for the life of the network | 32 bytes |
| 2 | name | text |
| 3 | issued: the newest file of one founder counts | unix seconds |
| 4 | operators: 1…32 of ``[descriptor, directory]`` | array |
| 5 | open: whether peers without an endorsement count | true, may be absent |
| 6 | peers: 0…64 signed descriptors of invite-only peers | array, may be absent |

An operator's ``directory`` is the URL of its directory, or ``""`` for the one inside its tunnel.
A link is ``qnet:`` and the file in base64url without padding.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.wire import descriptor
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.signed import Field, Kind, SignedError, is_key, is_text, is_time

LIMIT = 1 << 16
"""Largest network file in bytes."""

SCHEME = "qnet:"
TUNNEL_DIRECTORY = "http://directory.qnet"
"""Where each operator's directory is for who asks through its tunnel."""

_URL = re.compile(r"https?://[^/?#\s]{1,200}")


class NetworkFileError(SignedError):
    """The network file or link is not acceptable; the message says why."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs a directory and endorses peers. ``descriptor``: signed bytes; ``directory``: a URL without path."""

    descriptor: bytes
    directory: str = ""

    @property
    def url(self) -> str:
        """Where to ask its directory."""
        return self.directory or TUNNEL_DIRECTORY


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network as its founder describes it. ``issued`` in unix seconds."""

    founder: bytes
    name: str
    issued: int
    operators: tuple[Operator, ...]
    open: bool = False
    peers: tuple[bytes, ...] = ()
    signed: bytes = field(default=b"", compare=False, repr=False)

    @property
    def operator_keys(self) -> frozenset[bytes]:
        """The identities whose endorsements count."""
        return frozenset(descriptor.identity_of(operator.descriptor) for operator in self.operators)

    @property
    def link(self) -> str:
        """The whole file as a link."""
        return SCHEME + base64.urlsafe_b64encode(self.signed).rstrip(b"=").decode("ascii")

    def known_peers(self, now: float) -> list[Descriptor]:
        """Operators and invite-only peers whose descriptors have not expired."""
        found = []
        for data in (*(operator.descriptor for operator in self.operators), *self.peers):
            try:
                found.append(descriptor.verify(data, now))
            except RemoteError:
                continue
        return found


def fingerprint(founder: bytes) -> str:
    """What two people compare aloud: the first 20 bytes of the key's SHA-256, ten groups of four hex digits."""
    text = hashlib.sha256(b"qnet-network-fingerprint-1" + founder).hexdigest()[:40]
    return " ".join(text[at : at + 4] for at in range(0, 40, 4))


def _is_descriptor(value: object) -> bool:
    if not isinstance(value, bytes):
        return False
    try:
        descriptor.identity_of(value)
    except RemoteError:
        return False
    return True


def _is_operator(value: object) -> bool:
    match value:
        case [data, str() as url]:
            return _is_descriptor(data) and (url == "" or _URL.fullmatch(url) is not None)
    return False


_KIND = Kind(
    name="network file",
    context=b"qnet-network-1",
    limit=LIMIT,
    fields={
        "founder": Field(1, is_key),
        "name": Field(2, lambda value: is_text(value) and value != ""),
        "issued": Field(3, is_time),
        "operators": Field(
            4, lambda value: isinstance(value, list) and 1 <= len(value) <= 32 and all(map(_is_operator, value))
        ),
        "open": Field(5, lambda value: value is True, False),
        "peers": Field(
            6, lambda value: isinstance(value, list) and len(value) <= 64 and all(map(_is_descriptor, value)), []
        ),
    },
    signer="founder",
    error=NetworkFileError,
)


@dataclass(frozen=True, slots=True)
class _Body:
    founder: bytes
    name: str
    issued: int
    operators: tuple[list[object], ...]
    open: bool
    peers: tuple[bytes, ...]


def sign(network: NetworkFile, key: Ed25519PrivateKey) -> bytes:
    """The file's bytes; ``network.founder`` must be ``key``'s. Raises ``NetworkFileError``."""
    operators: tuple[list[object], ...] = tuple([each.descriptor, each.directory] for each in network.operators)
    body = _Body(network.founder, network.name, network.issued, operators, network.open, network.peers)
    return _KIND.sign(body, key)


def verify(data: bytes, now: float) -> NetworkFile:
    """The network in ``data``; raises ``NetworkFileError``. It does not expire; the descriptors in it may."""
    values = _KIND.verify(data)
    operators = tuple(Operator(*each) for each in values.pop("operators"))
    network = NetworkFile(**values, operators=operators, signed=data)
    _KIND.check_issued(network.issued, now)
    return network


def parse_link(link: str) -> bytes:
    """The file in a link, not yet verified; raises ``NetworkFileError``. White space round and in it is ignored."""
    text = "".join(link.split())
    if not text.startswith(SCHEME):
        raise NetworkFileError(f"a link begins with {SCHEME}")
    text = text.removeprefix(SCHEME)
    if len(text) > LIMIT * 4 // 3 + 4:
        raise NetworkFileError("the link is too long")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NetworkFileError("the link is damaged") from None
