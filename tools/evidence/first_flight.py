"""What a passive observer computes over a client's first bytes.

* Fully encrypted traffic (Wu et al., USENIX Security 2023): the Great Firewall's rules, by which it blocks whatever
  looks like nothing at all. A first packet is exempt by any of: few or many set bits, printable text at its start, in
  its half or in a long run, or the look of TLS or HTTP.
* On-curve: a bare X25519 key is a field element that lies on the curve; random bytes do with probability 1/4 (the top
  bit is clear by half, and half of all field elements do). The first record after the preface must look random.
"""

import os
import time
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.app.profile import load_profile
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.opening import APPLICATION_DATA, Guise
from qnet.wire.link import settings_frame
from qnet.wire.tls.verify import ChainVerifier
from tools.evidence.row import Row, Say, seen
from tools.evidence.setting import BROWSERS, Setting, template
from tools.evidence.talk import Talk, bodies, records

_P = 2**255 - 19
_A = 486662
_PRINTABLE = frozenset(range(0x20, 0x7F))
_METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ")
_LONG_RUN = 20
_FEW_BITS, _MANY_BITS = 3.4, 4.6


def exempt(first: bytes) -> bool:
    """Whether the firewall lets a connection with this first packet pass (rules Ex1 to Ex5)."""
    bits = sum(byte.bit_count() for byte in first) / len(first)
    printable = [byte in _PRINTABLE for byte in first]
    run = longest = 0
    for each in printable:
        run = run + 1 if each else 0
        longest = max(longest, run)
    looks_known = (first[:1] in (b"\x16", b"\x17") and first[1:2] == b"\x03" and first[2] <= 9) or first.startswith(
        _METHODS
    )
    return (
        bits <= _FEW_BITS
        or bits >= _MANY_BITS
        or all(printable[:6])
        or sum(printable) > len(first) / 2
        or longest > _LONG_RUN
        or looks_known
    )


def on_curve(data: bytes) -> bool:
    """Whether 32 bytes are the u of a point of Curve25519 (RFC 7748), as every public key is."""
    u = int.from_bytes(data, "little")
    if u >= _P:
        return False
    square = (u**3 + _A * u**2 + u) % _P
    return square == 0 or pow(square, (_P - 1) // 2, _P) == 1


def _encrypted(up: bytes) -> list[bytes]:
    """The bodies of a client's encrypted records: its Finished, the preface, N1."""
    return [body for (kind, _), body in zip(records(up), bodies(up), strict=True) if kind == APPLICATION_DATA]


def _has_first(up: bytes) -> bool:
    return len(_encrypted(up)) > 2


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """1,000 tunnels (short: 60)."""
    number = 60 if short else 1000
    front = place.front()
    known = front.known
    say(f"{number} tunnels")
    firsts, starts = [], []
    for at in range(number):
        browser = BROWSERS[at % 2]
        verifier = ChainVerifier(place.anchors, time.time())
        guise = Guise(template(browser), APPEARANCES[browser], verifier, profile=load_profile(browser))
        with Talk(front.public) as talk:
            talk.run(CoverClient(known, guise, os.urandom, time.time(), settings_frame()), enough=_has_first)
            firsts.append(talk.writes[0])
            starts.append(_encrypted(talk.up)[2][:32])
    passed = sum(map(exempt, firsts)) / number
    yield Row("fully encrypted traffic: exempt first packets", f"{passed:.1%}", "100%", number, passed == 1)
    random_ones = sum(exempt(os.urandom(512)) for _ in range(number)) / number
    yield seen("fully encrypted traffic: random bytes that are exempt", f"{random_ones:.0%}", number, random_ones < 0.5)
    rate = sum(map(on_curve, starts)) / number
    slack = 0.20 if short else 0.04
    held = abs(rate - 0.25) <= slack
    yield Row("on-curve rate of N1's first 32 bytes", f"{rate:.3f}", f"0.25 ± {slack}", number, held)
    keys = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(number)]
    real = sum(map(on_curve, keys)) / number
    yield seen("on-curve rate of real keys", f"{real:.3f}", number, real == 1)
