"""The local proxy port: which protocol, and how success and failure are told."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.destination import canonical_host
from qnet.wire.proxy import FAILURES, FailureReason, ProxyError, ProxyHandshake, ProxyRequest, failure, success
from qnet.wire.steps import Done, Receive, Send

SOCKS = ProxyRequest("a.example", 443, "socks5")
CONNECT = ProxyRequest("a.example", 443, "connect")
PLAIN = ProxyRequest("a.example", 80, "http", b"GET / HTTP/1.1\r\n\r\n", 0)


def test_first_byte_chooses_socks5() -> None:
    handshake = ProxyHandshake()
    assert handshake.step(b"") == Receive()
    assert handshake.step(b"\x05") == Receive()
    assert handshake.step(b"\x01\x00") == Send(b"\x05\x00")
    assert handshake.step(b"\x05\x01\x00\x03\x09a.example\x01\xbbrest") == Done(SOCKS, b"rest")


def test_first_byte_chooses_http() -> None:
    handshake = ProxyHandshake()
    assert handshake.step(b"C") == Receive()
    assert handshake.step(b"ONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n") == Done(CONNECT, b"")


@pytest.mark.parametrize("data", [b"\x04\x01", b"\x16\x03\x01", b"get / HTTP/1.1\r\n\r\n", b"\x00", b"\xc3\x84"])
def test_anything_else_is_refused_without_an_answer(data: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        ProxyHandshake().step(data)
    assert caught.value.answer == b""


def test_success() -> None:
    assert success(SOCKS) == bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert success(CONNECT).startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length" not in success(CONNECT)
    assert success(PLAIN) == b""


@pytest.mark.parametrize("reason", FailureReason)
def test_failure_names_the_place(reason: FailureReason) -> None:
    assert failure(SOCKS, reason) == bytes([5, FAILURES[reason].reply, 0, 1, 0, 0, 0, 0, 0, 0])
    for request in (CONNECT, PLAIN):
        answer = failure(request, reason)
        assert int(answer.split()[1]) in (403, 502, 503, 504)
        assert answer.partition(b"\r\n\r\n")[2].startswith(FAILURES[reason].place.encode() + b": ")


def test_the_reasons_a_program_can_tell_apart() -> None:
    assert failure(SOCKS, FailureReason.REFUSED)[1] == 5
    assert failure(SOCKS, FailureReason.POLICY)[1] == 2
    assert failure(SOCKS, FailureReason.NO_TUNNEL)[1] == 3


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("a_b.Example.", "a_b.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("127。0。0。1", "127.0.0.1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("[0:0::1]", "::1"),
        ("localhost", "localhost"),
    ],
)
def test_canonical_host(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a..b", "127.1", "2130706433", "0x7f.0.0.1", "1.2.3.4.5", "a.123", "fe80::1%eth0", "[", "[]", "a:b",
     "-a.example", "a-.example", "a/b", "a b", "a" * 64, "a." * 127 + "aa", "a" * 256, "\ud800", "\u202e.example"],
)  # fmt: skip
def test_not_a_host(text: str) -> None:
    with pytest.raises(ValueError):
        canonical_host(text)


@given(st.text(max_size=40))
def test_canonical_is_canonical_or_a_value_error(text: str) -> None:
    try:
        host = canonical_host(text)
    except ValueError:
        return
    assert canonical_host(host) == host
    assert canonical_host(host.upper()) == host


@given(st.binary(max_size=400))
def test_any_input_gives_a_step_or_a_proxy_error(data: bytes) -> None:
    with suppress(ProxyError):
        ProxyHandshake().step(data)
