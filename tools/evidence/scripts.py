"""The scripts of the prober, as a table: name → steps.

After Frolov, Wampler and Wustrow (NDSS 2020), what is known of the Great Firewall's probes (random bytes of chosen
lengths, replays, other protocols), and what a relay that reads TLS could get wrong.
"""

import random
import struct
from collections.abc import Iterator

from qnet.wire.channel import record
from qnet.wire.tls import codes
from qnet.wire.tls.codec import push_u16_list, u16, vector
from qnet.wire.tls.hello import ClientHello
from tools.evidence.probe import (
    Change,
    Edit,
    Fin,
    Flight,
    Flood,
    Hello,
    Reset,
    Script,
    Sealed,
    Send,
    Shake,
    Tunnel,
    Wait,
)

CCS = b"\x14\x03\x03\x00\x01\x01"
GET = b"GET / HTTP/1.1\r\nHost: decoy.test\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


COUNTED = 28
"""So many at once: OpenSSL takes 32 records that say nothing, and refuses the next."""


def noise(length: int) -> bytes:
    """Random bytes, the same in every run."""
    return random.Random(length).randbytes(length)


PROTOCOLS = {
    "nothing": b"",
    "HTTP GET": GET,
    "HTTP POST": b"POST / HTTP/1.1\r\nHost: decoy.test\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP CONNECT": b"CONNECT example.test:443 HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2 in clear": HTTP2,
    "SOCKS4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "SOCKS5": b"\x05\x01\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO probe.test\r\n",
    "FTP": b"USER anonymous\r\n",
    "IMAP": b"a1 CAPABILITY\r\n",
    "DNS": b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05decoy\x04test\x00\x00\x01\x00\x01",
    "RDP": bytes.fromhex("030000130ee000000000000100080003000000"),
    "PostgreSQL SSLRequest": bytes.fromhex("0000000804d2162f"),
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "BitTorrent": b"\x13BitTorrent protocol" + bytes(48),
    "STUN": bytes.fromhex("000100002112a442") + bytes(12),
    "OpenVPN": bytes.fromhex("000e38") + bytes(13),
    "SSLv2": bytes.fromhex("802e0100020015000000100700c003008001008006004004008002008000") + bytes(16),
    "Tor": b"\x00\x00\x07\x00\x04\x00\x03\x00\x04",
    "newlines": b"\r\n" * 20,
    "zeros": bytes(1024),
    "a PROXY header": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
}


def header(kind: int, length: int, version: int = 0x0301) -> bytes:
    return struct.pack(">BHH", kind, version, length)


def cut(length: int) -> Change:
    """Only the first bytes; a negative number leaves out the last."""
    return lambda data: data[:length]


def flip(at: int) -> Change:
    return lambda data: data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :]


def then(more: bytes) -> Change:
    return lambda data: data + more


def put(at: int, value: bytes) -> Change:
    return lambda data: data[:at] + value + data[at + len(value) :]


def fragments(length: int) -> Change:
    """The same message in records of ``length`` bytes."""

    def change(data: bytes) -> bytes:
        message = data[5:]
        parts = [message[at : at + length] for at in range(0, len(message), length)]
        return b"".join(header(22, len(part)) + part for part in parts)

    return change


def without(*kinds: int) -> Edit:
    def edit(hello: ClientHello) -> None:
        hello.extensions = [each for each in hello.extensions if each[0] not in kinds]

    return edit


def replaced(kind: int, body: bytes) -> Edit:
    def edit(hello: ClientHello) -> None:
        hello.extensions = [(each, body if each == kind else was) for each, was in hello.extensions]

    return edit


def field(name: str, value: object) -> Edit:
    return lambda hello: setattr(hello, name, value)


def shares(*groups: int) -> Edit:
    """Only the key shares of these groups."""

    def edit(hello: ClientHello) -> None:
        found = hello.key_shares()
        body = b"".join(u16(group) + vector(2, found[group]) for group in groups)
        replaced(codes.KEY_SHARE, vector(2, body))(hello)

    return edit


def sni(name: bytes) -> bytes:
    return vector(2, b"\0" + vector(2, name))


