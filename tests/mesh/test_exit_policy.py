"""What an exit connects to: a table of what must never be, and a naive model that knows the registries."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.exit_policy import ExitPolicy, carried, parse_allowance, permitted

POLICY = ExitPolicy(frozenset([80, 443]))

REFUSED_V4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.255",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
REFUSED_V6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:7f00:0:100::",
    "100::1",
    "200::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
    "8000::1",
    "e000::1",
]
CARRIERS = ["::ffff:{}", "64:ff9b::{}", "2002:{hex}::1", "2001:0:{hex}::1", "2001:470:1:1:0:5efe:{hex}",
            "2001:470:1:1:200:5efe:{hex}"]  # fmt: skip
SPELLINGS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0x0a000001", "10.1", "2852039166", "0xa9fea9fe",
             "[::1]"[1:-1], "::ffff:7f00:1", "localhost"]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
          "192.0.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888", "64:ff9b::8.8.8.8",
          "::ffff:8.8.8.8", "2002:808:808::1"]  # fmt: skip


def forms_of_refused() -> list[str]:
    forms = []
    for text in REFUSED_V4:
        number = int(ipaddress.IPv4Address(text))
        forms += [form.format(text, hex=f"{number >> 16:x}:{number & 0xFFFF:x}") for form in CARRIERS]
    return forms


def test_there_are_enough_of_them() -> None:
    assert len({*REFUSED_V4, *REFUSED_V6, *forms_of_refused()}) > 150


@pytest.mark.parametrize("port", [80, 443])
def test_refused_in_every_form(port: int) -> None:
    let_in = [text for text in (*REFUSED_V4, *REFUSED_V6, *forms_of_refused()) if permitted(POLICY, [text], port)]
    assert let_in == []


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_refused_as_the_system_reads_it(spelling: str) -> None:
    found = [entry[4][0] for entry in socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM)]
    assert found and permitted(POLICY, found, 80) == []


@pytest.mark.parametrize("text", PUBLIC)
def test_the_internet_is_reached(text: str) -> None:
    assert permitted(POLICY, [text], 443) == [text]


@pytest.mark.parametrize("port", [1, 22, 25, 81, 8080, 65535])
def test_other_ports_are_refused(port: int) -> None:
    assert permitted(POLICY, ["8.8.8.8"], port) == []
    assert not POLICY.may_ask(port)


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%2", "not an address"])
@pytest.mark.parametrize("first", [True, False])
def test_a_name_that_points_inside_too_is_refused_whole(inside: str, first: bool) -> None:
    answers = [inside, "8.8.8.8"] if first else ["8.8.8.8", inside]
    assert permitted(POLICY, answers, 80) == []


def test_no_answer_is_no_address() -> None:
    assert permitted(POLICY, [], 80) == []


def test_the_exits_own_addresses() -> None:
    behind_nat = ExitPolicy(frozenset([80]), own=frozenset([ipaddress.ip_address("93.184.216.34")]))
    for text in ("93.184.216.34", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34", "2002:5db8:d822::1"):
        assert permitted(behind_nat, [text], 80) == []
        assert permitted(POLICY, [text], 80) == [text]
    assert permitted(POLICY, ["8.8.8.8", "1.1.1.1"], 80, own=["1.1.1.1"]) == []
    assert permitted(POLICY, ["8.8.8.8"], 80, own=["1.1.1.1"]) == ["8.8.8.8"]


def test_an_address_that_carries_an_own_one_is_an_own_one() -> None:
    for text in ("::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2001:470:1:1:0:5efe:101:101", "1.1.1.1"):
        assert "1.1.1.1" in carried([text])
        assert permitted(POLICY, [text], 80, own=["1.1.1.1"]) == []
        assert permitted(POLICY, [text], 80, own=["8.8.8.8"]) == [text]
    assert carried(["no address", "fe80::1%lo"]) == ["fe80::1%lo", "fe80::1"]


def test_allowances_are_for_their_network_and_port_only() -> None:
    policy = ExitPolicy(frozenset([80]), (parse_allowance("127.0.0.1/32:8000"), parse_allowance("[::1]/128:8000")))
    assert permitted(policy, ["127.0.0.1"], 8000, own=["127.0.0.1"]) == ["127.0.0.1"]
    assert permitted(policy, ["::1"], 8000) == ["::1"]
    for text, port in (("127.0.0.2", 8000), ("127.0.0.1", 80), ("127.0.0.1", 8001), ("8.8.8.8", 8000)):
        assert permitted(policy, [text], port) == []
    assert permitted(policy, ["8.8.8.8"], 80) == ["8.8.8.8"]
    assert policy.may_ask(8000) and policy.may_ask(80) and not policy.may_ask(81)


def test_what_somebody_asked_not_to_reach_is_refused_before_all_else() -> None:
    denied = (
        parse_allowance("93.184.216.0/24:*"),
        parse_allowance("1.1.1.1/32:80"),
        parse_allowance("2606:4700::/32:*"),
    )
    policy = ExitPolicy(frozenset([80, 443]), (parse_allowance("93.184.216.34/32:80"),), denied=denied)
    for text in (
        "93.184.216.34",
        "::ffff:93.184.216.34",
        "64:ff9b::93.184.216.34",
        "2002:5db8:d822::1",
        "2606:4700::1",
    ):
        assert permitted(policy, [text], 80) == permitted(policy, [text], 443) == []
    assert permitted(policy, ["1.1.1.1"], 80) == [] and permitted(policy, ["1.1.1.1"], 443) == ["1.1.1.1"]
    assert permitted(policy, ["8.8.8.8", "93.184.216.1"], 80) == []


def test_only_what_is_named() -> None:
    policy = ExitPolicy(
        frozenset([80]), (parse_allowance("127.0.0.1/32:8000"),), {("site.test", 80): ("127.0.0.1", 8000)}, only=True
    )
    assert policy.target("site.test", 80) == ("127.0.0.1", 8000)
    assert policy.target("site.test", 81) is None and policy.target("other.test", 80) is None
    assert not policy.may_ask(80) and policy.may_ask(8000)
    assert permitted(policy, ["8.8.8.8"], 80) == []


@pytest.mark.parametrize("text", ["", ":", "10.0.0.0/8", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:65536", "x/8:80",
                                  "10.0.0.1/8:80", "10.0.0.0/99:80", "10.0.0.0/8:-1"])  # fmt: skip
def test_no_allowance(text: str) -> None:
    with pytest.raises(ValueError):
        parse_allowance(text)


def naive(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the registries, as Python knows them, call it public; stricter where it carries an IPv4 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    if address.ipv4_mapped:
        return naive(address.ipv4_mapped)
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return naive(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour and not naive(address.sixtofour):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


v4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
edges = st.sampled_from([ipaddress.ip_address(text.partition("%")[0]) for text in (*REFUSED_V4, *REFUSED_V6, *PUBLIC)])
near = st.builds(lambda a, d: type(a)(max(0, min(int(a) + d, 2**a.max_prefixlen - 1))), edges, st.integers(-300, 300))
carriers = st.builds(lambda a, base: ipaddress.IPv6Address(int(a) << base[1] | base[0]), v4,
                     st.sampled_from([(0xFFFF << 32, 0), (0x64FF9B << 96, 0), (0x2002 << 112, 80)]))  # fmt: skip


@given(st.one_of(v4, st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address), near, carriers))
def test_nothing_passes_that_the_naive_model_refuses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if permitted(POLICY, [str(address)], 80):
        assert naive(address)


@given(st.text(max_size=60), st.integers(0, 65535))
def test_any_text_is_permitted_or_not(text: str, port: int) -> None:
    assert permitted(POLICY, [text], port) in ([], [text])
