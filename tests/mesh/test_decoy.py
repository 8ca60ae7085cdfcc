"""What makes a good decoy: each line by itself, and all together."""

from dataclasses import replace

import pytest

from qnet.mesh.decoy import FIRST_FLIGHT, Check, Judgement, Measured, Verdict, distance, judge, overall, rank

GOOD = Measured(
    addresses=("192.0.2.7",),
    here=("192.0.2.7",),
    ech=False,
    dns_http3=False,
    refused="",
    group=0x001D,
    flight=2500,
    certificate=1800,
    tickets=2,
    http2=True,
    alt_svc="",
    round_trip=0.0004,
    idle=75.0,
    waited=75.0,
    port_80=True,
)


def line(check: Check, **changes: object) -> Judgement:
    return next(each for each in judge(replace(GOOD, **changes)) if each.check is check)


def test_a_good_site_has_every_line_and_nothing_to_mend() -> None:
    lines = judge(GOOD)
    assert [each.check for each in lines] == list(Check)
    assert {each.verdict for each in lines} == {Verdict.GOOD} and not any(each.mend for each in lines)
    assert overall(lines) is Verdict.GOOD


@pytest.mark.parametrize(
    ("check", "changes", "verdict"),
    [
        (Check.NAME, {"addresses": ()}, Verdict.BAD),
        (Check.ADDRESS, {"here": ("198.51.100.1",)}, Verdict.BAD),
        (Check.ADDRESS, {"here": ("192.0.99.1",)}, Verdict.POOR),
        (Check.ADDRESS, {"here": ("198.51.100.1", "192.0.2.200")}, Verdict.GOOD),
        (Check.ADDRESS, {"here": ()}, Verdict.UNKNOWN),
        (Check.ECH, {"ech": True}, Verdict.BAD),
        (Check.ECH, {"ech": None}, Verdict.UNKNOWN),
        (Check.TLS, {"refused": "the server chose version 0x0303"}, Verdict.BAD),
        (Check.KEY_EXCHANGE, {"retried": True}, Verdict.BAD),
        (Check.KEY_EXCHANGE, {"group": 0x0017}, Verdict.BAD),
        (Check.KEY_EXCHANGE, {"group": 0x11EC}, Verdict.GOOD),
        (Check.CERTIFICATE, {"flight": FIRST_FLIGHT + 1}, Verdict.POOR),
        (Check.TICKETS, {"tickets": 0}, Verdict.POOR),
        (Check.HTTP2, {"http2": False}, Verdict.BAD),
        (Check.HTTP3, {"alt_svc": 'h3=":443"; ma=86400'}, Verdict.BAD),
        (Check.HTTP3, {"dns_http3": True}, Verdict.BAD),
        (Check.HTTP3, {"alt_svc": 'h2="other:443"'}, Verdict.GOOD),
        (Check.HTTP3, {"alt_svc": None}, Verdict.UNKNOWN),
        (Check.ROUND_TRIP, {"round_trip": 0.02}, Verdict.POOR),
        (Check.ROUND_TRIP, {"round_trip": 0.2}, Verdict.BAD),
        (Check.ROUND_TRIP, {"round_trip": None}, Verdict.UNKNOWN),
        (Check.IDLE, {"idle": 5.0}, Verdict.POOR),
        (Check.IDLE, {"idle": None}, Verdict.GOOD),
        (Check.IDLE, {"idle": None, "waited": 0.0}, Verdict.GOOD),
        (Check.PORT_80, {"port_80": False}, Verdict.BAD),
        (Check.PORT_80, {"port_80": None}, Verdict.UNKNOWN),
    ],
)
def test_each_line(check: Check, changes: dict[str, object], verdict: Verdict) -> None:
    found = line(check, **changes)
    assert found.verdict is verdict
    assert bool(found.mend) is (verdict is not Verdict.GOOD), "what is wrong says what it means"
    expected = {Verdict.GOOD: Verdict.GOOD, Verdict.BAD: Verdict.BAD}.get(verdict, Verdict.POOR)
    assert overall(judge(replace(GOOD, **changes))) is expected


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:ffff::1", Verdict.GOOD),
        ("2001:db8:1::1", "2001:db8:2::1", Verdict.POOR),
        ("2001:db8::1", "2001:db9::1", Verdict.BAD),
        ("192.0.2.1", "2001:db8::1", Verdict.BAD),
        ("10.0.0.1", "10.0.0.1", Verdict.GOOD),
    ],
)
def test_how_far_apart_addresses_look(one: str, other: str, verdict: Verdict) -> None:
    assert distance(one, other) is verdict


def test_the_best_come_first() -> None:
    sites = {
        "far": replace(GOOD, round_trip=0.004),
        "good": GOOD,
        "weak": replace(GOOD, tickets=0),
        "bad": replace(GOOD, port_80=False),
        "nothing": Measured(),
    }
    order = sorted(sites, key=lambda name: rank(judge(sites[name]), sites[name]))
    assert order == ["good", "far", "weak", "bad", "nothing"]