EDITS: dict[str, Edit] = {
    "another name": replaced(codes.SERVER_NAME, sni(b"other.test")),
    "no name": without(codes.SERVER_NAME),
    "an empty name": replaced(codes.SERVER_NAME, sni(b"")),
    "the name in capitals": replaced(codes.SERVER_NAME, sni(b"DECOY.TEST")),
    "a name that is none": replaced(codes.SERVER_NAME, sni(b"\xff\xfe\0")),
    "two names": replaced(codes.SERVER_NAME, vector(2, (b"\0" + vector(2, b"decoy.test")) * 2)),
    "TLS 1.2 only": without(codes.SUPPORTED_VERSIONS, codes.KEY_SHARE),
    "TLS 1.1 only": replaced(codes.SUPPORTED_VERSIONS, vector(1, u16(0x0302))),
    "TLS 1.5 only": replaced(codes.SUPPORTED_VERSIONS, vector(1, u16(0x0306))),
    "no versions at all": replaced(codes.SUPPORTED_VERSIONS, b"\0"),
    "legacy version 1.0": field("legacy_version", 0x0301),
    "legacy version 3.9": field("legacy_version", 0x0909),
    "no session": field("session_id", b""),
    "a session of 31 bytes": field("session_id", noise(31)),
    "a session of zeros": field("session_id", bytes(32)),
    "unknown suites": field("cipher_suites", [0x1399, 0x0A0A]),
    "one suite": field("cipher_suites", [0x1301]),
    "the third suite": field("cipher_suites", [0x1303]),
    "old suites": field("cipher_suites", [0xC02F, 0xC030, 0x009C]),
    "compression": field("compression", b"\1\0"),
    "compression only": field("compression", b"\1"),
    "no key shares": shares(),
    "the X25519 share alone": shares(codes.X25519),
    "the P-256 share alone": shares(codes.SECP256R1),
    "the hybrid share alone": shares(codes.X25519_MLKEM768),
    "a share of low order": replaced(codes.KEY_SHARE, vector(2, u16(codes.X25519) + vector(2, bytes(32)))),
    "a short share": replaced(codes.KEY_SHARE, vector(2, u16(codes.X25519) + vector(2, noise(31)))),
    "malformed shares": replaced(codes.KEY_SHARE, b"\xff\xff\0"),
    "unknown groups": replaced(codes.SUPPORTED_GROUPS, vector(2, push_u16_list([0x9999]))),
    "no groups": without(codes.SUPPORTED_GROUPS),
    "no signature algorithms": without(codes.SIGNATURE_ALGORITHMS),
    "unknown signature algorithms": replaced(codes.SIGNATURE_ALGORITHMS, vector(2, push_u16_list([0x9999]))),
    "no ALPN": without(codes.ALPN),
    "an unknown ALPN": replaced(codes.ALPN, vector(2, vector(1, b"quic"))),
    "HTTP/1.1 by ALPN": replaced(codes.ALPN, vector(2, vector(1, b"http/1.1"))),
    "no extensions": field("extensions", []),
    "an extension twice": lambda hello: hello.extensions.append(hello.extensions[0]),
    "early data": lambda hello: hello.extensions.append((codes.EARLY_DATA, b"")),
    "a ticket of nobody": lambda hello: hello.extensions.append(
        (codes.PRE_SHARED_KEY, vector(2, vector(2, noise(200)) + bytes(4)) + vector(2, vector(1, noise(32))))
    ),
    "a long unknown extension": lambda hello: hello.extensions.append((0x7777, bytes(9000))),
}

CHANGES: dict[str, Change] = {
    **{f"byte {at} changed": flip(at) for at in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 20, 43, 44, 75, 76, 77, 78, 120, 300)},
    **{f"in records of {length}": fragments(length) for length in (1, 4, 39, 100, 700, 1500)},
    **{f"version {version:#06x}": put(1, u16(version)) for version in (0x0200, 0x0300, 0x0302, 0x0303, 0x0304, 0x0400)},
    "and CCS": then(CCS),
    "and 40 CCS": then(CCS * 40),
    "and itself": lambda data: data + data,
    "and garbage": then(noise(100)),
    "and an HTTP request": then(GET),
    "and an alert": then(b"\x15\x03\x03\x00\x02\x02\x28"),
    "and close_notify": then(b"\x15\x03\x03\x00\x02\x01\x00"),
    "and application data": then(record(noise(100))),
    "and an invalid header": then(b"\x17\x03\x03\xff\xff"),
    "and an empty record": then(b"\x17\x03\x03\x00\x00"),
    "with a byte too many inside": lambda data: header(22, len(data) - 4) + data[5:] + b"\0",
    "as a ServerHello": put(5, b"\2"),
    "as application data": put(0, b"\x17"),
}

