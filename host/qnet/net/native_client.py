"""A native messaging host from the browser's side: started as a browser starts it, and spoken to over its pipes."""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType

import msgspec

from qnet.wire.errors import RemoteError
from qnet.wire.framing import FrameReader, encode_frame
from qnet.wire.messages import Answer, AnyRequest, ErrorInfo, FailedEvent, encode

CHUNK = 65536
NOT_FOUND = (126, 127)
"""What a shell ends with when it cannot start what it was to start."""


class NativeHostError(RemoteError):
    """The host does not do what a browser needs. ``kind``: ``launch``, ``interpreter``, ``ended``, ``garbage``,
    ``silent``, or ``failed``, and then ``info`` is what the host itself says.
    """

    def __init__(self, kind: str, info: ErrorInfo | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.info = info


class _Heard(msgspec.Struct):
    """As much of a message as tells an answer from an event."""

    id: int | None = None
    event: str = ""


class NativeHost:
    """Start ``command`` and ask it; ends with the block. Raises ``NativeHostError``."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._reader = FrameReader()
        self._bodies: list[bytes] = []
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(environ),
                cwd="/",
                bufsize=0,
            )
        except OSError:
            raise NativeHostError("launch") from None
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 - pipes were asked for
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def __enter__(self) -> "NativeHost":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def ask(self, request: AnyRequest, seconds: float) -> Answer:
        """The answer, ok or not; events that come before it are passed over."""
        deadline = time.monotonic() + seconds
        with suppress(OSError):  # it has ended: reading tells how
            self._stdin.write(encode_frame(encode(request)))
        while True:
            body = self._next(deadline)
            try:
                heard = msgspec.json.decode(body, type=_Heard)
                if heard.event == "failed":
                    raise NativeHostError("failed", msgspec.json.decode(body, type=FailedEvent).error)
                if heard.id == request.id and not heard.event:
                    return msgspec.json.decode(body, type=Answer)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise NativeHostError("garbage") from None

    def _next(self, deadline: float) -> bytes:
        while not self._bodies:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._stdout], [], [], left)[0]:
                # The beginning of a frame that never ends is no frame.
                raise NativeHostError("silent" if self._reader.empty else "garbage")
            data = os.read(self._stdout.fileno(), CHUNK)
            if not data:
                self._ended()
            try:
                self._bodies = self._reader.receive(data)
            except RemoteError:
                raise NativeHostError("garbage") from None
        return self._bodies.pop(0)

    def _ended(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        if not self._reader.empty:
            raise NativeHostError("garbage")
        raise NativeHostError("interpreter" if self._process.returncode in NOT_FOUND else "ended")
