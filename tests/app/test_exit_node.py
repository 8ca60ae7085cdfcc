"""An exit from settings."""

import logging
import urllib.request
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from qnet.app.exit_node import make_exit, serve_notice
from qnet.app.modes import ModeError
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.listen import bind
from qnet.roles import notice
from qnet.settings import Settings
from tests.support.tls_servers import free_port

pytestmark = pytest.mark.anyio
POLICY = ExitPolicy(frozenset([80]))


async def test_the_settings_arrive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(
        exit_max_connections=7, exit_connects_per_client=8, exit_streams_per_minute=9, exit_idle_minutes=10,
        exit_monthly_gigabytes=11, exit_bind=["127.0.0.1"], exit_abuse_log=False,
    )  # fmt: skip
    (tmp_path / "abuse.log").write_text("from before")
    made = make_exit(settings, POLICY, tmp_path)
    assert not (tmp_path / "abuse.log").exists()
    assert (made._max_connections, made._client_limits.connects, made._client_limits.streams_per_minute) == (7, 8, 9)
    assert (made._idle_seconds, made._usage._limit, made._sources) == (600.0, 11 * 10**9, ["127.0.0.1"])
    assert made._abuse_log is None and "same address" not in caplog.text


@pytest.mark.parametrize(
    "changes",
    [{}, {"exit_bind": ["127.0.0.61"], "listen": "0.0.0.0:443"}, {"exit_bind": ["::1"], "listen": "[::]:443"},
     {"exit_bind": ["127.0.0.61"], "listen": "127.0.0.61:443"},
     {"exit_bind": ["127.0.0.61"], "listen": "127.0.0.1:443", "address": "127.0.0.61:443"}],
)  # fmt: skip
async def test_an_entry_that_shares_its_exits_address_is_warned_and_shows_no_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    settings = Settings(**changes)
    made = make_exit(settings, POLICY, tmp_path)
    assert "same address" in caplog.text and made._abuse_log is not None
    await serve_notice(settings)


async def test_an_address_that_is_only_left_from_is_no_reason_to_warn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_exit(Settings(exit_bind=["127.0.0.61"], listen="127.0.0.1:443", address="a.example:443"), POLICY, tmp_path)
    assert "same address" not in caplog.text


async def test_an_address_of_another_machine_cannot_be_left_from(tmp_path: Path) -> None:
    with pytest.raises(ModeError, match="does not have the address") as caught:
        make_exit(Settings(exit_bind=["192.0.2.251"]), POLICY, tmp_path)
    assert "192.0.2" not in caught.value.message


async def test_the_notice_page_is_where_the_exit_leaves_from(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(notice, "PORT", port)
    async with anyio.create_task_group() as group:
        group.start_soon(serve_notice, Settings(exit_bind=["127.0.0.61"], abuse_email="me@example.org"))

        def read(address: str) -> str:
            with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
                return str(answer.read().decode())

        while True:
            try:
                assert "me@example.org" in await anyio.to_thread.run_sync(read, "127.0.0.61")
                break
            except OSError:
                await anyio.sleep(0.02)
        with pytest.raises(OSError):
            await anyio.to_thread.run_sync(read, "127.0.0.1")
        group.cancel_scope.cancel()


async def test_without_an_address_of_its_own_there_is_no_page() -> None:
    await serve_notice(Settings())


async def test_a_port_that_is_taken_costs_the_page_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    monkeypatch.setattr(notice, "PORT", port)
    with bind("127.0.0.61", port, what="another", option=""):
        await serve_notice(Settings(exit_bind=["127.0.0.61"]))
    assert "there is no notice page" in caplog.text and "127.0.0" not in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING
