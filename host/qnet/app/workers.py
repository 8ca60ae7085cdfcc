"""A node's further processes: each accepts clients at the node's one address; the first keeps their common books.

What they share: the record of accepted hellos (``roles.replay_record``), the keys' file, and the limits, of which each
has its part. What ends by itself is started again.
"""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import msgspec

from qnet.app.worker_messages import LIMIT, News, Report, Setup
from qnet.settings import Settings

if TYPE_CHECKING:
    from qnet.roles.exit import Exit

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before another process takes the place of one that ended."""
STEADY_SECONDS = 60.0
END_SECONDS = 5.0

_log = logging.getLogger(__name__)


def share(settings: Settings) -> Settings:
    """One process's part of the node's limits. Hidden relays wait at nodes of one process only: who extends a
    circuit to them may have come to another.
    """
    count = settings.workers
    if count == 1:
        return settings
    return msgspec.structs.replace(
        settings,
        window_budget=max(settings.window_budget // count, 16),
        exit_max_connections=max(settings.exit_max_connections // count, 1),
        reservations=0,
    )


class Workers:
    """``run`` keeps ``count`` further processes alive. ``exit``: whose books their reports go into, if there is one."""

    def __init__(self, count: int, setup: Callable[[], Setup], exit: "Exit | None") -> None:
        self._count = count
        self._setup = setup
        self._exit = exit
        self._news = News()
        self._writers: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Until cancelled; then they end in order."""
        async with anyio.create_task_group() as group:
            for _ in range(self._count):
                group.start_soon(self._keep)

    def tell(self, **changes: object) -> None:
        """Let every process know of ``changes``, fields of ``News``."""
        self._news = msgspec.structs.replace(self._news, **changes)
        for writer in self._writers:
            writer.write(_line(self._news))

    def keys_changed(self) -> None:
        """The key file is another."""
        self.tell(keys=self._news.keys + 1)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await self._live()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE
            _log.warning("one of the node's processes ended (%s); another follows", code)
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _live(self) -> int | str:
        """One process's life; gives its exit code."""
        ours, theirs = socket.socketpair()
        isolated = ["-I"] if sys.flags.isolated else []
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *isolated,
                    "-m",
                    "qnet",
                    "worker",
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                )
            reader, writer = await asyncio.open_connection(sock=ours, limit=LIMIT)
        except OSError as error:
            ours.close()
            return error.strerror or "not started"
        writer.write(_line(self._setup()) + _line(self._news))
        self._writers.add(writer)
        try:
            await self._listen(reader)
        finally:
            self._writers.discard(writer)
            with anyio.move_on_after(END_SECONDS, shield=True):
                if writer.can_write_eof() and not writer.is_closing():
                    writer.write_eof()
                await self._listen(reader)
                await process.wait()
            writer.close()
            if process.returncode is None:
                process.kill()
        return process.returncode if process.returncode is not None else "it hung"

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Enter reports in the books until there are no more."""
        try:
            while line := await reader.readline():
                report = msgspec.json.decode(line, type=Report)
                if self._exit is not None:
                    self._exit.add(report.counts, [line.encode() for line in report.refusals])
                    if self._exit.used_up != self._news.used_up:
                        self.tell(used_up=self._exit.used_up)
        except (OSError, ValueError):  # it is gone, or in the middle of a line
            return


def _line(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"
