"""Test vectors of docs/PROTOCOL.md: ``python -m tools.vectors [--check]`` writes docs/vectors.json from the code.

All inputs are fixed. ``--check`` writes nothing and exits 1 if the file on disk differs.
"""

import hashlib
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.wire import cbor, descriptor, endorsement, frames, heartbeat, network_file, reservation, script
from qnet.wire.channel import Opener, Sealer, record
from qnet.wire.cover.auth import VERSION, CoverKeys, Credential, Wrap
from qnet.wire.cover.inner import digest, prologue
from qnet.wire.frames import Frame, Reset
from qnet.wire.link import settings_frame
from qnet.wire.noise import NoiseHandshake, public_key
from qnet.wire.tls.hello import ClientHello, truncated_before_binders

PATH = Path("docs/vectors.json")
TIME = 1_800_000_000
_Json = dict[str, Any]


def seed(number: int, length: int = 32) -> bytes:
    """Fixed input bytes: SHA-256 of a number, repeated."""
    return (hashlib.sha256(bytes([number])).digest() * (length // 32 + 1))[:length]


def vectors() -> _Json:
    """Everything, bytes in hexadecimal."""
    return {
        "about": "Inputs and results of docs/PROTOCOL.md, by section. Bytes in hexadecimal, times in unix seconds.",
        "cover": _cover(),
        "wrap": _wrap(),
        "inner": _inner(),
        "channel": _channel(),
        "frames": _frames(),
        "shaping": _shaping(),
        "signed": _signed(),
    }


def _hello(public: bytes) -> ClientHello:
    """A small hello: what matters are its key share and its form."""
    share = b"\0\x1d" + len(public).to_bytes(2, "big") + public
    name = b"decoy.example"
    host = b"\0" + len(name).to_bytes(2, "big") + name
    extensions = [(0, len(host).to_bytes(2, "big") + host), (51, len(share).to_bytes(2, "big") + share)]
    return ClientHello(0x0303, seed(1), bytes(32), [0x1301], b"\0", extensions)


def _cover() -> _Json:
    client, peer = seed(2), seed(3)
    hello = _hello(public_key(client))
    shared = X25519PrivateKey.from_private_bytes(client).exchange(
        X25519PrivateKey.from_private_bytes(peer).public_key()
    )
    keys = CoverKeys(shared, seed(4), hello.random)
    credential = Credential(VERSION, 0, TIME, seed(5, 10))
    bare = hello.message()
    hello.session_id = keys.seal_session_id(bare, credential)
    binders = b"\0\x21\x20" + seed(6)
    psk = (41, b"\0\x0a\0\4" + seed(7, 4) + bytes(4) + binders)
    resumed = replace(hello, session_id=bytes(32), extensions=[*hello.extensions, psk])
    server_hello = b"\2\0\0\x26\3\3" + seed(8) + b"\0\x13\1\0"
    return {
        "client_x25519": client.hex(),
        "cover_private": peer.hex(),
        "cover_public": public_key(peer).hex(),
        "cover_secret": seed(4).hex(),
        "random": hello.random.hex(),
        "shared": shared.hex(),
        "k_sid": keys._sid_key.hex(),
        "k_mark": keys._mark_key.hex(),
        "k_nh_c": keys.wrap_client.hex(),
        "k_nh_s": keys.wrap_server.hex(),
        "hello_before": bare.hex(),
        "credential": credential.encode().hex(),
        "session_id": hello.session_id.hex(),
        "hello": hello.message().hex(),
        "resumed_hello_before": resumed.message().hex(),
        "resumed_truncated": truncated_before_binders(resumed.message()).hex(),
        "resumed_session_id": keys.seal_session_id(resumed.message(), credential).hex(),
        "server_hello": server_hello.hex(),
        "mark": keys.mark(hello.message() + server_hello).hex(),
    }


def _wrap() -> _Json:
    wrap = Wrap(seed(9))
    steps = [(b"message", 0, False), (b"padded", 64, False), (b"a part", 48, True), (b"", 26, False)]
    return {
        "key": seed(9).hex(),
        "records": [
            {"message": m.hex(), "body_size": size, "more": more, "body": wrap.seal(m, size, more=more).hex()}
            for m, size, more in steps
        ],
    }


def _inner() -> _Json:
    static, ephemeral, client, other = seed(10), seed(11), seed(12), seed(13)
    peer_id, psk, ciphertext = seed(14), seed(15), seed(16, 1088)
    client_bytes, server_bytes = digest(b"C"), digest(b"P")
    context = prologue(peer_id, public_key(static), client_bytes, server_bytes)
    ours = NoiseHandshake(
        initiator=True, prologue=context, static=client, ephemeral=ephemeral, remote_static=public_key(static)
    )
    theirs = NoiseHandshake(initiator=False, prologue=context, static=static, ephemeral=other)
    first = ours.write()
    theirs.read(first)
    second = theirs.write(ciphertext)
    ours.read(second)
    for side in (ours, theirs):
        side.use_psk(psk)
    third = ours.write(settings_frame())
    theirs.read(third)
    keys = ours.keys()
    return {
        "peer_id": peer_id.hex(),
        "peer_static": static.hex(),
        "peer_ephemeral": other.hex(),
        "client_static": client.hex(),
        "client_ephemeral": ephemeral.hex(),
        "client_digest": client_bytes.hex(),
        "server_digest": server_bytes.hex(),
        "prologue": context.hex(),
        "n1": first.hex(),
        "ciphertext": ciphertext.hex(),
        "n2": second.hex(),
        "mlkem_secret": psk.hex(),
        "n3_payload": settings_frame().hex(),
        "n3": third.hex(),
        "client_to_peer": keys.send.hex(),
        "peer_to_client": keys.receive.hex(),
        "handshake_hash": keys.handshake_hash.hex(),
        "via_digest": reservation.via_digest(peer_id, seed(4)).hex(),
    }


def _channel() -> _Json:
    sealer, told = Sealer(seed(17)), []
    for plain in (b"0123456789", bytes(100)):
        body = bytearray(len(plain) + 16)
        sealer.seal_into(memoryview(plain), memoryview(body), 0)
        told.append({"plaintext": plain.hex(), "record": record(bytes(body)).hex()})
    opener = Opener(seed(17))
    opener.rekey()
    return {"key": seed(17).hex(), "records": told, "key_after_rekey": opener._key.hex()}


def _frames() -> _Json:
    made = {
        "SETTINGS": settings_frame(),
        "OPEN circuit 1 stream 1 example.org:443": frames.open_frame(1, 1, "example.org", 443),
        "OPENED circuit 1 stream 1": frames.stream_frame(Frame.OPENED, 1, 1),
        "DATA circuit 1 stream 1 hello": frames.frame(Frame.DATA, 1, (1).to_bytes(4, "big") + b"hello"),
        "FIN circuit 1 stream 1": frames.stream_frame(Frame.FIN, 1, 1),
        "RESET circuit 1 stream 1 POLICY": frames.reset_frame(1, 1, Reset.POLICY),
        "WINDOW circuit 1 stream 1 65536": frames.window_frame(1, 1, 65536),
        "PING": frames.frame(Frame.PING, 0, b"12345678"),
        "REKEY": frames.frame(Frame.REKEY, 0),
        "CREDIT circuit 2 65536": frames.credit_frame(2, 65536),
        "CLOSE circuit 2 LIMIT": frames.close_frame(2, Reset.LIMIT),
        "RESERVED granted for 60 s": frames.reserved_frame(Reset.CLOSED, 60),
    }
    return {name: each.hex() for name, each in made.items()}


def _u16(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def _shaping() -> _Json:
    profile = {
        0: 7,
        1: [
            [
                [[640, [900, 120], 1, 50, 7, 60, 20, 150, 1]],
                [
                    [_u16(700, 1, 0, 0, 30, 54, 0, 1, 0, 0, size, 0, 1, 1, size), _u16(5000, 1, 10, size * 10, 2, 0)]
                    for size in (52, 90, 54)
                ],
            ],
            [
                [[450, [2000], 1, 40, 7, 60, 20, 0, 0]],
                [
                    [_u16(103, 1, 0, 0, 20, *(53, 0, 0, 1, 5) * number), _u16(800, 2, 0, 700 + number, number, 3)]
                    for number in range(2, 9)
                ],
            ],
        ],
    }
    data = cbor.encode(profile)
    made = script.Profile.parse(data).script(seed(19, script.SEED), 11)
    rows = [[[step.size, step.after, round(step.pause, 6)] for step in steps] for steps in (made.up, made.down)]
    return {
        "profile": data.hex(),
        "seed": seed(19, script.SEED).hex(),
        "name": 11,
        "page": made.page,
        "up": rows[0],
        "down": rows[1],
    }


def _signed() -> _Json:
    key, founder = Ed25519PrivateKey.from_private_bytes(seed(19)), Ed25519PrivateKey.from_private_bytes(seed(20))
    public = key.public_key().public_bytes_raw()
    made = descriptor.Descriptor(
        identity=public,
        noise=public_key(seed(10)),
        cover=public_key(seed(3)),
        cover_secret=seed(4),
        addresses=("192.0.2.1:443", "[2001:db8::1]:443"),
        decoy="decoy.example",
        roles=("entry", "exit"),
        issued=TIME,
        expires=TIME + 604800,
        nickname="tulip",
        country="NL",
    )
    peer = descriptor.sign(made, key)
    word = endorsement.Endorsement(public, made.peer_id, made.addresses, 1000, TIME, TIME + 7776000, "family", "NL")
    operator = network_file.Operator(peer, "https://directory.example")
    network = network_file.NetworkFile(founder.public_key().public_bytes_raw(), "Tulip Friends", TIME, (operator,))
    file = network_file.sign(network, founder)
    return {
        "ed25519": seed(19).hex(),
        "founder_ed25519": seed(20).hex(),
        "peer_id": made.peer_id.hex(),
        "descriptor": peer.hex(),
        "endorsement": endorsement.sign(word, key).hex(),
        "heartbeat": heartbeat.sign(heartbeat.Heartbeat(made.peer_id, 1, TIME, 250), key).hex(),
        "network_file": file.hex(),
        "link": network_file.verify(file, TIME).link,
        "reservation": reservation.sign(key, seed(21), TIME).hex(),
    }


def main(arguments: list[str]) -> int:
    text = json.dumps(vectors(), indent=1) + "\n"
    if PATH.exists() and PATH.read_text(encoding="utf-8") == text:
        return 0
    print(f"{'differs' if '--check' in arguments else 'written'}: {PATH}")
    if "--check" in arguments:
        return 1
    PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
