"""A captured browser hello as a template for fresh ones.

What a rebuilt hello draws anew, and where the rule is read in the capture:

1. random, key shares: always. Whether X25519MLKEM768 and x25519 carry one X25519 key: as captured.
2. server name: the caller's. session_id: 32 zero bytes, which the caller fills in.
3. GREASE (RFC 8701) wherever the capture has one; the same value in supported_groups and key_share, two different
   ones as first and last extension, every other slot on its own.
4. A resumed hello has pre_shared_key as its very last extension, after BoringSSL's GREASE. NSS leaves session_ticket
   out and lets the ECH payload grow by the body of pre_shared_key, rounded up to 32 bytes (measured, Firefox 153).
5. A hello whose first and last extensions are GREASE comes from BoringSSL: the extensions between them are permuted
   (unless they were captured in BoringSSL's own fixed order), and the ECH GREASE payload is 144 + 32·{0…3} bytes.
   Any other hello keeps its order and its ECH payload's length, and draws the ECH AEAD from {AES-128-GCM,
   ChaCha20-Poly1305}, as NSS does.

Everything else, unknown extensions included, is the capture's, byte for byte.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import x25519

from qnet.wire.steps import Entropy
from qnet.wire.tls import codes
from qnet.wire.tls.codec import Reader, push_u16_list, u16, u16_list, vector
from qnet.wire.tls.errors import TlsError, UnexpectedMessageError
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.keyshare import IMPLEMENTED_GROUPS, KeyShares
from qnet.wire.tls.tickets import Offer

_BORINGSSL_ORDER = (
    codes.SERVER_NAME,
    codes.EXTENDED_MASTER_SECRET,
    codes.RENEGOTIATION_INFO,
    codes.SUPPORTED_GROUPS,
    codes.EC_POINT_FORMATS,
    codes.ALPN,
    codes.STATUS_REQUEST,
    codes.SIGNATURE_ALGORITHMS,
    codes.SIGNED_CERTIFICATE_TIMESTAMP,
    codes.KEY_SHARE,
    codes.PSK_KEY_EXCHANGE_MODES,
    codes.SUPPORTED_VERSIONS,
    codes.COMPRESS_CERTIFICATE,
)
"""The order in which BoringSSL writes extensions where permutation is switched off (Safari)."""

_BORINGSSL_ECH_PAYLOADS = (144, 176, 208, 240)
_NSS_ECH_AEADS = (1, 3)
_ECH_HEADER = 10 + 32
"""type(1) kdf(2) aead(2) config_id(1) enc(2+32) payload length(2): the outer ECH extension before its payload."""

# A capture with one of these belongs to a connection's special case, not to a browser's ordinary first hello.
_FORBIDDEN = {codes.PRE_SHARED_KEY, codes.EARLY_DATA, codes.COOKIE, codes.PADDING}


class TemplateError(TlsError):
    """The captured hello cannot serve as a template."""


@dataclass(slots=True)
class HelloDraft:
    """A hello ready but for its session_id (32 zero bytes, for the caller to fill in), and its private keys.

    ``offer``: what it resumes with; its binder is the TLS client's to fill in, after the session_id.
    """

    hello: ClientHello
    keys: KeyShares
    record_version: bytes
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A browser's hello and the rules read from it. Build it with ``from_record``."""

    name: str
    record_version: bytes
    hello: ClientHello
    boringssl: bool = field(init=False)
    permuted: bool = field(init=False)
    reuse_x25519: bool = field(init=False)

    def __post_init__(self) -> None:
        order = [kind for kind, _ in self.hello.extensions]
        shares = self.hello.key_shares()
        known = [_BORINGSSL_ORDER.index(kind) for kind in order if kind in _BORINGSSL_ORDER]
        boringssl = codes.is_grease(order[0]) and codes.is_grease(order[-1])
        object.__setattr__(self, "boringssl", boringssl)
        object.__setattr__(self, "permuted", boringssl and known != sorted(known))
        reuse = shares[codes.X25519_MLKEM768][-32:] == shares[codes.X25519]
        object.__setattr__(self, "reuse_x25519", reuse)

    @classmethod
    def from_record(cls, record: bytes, name: str = "") -> "Template":
        """Read a captured TLS record that holds one whole first ClientHello.

        Raises ``TemplateError`` or another TlsError when it is none, or none that a peer could authenticate.
        """
        reader = Reader(record)
        if reader.integer(1) != codes.HANDSHAKE:
            raise UnexpectedMessageError("not a handshake record")
        version = reader.take(2)
        hello = ClientHello.parse(reader.vector(2))
        reader.finish()
        _check(hello)
        return cls(name, version, hello)

    def build(self, server_name: str, entropy: Entropy, offer: Offer | None = None) -> HelloDraft:
        """A fresh hello for ``server_name`` (ASCII, A-labels; ``ValueError`` otherwise); with ``offer`` it resumes."""
        keys = KeyShares(entropy, self.reuse_x25519)
        resumption = [] if offer is None else [offer.extension()]
        extensions = _Rebuild(self, server_name, keys, entropy, resumption).extensions()
        hello = ClientHello(
            legacy_version=self.hello.legacy_version,
            random=entropy(32),
            session_id=bytes(32),
            cipher_suites=_regrease(self.hello.cipher_suites, _grease(entropy)),
            compression=self.hello.compression,
            extensions=extensions,
        )
        return HelloDraft(hello, keys, self.record_version, offer)