FLIGHTS: dict[str, Change] = {
    "as it should": lambda flight: flight,
    "without CCS": lambda flight: flight[len(CCS) :],
    "with two CCS": lambda flight: CCS + flight,
    "with 33 CCS": lambda flight: CCS * 32 + flight,
    "with a CCS of two bytes": lambda flight: b"\x14\x03\x03\x00\x02\x01\x01" + flight[len(CCS) :],
    "with a CCS of zero": lambda flight: b"\x14\x03\x03\x00\x01\x00" + flight[len(CCS) :],
    "with a wrong Finished": flip(20),
    "cut short": cut(-5),
    "with an alert before": lambda flight: b"\x15\x03\x03\x00\x02\x02\x28" + flight,
    "with an empty record before": lambda flight: b"\x17\x03\x03\x00\x00" + flight,
    "with a record of one byte before": lambda flight: record(b"x") + flight,
    "with a second hello before": lambda flight: header(22, 6, 0x0303) + b"\1\0\0\2\3\3" + flight,
    "with garbage before": lambda flight: noise(60) + flight,
    "with an HTTP request before": lambda flight: GET + flight,
}

RECORDS: dict[str, bytes] = {
    **{
        f"of {length} random bytes": record(noise(length))
        for length in (1, 16, 17, 18, 19, 26, 34, 100, 1400, 16401, 16640)
    },
    "that is empty": b"\x17\x03\x03\x00\x00",
    "that is too long": header(23, 16641, 0x0303) + noise(100),
    "of length ffff": b"\x17\x03\x03\xff\xff",
    "of another version": header(23, 40, 0x0301) + noise(40),
    "of type handshake": header(22, 40, 0x0303) + noise(40),
    "of type alert": header(21, 19, 0x0303) + noise(19),
    "of type 24": header(24, 40, 0x0303) + noise(40),
    "of type 99": header(99, 40, 0x0303) + noise(40),
    "that is CCS": CCS,
    "that never ends": header(23, 200, 0x0303) + noise(50),
    "of which only the header comes": header(23, 200, 0x0303),
    "of which three bytes come": b"\x17\x03\x03",
    "and bytes of another protocol": record(noise(60)) + GET,
    "that is no record": GET,
    "twenty times": record(noise(60)) * 20,
    "and a megabyte": record(noise(60)) + bytes(1 << 20),
}


UNFINISHED = ("that never ends", "of which only the header comes", "of which three bytes come")
"""In a tunnel these only wait, as at a decoy; when an idle tunnel closes is another question than this one."""


def table() -> dict[str, Script]:
    """Every script."""
    return dict(_scripts())


