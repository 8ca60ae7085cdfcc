"""A small client of W3C WebDriver BiDi: commands over one websocket, answered by id; events are dropped."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

TIMEOUT = 30.0


class BidiError(Exception):
    """The browser refused a command; the message is its own."""


class Session:
    """A BiDi session over an open websocket."""

    def __init__(self, socket: ClientConnection, capabilities: dict[str, Any]) -> None:
        self._socket = socket
        self._number = 0
        self.command("session.new", capabilities=capabilities)

    def command(self, method: str, *, timeout: float = TIMEOUT, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result; raises ``BidiError``, or ``TimeoutError`` after ``timeout`` s."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout))
            if message.get("id") != self._number:
                continue
            if message["type"] == "error":
                raise BidiError(f"{message['error']}: {message['message']}")
            result: dict[str, Any] = message["result"]
            return result

    def evaluate(self, context: str, expression: str) -> Any:
        """The value of a JavaScript expression in a browsing context; promises are awaited."""
        found = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": context},
            awaitPromise=True,
        )
        if found["type"] == "exception":
            raise BidiError(found["exceptionDetails"]["text"])
        text = found["result"].get("value")
        return None if text is None else json.loads(text)

    def open(self, url: str) -> str:
        """A new tab at ``url``; raises ``BidiError`` where it does not load."""
        context: str = self.command("browsingContext.create", type="tab")["context"]
        self.command("browsingContext.navigate", context=context, url=url, wait="complete")
        return context


@contextmanager
def session(
    url: str, capabilities: dict[str, Any] | None = None, sock: socket.socket | None = None
) -> Iterator[Session]:
    """A session with the browser that listens at ``url``; it ends with the block. ``capabilities``: as in WebDriver.

    ``sock``: a connection to it, if there is one.
    """
    with connect(f"{url}/session", sock=sock, max_size=None, compression=None, open_timeout=TIMEOUT) as opened:
        yield Session(opened, capabilities or {})
