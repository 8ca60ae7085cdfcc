"""An invitation as a code on the screen: a program that nobody here wrote reads from the picture what the link says."""

from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from matplotlib import image
from playwright.sync_api import Playwright

from e2e import hosts
from e2e.browsers import build_with_tabs, chromium
from e2e.firefox import firefox
from e2e.scripted_host import LINK
from tools.extension import build

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def read_codes(picture: Path) -> list[str]:
    """What a camera would find in a PNG."""
    pixels = (image.imread(str(picture))[:, :, :3] * 255).astype(np.uint8)
    return [found.text for found in zxingcpp.read_barcodes(np.ascontiguousarray(pixels))]


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_the_code_can_be_read(name: str, playwright: Playwright, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    if name == "chromium":
        running = chromium(playwright, tmp_path / "profile", build_with_tabs(tmp_path / "built"), launcher=launcher)
    else:
        running = firefox(tmp_path / "person", build("firefox", tmp_path / "built"), launcher=launcher, env=ENVIRONMENT)
    with running as browser:
        page = browser.open_surface("options/options.html#network")
        page.click("#invite-show")
        page.wait_for("#invite-found", "")
        for dark in (False, True):
            picture = tmp_path / f"code-{dark}.png"
            page.screenshot(picture, dark=dark)
            assert read_codes(picture) == [LINK]
