"""What a browser says first inside TLS, per browser: facts measured against nginx that no ClientHello shows.

Both browsers send one lone record with the HTTP/2 preface, SETTINGS and WINDOW_UPDATE, then their first request,
and after the server's SETTINGS a 26-byte record with a SETTINGS ACK (RFC 9113). With ALPS negotiated nothing of it
differs (measured with Chromium 156). A request's size depends on the host (Huffman coded), the languages and so on:
here they are those of en-US, and of Chromium itself.
"""

from dataclasses import dataclass
from math import inf

from hpack import Encoder

from qnet.wire.cover.answer import Frame, frame

PREFACE_MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_ACK_BODY = 26
"""Bytes in the body of the record with the SETTINGS ACK."""

_ACK = 0x01
_FIELD = 2
"""Bytes of HPACK before a host's own: the field's index and the length."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """``family``: the browser. ``settings``: HTTP/2 SETTINGS in order; ``window``: WINDOW_UPDATE; ``request_base``: of
    the first request's record body, all bytes but the host's.

    ``parting``: bodies of the records with which it ends a connection that is in order, in bytes: Chromium says
    nothing, Firefox GOAWAY and close_notify. ``patience``: seconds after which it ends an idle connection by itself;
    Chromium had not after 328. ``nudge``: seconds after which it sends a PING on one.
    """

    family: str
    settings: tuple[tuple[int, int], ...]
    window: int
    request_base: int
    parting: tuple[int, ...]
    patience: float
    nudge: float

    def preface(self) -> bytes:
        """The first application data."""
        settings = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in self.settings)
        return (
            PREFACE_MAGIC + frame(Frame.SETTINGS, 0, 0, settings) + frame(Frame.WINDOW_UPDATE, 0, 0, _u32(self.window))
        )

    def request_body(self, server_name: str) -> int:
        """Bytes of the body of the record with the first request, ``GET /`` of ``server_name`` at port 443."""
        return self.request_base + name_bytes(server_name)

    @property
    def table_size(self) -> int:
        """What the SETTINGS allow for the header table, in bytes."""
        return dict(self.settings).get(1, 4096)


CHROMIUM = Appearance("chromium", ((1, 65536), (2, 0), (4, 6291456), (6, 262144)), 0x00EF0001, 447, (), inf, inf)
FIREFOX = Appearance("firefox", ((1, 65536), (2, 0), (4, 131072), (5, 16384)), 0x00BF0001, 305, (34, 19), 172.0, 58.0)
APPEARANCES = {each.family: each for each in (CHROMIUM, FIREFOX)}


def name_bytes(server_name: str) -> int:
    """How many bytes a host's name takes in a request (HPACK, Huffman coded)."""
    return len(Encoder().encode([(":authority", server_name)])) - _FIELD


def request(server_name: str) -> bytes:
    """A genuine ``GET /`` in HTTP/2 (RFC 7541 literals), for the decoy when it is the decoy that answers."""
    authority = server_name.encode()
    block = b"\x82\x87\x84\x41" + bytes([len(authority)]) + authority
    return frame(Frame.HEADERS, 0x05, 1, block)


def has_settings(plaintext: bytes) -> bool:
    """Whether application data of a server begins with its SETTINGS (not the ACK of ours)."""
    return len(plaintext) >= 9 and plaintext[3] == Frame.SETTINGS and not plaintext[4] & _ACK


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")
