"""The detectors themselves: each sees what it has to see, and nothing where there is nothing."""

import os
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tools.evidence import orders, report
from tools.evidence.first_flight import exempt, on_curve
from tools.evidence.probe import Outcome, summary
from tools.evidence.probes import Compared, Series
from tools.evidence.row import Row, at_most, count
from tools.evidence.scripts import table
from tools.evidence.server_side import _asked, ten_hellos

GENERATOR = random.Random(7)
EXTENSIONS = list(range(15))


def shuffles(number: int) -> list[list[int]]:
    return [GENERATOR.sample(EXTENSIONS, len(EXTENSIONS)) for _ in range(number)]


def test_shuffles_of_one_kind_are_not_told_apart_more_often_than_they_should_be() -> None:
    p = [orders.compare(shuffles(200), shuffles(200), seed)[0] for seed in range(40)]
    assert sum(each < 0.05 for each in p) <= 7, "5% of honest pairs fall below 0.05"
    assert sum(each > 0.5 for each in p) >= 10


def test_shuffles_of_another_kind_are() -> None:
    sorted_ones = [EXTENSIONS[:] for _ in range(100)]
    assert orders.compare(sorted_ones, shuffles(100))[0] < 1e-9
    pairs = []
    for order in shuffles(300):
        order.remove(1)
        order.insert(order.index(0) + 1, 1)  # these two always together, each place as likely
        pairs.append(order)
    assert orders.compare(pairs, shuffles(300))[1] <= 1 / (orders.RELABELLINGS + 1)
    assert orders.compare([[1, 2, 3]], [[1, 2, 4]]) == (0.0, 0.0), "another set is another set"


def test_drawn_values() -> None:
    fair = [GENERATOR.randrange(4) for _ in range(400)]
    assert orders.same_choice(fair, [GENERATOR.randrange(4) for _ in range(400)]) > 1e-4
    assert orders.same_choice(fair, [GENERATOR.randrange(3) for _ in range(400)]) < 1e-6
    assert orders.same_choice([1, 1], [1, 1]) == 1.0


@pytest.mark.parametrize(
    ("first", "passes"),
    [
        (b"\x16\x03\x01\x02\x00" + os.urandom(507), True),
        (b"GET / HTTP/1.1\r\n", True),
        (b"SSH-2.0-x" + bytes(range(128, 228)), True),
        (bytes(200), True),
        (b"\xff" * 200, True),
        (bytes([0x55, 0x80]) * 20 + b"a" * 21 + bytes([0xD5, 0xA3]) * 60, True),
        (bytes.fromhex("8f3a91c2d4e6a7b18c5d9e0f") * 20, False),
    ],
    ids=["TLS", "HTTP", "printable start", "few bits", "many bits", "a long printable run", "like noise"],
)
def test_the_rules_for_fully_encrypted_traffic(first: bytes, passes: bool) -> None:
    assert exempt(first) is passes


def test_public_keys_lie_on_the_curve_and_a_quarter_of_random_bytes_does() -> None:
    assert all(on_curve(X25519PrivateKey.generate().public_key().public_bytes_raw()) for _ in range(50))
    rate = sum(on_curve(GENERATOR.randbytes(32)) for _ in range(2000)) / 2000
    assert 0.2 < rate < 0.3
    assert not on_curve(b"\xff" * 32)


def test_what_a_prober_writes_down() -> None:
    records = b"\x16\x03\x03\x00\x02ab" + b"\x15\x03\x03\x00\x02\x02\x28" + b"\x17\x03\x03\x00\x09abc"
    assert summary(records) == ["22/0303/2", "21/0303/2 0228", "8 bytes"]
    assert summary(b"HTTP/1.1 400\r\nDate: now\r\n\r\n") == summary(b"HTTP/1.1 400\r\nDate: later\r\n\r\n")
    assert summary(b"") == []


def outcome(accepted: int = 10, end: str = "fin", *answer: str) -> Outcome:
    return Outcome(answer, end, accepted)


@pytest.mark.parametrize(
    ("decoy", "twin", "peer", "differs", "control"),
    [
        ([outcome()], [outcome()], [outcome()], False, False),
        ([outcome()], [outcome()], [outcome(10, "reset")], True, False),
        ([outcome()], [outcome()], [outcome(10, "fin", "21/0303/2 0228")], True, False),
        ([outcome()], [outcome()], [outcome(11)], True, False),
        ([outcome(10), outcome(20)], [outcome(20)], [outcome(15)], False, False),
        ([outcome(10), outcome(20)], [outcome(20)], [outcome(31)], True, False),
        ([outcome()], [outcome(10, "reset")], [outcome(10, "reset")], False, True),
    ],
)
def test_what_counts_as_a_difference(
    decoy: list[Outcome], twin: list[Outcome], peer: list[Outcome], differs: bool, control: bool
) -> None:
    compared = Compared(Series(decoy), Series(twin), Series(peer))
    assert (compared.differs, compared.control_differs) == (differs, control)


def test_there_are_enough_scripts_and_ten_hellos() -> None:
    assert len(table()) >= 200
    assert len({hello[9:11] + hello[76:] for hello in ten_hellos()}) == 10


def test_rows_say_what_is_held() -> None:
    rows = [count("a", 0, 5), count("b", 1, 5), at_most("c", [1.0, 9.0, 2.0], 2.0), Row("d", "x", "", 1, None)]
    assert [row.held for row in rows] == [True, False, True, None]
    text = report.as_section("one", rows, {"nginx": "1.2"}, short=False)
    assert "| b | 1 | 0 | 5 | **no** |" in text and "| d | x | – | 1 | – |" in text and "nginx 1.2" in text


def test_a_document_keeps_what_is_not_played_anew() -> None:
    order = ["one", "two"]
    made = {name: report.as_section(name, [count(name, 0, 1)], {}, short=False) for name in order}
    both = report.as_document("", made, order)
    assert report.as_document(both, {}, order) == both
    again = report.as_document(both, {"one": report.as_section("one", [count("new", 0, 1)], {}, short=False)}, order)
    assert "| new |" in again and "| one |" not in again and "| two |" in again
    assert again.count("## What this does not show") == 1 and again.index("## One") < again.index("## Two")


def test_who_asks_for_a_page_may_miss_the_settings_ack_if_the_decoy_does_so() -> None:
    starts = [[266, 266, 57, 26], [266, 266, 66]]
    assert _asked(starts, [[266, 266, 125, 47], [266, 266, 57, 85, 47]]) == [[266, 266, 57]]
    assert _asked(starts, [[266, 266, 125, 47], [266, 266, 57, 26, 106]]) == []
