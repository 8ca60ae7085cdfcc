"""The table of targets: name, what is done with the bytes, from which good inputs, how long they may be.

A target may raise ``RemoteError`` or ``LocalError`` of ours and nothing else; libFuzzer adds a limit of memory and of
time for each input.
"""

import zlib
from collections.abc import Callable, Sequence
from struct import pack
from typing import NamedTuple

import brotli
import zstandard
from hpack import Encoder

from qnet.mesh import near
from qnet.wire import cbor, descriptor, endorsement, heartbeat, network_file, reservation
from qnet.wire.cover.answer import Frame, frame
from qnet.wire.framing import encode_frame
from qnet.wire.messages import GetStatus, Hello, encode
from qnet.wire.tls import codes
from qnet.wire.tls.codec import handshake_message, vector
from tools.fuzz import machines, parsers
from tools.fuzz.parsers import KEY, NOW, PUBLIC, a_descriptor, body_of, hello_record, signed

SECONDS_FOR_ONE = 5
"""An input that takes longer is a hang."""
MEGABYTES = 600
"""Of the whole process, Python and its libraries included."""


class Target(NamedTuple):
    """``seeds``: good inputs, made by our own code; ``longest``: bytes of an input."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    longest: int = 4096


def _signed(name: str, seed: Callable[[], bytes], longest: int = 2048) -> Target:
    return Target(signed(*parsers.GOOD[name]), lambda: [body_of(seed())], longest)


def _network() -> network_file.NetworkFile:
    operator = network_file.Operator(descriptor.sign(a_descriptor(), KEY), "https://directory.test")
    return network_file.NetworkFile(PUBLIC, "Tulip Friends", NOW, (operator,))


def _endorsement() -> bytes:
    word = endorsement.Endorsement(PUBLIC, bytes(32), ("192.0.2.1:443",), 10, NOW - 5, NOW + 5000, "oak", "NL")
    return endorsement.sign(word, KEY)


def _certificates() -> list[bytes]:
    body = b"\0" + vector(3, vector(3, bytes(80)) + vector(2, b""))
    return [body, b"\0" + vector(3, (vector(3, bytes(20)) + vector(2, b"")) * 3)]


def _compressed() -> list[bytes]:
    (body, _) = _certificates()
    packers = {1: zlib.compress, 2: brotli.compress, 3: zstandard.compress}
    return [
        handshake_message(
            codes.COMPRESSED_CERTIFICATE,
            kind.to_bytes(2, "big") + len(body).to_bytes(3, "big") + vector(3, pack(body)),
        )
        for kind, pack in packers.items()
    ]


def _door() -> list[bytes]:
    say = machines.operation
    found, finished = [], b"\x14\3\3\0\1\1" + b"\x17\3\3\0\x35" + bytes(53)
    for browser in ("chromium", "firefox"):
        hello = machines.opening(browser)
        answered = say(0, hello) + say(1, machines.server_hello_record())
        found += [
            answered + say(0, finished) + say(4) + say(1, bytes(700)) + say(5) + say(0, b"\x17\3\3\0\x28" + bytes(40)),
            answered + say(0, finished) + say(0, b"\x17\3\3\0\x28" + bytes(40)),
            say(0, hello[:100]) + say(0, hello[100:]) + say(2),
            answered + say(1, bytes(100)) + say(3) + say(0, b"\x17\3\3\0\x28"),
        ]
    return [*found, say(0, b"GET / HTTP/1.1\r\n\r\n") + say(1, b"HTTP/1.1 400\r\n") + say(3) + say(2)]


def _answers() -> list[bytes]:
    headers = Encoder().encode([(b":status", b"200"), (b"date", b"Fri, 27 Nov 2026 14:00:00 GMT")])
    begin = frame(Frame.SETTINGS, 0, 0, b"") + frame(Frame.PING, 0, 0, bytes(8))
    return [_CUT + begin + frame(Frame.HEADERS, 4, 1, headers) + frame(Frame.DATA, 1, 1, b"hello")]


def _profiles() -> list[bytes]:
    up, down = pack(">10H", 500, 1, 0, 0, 10, 100, 0, 1, 0, 20), pack(">6H", 900, 1, 0, 100, 1, 20)
    return [cbor.encode({0: 1, 1: [[[[463, [300, 1200], 1, 50, 10, 60, 20, 5, 0]], [[up, down]]]]})]


_REQUESTS = (encode(Hello(id=1, version=1)), encode(GetStatus(id=2)))
_LIST = b"[AutoProxy 0.2.9]\n! note\n||example.org\n@@||www.example.org\n|https://x.test/path\n/^a.*b$/\n*.cdn.test\n"
_HOSTS = b"# ads\n0.0.0.0 ads.example.org\n127.0.0.1 x.test y.test\nplain.example\n"
_SWITCHY = b"""{"schemaVersion":2,"+auto":{"profileType":"SwitchProfile","name":"auto","defaultProfileName":"direct",
"rules":[{"condition":{"conditionType":"HostWildcardCondition","pattern":"*.a.test"},"profileName":"p"}]},
"+p":{"profileType":"FixedProfile","name":"p","fallbackProxy":{"scheme":"socks5","host":"127.0.0.1","port":1}}}"""
_FOXY = b"""{"mode":"pattern","data":[{"active":true,"type":"socks5","hostname":"127.0.0.1","port":"1","include":[
{"type":"wildcard","title":"t","pattern":"*://*.a.test/","active":true}],"exclude":[]}]}"""
_HTTP = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
_PLAIN = b"GET http://example.org/x HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\nhi"
_RULES = b'{"format":"qnet-rules","version":1,"default":"direct","rules":[{"kind":"domain","pattern":"a.test",'
_RULES += b'"action":"tunnel","country":"NL","hops":3}]}'
_CUT = b"\x1f"
"""In front of what is given in pieces: pieces of 32 bytes."""

TARGETS: dict[str, Target] = {
    "tls client hello": Target(parsers.client_hello, lambda: [hello_record(b)[5:] for b in ("chromium", "firefox")]),
    "tls template": Target(parsers.template, lambda: [hello_record(b) for b in ("chromium", "firefox")]),
    "tls server hello": Target(parsers.server_hello, lambda: [machines.server_hello_record()[5:127]], 1024),
    "tls extensions": Target(
        parsers.encrypted_extensions,
        lambda: [handshake_message(8, vector(2, b"\0\x10\0\5\0\3\2h2"))],
        1024,
    ),
    "tls certificate": Target(parsers.tls_certificate, _certificates),
    "tls compressed certificate": Target(parsers.compressed_certificate, _compressed),
    "tls records": Target(parsers.tls_records, lambda: [_CUT + machines.server_hello_record()]),
    "tls tickets": Target(
        machines.tickets, lambda: [b"\xff" + parsers.ticket_message() * 2, b"\xff\x18\0\0\1\1"], 1024
    ),
    "cover client": Target(machines.cover_client, lambda: [_CUT + machines.server_hello_record()]),
    "decoy answer": Target(parsers.decoy_answer, _answers, 2048),
    "shaping profile": Target(parsers.profile, _profiles, 2048),
    "shaping pieces": Target(parsers.joined, lambda: [_CUT + vector(2, bytes(20)) + vector(2, bytes(300))], 2048),
    "front door": Target(machines.front_door, _door, 8192),
    "link bytes": Target(machines.link_bytes, lambda: [_CUT + b"\x17\3\3\0\x28" + bytes(40)], 2048),
    "link frames": Target(machines.link_frames, machines.good_frames, 2048),
    "noise payload": Target(machines.noise_payload, lambda: [each[1:] for each in machines.good_frames()], 2048),
    "frame bodies": Target(
        parsers.frame_bodies, lambda: [b"\0\0\0\0\1\0\x50\6a.test", b"\1\0\0\0\1", b"\2\0\0\0\1\1", b"\5\0\0\1\0"], 300
    ),
    "cbor": Target(parsers.cbor_item, lambda: [cbor.encode({1: [b"x", "y", -1, None, True], "k": {}})], 2048),
    "descriptor": _signed("descriptor", lambda: descriptor.sign(a_descriptor(), KEY)),
    "endorsement": _signed("endorsement", _endorsement),
    "heartbeat": _signed("heartbeat", lambda: heartbeat.sign(heartbeat.Heartbeat(bytes(32), 1, NOW, 5), KEY), 400),
    "network file": _signed("network file", lambda: network_file.sign(_network(), KEY)),
    "network link": Target(
        parsers.link,
        lambda: [network_file.verify(network_file.sign(_network(), KEY), NOW).link.encode()],
    ),
    "reservation": _signed("reservation", lambda: reservation.sign(KEY, bytes(32), NOW), 400),
    "gossip message": Target(
        signed(*parsers.GOOD["gossip message"]),
        lambda: [cbor.encode({0: 1, 1: PUBLIC, 2: bytes(32), 3: 7, 4: 0, 5: b"\x80"})],
    ),
    "gossip summary": Target(
        signed(*parsers.GOOD["gossip summary"]),
        lambda: [cbor.encode({0: 1, 1: PUBLIC, 2: NOW, 3: bytes(2048), 4: [b""] * 256})],
    ),
    "gossip array": Target(parsers.gossip_array, lambda: [cbor.encode([b"x", {1: 2}])], 1024),
    "announcement": Target(
        parsers.announcement,
        lambda: [b"".join(near.announce(descriptor.sign(a_descriptor(), KEY), [_endorsement()]).values())],
    ),
    "directory listing": Target(
        parsers.listing, lambda: [b'{"NL":[{"descriptor":"oA==","endorsements":[]}],"gone":["x"]}']
    ),
    "native frames": Target(parsers.native_frames, lambda: [b"\4" + b"".join(map(encode_frame, _REQUESTS))], 1024),
    "requests": Target(parsers.request, lambda: list(_REQUESTS), 2048),
    "proxy": Target(parsers.proxy, lambda: [_CUT + b"\5\1\0\5\1\0\3\6a.test\0\x50", _CUT + _HTTP, _CUT + _PLAIN], 2048),
    "hosts": Target(
        parsers.host, lambda: [b"https://example.org:8443/x", b"[2001:db8::1]", "bücher.example".encode()], 300
    ),
    "rule lists": Target(parsers.rule_list, lambda: [_LIST, _HOSTS, _SWITCHY, _FOXY, _RULES]),
    "rules file": Target(parsers.rules_file, lambda: [_RULES], 1024),
    "rule": Target(parsers.a_rule, lambda: [b'{"kind":"cidr","pattern":"10.0.0.0/8","action":"block","port":80}'], 512),
    "expression": Target(parsers.expression, lambda: [rb"^(?:a|b)+\.example\.(?:org|test)$", rb"[a-z]{2,9}\d*x?"], 520),
}
