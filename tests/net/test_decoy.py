"""Measuring a decoy: what it says after a handshake, and why it cannot be one."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from qnet.net import decoy
from qnet.net.client_link import Disguise
from qnet.net.decoy import DecoyError, calibrate, idle_end
from qnet.wire.cover.appearance import APPEARANCES
from tests.support.cover_pair import NAME, authority, template
from tests.support.links import silent_listener, site
from tests.support.peers import QUIET, QUIET_RESUMED
from tests.support.tls_servers import nginx, openssl_server, python_server

pytestmark = pytest.mark.anyio
DISGUISE = Disguise(template("chromium"), APPEARANCES["chromium"], [authority().certificate])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


async def measure(port: int, name: str = NAME) -> int:
    return (await calibrate(("127.0.0.1", port), name, DISGUISE)).quiet_after


async def test_nginx_sends_tickets_settings_and_its_answer(port: int) -> None:
    assert 500 < await measure(port) < 800


async def test_full_and_resumed_handshakes_are_measured_apart(port: int) -> None:
    """htx.md's figures for nginx: two tickets of 271 bytes or one, SETTINGS, and its answer to ours in 26 + 5."""
    found = await calibrate(("127.0.0.1", port), NAME, DISGUISE)
    assert (found.quiet_after, found.quiet_after_resumed) == (QUIET, QUIET_RESUMED)
    assert len(DISGUISE.tickets) == 0, "a measurement is no visit"


async def test_a_decoy_that_gives_no_tickets(tmp_path: Path) -> None:
    settings = "ssl_session_tickets off; ssl_session_cache off;"
    with nginx(tmp_path, authority().issue(NAME), settings=settings) as port:
        found = await calibrate(("127.0.0.1", port), NAME, DISGUISE)
        assert found.quiet_after_resumed == found.quiet_after


async def test_how_nginx_ends_an_idle_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOAWAY and close_notify, after its keepalive_timeout."""
    monkeypatch.setattr(decoy, "LEAST_IDLE", 1.5)
    with nginx(tmp_path, authority().issue(NAME), settings="keepalive_timeout 2s;") as port:
        found = await idle_end(("127.0.0.1", port), NAME, DISGUISE)
        assert found is not None
        assert 1.8 < found.seconds < 3
        assert found.sizes == (34, 19)


async def test_a_decoy_that_closes_at_once_or_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoy, "IDLE_LIMIT", 0.5)
    with nginx(tmp_path, authority().issue(NAME), settings="keepalive_timeout 0;") as port:
        assert await idle_end(("127.0.0.1", port), NAME, DISGUISE) is None
    (tmp_path / "b").mkdir()
    with nginx(tmp_path / "b", authority().issue(NAME)) as port:
        assert await idle_end(("127.0.0.1", port), NAME, DISGUISE) is None
    with silent_listener() as port:
        monkeypatch.setattr(decoy, "CONNECT_SECONDS", 0.3)
        assert await idle_end(("127.0.0.1", port), NAME, DISGUISE) is None


async def test_a_wrong_name(port: int) -> None:
    with pytest.raises(DecoyError, match="certificate is refused"):
        await measure(port, "other.test")


async def test_a_name_that_is_none(port: int) -> None:
    with pytest.raises(DecoyError, match="not one of a host"):
        await measure(port, "näme.test")


async def test_an_expired_certificate(tmp_path: Path) -> None:
    with (
        nginx(tmp_path, authority().issue(NAME, valid_until=timedelta(hours=-1))) as port,
        pytest.raises(DecoyError, match="certificate is refused"),
    ):
        await measure(port)


async def test_tls_1_2_only(tmp_path: Path) -> None:
    with (
        nginx(tmp_path, authority().issue(NAME), protocols="TLSv1.2") as port,
        pytest.raises(DecoyError, match=r"TLS 1\.3"),
    ):
        await measure(port)


async def test_no_http_2(tmp_path: Path) -> None:
    with openssl_server(tmp_path, authority().issue(NAME)) as port, pytest.raises(DecoyError, match="HTTP/2"):
        await measure(port)


async def test_it_only_echoes(tmp_path: Path) -> None:
    """It chooses h2, but says nothing of its own and closes: what was measured is what it sent."""
    with python_server(tmp_path, authority().issue(NAME)) as port:
        assert await measure(port) > 0


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DecoyError, match="does not answer"):
            await measure(unused.getsockname()[1])


async def test_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoy, "CONNECT_SECONDS", 0.3)
    with silent_listener() as port, pytest.raises(DecoyError, match="does not answer"):
        await measure(port)


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
async def test_no_tls_at_all(says: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)

    async with site(answer) as port:
        with pytest.raises(DecoyError, match=r"TLS 1\.3"):
            await measure(port)


async def test_no_connection_is_left_behind(port: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("other.test", NAME):
        with suppress(DecoyError):
            await measure(port, name)
    await asyncio.sleep(0.05)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
