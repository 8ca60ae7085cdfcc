"""Server fingerprints: what a peer's port shows of its TLS stack is the decoy's, to the length of each record.

* The handshake of a client with the key, beside one of a browser without it at the decoy: ServerHello, record lengths.
* JARM-like (Salesforce, 2020): ten hellos of different versions, suites, orders and extensions; the answers together.
* Aparecium (2024): the decoy's own records after the handshake, session tickets above all, before anything else.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from qnet.app.profile import load_profile
from qnet.wire.cover.appearance import APPEARANCES, SETTINGS_ACK_BODY, request
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.opening import Guise
from qnet.wire.errors import RemoteError
from qnet.wire.link import settings_frame
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.codec import push_u16_list, u16, vector
from qnet.wire.tls.hello import ClientHello, ServerHello
from qnet.wire.tls.record import plain_record
from qnet.wire.tls.verify import ChainVerifier
from tests.support.network import DECOY_NAME
from tools.evidence.probe import summary
from tools.evidence.row import Row, Say, count, seen
from tools.evidence.setting import BROWSERS, STACKS, Front, Setting, stranger, template
from tools.evidence.talk import Talk, bodies, records


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """100 handshakes (short: 10) and one scan of each decoy."""
    number = 10 if short else 100
    for name in ("nginx",) if short else STACKS:
        say(f"{number} handshakes with {name} and its peer")
        front = place.front(name)
        direct = [_direct(front.decoy, place, at) for at in range(2 * number)]
        through = [_with_key(front, place, BROWSERS[at % 2]) for at in range(number)]
        known = {hello for hello, _, _ in direct}
        yield count(f"{name}: ServerHellos unlike the decoy's", sum(x not in known for x, _, _ in through), number)
        lengths = {flight for _, flight, _ in direct}
        yield count(f"{name}: flights of other lengths", sum(x not in lengths for _, x, _ in through), number)
        starts = _whole([after for _, _, after in direct])
        starts += _asked(starts, [_direct(front.decoy, place, at, asks=True)[2] for at in range(number)])
        odd = sum(not _begins_like(after, starts) for _, _, after in through)
        yield count(f"{name}: Aparecium: the decoy's first records missing or overtaken", odd, number)
        yield seen(f"{name}: Aparecium where they are missing", *_blind(through, starts))
        jarm = [[_answer(port, hello) for hello in ten_hellos()] for port in (front.decoy, front.public)]
        unequal = sum(ours != theirs for theirs, ours in zip(*jarm, strict=True))
        yield count(f"{name}: JARM-like scan: answers unlike the decoy's", unequal, len(jarm[0]))
        kinds = len({str(answer) for answer in jarm[0]})
        yield seen(f"{name}: different answers to the scan", str(kinds), len(jarm[0]), kinds > 2)


Seen = tuple[str, tuple[tuple[int, int], ...], list[int]]
"""The ServerHello without what is random, the flight's records, and the lengths of the records after the handshake."""


def _direct(port: int, place: Setting, at: int, *, asks: bool = False) -> Seen:
    """Both browsers in turn, with Finished and preface in one write and in two: decoys answer these differently.

    ``asks``: the request for a page comes along with the preface.
    """
    browser = BROWSERS[at % 2]
    look = APPEARANCES[browser]
    core = TlsClient(stranger(browser), ChainVerifier(place.anchors, time.time()), os.urandom)
    with Talk(port) as talk:
        done = talk.run(core)
        assert done is not None
        session, flight = done.result, len(talk.down)
        preface = session.seal(23, look.preface())
        if asks:
            preface += session.seal(23, request(DECOY_NAME), look.request_body(DECOY_NAME))
        if at % 4 < 2 and not asks:
            talk.send(session.flight + preface)
        else:
            talk.send(session.flight)
            talk.send(preface)
        talk.gather()
        return _seen(bytes(talk.down), flight)


def _with_key(front: Front, place: Setting, browser: str) -> Seen:
    """A whole tunnel, as an observer sees it."""
    verifier = ChainVerifier(place.anchors, time.time())
    guise = Guise(template(browser), APPEARANCES[browser], verifier, profile=load_profile(browser))
    with Talk(front.public) as talk:
        talk.run(CoverClient(front.known, guise, os.urandom, time.time(), settings_frame()))
        down = bytes(talk.down)
    return _seen(down, _flight_length(down))


def _flight_length(down: bytes) -> int:
    """The handshake ends with the record of the Finished, of 53 bytes (SHA-256) or 69 (SHA-384)."""
    at = 0
    for kind, length in records(down):
        at += 5 + length
        if kind == 23 and length in (53, 69):
            return at
    return at


def _seen(down: bytes, flight: int) -> Seen:
    hello = ServerHello.parse(bodies(down)[0])
    shown = [hello.legacy_version, len(hello.session_id), hello.cipher_suite, hello.compression]
    shown += [(kind, body[:4] if kind == codes.KEY_SHARE else body) for kind, body in hello.extensions.items()]
    return repr(shown), tuple(records(down[:flight])), [length for _, length in records(down[flight:])]


