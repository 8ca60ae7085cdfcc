"""What the event loop says of errors that nobody handled."""

import asyncio
import errno

import pytest

from qnet.net.failures import QuietTeller

pytestmark = pytest.mark.anyio


async def test_only_the_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(QuietTeller())

    def fail(destination: str) -> None:
        raise ZeroDivisionError(destination)

    loop.call_soon(fail, "secret.test")
    await asyncio.sleep(0.01)
    for _ in range(1000):
        loop.call_exception_handler({"message": "192.0.2.1", "exception": OSError(errno.EMFILE, "192.0.2.1")})
    assert caplog.text.count("no file descriptor is left") == 1
    assert "ZeroDivisionError" in caplog.text
    assert "secret.test" not in caplog.text and "192.0.2.1" not in caplog.text


async def test_debugging_shows_everything(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        QuietTeller()(loop, {"message": "all of it", "exception": ZeroDivisionError()})
    finally:
        loop.set_debug(False)
    assert "all of it" in caplog.text
