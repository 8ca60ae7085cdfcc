"""The control socket from the asking side, with plain blocking sockets: for processes that must start at once.

Conversation: see ``qnet.wire.messages``. One request, one answer; without a hello no event comes in between.
"""

import os
import socket
import struct
from pathlib import Path

import msgspec

from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.framing import FrameReader, encode_frame
from qnet.wire.messages import Answer, AnyRequest, Stop, encode

CHUNK = 65536


class AlreadyRunningError(LocalError):
    """Another helper of this user is running."""

    code = "already-running"
    exit_code = 79
    # Its own number: who starts a helper and reads it waits for the other one instead.


class NotRunningError(LocalError):
    """No helper of this user is running."""

    code = "not-running"
    exit_code = 69


class HelperError(LocalError):
    """The helper's answer cannot be used, or does not come."""

    code = "helper"
    exit_code = 76


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; ``None`` where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def connect(path: Path, timeout: float | None) -> socket.socket:
    """A connection to the helper; raises ``NotRunningError``. ``timeout`` in seconds stays set on the socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
        if peer_uid(connection) not in (None, os.geteuid()):
            raise HelperError("another user's process answers in the helper's place", f"Remove {path}")
    except OSError:
        connection.close()
        raise NotRunningError("no helper is running", "Start one with: qnet run") from None
    except LocalError:
        connection.close()
        raise
    return connection


def request(path: Path, message: AnyRequest, timeout: float = 30) -> Answer:
    """Ask once; raises ``NotRunningError`` or ``HelperError``. An answer that is not ``ok`` is returned like any."""
    with connect(path, timeout) as connection:
        answer = _ask(connection, message)
    if answer is None:
        raise HelperError("the helper ended before it answered", "Look at its log")
    return answer


def stop(path: Path, timeout: float = 30) -> None:
    """End the helper and wait until it let go of us; raises ``NotRunningError`` or ``HelperError``."""
    with connect(path, timeout) as connection:
        answer = _ask(connection, Stop(id=1))
        if answer is not None and answer.error is not None:
            raise HelperError(answer.error.message, answer.error.hint)
        try:
            while connection.recv(CHUNK):
                pass
        except OSError:
            raise HelperError("the helper does not end", "Look at its log") from None


def _ask(connection: socket.socket, message: AnyRequest) -> Answer | None:
    """The answer to ``message``; ``None`` if the helper ends instead."""
    reader = FrameReader()
    try:
        connection.sendall(encode_frame(encode(message)))
        while data := connection.recv(CHUNK):
            for body in reader.receive(data):
                answer = msgspec.json.decode(body, type=Answer)
                if answer.id == message.id:
                    return answer
    except (OSError, RemoteError, msgspec.DecodeError, UnicodeDecodeError):
        raise HelperError("the helper does not answer as it should", "Try: qnet stop, then qnet run") from None
    return None
