"""Certificate lists, bounded decompression, and CertificateVerify with every scheme."""

import contextlib
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.errors import RemoteError
from qnet.wire.tls import codes, errors
from qnet.wire.tls.certificate import decompress_certificate, pull_certificate, verify_signature
from qnet.wire.tls.codec import MESSAGE_LIMIT, handshake_message, u16, vector

PACK = {1: zlib.compress, 2: brotli.compress, 3: zstandard.compress}
OFFERED = [1, 2, 3]


def compressed(algorithm: int, data: bytes, length: int) -> bytes:
    body = u16(algorithm) + length.to_bytes(3, "big") + vector(3, data)
    return handshake_message(codes.COMPRESSED_CERTIFICATE, body)


def test_entries():
    body = b"\0" + vector(
        3, vector(3, b"first") + vector(2, u16(5) + vector(2, b"ocsp")) + vector(3, b"next") + b"\0\0"
    )
    first, second = pull_certificate(body, {5})
    assert (first.der, first.extensions, second.der, second.extensions) == (b"first", [(5, b"ocsp")], b"next", [])
    with pytest.raises(errors.UnsupportedExtensionError):
        pull_certificate(body, {18})
    with pytest.raises(errors.CertificateError):
        first.load()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", errors.DecodeError),
        (b"\0\0\0\0", errors.DecodeError),
        (b"\1x" + vector(3, vector(3, b"c") + b"\0\0"), errors.IllegalParameterError),
        (b"\0" + vector(3, vector(3, b"") + b"\0\0"), errors.DecodeError),
        (b"\0" + vector(3, vector(3, b"c") + b"\0\0") + b"\0", errors.DecodeError),
        (b"\0" + vector(3, vector(3, b"c")), errors.DecodeError),
    ],
)
def test_bad_lists(body, error):
    with pytest.raises(error):
        pull_certificate(body, set())


@pytest.mark.parametrize("algorithm", PACK)
def test_decompression(algorithm):
    data = bytes(range(256)) * 20
    assert decompress_certificate(compressed(algorithm, PACK[algorithm](data), len(data)), OFFERED) == data


@pytest.mark.parametrize("algorithm", PACK)
def test_wrong_length_and_damage(algorithm):
    data = bytes(range(256)) * 20
    packed = PACK[algorithm](data)
    for message in (
        compressed(algorithm, packed, len(data) - 1),
        compressed(algorithm, packed, len(data) + 1),
        compressed(algorithm, packed[: len(packed) // 2], len(data)),
        compressed(algorithm, b"\xff" + packed[1:], len(data)),
        compressed(algorithm, packed, 0),
        compressed(algorithm, packed, MESSAGE_LIMIT + 1),
    ):
        with pytest.raises(errors.CertificateError):
            decompress_certificate(message, OFFERED)


@pytest.mark.parametrize("algorithm", PACK)
def test_a_bomb_costs_no_memory(algorithm):
    bomb = PACK[algorithm](bytes(16 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(errors.CertificateError):
            decompress_certificate(compressed(algorithm, bomb, 5000), OFFERED)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_algorithm_not_offered():
    message = compressed(1, zlib.compress(b"data"), 4)
    with pytest.raises(errors.IllegalParameterError):
        decompress_certificate(message, [2])
    with pytest.raises(errors.IllegalParameterError):
        decompress_certificate(compressed(9, b"data", 4), [9])


@given(st.sampled_from(OFFERED), st.binary(max_size=100), st.integers(0, 300))
def test_decompression_gives_a_value_or_a_remote_error(algorithm, data, length):
    with contextlib.suppress(RemoteError):
        assert len(decompress_certificate(compressed(algorithm, data, length), OFFERED)) == length


@given(st.binary(max_size=200))
def test_lists_give_a_value_or_a_remote_error(body):
    try:
        for entry in pull_certificate(body, {5, 18}):
            entry.load()
    except RemoteError:
        pass


# --- CertificateVerify


class Holder:
    """Stands for a certificate: only its key is asked for."""

    def __init__(self, private) -> None:
        self.private = private

    def public_key(self):
        return self.private.public_key()


CONTENT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(32)
RSA = rsa.generate_private_key(65537, 2048)


def ecdsa(curve, digest):
    key = ec.generate_private_key(curve)
    return key, key.sign(CONTENT, ec.ECDSA(digest))


def pss(digest):
    return RSA, RSA.sign(CONTENT, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)


def plain(key):
    return key, key.sign(CONTENT)


SCHEMES = {
    0x0403: lambda: ecdsa(ec.SECP256R1(), hashes.SHA256()),
    0x0503: lambda: ecdsa(ec.SECP384R1(), hashes.SHA384()),
    0x0603: lambda: ecdsa(ec.SECP521R1(), hashes.SHA512()),
    0x0804: lambda: pss(hashes.SHA256()),
    0x0805: lambda: pss(hashes.SHA384()),
    0x0806: lambda: pss(hashes.SHA512()),
    0x0807: lambda: plain(ed25519.Ed25519PrivateKey.generate()),
    0x0904: lambda: plain(mldsa.MLDSA44PrivateKey.generate()),
    0x0905: lambda: plain(mldsa.MLDSA65PrivateKey.generate()),
    0x0906: lambda: plain(mldsa.MLDSA87PrivateKey.generate()),
}


def message(algorithm: int, signature: bytes) -> bytes:
    return handshake_message(codes.CERTIFICATE_VERIFY, u16(algorithm) + vector(2, signature))


@pytest.mark.parametrize("algorithm", SCHEMES)
def test_schemes(algorithm):
    private, signature = SCHEMES[algorithm]()
    holder = Holder(private)
    verify_signature(message(algorithm, signature), holder, bytes(32), [algorithm])
    with pytest.raises(errors.CertificateSignatureError):
        verify_signature(message(algorithm, signature), holder, b"\1" + bytes(31), [algorithm])
    damaged = signature[:-1] + bytes([signature[-1] ^ 1])
    with pytest.raises(errors.CertificateSignatureError):
        verify_signature(message(algorithm, damaged), holder, bytes(32), [algorithm])
    with pytest.raises(errors.IllegalParameterError):
        verify_signature(message(algorithm, signature), holder, bytes(32), [a for a in SCHEMES if a != algorithm])


@pytest.mark.parametrize("algorithm", SCHEMES)
def test_a_scheme_must_fit_the_key(algorithm):
    other = 0x0804 if algorithm != 0x0804 and algorithm >> 8 != 8 else 0x0403
    private, signature = SCHEMES[other]()
    with pytest.raises(errors.IllegalParameterError):
        verify_signature(message(algorithm, signature), Holder(private), bytes(32), list(SCHEMES))


@pytest.mark.parametrize("algorithm", [0x0401, 0x0501, 0x0601, 0x0201, 0x0203, 0x0A0A])
def test_schemes_of_the_past_are_refused_even_where_a_browser_lists_them(algorithm):
    signature = RSA.sign(CONTENT, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(errors.IllegalParameterError):
        verify_signature(message(algorithm, signature), Holder(RSA), bytes(32), [algorithm])


@given(st.sampled_from(list(SCHEMES)), st.binary(max_size=300))
def test_signatures_give_a_remote_error(algorithm, signature):
    with pytest.raises(errors.TlsError):
        verify_signature(message(algorithm, signature), Holder(RSA), bytes(32), list(SCHEMES))
