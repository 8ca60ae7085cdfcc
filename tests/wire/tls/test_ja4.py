"""JA3 and JA4: the captures' figures, and the example of the specification."""

import hashlib

import pytest

from qnet.wire.tls import codes
from qnet.wire.tls.codec import push_u16_list, vector
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja3, ja4
from tests.wire.tls.peers import template


@pytest.mark.parametrize(
    ("browser", "expected"),
    [
        ("chromium", "t13d1517h2_8daaf6152771_cb7bf5808d99"),
        ("firefox", "t13d1617h2_86a278354501_3cbfd9057e0d"),
    ],
)
def test_captures(browser, expected):
    assert ja4(template(browser).hello) == expected


def numbers(text: str) -> list[int]:
    return [int(value, 16) for value in text.split(",")]


def test_specification_example():
    """The worked example of FoxIO's JA4 document: t13d1516h2_8daaf6152771_e5627efa2ab1."""
    kinds = numbers("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015")
    algorithms = numbers("0403,0804,0401,0503,0805,0501,0806,0601")
    bodies = {
        codes.ALPN: b"\x00\x0c\x02h2\x08http/1.1",
        codes.SIGNATURE_ALGORITHMS: vector(2, push_u16_list(algorithms)),
        codes.SUPPORTED_VERSIONS: vector(1, push_u16_list([0x0A0A, 0x0304, 0x0303])),
    }
    ciphers = numbers("2a2a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035")
    hello = ClientHello(
        0x0303,
        bytes(32),
        bytes(32),
        ciphers,
        b"\0",
        [(0x7A7A, b""), *((kind, bodies.get(kind, b"")) for kind in kinds)],
    )
    assert ja4(hello) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_bare_hello():
    hello = ClientHello(0x0303, bytes(32), b"", [0x002F], b"\0", [])
    assert ja4(hello).startswith("t12i010000_")
    assert ja4(hello).endswith("_000000000000")


def test_ja3_of_a_known_text():
    """MD5 of "771,4865,0-10-11,29,0"."""
    extensions = [(0x0A0A, b""), (0, b""), (10, b"\0\4\x1a\x1a\0\x1d"), (11, b"\1\0")]
    hello = ClientHello(0x0303, bytes(32), b"", [0x2A2A, 0x1301], b"\0", extensions)
    assert ja3(hello) == hashlib.md5(b"771,4865,0-10-11,29,0").hexdigest()
