"""Client fingerprints: our hellos beside those that the real browser sends in the same run."""

import os
import random
from collections.abc import Callable, Iterator

from qnet.wire.tls import codes
from qnet.wire.tls.codec import u16_list
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja3, ja4
from qnet.wire.tls.record import plain_record
from tests.wire.tls.hello_skeleton import skeleton
from tools.evidence import browsers, orders
from tools.evidence.row import Row, Say, count, seen
from tools.evidence.setting import BROWSERS, Setting, template

CERTAIN = 0.01
"""The least p of the full form: one honest run in a hundred falls below it. The short form asks for 0.0001."""

POWERFUL = 1000
"""From so many on a naive shuffle is told from a right one."""


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """Both browsers, 1,000 hellos each (short: 150)."""
    number = 150 if short else 1000
    for browser in BROWSERS:
        say(f"{number} hellos of {browser}")
        theirs = [_parse(record) for record in browsers.hellos(browser, number)]
        ours = [_ours(browser, browsers.server_name(each)) for each in range(number)]
        yield from _compare(browser, ours, theirs, 0.0001 if short else CERTAIN)


def _parse(record: bytes) -> tuple[ClientHello, int]:
    return ClientHello.parse(record[5:]), len(record)


def _ours(browser: str, name: str) -> tuple[ClientHello, int]:
    draft = template(browser).build(name, os.urandom)
    draft.hello.session_id = os.urandom(32)
    return _parse(plain_record(codes.HANDSHAKE, draft.hello.message(), draft.record_version))


Sample = list[tuple[ClientHello, int]]


def _compare(browser: str, ours: Sample, theirs: Sample, least: float) -> Iterator[Row]:
    tries = len(ours)
    mine, real = [hello for hello, _ in ours], [hello for hello, _ in theirs]
    for name, mark in (("JA4", ja4), ("JA3, extensions sorted", _sorted_ja3), ("template", _skeleton)):
        known = {mark(hello) for hello in real}
        strange = sum(mark(hello) not in known for hello in mine)
        yield count(f"{browser}: {name} that the real one does not send", strange, tries)
    lengths = {length for _, length in theirs}
    strange = sum(length not in lengths for _, length in ours)
    yield count(f"{browser}: hellos of a size not among its {len(lengths)}", strange, tries)
    drawn = {name: orders.same_choice([of(h) for h in mine], [of(h) for h in real]) for name, of in DRAWN.items()}
    worst = min(drawn, key=lambda name: drawn[name])
    p = min(1.0, drawn[worst] * len(drawn))
    figure = f"p = {p:.3f} ({worst}, of {len(drawn)})"
    yield Row(f"{browser}: values drawn anew (chi-square, Bonferroni)", figure, f"p > {least}", tries, p > least)
    if template(browser).permuted:
        yield from _orders(browser, [_order(hello) for hello in mine], [_order(hello) for hello in real], least)
    else:
        known = {ja3(hello) for hello in real}
        strange = sum(ja3(hello) not in known for hello in mine)
        yield count(f"{browser}: JA3 that the real one does not send", strange, tries)


def _orders(browser: str, mine: list[list[int]], real: list[list[int]], least: float) -> Iterator[Row]:
    tries = len(mine)
    names = ("position of each extension (chi-square)", "neighbours of each extension (relabelled)")
    leasts = (least, max(least, 1.5 / orders.RELABELLINGS))
    for name, p, bound in zip(names, orders.compare(mine, real), leasts, strict=True):
        yield Row(f"{browser}: {name}", f"p = {p:.3f}", f"p > {bound:.2g}", tries, p > bound)
    if tries < POWERFUL:
        return
    generator = random.Random(1)
    biased = [_naive_shuffle(sorted(order), generator) for order in real]
    p = orders.compare(biased, real)[0]
    yield seen(f"{browser}: a naive shuffle instead", f"p = {p:.1g}", tries, p < least)


def _naive_shuffle(order: list[int], generator: random.Random) -> list[int]:
    """The well-known wrong Fisher-Yates: each place swapped with any other."""
    for at in range(len(order)):
        other = generator.randrange(len(order))
        order[at], order[other] = order[other], order[at]
    return order


def _order(hello: ClientHello) -> list[int]:
    return [kind for kind, _ in hello.extensions[1:-1]]


def _sorted_ja3(hello: ClientHello) -> str:
    ordered = sorted(hello.extensions)
    return ja3(ClientHello(*(getattr(hello, name) for name in ClientHello.__slots__[:-1]), ordered))


def _skeleton(hello: ClientHello) -> str:
    return repr(skeleton(hello))


def _grease_in(kind: int, skip: int) -> Callable[[ClientHello], object]:
    def of(hello: ClientHello) -> object:
        return [value for value in u16_list((hello.extension(kind) or b"")[skip:]) if codes.is_grease(value)]

    return of


DRAWN: dict[str, Callable[[ClientHello], object]] = {
    "GREASE of the cipher suites": lambda hello: [each for each in hello.cipher_suites if codes.is_grease(each)],
    "GREASE of the groups": _grease_in(codes.SUPPORTED_GROUPS, 2),
    "GREASE of the versions": _grease_in(codes.SUPPORTED_VERSIONS, 1),
    "GREASE of the signature algorithms": _grease_in(codes.SIGNATURE_ALGORITHMS, 2),
    "first GREASE extension": lambda hello: codes.is_grease(hello.extensions[0][0]) and hello.extensions[0][0],
    "last GREASE extension": lambda hello: codes.is_grease(hello.extensions[-1][0]) and hello.extensions[-1][0],
    "length of ECH": lambda hello: len(hello.extension(codes.ENCRYPTED_CLIENT_HELLO) or b""),
    "AEAD of ECH": lambda hello: (hello.extension(codes.ENCRYPTED_CLIENT_HELLO) or b"")[3:5],
    "configuration of ECH": lambda hello: (hello.extension(codes.ENCRYPTED_CLIENT_HELLO) or bytes(6))[5] >> 4,
}
