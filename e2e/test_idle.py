"""The native port outlives idleness in both browsers: nobody has to start the host anew, and the next page loads.

35 seconds by default, longer than a background without a port lives; ``QNET_IDLE_SECONDS=600`` asks for more.
"""

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e.browsers import chromium
from e2e.firefox import firefox
from e2e.listeners import site
from qnet.browser.launcher import write_launcher
from tests.support.network import joined_client, network
from tools.extension import build

IDLE = float(os.environ.get("QNET_IDLE_SECONDS", "35"))
URL = "http://site.test/"


@pytest.mark.timeout(120 + IDLE)
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_the_native_port_survives_idleness(name: str, playwright: Playwright, tmp_path: Path) -> None:
    starts, home = tmp_path / "starts", tmp_path / "person"
    with (
        site("<title>inside</title>") as inside,
        network(tmp_path, f"--exit-map=site.test:80=127.0.0.1:{inside.port}", "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        (client.home / "data").mkdir(mode=0o700, exist_ok=True)
        real = write_launcher(client.home / "data")
        launcher = tmp_path / "launcher"
        launcher.write_text(f'#!/bin/sh\necho started >> {starts}\nexec {real} "$@"\n')
        launcher.chmod(0o755)
        running = (
            chromium(
                playwright,
                home,
                build("chrome", tmp_path / "extension"),
                launcher=launcher,
                env=client.environment,
            )
            if name == "chromium"
            else firefox(home, build("firefox", tmp_path / "extension"), launcher=launcher, env=client.environment)
        )
        with running as browser:
            popup = browser.open_surface("popup/popup.html")
            popup.click("#press")
            popup.wait_for("body[data-kind=connected] #title", "Connected")
            popup.close()
            begun = starts.read_text()
            time.sleep(IDLE)
            assert browser.title_of(URL) == "inside"
            assert starts.read_text() == begun
        client.command("stop")
