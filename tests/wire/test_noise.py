"""Noise XK and XKpsk3 through the façade: published vectors, and what must change the keys."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from qnet.wire.noise import XK_PSK3, NoiseError, NoiseHandshake, public_key
from tests.wire.noise_vectors import VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=[v["protocol"] for v in VECTORS])
def test_published_vectors(vector: dict) -> None:
    raw = {key: bytes.fromhex(value) for key, value in vector.items() if key not in ("protocol", "messages")}
    protocol = vector["protocol"].encode()
    initiator = NoiseHandshake(
        initiator=True,
        prologue=raw["init_prologue"],
        static=raw["init_static"],
        ephemeral=raw["init_ephemeral"],
        remote_static=raw["init_remote_static"],
        protocol=protocol,
    )
    responder = NoiseHandshake(
        initiator=False,
        prologue=raw["init_prologue"],
        static=raw["resp_static"],
        ephemeral=raw["resp_ephemeral"],
        protocol=protocol,
    )
    if raw["psk"]:
        initiator.use_psk(raw["psk"])
        responder.use_psk(raw["psk"])
    messages = [(bytes.fromhex(payload), bytes.fromhex(cipher)) for payload, cipher in vector["messages"]]
    sides = (initiator, responder)
    for number, (payload, ciphertext) in enumerate(messages[:3]):
        assert sides[number % 2].write(payload) == ciphertext
        assert sides[(number + 1) % 2].read(ciphertext) == payload
    assert initiator.keys().handshake_hash == responder.keys().handshake_hash == raw["handshake_hash"]
    assert responder.remote_static == public_key(raw["init_static"])
    for number, (payload, ciphertext) in enumerate(messages[3:], start=3):
        key = sides[number % 2].keys().send
        nonce = bytes(4) + ((number - 3) // 2).to_bytes(8, "little")
        assert ChaCha20Poly1305(key).encrypt(nonce, payload, b"") == ciphertext


def run(**changes: bytes) -> tuple[bytes, bytes]:
    """A whole XKpsk3 handshake from fixed keys; ``changes`` apply to the initiator only. Gives both send keys."""
    base = {
        "prologue": b"qnet",
        "static": bytes([1]) * 32,
        "ephemeral": bytes([2]) * 32,
        "remote": bytes([3]) * 32,
        "psk": bytes([4]) * 32,
    }
    mine = base | changes
    initiator = NoiseHandshake(
        initiator=True,
        prologue=mine["prologue"],
        static=mine["static"],
        ephemeral=mine["ephemeral"],
        remote_static=public_key(mine["remote"]),
        protocol=XK_PSK3,
    )
    responder = NoiseHandshake(
        initiator=False, prologue=base["prologue"], static=base["remote"], ephemeral=bytes([5]) * 32
    )
    responder.read(initiator.write(b"one"))
    initiator.read(responder.write(b"two"))
    initiator.use_psk(mine["psk"])
    responder.use_psk(base["psk"])
    responder.read(initiator.write(b"three"))
    return initiator.keys().send, responder.keys().send


@pytest.mark.parametrize(
    "change",
    [{"prologue": b"other"}, {"remote": bytes([9]) * 32}, {"psk": bytes([9]) * 32}],
    ids=["prologue", "identity", "hybrid secret"],
)
def test_a_difference_is_refused(change: dict) -> None:
    with pytest.raises(NoiseError):
        run(**change)


@pytest.mark.parametrize("change", [{"static": bytes([8]) * 32}, {"ephemeral": bytes([8]) * 32}])
def test_keys_depend_on_each_classical_secret(change: dict) -> None:
    assert run(**change) != run()


def test_keys_depend_on_the_hybrid_secret() -> None:
    def keys(psk: bytes) -> bytes:
        initiator = NoiseHandshake(
            initiator=True,
            prologue=b"",
            static=bytes([1]) * 32,
            ephemeral=bytes([2]) * 32,
            remote_static=public_key(bytes([3]) * 32),
        )
        responder = NoiseHandshake(initiator=False, prologue=b"", static=bytes([3]) * 32, ephemeral=bytes([5]) * 32)
        responder.read(initiator.write())
        initiator.read(responder.write())
        initiator.use_psk(psk)
        responder.use_psk(psk)
        responder.read(initiator.write())
        assert initiator.keys().send == responder.keys().receive
        assert initiator.keys().receive == responder.keys().send
        return initiator.keys().send

    assert keys(bytes(32)) != keys(bytes(31) + b"\1")


def test_message_3_is_not_written_before_the_hybrid_secret() -> None:
    initiator = NoiseHandshake(
        initiator=True,
        prologue=b"",
        static=os.urandom(32),
        ephemeral=os.urandom(32),
        remote_static=public_key(bytes([3]) * 32),
    )
    responder = NoiseHandshake(initiator=False, prologue=b"", static=bytes([3]) * 32, ephemeral=os.urandom(32))
    responder.read(initiator.write())
    initiator.read(responder.write())
    with pytest.raises(RuntimeError):
        initiator.write()


@pytest.mark.parametrize("junk", [b"", b"x", bytes(31), bytes(48), os.urandom(48), os.urandom(65535)])
def test_junk_is_a_remote_error(junk: bytes) -> None:
    responder = NoiseHandshake(initiator=False, prologue=b"", static=bytes([3]) * 32, ephemeral=os.urandom(32))
    with pytest.raises(NoiseError):
        responder.read(junk)
