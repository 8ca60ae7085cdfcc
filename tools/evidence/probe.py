"""One probe: a script is a tuple of steps, an outcome what the prober saw (Frolov, Wampler and Wustrow, NDSS 2020).

Whoever probes knows no key. Some scripts have one all the same: then the prober is a holder of the key who
misbehaves, and the decoy, for which the key means nothing, is asked the same.
"""

import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from qnet.wire import steps
from qnet.wire.channel import record
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.auth import CoverKeys
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import Guise
from qnet.wire.errors import RemoteError
from qnet.wire.link import settings_frame
from qnet.wire.steps import Done, Handshake, Receive
from qnet.wire.tls import codes
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.record import plain_record
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import HelloDraft
from qnet.wire.tls.verify import Verifier
from tools.evidence.setting import draft_for, stranger, template

PATIENCE = 1.6
"""Seconds without anything new after which a probe ends."""
LATE_RESET = 0.05
"""Seconds after a FIN in which a reset may follow it."""
QUIET = 0.15
STALE = 3600
BROWSER = "firefox"
"""Its hellos are all of one size."""

Change: TypeAlias = Callable[[bytes], bytes]
Edit: TypeAlias = Callable[[ClientHello], None]


class Send(NamedTuple):
    """Bytes, whole or in pieces with a gap of seconds; what exceeds 64 pieces goes at once."""

    data: bytes
    piece: int = 0
    gap: float = 0.0


class Hello(NamedTuple):
    """A browser's hello. ``key``: none, valid or stale. ``edit`` works on the hello, ``change`` on its record."""

    key: str = "none"
    edit: Edit = lambda hello: None
    change: Change = lambda record: record
    piece: int = 0
    gap: float = 0.0


class Shake(NamedTuple):
    """A whole handshake but for the client's last flight."""

    key: str = "none"


class Flight(NamedTuple):
    """The client's CCS and Finished after ``Shake``, changed; with ``preface`` the HTTP/2 preface in one write."""

    change: Change = lambda flight: flight
    preface: bool = True


class Sealed(NamedTuple):
    """A genuine record of the TLS session."""

    kind: int
    content: bytes


class Tunnel(NamedTuple):
    """At the peer the whole tunnel; at the decoy a handshake and a preface. What was said so far is forgotten."""


class Flood(NamedTuple):
    """The same write again and again until one fails; how many went is part of the outcome.

    ``fast`` of them come in one piece: a limit that is counted is reached before a clock strikes, and none of them
    races the answer to the first. Then one by one, with a gap in which an answer arrives on a busy machine, too.
    """

    data: bytes
    fast: int = 0
    times: int = 12
    gap: float = 0.15


class Wait(NamedTuple):
    seconds: float


class Fin(NamedTuple):
    """No more from us."""


class Reset(NamedTuple):
    """The end, with RST."""


Step: TypeAlias = Send | Hello | Shake | Flight | Sealed | Tunnel | Flood | Wait | Fin | Reset
Script: TypeAlias = tuple[Step, ...]


class Outcome(NamedTuple):
    """What there is to compare. ``accepted``: bytes that were taken before the connection refused more."""

    answer: tuple[str, ...]
    end: str
    accepted: int


@dataclass
class Target:
    """Where a probe goes. ``known``: the peer's keys; ``is_peer``: or else a decoy, asked directly.

    ``patience``: see ``PATIENCE``; longer for a decoy that ends by itself whatever is silent.
    """

    port: int
    known: PeerKeys
    verifier: Verifier
    is_peer: bool = False
    patience: float = PATIENCE


