"""Whether a site makes a good decoy: what was measured of it, judged line by line.

A peer's port shows the decoy to everybody, its address shows the peer's. What must agree: the name and the address,
and what a browser would do with such a site. What must be small: everything by which a relay is slower than the site.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

X25519, X25519_MLKEM768 = 0x001D, 0x11EC
FIRST_FLIGHT = 10 * 1460
"""Bytes that a server sends before it waits for an acknowledgement (RFC 6928): a longer flight costs a round trip."""
NEAR, FAR = 0.005, 0.050
"""Seconds of a round trip between peer and decoy: not to be seen below the one, plain to see beyond the other."""
SHORT_IDLE = 15.0
"""Seconds: a decoy that closes idle browsers sooner makes the peer build new links all the time."""
_NEIGHBOURHOOD = {4: (24, 16), 6: (48, 32)}
"""Prefix lengths: the same network, and one that may belong to the same operator."""


class Verdict(StrEnum):
    """Of one line, or of all."""

    GOOD = "good"
    POOR = "poor"
    BAD = "bad"
    UNKNOWN = "unknown"


class Check(StrEnum):
    """What is judged, in the order in which it is shown."""

    NAME = "name"
    ADDRESS = "address"
    ECH = "ech"
    TLS = "tls"
    KEY_EXCHANGE = "key-exchange"
    CERTIFICATE = "certificate"
    TICKETS = "tickets"
    HTTP2 = "http2"
    HTTP3 = "http3"
    ROUND_TRIP = "round-trip"
    IDLE = "idle"
    PORT_80 = "port-80"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of a site; None: not tried, or not to be had. Times in seconds, sizes in bytes.

    ``addresses``: the name's in the DNS. ``here``: where the peer is reached. ``ech``, ``dns_http3``: what its HTTPS
    record offers (RFC 9460). ``refused``: why there is no TLS 1.3 connection, empty if there is one. ``group``: of the
    key exchange. ``flight``: the server's first flight. ``certificate``: its certificates as sent. ``alt_svc``: the
    header. ``idle``: until it closed a silent browser; ``waited``: for how long one was silent.
    """

    addresses: Sequence[str] = ()
    here: Sequence[str] = ()
    ech: bool | None = None
    dns_http3: bool | None = None
    refused: str | None = None
    group: int | None = None
    retried: bool = False
    flight: int = 0
    certificate: int = 0
    tickets: int = 0
    http2: bool = False
    alt_svc: str | None = None
    round_trip: float | None = None
    idle: float | None = None
    waited: float = 0.0
    port_80: bool | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line. ``text``: what was seen; ``mend``: what it means and what to do, empty where all is well."""

    check: Check
    verdict: Verdict
    text: str
    mend: str = field(default="")


def judge(seen: Measured) -> list[Judgement]:
    """Every line that can be judged."""
    lines = [_name(seen)]
    if seen.addresses:
        lines += [_address(seen), _ech(seen)]
    if seen.refused is not None:
        lines.append(_tls(seen))
        if not seen.refused:
            lines += [_key_exchange(seen), _certificate(seen), _tickets(seen), _http2(seen), _http3(seen)]
            lines += [_round_trip(seen), _idle(seen)]
        lines.append(_port_80(seen))
    return lines


def overall(lines: Sequence[Judgement]) -> Verdict:
    """Bad if any line is; poor if any is, or could not be seen."""
    verdicts = {line.verdict for line in lines}
    if Verdict.BAD in verdicts:
        return Verdict.BAD
    return Verdict.POOR if verdicts & {Verdict.POOR, Verdict.UNKNOWN} else Verdict.GOOD


def rank(lines: Sequence[Judgement], seen: Measured) -> tuple[int, int, float]:
    """For sorting sites, the best first: bad lines, poor ones, the round trip."""
    counts = [
        sum(line.verdict in kinds for line in lines) for kinds in ((Verdict.BAD,), (Verdict.POOR, Verdict.UNKNOWN))
    ]
    return counts[0], counts[1], seen.round_trip if seen.round_trip is not None else 1e9


def _name(seen: Measured) -> Judgement:
    if seen.addresses:
        count = len(seen.addresses)
        return Judgement(Check.NAME, Verdict.GOOD, f"the name has {count} address{'es' * (count > 1)}")
    return Judgement(
        Check.NAME,
        Verdict.BAD,
        "the name has no address",
        "An observer who looks it up finds nothing where browsers seem to go. Choose a name that resolves",
    )


def distance(one: str, other: str) -> Verdict:
    """How far apart two addresses look to somebody who has only them."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first.version != second.version:
        return Verdict.BAD
    near, far = _NEIGHBOURHOOD[first.version]
    differing = (int(first) ^ int(second)).bit_length()
    same = first.max_prefixlen - differing
    return Verdict.GOOD if same >= near else Verdict.POOR if same >= far else Verdict.BAD


def _address(seen: Measured) -> Judgement:
    if not seen.here:
        return Judgement(
            Check.ADDRESS,
            Verdict.UNKNOWN,
            "it is not known where the peer is reached",
            "Say it with --here ADDRESS: name and address have to agree",
        )
    found = {distance(one, other) for one in seen.addresses for other in seen.here}
    if Verdict.GOOD in found:
        return Judgement(Check.ADDRESS, Verdict.GOOD, "the name leads to the peer's own network")
    if Verdict.POOR in found:
        return Judgement(
            Check.ADDRESS,
            Verdict.POOR,
            "the name leads to a network that is only near the peer's",
            "Whoever looks the name up sees another address than the one browsers use. Best is a site on this machine",
        )
    return Judgement(
        Check.ADDRESS,
        Verdict.BAD,
        "the name leads to another network than the peer's",
        "Whoever looks the name up sees that the site is not here. Use a site of your own on this machine",
    )


