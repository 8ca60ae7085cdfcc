"""What the tunnel looks like: captures asked for once a version, kept, refused, and whose is worn."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from qnet.net import capture as listening
from qnet.net.client_link import Disguise
from qnet.roles.wardrobe import FILE_NAME, MAX_KNOWN, CaptureError, Wardrobe
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.messages import Capture, CaptureInfo
from qnet.wire.tls import codes
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.record import plain_record
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.tickets import Network
from tests.support.cover_pair import template
from tests.support.links import until
from tests.support.peers import disguise

pytestmark = pytest.mark.anyio


class Session:
    """Only who it is counts."""


@pytest.fixture
def wears() -> Disguise:
    return disguise()


@pytest.fixture
def wardrobe(tmp_path: Path, wears: Disguise) -> Wardrobe:
    return Wardrobe(tmp_path, wears, template)


def asks(browser: str = "Chromium", version: str = "156.0") -> Capture:
    return Capture(id=1, browser=browser, version=version)


async def show(url: str, family: str = "firefox", **changes: object) -> None:
    """Open ``url`` as a browser whose hello is that of ``family``, ``changes`` apart."""
    name, _, port = url.removeprefix("https://").removesuffix("/").rpartition(":")
    draft = template(family).build(name, os.urandom)
    message = replace(draft.hello, session_id=os.urandom(32), **changes).message()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(plain_record(codes.HANDSHAKE, message, draft.record_version))
    assert await reader.read() == b""
    writer.close()


async def done(wardrobe: Wardrobe) -> None:
    await until(lambda: wardrobe._capture is None or wardrobe._capture.done())


async def test_a_browser_is_asked_once_a_version(wardrobe: Wardrobe, wears: Disguise, tmp_path: Path) -> None:
    session = Session()
    first = await wardrobe.capture(session, asks())
    assert first.url.startswith("https://") and not first.known
    await show(first.url)
    await done(wardrobe)
    assert await wardrobe.capture(session, asks()) == CaptureInfo(url="", known=True, problem="")
    wardrobe.wear(session, "chromium")
    assert not wears.template.boringssl, "its own hello counts, not what it calls itself"
    assert wears.look == APPEARANCES["firefox"]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again = await wardrobe.capture(session, asks(version="157.0"))
    assert again.url and again.known
    await show(again.url, "chromium")
    await done(wardrobe)
    wardrobe.wear(session, "chromium")
    assert wears.template.boringssl


async def test_it_is_kept_for_later_starts(wardrobe: Wardrobe, tmp_path: Path) -> None:
    info = await wardrobe.capture(Session(), asks("Firefox", "153"))
    await show(info.url)
    await done(wardrobe)
    wears, session = disguise(), Session()
    later = Wardrobe(tmp_path, wears, template)
    assert (await later.capture(session, asks("Firefox", "153"))).url == ""
    later.wear(session, "firefox")
    assert (wears.template.hello.server_name() or "").endswith(".localhost")


async def test_what_cannot_be_a_template_is_refused_once_with_a_reason(wardrobe: Wardrobe, wears: Disguise) -> None:
    session = Session()
    info = await wardrobe.capture(session, asks())
    shares = [pair for pair in template("firefox").hello.extensions if pair[0] != codes.KEY_SHARE]
    bare = ClientHello(0x0303, os.urandom(32), os.urandom(32), [0x1301], b"\0", shares)
    name = info.url.removeprefix("https://").partition(":")[0].encode()
    sni = (codes.SERVER_NAME, b"\0" + bytes([len(name) + 3]) + b"\0\0" + bytes([len(name)]) + name)
    await show(info.url, extensions=[sni, *(pair for pair in bare.extensions if pair[0] != codes.SERVER_NAME)])
    await done(wardrobe)
    again = await wardrobe.capture(session, asks())
    assert again.url == "" and not again.known
    assert "key share" in again.problem
    wardrobe.wear(session, "firefox")
    assert wears.template.hello == template("firefox").hello, "the bundled one stays"
    assert (await wardrobe.capture(session, asks(version="157.0"))).url


async def test_without_http_2_it_is_no_template(wardrobe: Wardrobe) -> None:
    info = await wardrobe.capture(Session(), asks())
    name = info.url.removeprefix("https://").partition(":")[0]
    made = template("firefox").build(name, os.urandom).hello.extensions
    only = [(kind, b"\0\x09\x08http/1.1" if kind == codes.ALPN else body) for kind, body in made]
    await show(info.url, extensions=only)
    await done(wardrobe)
    assert "HTTP/2" in (await wardrobe.capture(Session(), asks())).problem


async def test_one_at_a_time(wardrobe: Wardrobe) -> None:
    assert (await wardrobe.capture(Session(), asks())).url
    assert await wardrobe.capture(Session(), asks("Firefox")) == CaptureInfo(url="", known=False, problem="")


async def test_a_browser_that_does_not_come_is_asked_again(wardrobe: Wardrobe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SECONDS", 0.02)
    assert (await wardrobe.capture(Session(), asks())).url
    await done(wardrobe)
    assert (await wardrobe.capture(Session(), asks())).url


async def test_another_look_forgets_the_tickets(wardrobe: Wardrobe, wears: Disguise) -> None:
    ticket = SessionTicket(300, 0, b"t", bytes(48), 0x1302)
    wears.tickets.keep("a", [ticket], Network("192.0.2.7", ""), 0.0)
    wardrobe.wear(Session(), "chromium")
    assert len(wears.tickets) == 1, "the same look"
    wardrobe.wear(Session(), "firefox")
    assert len(wears.tickets) == 0
    wardrobe.wear(Session(), "cli")
    assert not wears.template.boringssl, "a program that is no browser changes nothing"


@pytest.mark.parametrize(("browser", "version"), [("", "1"), ("x" * 65, "1"), ("Chromium", "1\n2"), ("Chromium", "")])
async def test_names_that_are_none(wardrobe: Wardrobe, browser: str, version: str) -> None:
    with pytest.raises(CaptureError):
        await wardrobe.capture(Session(), asks(browser, version))


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"browser":1}]', b"[" * 5000, b"\xff"])
async def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, wears: Disguise, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert (await Wardrobe(tmp_path, wears, template).capture(Session(), asks())).url


async def test_a_bounded_number_of_browsers(wardrobe: Wardrobe, tmp_path: Path) -> None:
    for number in range(MAX_KNOWN + 3):
        info = await wardrobe.capture(Session(), asks(f"Browser {number}"))
        await show(info.url)
        await done(wardrobe)
    later = Wardrobe(tmp_path, disguise(), template)
    assert len(later._known) == MAX_KNOWN
    assert f"Browser {MAX_KNOWN + 2}" in later._known
