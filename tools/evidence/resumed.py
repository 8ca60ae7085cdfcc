"""Resumed hellos: what a browser says on its further visits, with a ticket of nginx's, beside what we say with one.

Fewer than of first hellos: each takes the browser a whole visit. nginx closes after each request, so that every visit
is a new connection.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4
from qnet.wire.tls.record import RecordReader
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.tickets import Offer
from qnet.wire.tls.verify import ChainVerifier
from tests.support.network import DECOY_NAME
from tests.support.tls_servers import nginx
from tests.support.visits import observed, visitor
from tests.wire.tls.hello_skeleton import skeleton
from tools.evidence.row import Row, Say, count, seen
from tools.evidence.setting import BROWSERS, Setting, stranger, template
from tools.evidence.talk import Talk

AGE = 10
"""Seconds since a ticket came, as we say it; what is on the wire is hidden by a number of the server's."""


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """40 visits of each browser (short: 5)."""
    number = 5 if short else 40
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        credential = place.authority.issue(DECOY_NAME, key="rsa")
        with nginx(folder, credential, settings="keepalive_requests 1;") as port:
            for browser in BROWSERS:
                say(f"{number} further visits of {browser}")
                theirs = _theirs(browser, port, folder / browser, number)
                ours = _ours(place, browser, port, number)
                yield from _compare(browser, ours, theirs)


def _theirs(browser: str, port: int, profile: Path, number: int) -> list[ClientHello]:
    with observed(port) as (relay, connections), visitor(browser, DECOY_NAME, profile) as visit:
        for at in range(number + 1):
            visit(f"https://{DECOY_NAME}:{relay}/{at}")
        found = [each.hello for each in connections]
    return [hello for hello in found if hello and hello.extension(codes.PRE_SHARED_KEY)]


def _ours(place: Setting, browser: str, port: int, number: int) -> list[ClientHello]:
    tickets: list[SessionTicket] = []
    while len(tickets) < number:
        tickets += _tickets(place, browser, port)
    made = []
    for ticket in tickets[:number]:
        draft = template(browser).build(DECOY_NAME, os.urandom, Offer(ticket, AGE))
        draft.hello.session_id = os.urandom(32)
        made.append(draft.hello)
    return made


def _tickets(place: Setting, browser: str, port: int) -> list[SessionTicket]:
    core = TlsClient(stranger(browser), ChainVerifier(place.anchors, time.time()), os.urandom)
    with Talk(port) as talk:
        done = talk.run(core)
        assert done is not None
        session, before = done.result, len(talk.down)
        talk.send(session.flight + session.seal(23, APPEARANCES[browser].preface()))
        talk.gather(0.1)
        records = RecordReader()
        records.feed(done.trailing + bytes(talk.down[before:]))
        while (record := records.next()) is not None:
            kind, content = session.open_record(record)
            if kind == codes.HANDSHAKE:
                session.receive_handshake(content)
    return session.tickets


def _compare(browser: str, ours: list[ClientHello], theirs: list[ClientHello]) -> Iterator[Row]:
    tries = len(ours)
    yield seen(f"{browser}, resumed: hellos of the real one", str(len(theirs)), len(theirs), len(theirs) >= tries // 2)
    for name, mark in (("JA4", ja4), ("template", lambda hello: repr(skeleton(hello)))):
        known = {mark(hello) for hello in theirs}
        strange = sum(mark(hello) not in known for hello in ours)
        yield count(f"{browser}, resumed: {name} that the real one does not send", strange, tries)
    if not template(browser).permuted:  # the sizes of the other vary, and in few of them not all are seen
        sizes = {len(hello.message()) for hello in theirs}
        strange = sum(len(hello.message()) not in sizes for hello in ours)
        yield count(f"{browser}, resumed: hellos of another size", strange, tries)
