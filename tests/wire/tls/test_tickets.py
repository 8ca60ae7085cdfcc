"""Tickets: what is kept and how long, that each is offered once, and the binder."""

import os

import pytest

from qnet.wire.tls import codes
from qnet.wire.tls.hello import ClientHello, truncated_before_binders
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.tickets import MAX_AGE, MAX_IDENTITY, PER_SERVER, SERVERS, Network, Offer, TicketJar
from tests.wire.tls.peers import BROWSERS, template

NOW = 1_800_000_000.0
HOME, CAFE = Network("192.0.2.7", "aa"), Network("192.0.2.7", "bb")


def ticket(identity: bytes = b"t" * 208, suite: int = 0x1302, **changes: object) -> SessionTicket:
    size = 48 if suite == 0x1302 else 32
    fields = {"lifetime": 300, "age_add": 7, "identity": identity, "secret": os.urandom(size), "cipher_suite": suite}
    return SessionTicket(**fields | changes)  # type: ignore[arg-type]


def test_each_is_offered_once_the_newest_first() -> None:
    jar, first, second = TicketJar(), ticket(), ticket()
    jar.keep("a", [first, second], HOME, NOW)
    assert jar.take("a", HOME, NOW + 1.5) == Offer(second, 1500)
    assert jar.take("a", HOME, NOW + 2) == Offer(first, 2000)
    assert jar.take("a", HOME, NOW + 2) is None


def test_no_server_sees_anothers() -> None:
    jar = TicketJar()
    jar.keep(("peer", "decoy"), [ticket()], HOME, NOW)
    assert jar.take(("other", "decoy"), HOME, NOW) is None
    assert jar.take(("peer", "decoy"), HOME, NOW) is not None


def test_only_from_the_address_at_which_it_came() -> None:
    """A machine has several, of IPv4 and IPv6: going from one to the other forgets nothing."""
    jar, other = TicketJar(), Network("2001:db8::7", "aa")
    jar.keep("a", [ticket()], HOME, NOW)
    assert jar.take("a", other, NOW) is None
    assert jar.take("a", HOME, NOW) is not None


def test_where_no_router_is_known_another_address_is_another_network() -> None:
    jar = TicketJar()
    jar.keep("a", [ticket()], Network("192.0.2.7", ""), NOW)
    assert jar.take("a", Network("192.0.2.8", ""), NOW) is None
    assert len(jar) == 0


def test_another_network_forgets_them_for_good() -> None:
    jar = TicketJar()
    jar.keep("a", [ticket()], HOME, NOW)
    assert jar.take("b", CAFE, NOW) is None
    assert jar.take("a", HOME, NOW) is None
    assert len(jar) == 0


@pytest.mark.parametrize(
    ("lifetime", "after", "good"),
    [(300, 299, True), (300, 300, False), (9**9, MAX_AGE - 1, True), (9**9, MAX_AGE, False), (300, -1, False)],
)
def test_age(lifetime: int, after: float, good: bool) -> None:
    jar = TicketJar()
    jar.keep("a", [ticket(lifetime=lifetime)], HOME, NOW)
    assert (jar.take("a", HOME, NOW + after) is not None) == good


def test_bounds() -> None:
    jar = TicketJar()
    for server in range(SERVERS + 10):
        jar.keep(server, [ticket() for _ in range(5)], HOME, NOW)
    assert len(jar) == SERVERS * PER_SERVER
    assert jar.take(0, HOME, NOW) is None
    assert jar.take(SERVERS + 9, HOME, NOW) is not None


def test_what_is_not_kept() -> None:
    jar = TicketJar()
    jar.keep("a", [ticket(early_data=True), ticket(bytes(MAX_IDENTITY + 1))], HOME, NOW)
    assert len(jar) == 0


def test_nothing_secret_in_its_repr() -> None:
    one = ticket()
    assert repr(one.secret) not in repr(Offer(one, 0))


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("suite", [0x1301, 0x1302])
def test_the_extension_is_the_last_and_the_binder_covers_the_rest(browser: str, suite: int) -> None:
    offer = Offer(ticket(suite=suite), 1000)
    hello = template(browser).build("decoy.test", os.urandom, offer).hello
    bound = offer.bind(hello)
    assert bound.extensions[-1][0] == codes.PRE_SHARED_KEY
    assert len(bound.message()) == len(hello.message())
    assert truncated_before_binders(bound.message()) == truncated_before_binders(hello.message())
    assert ClientHello.parse(bound.message()) == bound
    hello.session_id = os.urandom(32)
    assert offer.bind(hello).extensions[-1] != bound.extensions[-1]
    assert offer.bind(bound, b"before") != bound


@pytest.mark.parametrize(
    ("identity", "suite", "growth"),
    # Pairs measured with Firefox 153: the body of pre_shared_key has 59 (SHA-384) or 43 (SHA-256) bytes more.
    [
        (20, 0x1302, 96),
        (133, 0x1302, 192),
        (134, 0x1302, 224),
        (165, 0x1302, 224),
        (166, 0x1302, 256),
        (208, 0x1302, 288),
        (240, 0x1302, 320),
        (181, 0x1301, 224),
        (182, 0x1301, 256),
    ],
)
def test_firefoxs_ech_grows_with_the_ticket(identity: int, suite: int, growth: int) -> None:
    firefox = template("firefox")
    offer = Offer(ticket(bytes(identity), suite), 0)
    body = firefox.build("decoy.test", os.urandom, offer).hello.extension(codes.ENCRYPTED_CLIENT_HELLO)
    assert body is not None
    assert len(body) == 281 + growth
