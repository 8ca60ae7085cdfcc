"""What is done with arbitrary bytes, parser by parser; and small good inputs from which a fuzzer starts.

Each function reads ``data`` and returns; a documented error passes through, and anything else is a finding. Some
check besides that a value can be written again.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.browser.rules import importing, regex, rule, ruleset, store, subscribed, testing
from qnet.mesh import gossip, near
from qnet.roles.directory_client import read_listing
from qnet.wire import cbor, descriptor, destination, endorsement, frames, heartbeat, messages, network_file, reservation
from qnet.wire.cover.answer import Answer
from qnet.wire.errors import QNetError
from qnet.wire.framing import FrameReader, encode_frame
from qnet.wire.proxy import ProxyHandshake
from qnet.wire.script import Profile
from qnet.wire.shaping import Joiner
from qnet.wire.signed import Kind
from qnet.wire.steps import Done, Receive
from qnet.wire.tls import answers, certificate, codes
from qnet.wire.tls.codec import MessageBuffer, handshake_message, vector
from qnet.wire.tls.hello import ClientHello, ServerHello, truncated_before_binders
from qnet.wire.tls.ja4 import ja3, ja4
from qnet.wire.tls.record import RecordReader
from qnet.wire.tls.template import Template

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


def counter() -> Callable[[int], bytes]:
    """An entropy that is the same in every run: a crash has to come again."""
    state = 0

    def entropy(length: int) -> bytes:
        nonlocal state
        state += 1
        return bytes((state * 251 + at * 7) & 0xFF for at in range(length))

    return entropy


def pieces(data: bytes) -> Iterator[bytes]:
    """``data`` cut as its own first byte says."""
    size = data[0] % 32 + 1 if data else 1
    for at in range(1, len(data), size):
        yield data[at : at + size]


# --- TLS


@cache
def hello_record(browser: str) -> bytes:
    return resources.files("qnet").joinpath("data", "templates", f"{browser}.hello").read_bytes()


@cache
def hello(browser: str) -> ClientHello:
    return ClientHello.parse(hello_record(browser)[5:])


def client_hello(data: bytes) -> None:
    found = ClientHello.parse(data)
    assert found.message() == data
    for read in (found.server_name, found.key_shares, found.protocols, lambda: ja3(found), lambda: ja4(found)):
        with suppress(QNetError):
            read()
    with suppress(QNetError):
        assert data.startswith(truncated_before_binders(data))


def template(data: bytes) -> None:
    found = Template.from_record(data)
    assert Template.from_record(b"\x16" + found.record_version + vector(2, found.hello.message())) == found
    draft = found.build("decoy.test", counter())
    assert ClientHello.parse(draft.hello.message()) == draft.hello


def server_hello(data: bytes) -> None:
    found = ServerHello.parse(data)
    for read in (lambda: found.selected_version, lambda: found.key_share, lambda: found.retry_group):
        with suppress(QNetError):
            read()
    answers.check_server_hello(found, hello("chromium"), None)


def encrypted_extensions(data: bytes) -> None:
    with suppress(QNetError):
        answers.check_certificate_request(data)
    answers.application_settings(answers.pull_encrypted_extensions(data, hello("chromium")))


def tls_certificate(data: bytes) -> None:
    for entry in certificate.pull_certificate(data, {codes.STATUS_REQUEST, codes.SIGNED_CERTIFICATE_TIMESTAMP}):
        entry.load().public_key()


def compressed_certificate(data: bytes) -> None:
    body = certificate.decompress_certificate(data, [1, 2, 3])
    assert len(body) <= 1 << 17


def tls_records(data: bytes) -> None:
    reader, buffer, back = RecordReader(), MessageBuffer(), bytearray()
    for piece in pieces(data):
        reader.feed(piece)
        while (record := reader.next()) is not None:
            back += record
            if record[0] == codes.HANDSHAKE:
                buffer.feed(record[5:])
                while buffer.next() is not None:
                    pass
    assert bytes(back) + reader.rest() == data[1:]


# --- what is signed


def signed(kind: Kind, verify: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """The body is the fuzzer's, the signature good: else nothing beyond it would be reached."""

    def run(data: bytes) -> None:
        with suppress(QNetError):
            verify(data)
        verify(cbor.encode([data, KEY.sign(kind.context + data)]))

    return run


def body_of(envelope: bytes) -> bytes:
    return cbor.decode(envelope, 1 << 20)[0]