@dataclass
class Probe:
    """A run of one script. ``closed``: seconds from connecting to the other side's FIN or RST, if there was one."""

    target: Target
    down: bytearray = field(default_factory=bytearray)
    end: str = "open"
    accepted: int = 0
    closed: float | None = None
    _hello: tuple[HelloDraft, CoverKeys | None] | None = None
    _session: TlsSession | None = None

    def run(self, script: Script) -> Outcome:
        self._began = time.perf_counter()
        self._socket = socket.create_connection(("127.0.0.1", self.target.port), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        with self._socket:
            for step in script:
                if self.end == "open" or isinstance(step, Flood):
                    with suppress(RemoteError):  # the handshake failed: the other side has had its say
                        self._do(step)
            if self.end == "open":
                self._listen(self.target.patience)
            if self.end == "fin":
                self._late_reset()
        return Outcome(tuple(summary(bytes(self.down))), self.end, self.accepted)

    def _do(self, step: Step) -> None:
        match step:
            case Send(data, piece, gap):
                self._pieces(data, piece, gap)
            case Hello(key, edit, change, piece, gap):
                self._hello = self._draft(key, edit)
                draft = self._hello[0]
                data = plain_record(codes.HANDSHAKE, draft.hello.message(), draft.record_version)
                self._pieces(change(data), piece, gap)
            case Shake(key):
                self._shake(key)
            case Flight(change, preface) if self._session is not None:
                words = self._session.seal(23, APPEARANCES[BROWSER].preface()) if preface else b""
                self._write(change(self._session.flight) + words)
            case Sealed(kind, content) if self._session is not None:
                self._write(self._session.seal(kind, content))
            case Tunnel():
                self._tunnel()
            case Flood(data, fast, times, gap):
                for piece in ([data * fast] if fast else []) + [data] * times:
                    if not self._write(piece):
                        break
                    self._listen(gap, exactly=True)
            case Wait(seconds):
                self._listen(seconds, exactly=True)
            case Fin():
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            case Reset():
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.end = "ours"

    # --- TLS

    def _draft(self, key: str, edit: Edit) -> tuple[HelloDraft, CoverKeys | None]:
        if key == "none":
            draft = stranger(BROWSER)
            edit(draft.hello)
            return draft, None
        return draft_for(self.target.known, BROWSER, time.time() - (STALE if key == "stale" else 0), edit)

    def _shake(self, key: str) -> None:
        draft, keys = self._draft(key, lambda hello: None)
        core = TlsClient(draft, self.target.verifier, os.urandom, keys.mark if keys else None)
        done = self._drive(core)
        if done is not None:
            self._session = done.result

    def _tunnel(self) -> None:
        if self.target.is_peer:
            known, guise = self.target.known, self._guise()
            self._drive(CoverClient(known, guise, os.urandom, time.time(), settings_frame()))
        else:
            self._shake("none")
            self._do(Flight())
        self._listen(QUIET)
        self.down.clear()
        self.accepted = 0

    def _guise(self) -> Guise:
        return Guise(template(BROWSER), APPEARANCES[BROWSER], self.target.verifier)

    def _drive(self, core: Handshake) -> Done | None:
        data = b""
        while True:
            match core.step(data):
                case steps.Send(out):
                    self._write(out)
                    data = b""
                case Receive():
                    before = len(self.down)
                    while len(self.down) == before and self.end == "open":
                        if not self._listen(PATIENCE, once=True):
                            return None
                    if len(self.down) == before:
                        return None
                    data = bytes(self.down[before:])
                case Done() as done:
                    return done

    # --- bytes

    def _pieces(self, data: bytes, piece: int, gap: float) -> None:
        if not piece:
            self._write(data)
            return
        for number in range(64):
            part = data[number * piece : (number + 1) * piece]
            if not part or not self._write(part):
                return
            self._listen(gap, exactly=True)
        self._write(data[64 * piece :])

    def _write(self, data: bytes) -> bool:
        """Whether all of it was taken."""
        deadline = time.perf_counter() + PATIENCE
        while data:
            try:
                sent = self._socket.send(data)
                self.accepted += sent
                data = data[sent:]
            except BlockingIOError:
                if time.perf_counter() > deadline:
                    return False
                self._listen(0.01, exactly=True)
            except OSError:
                return False
        return True

    def _listen(self, seconds: float, *, exactly: bool = False, once: bool = False) -> bool:
        """Read until nothing has come for so long (``exactly``: for so long in all), or the end."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            if self.end != "open":
                if exactly:
                    time.sleep(left)
                return False
            ready, _, _ = select.select([self._socket], [], [], left)
            if not ready:
                return False
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                self._over("reset")
                continue
            if not data:
                self._over("fin")
                continue
            self.down += data
            if once:
                return True
            if not exactly:
                until = time.perf_counter() + seconds
        return self.end == "open"

    def _over(self, how: str) -> None:
        self.end = how
        self.closed = time.perf_counter() - self._began

    def _late_reset(self) -> None:
        poll = select.poll()
        poll.register(self._socket, 0)
        deadline = time.perf_counter() + LATE_RESET
        while (left := deadline - time.perf_counter()) > 0:
            if any(event & select.POLLERR for _, event in poll.poll(left * 1000)):
                self.end = "fin, reset"
                return
            time.sleep(0.001)


def summary(data: bytes) -> list[str]:
    """Records by type, version and length, plain alerts in full; whatever is no TLS as it is, without its date."""
    found, at = [], 0
    while len(data) - at >= 5 and 20 <= data[at] <= 23 and data[at + 1] == 3:
        kind, version, length = data[at], data[at + 1 : at + 3].hex(), int.from_bytes(data[at + 3 : at + 5], "big")
        body = data[at + 5 : at + 5 + length]
        if len(body) < length:
            break
        found.append(f"{kind}/{version}/{length}" + (f" {body.hex()}" if kind == 21 and length == 2 else ""))
        at += 5 + length
    if at < len(data):
        rest = re.sub(rb"Date: [^\r]+", b"", data[at:])
        found.append(f"{len(rest)} bytes {rest[:400]!r}" if at == 0 else f"{len(rest)} bytes")
    return found


def bad_record(length: int) -> bytes:
    """An application data record of ``length`` random bytes."""
    return record(os.urandom(length))
