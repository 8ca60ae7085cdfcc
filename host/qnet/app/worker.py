"""One of a node's further processes: its cover and what it does for clients, without anything of its own to keep.

It ends when the first process closes the socket pair, which also happens when that process dies.
"""

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

import anyio
import msgspec

from qnet.app.exit_node import exit_with
from qnet.app.helper import exit_policy, load_disguise, relay_policy
from qnet.app.modes import capabilities
from qnet.app.profile import load_profiles
from qnet.app.public import peer_place
from qnet.app.worker_messages import LIMIT, News, Report, Setup
from qnet.keys import KeyRing
from qnet.net.decoy import Calibration, Parting
from qnet.net.failures import QuietTeller
from qnet.net.files import raise_file_limit
from qnet.roles.abuse_log import AbuseLog
from qnet.roles.exit import Exit
from qnet.roles.exit_usage import Usage
from qnet.roles.log_ring import LogRing, collected
from qnet.roles.peer import PeerListener
from qnet.roles.relay import Relay
from qnet.roles.replay_record import ReplayFollower
from qnet.roles.services import Services
from qnet.settings import Folders, Settings
from qnet.wire.errors import LocalError
from qnet.wire.messages import ExitCounts, Traffic
from qnet.wire.scratch import Scratch
from qnet.wire.streams import Budget

REPORT_SECONDS = 1.0

_log = logging.getLogger(__name__)


class WorkerError(LocalError):
    """There is nobody whose worker to be."""

    code = "worker"
    exit_code = 64


async def run(folders: Folders) -> None:
    """Serve until told to end, or SIGTERM; raises ``LocalError``."""
    with collected(LogRing()):
        asyncio.get_running_loop().set_exception_handler(QuietTeller())
        reader, writer = await _first_process()
        setup = msgspec.json.decode(await reader.readline(), type=Setup)
        worker = _Worker(setup.settings, folders, setup.since)
        server = await worker.listener.listen(Calibration(setup.quiet_after, setup.quiet_after_resumed))
        try:
            async with anyio.create_task_group() as group:
                if worker.exit is not None:
                    group.start_soon(worker.exit.run)
                group.start_soon(worker.report, writer)
                group.start_soon(_end_on_signal, group.cancel_scope)
                await worker.follow(reader)
                group.cancel_scope.cancel()
        finally:
            server.close()
            worker.close()
            worker.say(writer)
            writer.close()


async def _first_process() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        pair = socket.socket(fileno=sys.stdin.fileno())
        if pair.family != socket.AF_UNIX:
            raise OSError
        return await asyncio.open_connection(sock=pair, limit=LIMIT)
    except OSError:
        raise WorkerError("this command is for qnet run --workers", "use that") from None


async def _end_on_signal(scope: anyio.CancelScope) -> None:
    # SIGINT reaches a whole terminal: the first process hears it too, and ends this one.
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for each in signals:
            if each == signal.SIGTERM:
                scope.cancel()


class _PassedOn(AbuseLog):
    """Keeps no file: its lines are for the first process."""

    def __init__(self) -> None:
        super().__init__(Path())
        self._lines: list[bytes] = []

    def write(self, lines: list[bytes], now: float) -> None:
        self._lines += lines

    def passed(self) -> list[bytes]:
        """What there is to pass on."""
        lines, self._lines = self._lines, []
        return lines + self.take()


class _Worker:
    def __init__(self, settings: Settings, folders: Folders, since: float) -> None:
        raise_file_limit()
        can, disguise = capabilities(settings), load_disguise(settings)
        self._replay = ReplayFollower(folders.data, since)
        self._ring = KeyRing(folders.data)
        self._reported = ExitCounts()
        self._refusals = _PassedOn()
        self._keys = 0
        self.exit: Exit | None = None
        if can.exits:
            log = self._refusals if settings.exit_abuse_log else None
            self.exit = exit_with(settings, exit_policy(settings), Usage(), log)
        self._services = Services(self.exit, Relay(relay_policy(settings), disguise, settings.reservations))
        self.listener = PeerListener(
            peer_place(settings),
            self._ring,
            disguise,
            load_profiles(),
            Scratch(Budget(settings.window_budget << 20)),
            self._services,
            self._replay.cache,
            shared=True,
        )

    async def follow(self, reader: asyncio.StreamReader) -> None:
        """Do what the first process says until it says no more."""
        try:
            while line := await reader.readline():
                news = msgspec.json.decode(line, type=News)
                self.listener.parting = Parting(news.idle_seconds, news.sizes) if news.idle_seconds else None
                if news.keys != self._keys:
                    self._keys = news.keys
                    self._ring.reload()
                if self.exit is not None:
                    self.exit.closed = news.used_up
        except (OSError, ValueError):  # it died, perhaps in the middle of a line
            return

    async def report(self, writer: asyncio.StreamWriter) -> None:
        """Tell what was done, now and then."""
        while True:
            await anyio.sleep(REPORT_SECONDS)
            self.say(writer)

    def say(self, writer: asyncio.StreamWriter) -> None:
        """Tell what was done since the last time, if anything was."""
        if self.exit is None:
            return
        before, now = self._reported, self.exit.counts
        self._reported = now
        traffic = Traffic(up=now.traffic.up - before.traffic.up, down=now.traffic.down - before.traffic.down)
        counts = ExitCounts(
            requests=now.requests - before.requests,
            success=now.success - before.success,
            blocked=now.blocked - before.blocked,
            limited=now.limited - before.limited,
            traffic=traffic,
        )
        report = Report(counts, tuple(line.decode() for line in self._refusals.passed()))
        if report != Report():
            writer.write(msgspec.json.encode(report) + b"\n")

    def close(self) -> None:
        """End what clients have here."""
        self._services.close()
        self._replay.close()