def a_descriptor(**changes: Any) -> descriptor.Descriptor:
    fields = {
        "identity": PUBLIC,
        "noise": bytes(32),
        "cover": bytes(31) + b"\1",
        "cover_secret": bytes(31) + b"\2",
        "addresses": ("192.0.2.1:443", "[2001:db8::1]:443"),
        "decoy": "decoy.test",
        "roles": ("entry", "exit"),
        "issued": NOW - 10,
        "expires": NOW + 86400,
        "nickname": "lily",
        "country": "NL",
    }
    return descriptor.Descriptor(**fields | changes)


def link(data: bytes) -> None:
    network_file.parse_link(data.decode("utf-8", "replace"))


def cbor_item(data: bytes) -> None:
    assert cbor.encode(cbor.decode(data, 1 << 16)) == data


def announcement(data: bytes) -> None:
    near.announced({str(at).encode(): data[at * 250 : at * 250 + 250] for at in range(len(data) // 250 + 1)}, None, NOW)


def listing(data: bytes) -> None:
    read_listing(data, {}, NOW)


def gossip_array(data: bytes) -> None:
    gossip._array(data)


# --- frames and messages


def frame_bodies(data: bytes) -> None:
    body = memoryview(data[1:])
    readers = (
        frames.parse_open,
        frames.parse_stream,
        frames.parse_reset,
        frames.parse_code,
        frames.parse_reserved,
        frames.parse_credit,
        frames.parse_window,
    )
    readers[data[0] % len(readers) if data else 0](body)


def native_frames(data: bytes) -> None:
    reader, bodies = FrameReader(1 << 12), []
    for piece in pieces(data):
        bodies += reader.receive(piece)
    assert data[1:].startswith(b"".join(map(encode_frame, bodies)))


def request(data: bytes) -> None:
    found = messages.decode_request(data)
    assert messages.decode_request(messages.encode(found)) == found


def proxy(data: bytes) -> None:
    core = ProxyHandshake()
    for piece in pieces(data):
        step = core.step(piece)
        while not isinstance(step, Receive):
            if isinstance(step, Done):
                return
            step = core.step(b"")


def decoy_answer(data: bytes) -> None:
    """HTTP/2 of a decoy that may be anybody."""
    core = Answer(65536)
    for piece in pieces(data):
        if core.done:
            return
        core.receive(piece)


def profile(data: bytes) -> None:
    found = Profile.parse(data)
    found.script(bytes(10), 20)


def joined(data: bytes) -> None:
    """Fragments of the other side's PIECE frames."""
    joiner, back = Joiner(), b""
    for piece in pieces(data):
        for plain in joiner.receive(memoryview(piece)):
            back += vector(2, plain)
    assert data[1:].startswith(back)


def host(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(QNetError, ValueError):
        testing.destination_of(text)
    with suppress(QNetError):
        subscribed.checked_url(text)
    try:
        found = destination.canonical_host(text)
    except ValueError:
        return
    assert destination.canonical_host(found) == found


# --- rules


def rule_list(data: bytes) -> None:
    found = importing.read_any(data.decode("utf-8", "replace"))
    for each in found.rules[:50]:
        assert rule.checked(each) == each
        ruleset.matcher(each)("www.example.org")


def rules_file(data: bytes) -> None:
    store.document_of(data)


def expression(data: bytes) -> None:
    pattern = data.decode("latin-1")
    translated = regex.translate(pattern)
    needed = regex.required(pattern)
    search = re.compile(translated, re.ASCII).search
    for text in ("www.example.org", "a" * 253, "ab" * 126, "a.-" * 84, "0" * 252 + "-"):
        if search(text):
            assert needed in text


def a_rule(data: bytes) -> None:
    try:
        found = msgspec.json.decode(data, type=messages.Rule)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    checked = rule.checked(found)
    assert rule.checked(checked) == checked
    ruleset.matcher(checked)("www.example.org")


GOOD = {
    "endorsement": (endorsement._KIND, lambda data: endorsement.verify(data, NOW)),
    "descriptor": (descriptor._KIND, lambda data: descriptor.verify(data, NOW)),
    "heartbeat": (heartbeat._KIND, lambda data: heartbeat.verify(data, lambda peer: PUBLIC, NOW)),
    "network file": (network_file._KIND, lambda data: network_file.verify(data, NOW)),
    "gossip message": (gossip._MESSAGE, lambda data: gossip._MESSAGE.verify(data)),
    "gossip summary": (gossip._SUMMARY, lambda data: gossip._SUMMARY.verify(data)),
    "reservation": (reservation._KIND, lambda data: reservation._KIND.verify(data)),
}
"""Kind of what is signed, and how it is read."""


def ticket_message() -> bytes:
    body = bytes(4) + bytes(4) + vector(1, b"\0") + vector(2, bytes(50)) + vector(2, b"")
    return handshake_message(codes.NEW_SESSION_TICKET, body)
