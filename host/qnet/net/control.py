"""The control socket: where browsers' native hosts and the command line speak to the helper.

Conversation: see ``qnet.wire.messages``. Each session's requests are answered one after the other; a message that
is not understood is answered with an error and the session goes on; a frame that cannot be cut, or does not arrive
whole within ``FRAME_SECONDS``, ends it. Who does not read what it is sent is dropped.

One helper per user: it holds ``control.lock`` as long as it lives, so that whatever socket is found beside it then
is left over from a dead one and may be replaced. Whoever is connected when it ends hears of that last of all, when
nothing is held any more that the next helper needs.
"""

import fcntl
import logging
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskStatus

from qnet.net.control_client import CHUNK, AlreadyRunningError, peer_uid
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.framing import FrameReader, FrameTooLargeError, encode_frame
from qnet.wire.messages import Answer, AnyEvent, AnyRequest, ErrorInfo, Hello, MessageError, decode_request, encode

FRAME_SECONDS = 10.0
"""How long one frame may take, to arrive or to be taken."""
QUEUE_LENGTH = 32
"""Messages that wait for a session before it is dropped."""
MAX_SESSIONS = 64

_logger = logging.getLogger(__name__)


class ControlSocketError(LocalError):
    """The control socket cannot be opened."""

    code = "control-socket"
    exit_code = 74


class ControlHandler(Protocol):
    """What the requests mean; the helper's own part."""

    async def handle(self, session: "ControlSession", request: AnyRequest) -> Answer:
        """Answer one request. ``LocalError`` and ``RemoteError`` become error answers."""
        ...

    def closed(self, session: "ControlSession") -> None:
        """Called once when ``session`` is over, also if it never asked anything."""
        ...


class ControlSession:
    """One program's connection; compared by identity."""

    def __init__(self, stream: SocketStream) -> None:
        self.hello: Hello | None = None
        """The request that opened the session, once it was answered with ok; events come only then."""
        self._stream = stream
        self._queue, self._waiting = anyio.create_memory_object_stream[bytes](QUEUE_LENGTH)
        self._scope = anyio.CancelScope()

    def send(self, event: AnyEvent) -> None:
        """Queue an event; a session whose queue is full is dropped."""
        self._put(encode_frame(encode(event)))

    def _put(self, frame: bytes) -> None:
        try:
            self._queue.send_nowait(frame)
        except anyio.WouldBlock:
            self._scope.cancel()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # it is ending already

    async def _run(self, handler: ControlHandler) -> None:
        with self._scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._write)
                with self._queue:
                    await self._read(handler)

    async def _write(self) -> None:
        with self._waiting:
            async for frame in self._waiting:
                try:
                    with anyio.fail_after(FRAME_SECONDS):
                        await self._stream.send(frame)
                except (TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self._scope.cancel()

    async def _read(self, handler: ControlHandler) -> None:
        reader = FrameReader()
        deadline = math.inf
        while True:
            try:
                with anyio.CancelScope(deadline=deadline) as waiting:
                    data = await self._stream.receive(CHUNK)
                if waiting.cancelled_caught:
                    return
                bodies = reader.receive(data)
            except FrameTooLargeError as error:
                await self._queue.send(_frame(_refusal(0, error)))
                return
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            for body in bodies:
                await self._queue.send(await self._answer(handler, body))
            if reader.empty:
                deadline = math.inf
            elif bodies or deadline == math.inf:
                deadline = anyio.current_time() + FRAME_SECONDS

    async def _answer(self, handler: ControlHandler, body: bytes) -> bytes:
        identifier = 0
        try:
            request = decode_request(body)
            identifier = request.id
            answer = await handler.handle(self, request)
            if isinstance(request, Hello) and answer.ok:
                self.hello = request
            return _frame(answer)
        except MessageError as error:
            return _frame(_refusal(error.code, error))
        except (LocalError, RemoteError) as error:
            return _frame(_refusal(identifier, error))
        except Exception as error:
            # One bad request must not end the helper, on which every browser's tunnel hangs.
            _logger.error("a control request failed: %s", type(error).__name__)
            _logger.debug("details", exc_info=error)
            return _frame(_refusal(identifier, LocalError("the helper failed at this request", "Look at its log")))


class ControlServer:
    """Listens on ``path`` for this user's programs and hands their requests to ``handler``."""

    def __init__(self, path: Path, handler: ControlHandler) -> None:
        self._path = path
        self._handler = handler
        self._sessions: set[ControlSession] = set()
        self._unaware: list[socket.socket] = []
        """Connections of sessions that were open when ``serve`` was cancelled."""

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; raises ``AlreadyRunningError`` or ``ControlSocketError`` before it has started.

        Sessions then see no end of the connection before ``hang_up``.
        """
        with _only_helper(self._path):
            try:
                listener = await anyio.create_unix_listener(self._path, mode=0o600)
            except OSError as error:
                raise ControlSocketError(
                    f"the control socket {self._path} cannot be opened ({error.strerror or error})",
                    "Move away what is in its place",
                ) from None
            async with listener, anyio.create_task_group() as group:
                task_status.started()
                while True:
                    group.start_soon(self._serve_session, await _accept(listener))

    def hang_up(self) -> None:
        """Tell whoever is left that the helper has ended: it may be started again."""
        while self._unaware:
            self._unaware.pop().close()

    def broadcast(self, event: AnyEvent) -> None:
        """Queue an event to every session that said hello."""
        for session in tuple(self._sessions):
            if session.hello is not None:
                session.send(event)

    async def _serve_session(self, stream: SocketStream) -> None:
        async with stream:
            if len(self._sessions) >= MAX_SESSIONS or not _is_own(stream):
                return
            session = ControlSession(stream)
            self._sessions.add(session)
            try:
                await session._run(self._handler)
            except anyio.get_cancelled_exc_class():
                with suppress(OSError):
                    self._unaware.append(_socket(stream).dup())
                raise
            finally:
                self._sessions.discard(session)
                self._handler.closed(session)


def _refusal(identifier: int, error: LocalError | RemoteError) -> Answer:
    if isinstance(error, LocalError):
        info = ErrorInfo(code=error.code, message=error.message, hint=error.hint)
    else:
        info = ErrorInfo(code="bad-message", message=str(error))
    return Answer(id=identifier, ok=False, error=info)


def _frame(answer: Answer) -> bytes:
    return encode_frame(encode(answer))


def _socket(stream: SocketStream) -> socket.socket:
    return stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django


def _is_own(stream: SocketStream) -> bool:
    return peer_uid(_socket(stream)) in (None, os.geteuid())


async def _accept(listener: SocketListener) -> SocketStream:
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            # Out of file descriptors, most likely: they come back when connections end.
            _logger.warning("a control connection could not be taken: %s", error.strerror)
            await anyio.sleep(0.5)


@contextmanager
def _only_helper(path: Path) -> Iterator[None]:
    """Hold the lock beside ``path``; raises ``AlreadyRunningError`` if another process does."""
    try:
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ControlSocketError(
            f"the folder {path.parent} cannot be used ({error.strerror})", "Check its owner"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError("a helper is already running", "See it with: qnet status") from None
        yield
    finally:
        os.close(handle)
