"""docs/PROTOCOL.md and its vectors say what the code does, and the second implementation agrees with both."""

import json
import re
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair

from qnet.wire import descriptor, endorsement, heartbeat, network_file, reservation
from qnet.wire.frames import Frame, Reset
from qnet.wire.signed import Kind
from tools import vectors
from tools.conformance import cover
from tools.conformance.script import script

DOCUMENT = Path(__file__).parents[1] / "docs" / "PROTOCOL.md"
TEXT = DOCUMENT.read_text()
GIVEN = json.loads((DOCUMENT.parent / "vectors.json").read_text())


def section(number: str) -> str:
    return re.split(r"^#{2,3} ", TEXT.split(f" {number} ", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_vectors_are_those_of_the_code() -> None:
    """Run ``python -m tools.vectors`` after a change of the protocol, and look at the difference."""
    assert vectors.vectors() == GIVEN


def test_every_frame_is_in_the_table() -> None:
    told = re.findall(r"^\| ([\d, ]+) \| ([A-Z, ]+) \|", section("6"), re.MULTILINE)
    pairs = {
        (int(number), name)
        for numbers, names in told
        for number, name in zip(numbers.split(", "), names.split(", "), strict=True)
    }
    said_elsewhere = {Frame.PADDING, Frame.TRUNCATE}
    assert pairs == {(kind.value, kind.name) for kind in Frame if kind not in said_elsewhere}
    codes = re.search(r"Codes: (.*?);", section("6"), re.DOTALL)
    assert codes is not None
    assert [int(each) for each in re.findall(r"\d+", codes[1])] == [code.value for code in Reset]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("7.2", descriptor._KIND),
        ("7.3", endorsement._KIND),
        ("7.4", heartbeat._KIND),
        ("7.5", network_file._KIND),
        ("7.6", reservation._KIND),
    ],
)
def test_what_is_signed_has_the_fields_of_the_code(number: str, kind: Kind) -> None:
    text = section(number)
    assert kind.context.decode() in text.splitlines()[0]
    if limit := re.search(r"at most (\d+) bytes", text.splitlines()[0]):
        assert int(limit[1]) == kind.limit
    if number == "7.2":
        told = [int(each) for row in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for each in row.split(", ")]
    else:
        line = text.split("\n\n")[1].replace("\n", " ")
        numbers = re.findall(r"(?:^|· )((?:\d+, )?\d+) [a-z]", line)
        told = [int(each) for part in numbers for each in part.split(", ")]
    assert told == sorted(field.key for field in kind.fields.values())


def raw(*path: str) -> bytes:
    value = GIVEN
    for name in path:
        value = value[name]
    return bytes.fromhex(value)


def test_the_second_implementation_derives_the_same_keys() -> None:
    private = X25519PrivateKey.from_private_bytes(raw("cover", "client_x25519"))
    keys = cover.Keys(private, raw("cover", "cover_public"), raw("cover", "cover_secret"), raw("cover", "random"))
    for name, value in (
        ("k_sid", keys.sid),
        ("k_mark", keys.mark_key),
        ("k_nh_c", keys.client),
        ("k_nh_s", keys.server),
    ):
        assert value == raw("cover", name)
    credential = raw("cover", "credential")
    sealed = keys.session_id(raw("cover", "hello_before"), int.from_bytes(credential[2:6], "big"), credential[6:])
    assert sealed == raw("cover", "session_id")
    assert keys.mark(raw("cover", "hello") + raw("cover", "server_hello")) == raw("cover", "mark")
    cut = keys.session_id(raw("cover", "resumed_truncated"), int.from_bytes(credential[2:6], "big"), credential[6:])
    assert cut == raw("cover", "resumed_session_id")


def test_the_second_implementation_opens_what_is_wrapped_and_sealed() -> None:
    wrap, again = cover.Wrap(raw("wrap", "key")), cover.Wrap(raw("wrap", "key"))
    for each in GIVEN["wrap"]["records"]:
        body = bytes.fromhex(each["body"])
        assert wrap.open(body) == (bytes.fromhex(each["message"]), each["more"])
        sealed = again.seal(bytes.fromhex(each["message"]), each["body_size"])
        assert len(sealed) == 5 + len(body) and (each["more"] or sealed[5:] == body)
    channel, sealer = cover.Channel(raw("channel", "key")), cover.Channel(raw("channel", "key"))
    for each in GIVEN["channel"]["records"]:
        plain, record = bytes.fromhex(each["plaintext"]), bytes.fromhex(each["record"])
        assert channel.open(record[5:]) == plain and sealer.seal(plain) == record
    channel.rekey()
    assert channel._key == raw("channel", "key_after_rekey")


def test_the_second_implementation_makes_the_same_handshake() -> None:
    given = {name: bytes.fromhex(value) for name, value in GIVEN["inner"].items()}
    static = X25519PrivateKey.from_private_bytes(given["peer_static"]).public_key().public_bytes_raw()
    peer = cover.Peer(b"", static, b"", b"", [], "")
    inner = cover.Inner(peer, cover.digests(b"C", b"P"))
    # The library's handshake begins anew with the vector's identity and keys.
    noise = inner._noise = cover.NoiseConnection.from_name(cover.NOISE)
    noise.set_psks(psk=bytes(32))
    noise.set_as_initiator()
    noise.set_keypair_from_private_bytes(Keypair.STATIC, given["client_static"])
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, static)
    noise.set_prologue(b"qnet-htx1\x01" + given["peer_id"] + static + given["client_digest"] + given["server_digest"])
    noise.start_handshake()
    protocol = noise.noise_protocol
    protocol.handshake_state.e = protocol.keypair_class.from_private_bytes(given["client_ephemeral"])
    assert inner.first() == given["n1"]
    assert inner.second(given["n2"]) == given["ciphertext"]
    assert inner.third(given["mlkem_secret"], given["n3_payload"]) == given["n3"]
    out, into = inner.channels()
    assert (out._key, into._key) == (given["client_to_peer"], given["peer_to_client"])
    assert noise.get_handshake_hash() == given["handshake_hash"]


def test_the_second_implementation_reads_a_descriptor() -> None:
    peer = cover.read_descriptor(raw("signed", "descriptor"))
    assert peer.id == raw("signed", "peer_id") and peer.decoy == "decoy.example"
    assert peer.cover == raw("cover", "cover_public")


def test_the_second_implementation_reads_frames() -> None:
    row = raw("frames", "PING") + raw("frames", "OPEN circuit 1 stream 1 example.org:443") + bytes(9)
    ping, opened = cover.frames(row)
    assert ping == (cover.PING, 0, b"12345678")
    assert opened == (cover.OPEN, 1, struct.pack(">IH", 1, 443) + b"example.org")
    assert cover.frame(*ping) == raw("frames", "PING")


def test_the_second_implementation_makes_the_same_script() -> None:
    up, down, page = script(raw("shaping", "profile"), raw("shaping", "seed"), GIVEN["shaping"]["name"])
    assert page == GIVEN["shaping"]["page"]
    for made, name in ((up, "up"), (down, "down")):
        assert [[size, after, round(pause, 6)] for size, after, pause in made] == GIVEN["shaping"][name]