def _ech(seen: Measured) -> Judgement:
    if seen.ech is None:
        return Judgement(
            Check.ECH, Verdict.UNKNOWN, "the HTTPS record could not be asked for", "Try again, or another --dns"
        )
    if seen.ech:
        return Judgement(
            Check.ECH,
            Verdict.BAD,
            "the DNS offers Encrypted Client Hello",
            "Browsers would hide the name, QNet shows it. Choose a site without, or take ech out of its HTTPS record",
        )
    return Judgement(Check.ECH, Verdict.GOOD, "the DNS offers no Encrypted Client Hello")


def _tls(seen: Measured) -> Judgement:
    if seen.refused:
        return Judgement(
            Check.TLS,
            Verdict.BAD,
            f"no TLS 1.3 connection: {seen.refused}",
            "A decoy must speak TLS 1.3 and show a certificate that browsers accept",
        )
    return Judgement(Check.TLS, Verdict.GOOD, "TLS 1.3 with a certificate that browsers accept")


def _key_exchange(seen: Measured) -> Judgement:
    if seen.retried:
        return Judgement(
            Check.KEY_EXCHANGE,
            Verdict.BAD,
            "it asks for another key share (HelloRetryRequest)",
            "Every visit costs a round trip more. Let the server accept X25519",
        )
    if seen.group not in (X25519, X25519_MLKEM768):
        return Judgement(
            Check.KEY_EXCHANGE,
            Verdict.BAD,
            "it agrees on an unusual key exchange",
            "Let the server accept X25519 or X25519MLKEM768, as most do",
        )
    name = "X25519MLKEM768" if seen.group == X25519_MLKEM768 else "X25519"
    return Judgement(Check.KEY_EXCHANGE, Verdict.GOOD, f"{name}, at the first attempt")


def _certificate(seen: Measured) -> Judgement:
    text = f"{seen.certificate:,} bytes of certificates, {seen.flight:,} in the first flight"
    if seen.flight > FIRST_FLIGHT:
        return Judgement(
            Check.CERTIFICATE,
            Verdict.POOR,
            text,
            "That much needs a second round trip at the start, at the peer more visibly than at the site. Send fewer",
        )
    return Judgement(Check.CERTIFICATE, Verdict.GOOD, text)


def _tickets(seen: Measured) -> Judgement:
    if not seen.tickets:
        return Judgement(
            Check.TICKETS,
            Verdict.POOR,
            "it gives no session tickets",
            "All visits look like first ones. Switch tickets on in the server (they are by default)",
        )
    return Judgement(Check.TICKETS, Verdict.GOOD, f"{seen.tickets} session ticket{'s' * (seen.tickets > 1)} a visit")


def _http2(seen: Measured) -> Judgement:
    if seen.http2:
        return Judgement(Check.HTTP2, Verdict.GOOD, "HTTP/2")
    return Judgement(
        Check.HTTP2,
        Verdict.BAD,
        "no HTTP/2",
        "Links look like HTTP/2, which carries much on one connection. Switch it on",
    )


def _http3(seen: Measured) -> Judgement:
    if seen.dns_http3 or "h3" in (seen.alt_svc or ""):
        where = "HTTPS record" if seen.dns_http3 else "Alt-Svc header"
        return Judgement(
            Check.HTTP3,
            Verdict.BAD,
            f"its {where} offers HTTP/3",
            "Browsers would change to QUIC, and QNet does not. Switch HTTP/3 off at the site, or choose another",
        )
    if seen.alt_svc is None:
        return Judgement(
            Check.HTTP3, Verdict.UNKNOWN, "it answers no request", "Look whether its Alt-Svc header offers h3"
        )
    return Judgement(Check.HTTP3, Verdict.GOOD, "it offers no HTTP/3")


def _round_trip(seen: Measured) -> Judgement:
    if seen.round_trip is None:
        return Judgement(Check.ROUND_TRIP, Verdict.UNKNOWN, "the round trip could not be measured", "Try again")
    text = f"{seen.round_trip * 1000:.1f} ms away"
    if seen.round_trip <= NEAR:
        return Judgement(Check.ROUND_TRIP, Verdict.GOOD, text)
    verdict = Verdict.POOR if seen.round_trip <= FAR else Verdict.BAD
    return Judgement(
        Check.ROUND_TRIP,
        verdict,
        text,
        "By so much each handshake at the peer is slower than at its address it should be. Choose a nearer site",
    )


def _idle(seen: Measured) -> Judgement:
    if seen.idle is None:
        if not seen.waited:
            return Judgement(Check.IDLE, Verdict.GOOD, "how long it lets a browser be silent was not tried")
        return Judgement(Check.IDLE, Verdict.GOOD, f"it lets a browser be silent for {seen.waited:.0f} s and longer")
    text = f"it closes a silent browser after {seen.idle:.0f} s"
    if seen.idle < SHORT_IDLE:
        return Judgement(
            Check.IDLE,
            Verdict.POOR,
            text,
            "Links end as often, and are built anew. Give its keep-alive time-out a minute or more",
        )
    return Judgement(Check.IDLE, Verdict.GOOD, text)


def _port_80(seen: Measured) -> Judgement:
    if seen.port_80 is None:
        return Judgement(Check.PORT_80, Verdict.UNKNOWN, "port 80 was not tried", "Look whether it answers")
    if seen.port_80:
        return Judgement(Check.PORT_80, Verdict.GOOD, "port 80 answers")
    return Judgement(
        Check.PORT_80,
        Verdict.BAD,
        "port 80 is closed",
        "Nearly every web site answers there, if only to lead to https. Open it, at the peer's address too",
    )
