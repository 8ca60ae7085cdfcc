"""JA3 and JA4 of a ClientHello: the fingerprints by which observers group TLS clients (FoxIO's specification).

JA4 over TCP: ``t`` version(2) ``d``|``i`` ciphers(2) extensions(2) ALPN(2) ``_`` hash12(sorted ciphers) ``_``
hash12(sorted extensions without SNI and ALPN ``_`` signature algorithms in order). GREASE counts nowhere.
"""

import hashlib

from qnet.wire.tls import codes
from qnet.wire.tls.hello import ClientHello

_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


def ja4(hello: ClientHello) -> str:
    """The JA4 fingerprint; raises ``DecodeError`` when an extension it needs is malformed."""
    ciphers = _plain(hello.cipher_suites)
    kinds = _plain([kind for kind, _ in hello.extensions])
    versions = _plain(hello.code_list(codes.SUPPORTED_VERSIONS, 1)) or [hello.legacy_version]
    head = "".join(
        [
            "t",
            _VERSIONS.get(max(versions), "00"),
            "d" if codes.SERVER_NAME in kinds else "i",
            f"{min(len(ciphers), 99):02}",
            f"{min(len(kinds), 99):02}",
            _alpn(hello.protocols()),
        ]
    )
    hashed = sorted(_hex(kind) for kind in kinds if kind not in (codes.SERVER_NAME, codes.ALPN))
    tail = ",".join(hashed)
    algorithms = _plain(hello.code_list(codes.SIGNATURE_ALGORITHMS))
    if algorithms:
        tail += "_" + ",".join(map(_hex, algorithms))
    return f"{head}_{_hash12(','.join(sorted(map(_hex, ciphers))))}_{_hash12(tail)}"


def ja3(hello: ClientHello) -> str:
    """The JA3 fingerprint (MD5 in hexadecimal); raises ``DecodeError`` when malformed."""
    formats = hello.extension(codes.EC_POINT_FORMATS) or b"\0"
    fields = [
        [hello.legacy_version],
        _plain(hello.cipher_suites),
        _plain([kind for kind, _ in hello.extensions]),
        _plain(hello.code_list(codes.SUPPORTED_GROUPS)),
        list(formats[1:]),
    ]
    text = ",".join("-".join(map(str, values)) for values in fields)
    return hashlib.md5(text.encode("ascii"), usedforsecurity=False).hexdigest()


def _plain(values: list[int]) -> list[int]:
    return [value for value in values if not codes.is_grease(value)]


def _hex(value: int) -> str:
    return f"{value:04x}"


def _hash12(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12


def _alpn(protocols: list[bytes]) -> str:
    if not protocols:
        return "00"
    first = protocols[0]
    ends = chr(first[0]) + chr(first[-1])
    if ends.isascii() and ends.isalnum():
        return ends
    return first.hex()[0] + first.hex()[-1]
