"""Key shares: both sides agree, keys come from the entropy alone, bad points are refused."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qnet.wire.errors import RemoteError
from qnet.wire.tls import codes
from qnet.wire.tls.errors import IllegalParameterError, UnsupportedGroupError
from qnet.wire.tls.keyshare import IMPLEMENTED_GROUPS, KeyShares

CURVES = {codes.SECP256R1: ec.SECP256R1(), codes.SECP384R1: ec.SECP384R1(), codes.SECP521R1: ec.SECP521R1()}


def shares(seed: int = 1, reuse: bool = False) -> KeyShares:
    return KeyShares(random.Random(seed).randbytes, reuse)


@pytest.mark.parametrize("group", CURVES)
def test_curves(group):
    ours = shares()
    theirs = ec.generate_private_key(CURVES[group])
    point = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[group], ours.public(group))
    public = theirs.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert ours.agree(group, public) == theirs.exchange(ec.ECDH(), point)
    compressed = theirs.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    for bad in (b"", compressed, public[:-1], public[:-1] + bytes([public[-1] ^ 1]), b"\x04" + bytes(len(public) - 1)):
        with pytest.raises(IllegalParameterError):
            ours.agree(group, bad)


def test_hybrid():
    ours = shares()
    public = ours.public(codes.X25519_MLKEM768)
    secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    theirs = x25519.X25519PrivateKey.generate()
    answer = ciphertext + theirs.public_key().public_bytes_raw()
    shared = theirs.exchange(x25519.X25519PublicKey.from_public_bytes(public[1184:]))
    assert ours.agree(codes.X25519_MLKEM768, answer) == secret + shared
    assert ours.mlkem_decapsulate(ciphertext) == secret
    for bad in (b"", answer[:-1], answer + b"\0", ciphertext + bytes(32)):
        with pytest.raises(IllegalParameterError):
            ours.agree(codes.X25519_MLKEM768, bad)
    for bad in (b"", ciphertext[:-1], answer):
        with pytest.raises(IllegalParameterError):
            ours.mlkem_decapsulate(bad)


def test_x25519_with_any_key():
    ours = shares()
    theirs = x25519.X25519PrivateKey.generate()
    peer = theirs.public_key().public_bytes_raw()
    public = x25519.X25519PublicKey.from_public_bytes(ours.public(codes.X25519))
    assert ours.x25519_shared(peer) == theirs.exchange(public) == ours.agree(codes.X25519, peer)
    for bad in (bytes(32), b"\1" + bytes(31), bytes(31), b""):  # zero, order one, too short
        with pytest.raises(RemoteError):
            ours.x25519_shared(bad)


def test_keys_come_from_the_entropy():
    for group in IMPLEMENTED_GROUPS:
        assert shares(1).public(group) == shares(1).public(group) != shares(2).public(group)


@pytest.mark.parametrize("reuse", [False, True])
def test_reuse(reuse):
    ours = shares(reuse=reuse)
    assert (ours.public(codes.X25519_MLKEM768)[-32:] == ours.public(codes.X25519)) == reuse


def test_other_groups():
    with pytest.raises(UnsupportedGroupError):
        shares().public(0x0100)
    with pytest.raises(UnsupportedGroupError):
        shares().agree(0x001E, bytes(56))