def _scripts() -> Iterator[tuple[str, Script]]:
    for name, data in PROTOCOLS.items():
        yield name, (Send(data),)
        yield f"{name}, then FIN", (Send(data), Fin())
    for length in (1, 2, 5, 7, 8, 16, 33, 49, 50, 51, 100, 221, 517, 1000, 4096, 16384, 70000):
        yield f"{length} random bytes", (Send(noise(length)),)
    for length in (5, 221, 4096):
        yield f"{length} random bytes, then FIN", (Send(noise(length)), Fin())
    for length in (0, 1, 4, 38, 512, 16384, 16385, 16640, 18432, 65535):
        yield f"a header that announces {length}", (Send(header(22, length)),)
        yield f"a header that announces {length}, then FIN", (Send(header(22, length)), Fin())
    for kind in (0, 1, 19, 20, 21, 23, 24, 25, 128, 255):
        yield f"a record of type {kind}", (Send(header(kind, 2, 0x0303) + b"\2\x28"),)
    yield from _hellos()
    for name, script in {
        "CCS": (Flood(CCS, COUNTED),),
        "CCS after the hello": (Hello(), Flood(CCS, COUNTED)),
        "CCS after a hello with the key": (Hello("valid"), Flood(CCS, COUNTED)),
        "CCS after the server's flight": (Shake(), Flood(CCS, COUNTED)),
        "CCS after the server's flight, with the key": (Shake("valid"), Flood(CCS, COUNTED)),
        "warnings": (Flood(b"\x15\x03\x01\x00\x02\x01\x5a", COUNTED),),
        "empty handshake records": (Flood(b"\x16\x03\x01\x00\x00", COUNTED),),
        "single bytes": (Flood(b"\x16"),),
        "headers": (Flood(header(22, 4) + b"\1\0\0\0"),),
        "garbage after the hello": (Hello(), Flood(noise(500))),
    }.items():
        yield f"a flood: {name}", script
    for key in ("none", "valid"):
        with_key = ", with the key" if key == "valid" else ""
        yield f"silence after the server's flight{with_key}", (Shake(key),)
        yield f"FIN after the server's flight{with_key}", (Shake(key), Fin())
        yield f"FIN after the client's flight{with_key}", (Shake(key), Flight(), Fin())
        yield f"close_notify{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(21, b"\1\0"))
        yield f"close_notify and FIN{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(21, b"\1\0"), Fin())
        yield f"a fatal alert inside{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(21, b"\2\x28"))
        yield f"HTTP/1.1 where HTTP/2 was agreed{with_key}", (Shake(key), Flight(preface=False), Sealed(23, GET))
        yield f"a key update{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(22, b"\x18\0\0\1\1"))
        yield f"a hello inside{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(22, b"\1\0\0\0"))
        yield f"data before Finished{with_key}", (Shake(key), Sealed(23, GET))
        yield f"a ping of HTTP/2{with_key}", (Shake(key), Flight(), Wait(0.25), Sealed(23, b"\0\0\x08\6" + bytes(13)))
        for name, change in FLIGHTS.items():
            yield f"the client's flight {name}{with_key}", (Shake(key), Flight(change), Wait(0.25), Fin())
        for name, data in RECORDS.items():
            yield f"a record {name} after the handshake{with_key}", (Shake(key), Flight(), Wait(0.25), Send(data))
    for name, data in RECORDS.items():
        if name not in UNFINISHED:
            yield f"a record {name} in a tunnel", (Tunnel(), Send(data))
    yield "a bad record in a tunnel, then FIN", (Tunnel(), Send(record(noise(60))), Fin())
    yield "a flood of CCS in a tunnel", (Tunnel(), Flood(CCS, COUNTED))
    # What races the answer is refused a millisecond later at a peer (its closing times are compared by themselves).
    yield "bytes after a refused record in a tunnel", (Tunnel(), Send(record(noise(60))), Wait(0.25), Flood(b"x"))


def _hellos() -> Iterator[tuple[str, Script]]:
    for key in ("none", "valid", "stale"):
        held = {"none": "a hello", "valid": "a hello with the key", "stale": "an old hello"}[key]
        endings: dict[str, Script] = {"": (), ", then FIN": (Fin(),), ", then silence": (Wait(0.5), Fin())}
        for name, steps in endings.items():
            yield held + name, (Hello(key), *steps)
        for name, piece, gap in (("byte by byte", 1, 0.002), ("slowly", 200, 0.02), ("in two parts", 1000, 0.1)):
            yield f"{held}, {name}", (Hello(key, piece=piece, gap=gap),)
        yield f"{held}, then an invalid header", (Hello(key), Wait(0.25), Send(b"\x17\x03\x03\xff\xff"))
        yield f"{held}, then a bad record", (Hello(key), Wait(0.25), Send(record(noise(60))))
        yield f"{held}, then RST", (Hello(key), Reset())
        for length in (1, 3, 5, 6, 9, 43, 76, 500, 1800, -1) if key != "stale" else ():
            yield f"{held} cut at {length}", (Hello(key, change=cut(length)),)
            yield f"{held} cut at {length}, then FIN", (Hello(key, change=cut(length)), Fin())
        for name, change in CHANGES.items() if key != "stale" else ():
            yield f"{held} {name}", (Hello(key, change=change),)
    for name, edit in EDITS.items():
        yield f"a hello with {name}", (Hello(edit=edit),)
    for name in ("another name", "TLS 1.2 only", "the X25519 share alone", "no ALPN", "one suite", "old suites"):
        yield f"a hello with the key, with {name}", (Hello("valid", edit=EDITS[name]),)
