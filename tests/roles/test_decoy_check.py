"""Sites as they are: nginx in several states, other servers, and a name server that says what it is told."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from qnet.mesh.decoy import Check, Measured, Verdict, judge
from qnet.roles.decoy_check import Means, Site, measure
from tests.support.cover_pair import NAME, authority
from tests.support.dns import Answers, NameServer, name_server
from tests.support.links import echo, site
from tests.support.peers import disguise
from tests.support.tls_servers import Authority, free_port, nginx, openssl_server

pytestmark = pytest.mark.anyio
HERE = "127.0.0.1"
ECH = base64.b64encode(b"\0\x08" + bytes(8)).decode()


class Records(NameServer):
    """Also has an HTTPS record, ``https`` in text form."""

    https = ""

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        if question.rdtype != dns.rdatatype.HTTPS:
            super().datagram_received(data, source)
            return
        answer = dns.message.make_response(query)
        if self.https:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "HTTPS", self.https))
        self._transport.sendto(answer.to_wire(), source)  # type: ignore[attr-defined]


@asynccontextmanager
async def records(https: str, answers: Answers = lambda name, asked: [HERE]) -> Iterator[tuple[str, int]]:
    server = Records(answers)
    server.https = https
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(HERE, 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()
        await asyncio.sleep(0)


async def seen(port: int, https: str = "", **changes: object) -> Measured:
    """What is measured of ``decoy.test`` on this computer; plain HTTP answers unless ``port_80`` is given."""
    async with records(https) as server, site(echo) as plain:
        means = {"disguise": disguise(), "servers": [server], "port_80": plain} | changes
        return await measure(Site(NAME, port), Means(**means))


def verdicts(found: Measured) -> dict[Check, Verdict]:
    return {line.check: line.verdict for line in judge(found)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_a_good_site(folder: Path) -> None:
    with nginx(folder, authority().issue(NAME)) as port:
        found = await seen(port, idle=0.2)
    assert set(verdicts(found).values()) == {Verdict.GOOD}, judge(found)
    assert found.tickets == 2 and found.http2 and not found.retried
    assert found.addresses == [HERE] and found.here == [HERE], "it is this machine's own"
    assert found.idle is None and 0.2 <= found.waited < 2
    assert 300 < found.certificate < found.flight < 3000


async def test_what_is_wrong_with_a_site_is_seen(folder: Path) -> None:
    """Three settings of nginx at once: they show in three lines and no other."""
    settings = 'ssl_session_tickets off; keepalive_timeout 1s; add_header Alt-Svc "h3=\\":443\\"";'
    with nginx(folder, authority().issue(NAME), settings=settings) as port:
        found = await seen(port, idle=5)
    bad = {check: verdict for check, verdict in verdicts(found).items() if verdict is not Verdict.GOOD}
    assert bad[Check.HTTP3] is Verdict.BAD and bad[Check.IDLE] is Verdict.POOR
    assert found.idle is not None and 0.5 < found.idle < 3
    assert set(bad) <= {Check.HTTP3, Check.IDLE, Check.TICKETS}


@pytest.mark.parametrize(
    ("arguments", "check", "verdict"),
    [
        (("-alpn", "h2", "-num_tickets", "0"), Check.TICKETS, Verdict.POOR),
        (("-alpn", "h2", "-groups", "P-256"), Check.KEY_EXCHANGE, Verdict.BAD),
        (("-alpn", "http/1.1"), Check.HTTP2, Verdict.BAD),
        (("-alpn", "h2", "-no_tls1_3"), Check.TLS, Verdict.BAD),
    ],
)
async def test_other_servers(folder: Path, arguments: tuple[str, ...], check: Check, verdict: Verdict) -> None:
    with openssl_server(folder, authority().issue(NAME), *arguments) as port:
        found = await seen(port)
    assert verdicts(found)[check] is verdict, judge(found)


async def test_a_certificate_of_nobody(folder: Path) -> None:
    with nginx(folder, Authority().issue(NAME)) as port:
        assert verdicts(await seen(port))[Check.TLS] is Verdict.BAD


async def test_nobody_there() -> None:
    found = await seen(free_port(), port_80=free_port())
    assert found.refused == "it does not answer" and found.port_80 is False and found.round_trip is None


@pytest.mark.parametrize(
    ("https", "ech", "http3"),
    [
        ("1 . alpn=h2", False, False),
        ("1 . alpn=h2,h3", False, True),
        (f"1 . alpn=h2 ech={ECH}", True, False),
    ],
)
async def test_what_the_https_record_offers(https: str, ech: bool, http3: bool) -> None:
    found = await seen(free_port(), https)
    assert (found.ech, found.dns_http3) == (ech, http3)


async def test_names_that_lead_nowhere_or_elsewhere(folder: Path) -> None:
    async with name_server(lambda name, asked: None) as server:
        found = await measure(Site(NAME), Means(disguise(), [(HERE, server.port)]))
    assert verdicts(found) == {Check.NAME: Verdict.BAD} and found.refused is None
    with nginx(folder, authority().issue(NAME)) as port:
        async with records("", lambda name, asked: ["192.0.2.1"]) as server:
            means = Means(disguise(), [server], here=["198.51.100.1"], port_80=port)
            found = await measure(Site(NAME, port, HERE), means)
    assert verdicts(found)[Check.ADDRESS] is Verdict.BAD and found.refused == ""


async def test_a_name_server_that_is_silent_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qnet.roles.decoy_check.DNS_SECONDS", 0.5)
    async with name_server(lambda name, asked: [HERE], silent=frozenset({"HTTPS"})) as server:
        found = await measure(Site(NAME, free_port()), Means(disguise(), [(HERE, server.port)], port_80=free_port()))
    assert found.ech is None and verdicts(found)[Check.ECH] is Verdict.UNKNOWN
