"""The native messaging host: a thin relay between a browser's stdio and the helper's control socket.

Conversation:

1. if no helper runs, start one, detached (``start``); if it will not: ← ``failed`` event ``helper-start``, the end
2. frames pass unchanged, both ways; stdout carries nothing else
3. the browser closes stdin: the end, code 0; the helper goes on, and gives back this browser's lease
4. the helper closes the socket: ← ``failed`` event ``helper-lost``, the end, code 1
5. the browser sends a frame that is too large or cut short: ← ``failed`` event ``bad-message``, the end, code 1

Two threads, because no other way waits for a pipe and a socket on every system. Only the main one writes to stdout.
"""

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress

from qnet.net.control_client import CHUNK, NotRunningError, connect
from qnet.settings import find_folders
from qnet.wire.errors import LocalError, Place
from qnet.wire.framing import FrameReader, FrameTooLargeError, encode_frame
from qnet.wire.messages import ErrorInfo, FailedEvent, encode

STDIN, STDOUT = 0, 1

_LOST = ErrorInfo(
    code="helper-lost",
    message="The helper ended",
    hint="Press Connect to start it again",
    place=Place.HOST,
)
_BAD = ErrorInfo(
    code="bad-message",
    message="The browser sent a message that cannot be read",
    hint="Reload the extension",
    place=Place.HOST,
)


def run_host(environ: Mapping[str, str]) -> int:
    """Relay until one side ends; returns the exit code."""
    try:
        folders = find_folders(environ)
        try:
            connection = connect(folders.control, None)
        except NotRunningError:
            from qnet.cli.start import start_helper

            folders.create()
            connection = start_helper(folders, environ)
    except LocalError as error:
        return _fail(ErrorInfo(code="helper-start", message=error.message, hint=error.hint, place=Place.HOST))
    with connection:
        return _Relay(connection).run()


class _Relay:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._browser_ended = threading.Event()
        self._bad_message = False

    def run(self) -> int:
        # A daemon: it may wait for the browser for ever while the process ends by the helper's end.
        threading.Thread(target=self._to_helper, daemon=True).start()
        try:
            self._to_browser()
        except BrokenPipeError:
            return 0
        if self._bad_message:
            return _fail(_BAD)
        return 0 if self._browser_ended.is_set() else _fail(_LOST)

    def _to_browser(self) -> None:
        """Until the socket ends, or says what no helper says."""
        reader = FrameReader()
        while True:
            try:
                data = self._connection.recv(CHUNK)
                bodies = reader.receive(data)
            except (OSError, FrameTooLargeError):
                return
            for body in bodies:
                _write(encode_frame(body))
            if not data:
                return

    def _to_helper(self) -> None:
        """Until stdin ends or the socket does; then wakes the other thread."""
        reader = FrameReader()
        try:
            while data := os.read(STDIN, CHUNK):
                for body in reader.receive(data):
                    self._connection.sendall(encode_frame(body))
            self._bad_message = not reader.empty
            self._browser_ended.set()
        except FrameTooLargeError:
            self._bad_message = True
        except OSError:
            pass  # the helper is gone: the other thread sees it too
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


def _fail(error: ErrorInfo) -> int:
    with suppress(BrokenPipeError):
        _write(encode_frame(encode(FailedEvent(error=error))))
    return 1


def _write(frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(STDOUT, rest) :]
