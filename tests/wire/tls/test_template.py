"""Rebuilt hellos against the captured ones: nothing but what must differ, differs."""

import json
import os
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.tls import codes
from qnet.wire.tls.codec import u16, vector
from qnet.wire.tls.errors import TlsError
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4
from qnet.wire.tls.record import plain_record
from qnet.wire.tls.template import Template, TemplateError
from tests.wire.tls.hello_skeleton import ECH_PAYLOADS, skeleton
from tests.wire.tls.peers import BROWSERS, TEMPLATES, template

COUNT = 1000


def entropy(seed: int = 1):
    """Fast bytes for many hellos."""
    return random.Random(seed).randbytes


@pytest.mark.parametrize("browser", BROWSERS)
def test_rebuilt_hellos_equal_the_browsers(browser):
    """htx.md's figure: 1000 hellos, JA4 equal, template differences 0."""
    captured = template(browser)
    index = json.loads((TEMPLATES / "templates.json").read_text())
    expected, wanted = index[f"{browser}.hello"]["ja4"], skeleton(captured.hello)
    draw = entropy()
    for _ in range(COUNT):
        hello = captured.build("decoy.test", draw).hello
        assert ja4(hello) == expected
        assert skeleton(hello) == wanted
        assert ClientHello.parse(hello.message()) == hello


@pytest.mark.parametrize("browser", BROWSERS)
def test_rebuilding_a_rebuilt_hello(browser):
    """A template made from our own hello says the same: the rules survive."""
    captured = template(browser)
    draft = captured.build("decoy.test", entropy())
    again = Template.from_record(plain_record(codes.HANDSHAKE, draft.hello.message(), draft.record_version))
    assert (again.boringssl, again.permuted, again.reuse_x25519) == (
        captured.boringssl,
        captured.permuted,
        captured.reuse_x25519,
    )


def test_rules_read_from_the_captures():
    chromium, firefox = template("chromium"), template("firefox")
    assert (chromium.boringssl, chromium.permuted, chromium.reuse_x25519) == (True, True, False)
    assert (firefox.boringssl, firefox.permuted, firefox.reuse_x25519) == (False, False, True)
    assert chromium.record_version == firefox.record_version == b"\x03\x01"


@pytest.mark.parametrize("browser", BROWSERS)
def test_draft(browser):
    draft = template(browser).build("a.decoy.test", os.urandom)
    shares = draft.hello.key_shares()
    assert draft.hello.server_name() == "a.decoy.test"
    assert draft.hello.session_id == bytes(32)
    for group, public in shares.items():
        assert codes.is_grease(group) or draft.keys.public(group) == public
    same = shares[codes.X25519_MLKEM768][-32:] == shares[codes.X25519]
    assert same == (browser == "firefox")


def test_grease_of_chromium():
    captured, draw = template("chromium"), entropy()
    slots = Counter()
    for _ in range(400):
        hello = captured.build("decoy.test", draw).hello
        first, last = hello.extensions[0][0], hello.extensions[-1][0]
        group = hello.code_list(codes.SUPPORTED_GROUPS)[0]
        assert codes.is_grease(first) and codes.is_grease(last)
        assert first != last
        assert next(iter(hello.key_shares())) == group
        values = (
            hello.cipher_suites[0],
            group,
            hello.code_list(codes.SUPPORTED_VERSIONS, 1)[0],
            hello.code_list(codes.SIGNATURE_ALGORITHMS)[0],
            first,
            last,
        )
        slots.update(enumerate(values))
    assert len(slots) == 6 * 16  # each slot takes all sixteen values


def test_chromium_permutes_and_firefox_does_not():
    draw = entropy()
    chromium = {
        tuple(kind for kind, _ in template("chromium").build("decoy.test", draw).hello.extensions[1:-1])
        for _ in range(50)
    }
    assert len(chromium) == 50
    firefox = template("firefox")
    orders = {tuple(kind for kind, _ in firefox.build("decoy.test", draw).hello.extensions) for _ in range(50)}
    assert orders == {tuple(kind for kind, _ in firefox.hello.extensions)}


def test_permutation_is_uniform():
    """Every extension is as often in the first place as in any other (within 5 standard deviations)."""
    captured, draw = template("chromium"), entropy()
    firsts = Counter(captured.build("decoy.test", draw).hello.extensions[1][0] for _ in range(1700))
    assert len(firsts) == 17
    assert all(abs(count - 100) < 50 for count in firsts.values())


def test_ech_grease():
    draw = entropy()

    def bodies(browser: str) -> list[bytes]:
        captured = template(browser)
        hellos = [captured.build("decoy.test", draw).hello for _ in range(100)]
        return [hello.extension(codes.ENCRYPTED_CLIENT_HELLO) or b"" for hello in hellos]

    chromium, firefox = bodies("chromium"), bodies("firefox")
    assert {len(body) - 42 for body in chromium} == ECH_PAYLOADS
    assert {body[4] for body in chromium} == {1}
    assert {len(body) for body in firefox} == {281}
    assert {body[4] for body in firefox} == {1, 3}
    assert len({body[8:40] for body in firefox}) == 100


def test_boringssl_without_permutation_keeps_its_order():
    """A capture in BoringSSL's own order (Safari) is not permuted."""
    captured = template("chromium").hello
    order = [0, 23, 0xFF01, 10, 11, 35, 16, 5, 13, 18, 51, 45, 43, 27, 0x44CD, 0xCA34, 0xFE0D]
    bodies = dict(captured.extensions)
    middle = [(kind, bodies[kind]) for kind in order]
    fixed = replace(captured, extensions=[captured.extensions[0], *middle, captured.extensions[-1]])
    made = Template.from_record(plain_record(codes.HANDSHAKE, fixed.message()))
    assert not made.permuted
    assert [kind for kind, _ in made.build("decoy.test", os.urandom).hello.extensions[1:-1]] == order


def without(kind: int):
    return lambda hello: replace(hello, extensions=[pair for pair in hello.extensions if pair[0] != kind])


def body_of(kind: int, body: bytes):
    return lambda hello: replace(hello, extensions=[(k, body if k == kind else b) for k, b in hello.extensions])


def plus(kind: int, body: bytes = b""):
    return lambda hello: replace(hello, extensions=[*hello.extensions, (kind, body)])


@pytest.mark.parametrize(
    "spoil",
    [
        without(codes.SERVER_NAME),
        without(codes.KEY_SHARE),
        without(codes.SUPPORTED_VERSIONS),
        plus(codes.PRE_SHARED_KEY),
        plus(codes.PADDING),
        plus(0x0A0A),
        body_of(codes.ENCRYPTED_CLIENT_HELLO, b"\1"),
        body_of(codes.KEY_SHARE, vector(2, u16(codes.X25519) + vector(2, bytes(32)))),
        lambda hello: replace(hello, session_id=b""),
    ],
)
def test_what_is_no_template(spoil):
    hello = spoil(template("firefox").hello)
    with pytest.raises(TemplateError):
        Template.from_record(plain_record(codes.HANDSHAKE, hello.message()))


def test_names_must_be_ascii():
    with pytest.raises(ValueError):
        template("firefox").build("bücher.test", os.urandom)


@given(st.integers(0, 1900), st.binary(min_size=1, max_size=8))
def test_any_record_gives_a_working_template_or_an_error(position, junk):
    record = bytearray((TEMPLATES / "firefox.hello").read_bytes())
    record[position : position + len(junk)] = junk
    try:
        made = Template.from_record(bytes(record))
    except TlsError:
        return
    hello = made.build("decoy.test", entropy()).hello
    assert ClientHello.parse(hello.message()) == hello
