"""SOCKS5: the conversation of RFC 1928, and every refusal with its reply."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.destination import ProxyError, ProxyRequest
from qnet.wire.socks5 import Reply, Socks5Handshake, push_reply
from qnet.wire.steps import Done, Receive, Send

GREETING = b"\x05\x01\x00"


def request(kind: int, address: bytes, port: int = 443, command: int = 1) -> bytes:
    return bytes([5, command, 0, kind]) + address + port.to_bytes(2)


def name(text: bytes, port: int = 443) -> bytes:
    return request(3, bytes([len(text)]) + text, port)


def converse(data: bytes) -> Done[ProxyRequest]:
    """Greeting whole, then ``data`` whole."""
    handshake = Socks5Handshake()
    assert handshake.step(GREETING) == Send(b"\x05\x00")
    done = handshake.step(data)
    assert isinstance(done, Done)
    return done


def refusal(data: bytes) -> bytes:
    handshake = Socks5Handshake()
    handshake.step(GREETING)
    with pytest.raises(ProxyError) as caught:
        handshake.step(data)
    return caught.value.answer


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (name(b"example.org"), "example.org"),
        (name(b"EXAMPLE.org."), "example.org"),
        (name("bücher.example".encode()), "xn--bcher-kva.example"),
        (name(b"192.0.2.7"), "192.0.2.7"),
        (name(b"[2001:DB8::1]"), "2001:db8::1"),
        (request(1, bytes([192, 0, 2, 1])), "192.0.2.1"),
        (request(4, ipaddress.IPv6Address("2001:db8::5").packed), "2001:db8::5"),
        (request(4, ipaddress.IPv6Address("::ffff:127.0.0.1").packed), "127.0.0.1"),
    ],
)
def test_request(data: bytes, host: str) -> None:
    assert converse(data) == Done(ProxyRequest(host, 443, "socks5"), b"")


def test_trailing_bytes_survive() -> None:
    assert converse(name(b"example.org") + b"early").trailing == b"early"


def test_greeting_and_request_in_one_arrival() -> None:
    handshake = Socks5Handshake()
    assert handshake.step(GREETING + name(b"example.org") + b"x") == Send(b"\x05\x00")
    assert handshake.step(b"") == Done(ProxyRequest("example.org", 443, "socks5"), b"x")


def test_byte_by_byte() -> None:
    handshake = Socks5Handshake()
    stream = b"\x05\x02\x02\x00" + name(b"example.org")
    steps = [handshake.step(stream[at : at + 1]) for at in range(len(stream))]
    assert steps[3] == Send(b"\x05\x00")
    assert all(step == Receive() for step in steps[:3] + steps[4:-1])
    assert steps[-1] == Done(ProxyRequest("example.org", 443, "socks5"), b"")


def test_no_acceptable_method() -> None:
    with pytest.raises(ProxyError) as caught:
        Socks5Handshake().step(b"\x05\x01\x02")
    assert caught.value.answer == b"\x05\xff"


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (request(1, bytes(4), command=2), Reply.COMMAND_NOT_SUPPORTED),
        (request(1, bytes(4), command=3), Reply.COMMAND_NOT_SUPPORTED),
        (request(2, bytes(4)), Reply.ADDRESS_TYPE_NOT_SUPPORTED),
        (b"\x04" + name(b"example.org")[1:], Reply.GENERAL_FAILURE),
        (name(b""), Reply.HOST_UNREACHABLE),
        (name(b"a b"), Reply.HOST_UNREACHABLE),
        (name(b"\xff\xfe"), Reply.HOST_UNREACHABLE),
        (name(b"127.1"), Reply.HOST_UNREACHABLE),
        (name(b"example.org", 0), Reply.CONNECTION_REFUSED),
        (name(b"directory.qnet"), Reply.NOT_ALLOWED),
        (name(b"Directory.QNET."), Reply.NOT_ALLOWED),
    ],
)
def test_refusals(data: bytes, reply: Reply) -> None:
    assert refusal(data) == push_reply(reply) == bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0])


@given(st.lists(st.binary(max_size=300), max_size=6), st.booleans())
def test_any_input_gives_a_step_or_a_proxy_error(arrivals: list[bytes], greet: bool) -> None:
    handshake = Socks5Handshake()
    try:
        if greet:
            handshake.step(GREETING)
        for data in arrivals:
            if isinstance(handshake.step(data), Done):
                break
    except ProxyError as error:
        assert error.answer[:1] in (b"", b"\x05")