def _whole(starts: list[list[int]]) -> list[list[int]]:
    """Without those that were cut short: on a busy machine a decoy may be silent for a while in between."""
    most = max(map(sum, starts))
    return [start for start in starts if 2 * sum(start) > most]


def _asked(starts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[list[int]]:
    """Those starts without their SETTINGS ACK that who asks for a page is given: it comes in a record with the page."""
    return [
        start[:-1]
        for start in starts
        if start[-1] == SETTINGS_ACK_BODY
        and any(each[: len(start) - 1] == start[:-1] and each[: len(start)] != start for each in answers)
    ]


def _begins_like(after: Sequence[int], starts: Sequence[Sequence[int]]) -> bool:
    """Whether the whole of some decoy's first records comes before anything else. Adjacent small ones may be merged."""
    return any(list(after[: len(start)]) == list(start) for start in starts)


def _blind(through: Sequence[Seen], starts: Sequence[Sequence[int]]) -> tuple[str, int, bool]:
    """The same inspection of tunnels from which the first record is taken."""
    noticed = sum(not _begins_like(after[1:], starts) for _, _, after in through)
    return f"{noticed} noticed", len(through), noticed == len(through)


# --- the scan

_FORWARD = [0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014]
_FORWARD += [0x9C, 0x9D, 0x2F, 0x35]
_ORDERS = {
    "forward": _FORWARD,
    "reverse": _FORWARD[::-1],
    "top half": _FORWARD[: len(_FORWARD) // 2],
    "bottom half": _FORWARD[len(_FORWARD) // 2 :],
    "middle out": [_FORWARD[7 + (-1) ** at * ((at + 1) // 2)] for at in range(len(_FORWARD))],
    "no TLS 1.3": _FORWARD[3:],
}
_TEN = (
    # version in the hello, versions in the extension, suites, GREASE, ALPN, extensions reversed
    (0x0303, (0x0303, 0x0302, 0x0301), "forward", False, (b"h2", b"http/1.1"), False),
    (0x0303, (0x0303, 0x0302, 0x0301), "reverse", False, (b"h2", b"http/1.1"), True),
    (0x0303, (0x0303, 0x0302, 0x0301), "top half", False, (), False),
    (0x0303, (0x0303, 0x0302, 0x0301), "bottom half", False, (b"http/0.9", b"spdy/1"), False),
    (0x0303, (0x0303, 0x0302, 0x0301), "middle out", True, (b"http/0.9", b"spdy/1"), True),
    (0x0302, (), "forward", False, (b"h2", b"http/1.1"), False),
    (0x0303, (0x0304, 0x0303), "forward", False, (b"h2", b"http/1.1"), True),
    (0x0303, (0x0304, 0x0303), "reverse", False, (b"h2", b"http/1.1"), False),
    (0x0303, (0x0304, 0x0303), "no TLS 1.3", False, (b"h2", b"http/1.1"), False),
    (0x0303, (0x0304, 0x0303), "middle out", True, (b"http/0.9", b"spdy/1"), True),
)


def ten_hellos() -> Iterator[bytes]:
    """Records, each with one hello."""
    for version, versions, order, grease, protocols, backward in _TEN:
        extensions = [
            (codes.SERVER_NAME, vector(2, b"\0" + vector(2, DECOY_NAME.encode()))),
            (codes.EXTENDED_MASTER_SECRET, b""),
            (codes.RENEGOTIATION_INFO, b"\0"),
            (codes.SUPPORTED_GROUPS, vector(2, push_u16_list([0x1D, 0x17, 0x18]))),
            (codes.EC_POINT_FORMATS, b"\1\0"),
            (codes.SESSION_TICKET, b""),
            (codes.SIGNATURE_ALGORITHMS, vector(2, push_u16_list([0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501]))),
            (codes.KEY_SHARE, vector(2, u16(codes.X25519) + vector(2, b"\x09" + bytes(31)))),
            (codes.PSK_KEY_EXCHANGE_MODES, b"\1\1"),
        ]
        if versions:
            extensions.append((codes.SUPPORTED_VERSIONS, vector(1, push_u16_list(list(versions)))))
        if protocols:
            extensions.append((codes.ALPN, vector(2, b"".join(vector(1, name) for name in protocols))))
        if grease:
            extensions.insert(0, (codes.GREASE[3], b""))
        suites = ([codes.GREASE[5]] if grease else []) + _ORDERS[order]
        if backward:
            extensions.reverse()
        hello = ClientHello(version, os.urandom(32), os.urandom(32), suites, b"\0", extensions)
        yield plain_record(codes.HANDSHAKE, hello.message(), b"\x03\x01")


def _answer(port: int, hello: bytes) -> list[str]:
    """What JARM reads, and the lengths it does not read."""
    with Talk(port) as talk:
        talk.send(hello)
        talk.gather(0.3)
        told = summary(bytes(talk.down))
        with suppress(RemoteError, IndexError):
            found = ServerHello.parse(_first_message(bodies(bytes(talk.down))[0]))
            told.append(f"{found.legacy_version} {found.cipher_suite:#06x} {list(found.extensions)}")
        return told


def _first_message(body: bytes) -> bytes:
    """TLS 1.2 servers may put several messages in a record."""
    return body[: 4 + int.from_bytes(body[1:4], "big")]
