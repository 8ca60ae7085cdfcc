"""What the event loop tells when nobody was there to handle an error: its kind only.

The loop's own words name sockets and the arguments of callbacks, and so addresses.
"""

import asyncio
import logging
from typing import Any

from qnet.net.dial import OUT_OF_FILES

_log = logging.getLogger(__name__)


SILENCE_SECONDS = 60.0
"""Without descriptors the loop fails to accept each of a backlog, anew every second: that is said once a minute."""


class QuietTeller:
    """An event loop's exception handler. In the loop's debug mode everything is told."""

    def __init__(self) -> None:
        self._said = -SILENCE_SECONDS

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in OUT_OF_FILES:
            if loop.time() - self._said < SILENCE_SECONDS:
                return
            self._said = loop.time()
            _log.warning("no file descriptor is left: new connections wait until some end (raise the hard limit)")
        else:
            _log.error("an unexpected failure: %s", type(error).__name__)
        if loop.get_debug():
            loop.default_exception_handler(context)
