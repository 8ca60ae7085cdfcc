from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, sync_playwright

from e2e.leak_lab import lab, names  # noqa: F401 (fixtures)
from tools.extension import build


@pytest.fixture
def playwright() -> Iterator[Playwright]:
    # Per test: its event loop lives in this thread, where asynchronous tests need their own afterwards.
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("chrome", tmp_path_factory.mktemp("extension") / "chrome")