def _check(hello: ClientHello) -> None:
    kinds = {kind for kind, _ in hello.extensions}
    shares = hello.key_shares()
    offered = {group for group in shares if not codes.is_grease(group)}
    greased = [i for i, (kind, _) in enumerate(hello.extensions) if codes.is_grease(kind)]
    ech = hello.extension(codes.ENCRYPTED_CLIENT_HELLO)
    complaint = None
    if len(hello.session_id) != 32:
        complaint = "its session_id is not 32 bytes"
    elif kinds & _FORBIDDEN:
        complaint = "it resumes, retries or is padded"
    elif hello.server_name() is None:
        complaint = "it names no server"
    elif codes.TLS_1_3 not in hello.code_list(codes.SUPPORTED_VERSIONS, 1):
        complaint = "it offers no TLS 1.3"
    elif not {codes.X25519, codes.X25519_MLKEM768} <= offered:
        complaint = "it lacks an X25519MLKEM768 or an x25519 key share"
    elif not offered <= IMPLEMENTED_GROUPS or len(shares[codes.X25519_MLKEM768]) != 1216:
        complaint = "it has a key share that is not implemented"
    elif greased not in ([], [0, len(hello.extensions) - 1]):
        complaint = "its GREASE extensions are not the first and the last"
    elif ech is not None and (len(ech) < _ECH_HEADER or ech[:1] != b"\0" or ech[6:8] != u16(32)):
        complaint = "its ECH extension is not of the known form"
    if complaint:
        raise TemplateError(complaint)
    for kind in (codes.SUPPORTED_GROUPS, codes.SIGNATURE_ALGORITHMS):
        hello.code_list(kind)
    hello.protocols()


class _Rebuild:
    """One rebuilding: the GREASE values that several extensions share. ``resumption``: pre_shared_key, if any."""

    def __init__(
        self,
        template: Template,
        server_name: str,
        keys: KeyShares,
        entropy: Entropy,
        resumption: list[tuple[int, bytes]],
    ) -> None:
        self._template = template
        self._name = server_name.encode("ascii")
        self._keys = keys
        self._entropy = entropy
        self._group = _grease(entropy)
        self._resumption = resumption

    def extensions(self) -> list[tuple[int, bytes]]:
        """All extensions, in the order to send."""
        rebuilt = [(kind, self._body(kind, body)) for kind, body in self._template.hello.extensions]
        if not self._template.boringssl:
            kept = [pair for pair in rebuilt if not self._resumption or pair[0] != codes.SESSION_TICKET]
            return kept + self._resumption
        first, last = _grease(self._entropy), _grease(self._entropy)
        if last == first:
            last ^= 0x1010  # another GREASE value, and BoringSSL's own way out
        middle = rebuilt[1:-1]
        if self._template.permuted:
            for i in range(len(middle) - 1, 0, -1):  # Fisher-Yates
                j = draw(self._entropy, i + 1)
                middle[i], middle[j] = middle[j], middle[i]
        return [(first, rebuilt[0][1]), *middle, (last, rebuilt[-1][1]), *self._resumption]

    def _body(self, kind: int, body: bytes) -> bytes:
        match kind:
            case codes.SERVER_NAME:
                return vector(2, b"\0" + vector(2, self._name))
            case codes.SUPPORTED_GROUPS:
                return _regrease_list(body, 2, self._group)
            case codes.SIGNATURE_ALGORITHMS:
                return _regrease_list(body, 2, _grease(self._entropy))
            case codes.SUPPORTED_VERSIONS:
                return _regrease_list(body, 1, _grease(self._entropy))
            case codes.KEY_SHARE:
                return self._key_share()
            case codes.ENCRYPTED_CLIENT_HELLO:
                return self._encrypted_client_hello(body)
        return body

    def _key_share(self) -> bytes:
        entries = [
            u16(self._group) + vector(2, public)
            if codes.is_grease(group)
            else u16(group) + vector(2, self._keys.public(group))
            for group, public in self._template.hello.key_shares().items()
        ]
        return vector(2, b"".join(entries))

    def _encrypted_client_hello(self, body: bytes) -> bytes:
        if self._template.boringssl:
            aead, length = body[3:5], pick(self._entropy, _BORINGSSL_ECH_PAYLOADS)
        else:
            aead = u16(pick(self._entropy, _NSS_ECH_AEADS))
            inner = sum(len(psk) for _, psk in self._resumption)
            length = len(body) - _ECH_HEADER + -(-inner // 32) * 32
        # A real point on the curve, as a browser sends: random bytes would be recognisable.
        enc = x25519.X25519PrivateKey.from_private_bytes(self._entropy(32)).public_key().public_bytes_raw()
        return body[:3] + aead + self._entropy(1) + vector(2, enc) + vector(2, self._entropy(length))


def draw(entropy: Entropy, n: int) -> int:
    """A uniform integer below ``n`` ≤ 256, by rejection."""
    limit = 256 - 256 % n
    while True:
        value = entropy(1)[0]
        if value < limit:
            return value % n


def pick(entropy: Entropy, choices: tuple[int, ...]) -> int:
    """One of ``choices``, uniformly."""
    return choices[draw(entropy, len(choices))]


def _grease(entropy: Entropy) -> int:
    return pick(entropy, codes.GREASE)


def _regrease(values: list[int], grease: int) -> list[int]:
    return [grease if codes.is_grease(value) else value for value in values]


def _regrease_list(body: bytes, size: int, grease: int) -> bytes:
    return vector(size, push_u16_list(_regrease(u16_list(body[size:]), grease)))
