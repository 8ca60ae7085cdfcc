"""The control socket: requests, events, and whoever does not behave."""

import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
import pytest
from anyio import to_thread

from qnet.net import control, control_client
from qnet.net.control import ControlServer, ControlSession, ControlSocketError
from qnet.net.control_client import AlreadyRunningError, HelperError, NotRunningError
from qnet.wire.errors import LocalError
from qnet.wire.framing import LIMIT, FrameReader, encode_frame
from qnet.wire.messages import (
    Answer,
    AnyRequest,
    Connect,
    GetPac,
    GetStatus,
    Hello,
    HelloInfo,
    State,
    Status,
    StatusEvent,
    Stop,
    encode,
)

pytestmark = pytest.mark.anyio
T = TypeVar("T")

STATUS = Status(state=State.OFFLINE, mode="client", version="0", since=0.0)


class Handler:
    """Answers status and hello, fails at the rest, each in its way."""

    def __init__(self) -> None:
        self.ended: list[ControlSession] = []
        self.stopped = anyio.Event()

    async def handle(self, session: ControlSession, request: AnyRequest) -> Answer:
        match request:
            case Hello():
                return Answer(id=request.id, ok=True, hello=HelloInfo(version=1, helper="0", features=[]))
            case GetStatus():
                return Answer(id=request.id, ok=True, status=STATUS)
            case Connect():
                raise LocalError("no way", "Find one")
            case GetPac():
                raise ZeroDivisionError
            case Stop():
                self.stopped.set()
        return Answer(id=request.id, ok=True)

    def closed(self, session: ControlSession) -> None:
        self.ended.append(session)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[ControlServer, Handler]]:
    handler = Handler()
    server = ControlServer(path, handler)
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        yield server, handler
        group.cancel_scope.cancel()
    server.hang_up()


class Client:
    """A raw connection, blocking calls in threads."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.reader = FrameReader()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        await to_thread.run_sync(self.socket.sendall, data)

    async def ask(self, message: AnyRequest) -> dict[str, object]:
        await self.send(encode_frame(encode(message)))
        return await self.next()

    async def next(self) -> dict[str, object]:
        def read() -> dict[str, object]:
            while True:
                for body in self.reader.receive(b""):
                    return self._one(body)
                data = self.socket.recv(1 << 16)
                if not data:
                    raise EOFError
                bodies = self.reader.receive(data)
                if bodies:
                    assert len(bodies) == 1
                    return self._one(bodies[0])

        return await to_thread.run_sync(read)

    @staticmethod
    def _one(body: bytes) -> dict[str, object]:
        message = json.loads(body)
        assert isinstance(message, dict)
        return message

    async def ended(self) -> bool:
        """Whether the server closes, whatever it says first."""

        def read() -> bool:
            try:
                while self.socket.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
            return True

        return await to_thread.run_sync(read)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.01)


async def test_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with running(tmp_path / "control.sock"):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


async def test_request_and_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path) as (_, handler):
        answer = await to_thread.run_sync(control_client.request, path, GetStatus(id=7))
        assert answer == Answer(id=7, ok=True, status=STATUS)
        await until(lambda: len(handler.ended) == 1)


async def test_events_come_after_hello_only(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path) as (server, _):
        with Client(path) as greeted, Client(path) as silent:
            await silent.ask(GetStatus(id=1))
            assert "hello" in await greeted.ask(Hello(id=1, version=1))
            server.broadcast(StatusEvent(status=STATUS))
            assert (await greeted.next())["event"] == "status"
            assert (await silent.ask(GetStatus(id=2)))["id"] == 2


@pytest.mark.parametrize(
    ("body", "identifier"),
    [(b"", 0), (b"{", 0), (b'{"cmd":"fly","id":9}', 9), (b'{"id":3}', 3), (b"[" * 100_000, 0), (b"\xff", 0)],
)
async def test_bad_message_is_answered_and_the_session_goes_on(tmp_path: Path, body: bytes, identifier: int) -> None:
    path = tmp_path / "control.sock"
    async with running(path):
        with Client(path) as client:
            await client.send(encode_frame(body))
            answer = await client.next()
            assert (answer["id"], answer["ok"]) == (identifier, False)
            assert msgspec.convert(answer, Answer).error is not None
            assert (await client.ask(GetStatus(id=4)))["ok"]


async def test_failures_of_the_handler_are_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "control.sock"
    async with running(path):
        with Client(path) as client:
            assert (await client.ask(Connect(id=1)))["error"] == {
                "code": "local", "message": "no way", "hint": "Find one"
            }  # fmt: skip
            assert not (await client.ask(GetPac(id=2)))["ok"]
            assert (await client.ask(GetStatus(id=3)))["ok"]
    assert "ZeroDivisionError" in caplog.text


async def test_oversize_frame_ends_the_session_only(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path) as (_, handler):
        with Client(path) as client:
            await client.send((LIMIT + 1).to_bytes(4, "little") + b"x" * 100)
            assert not (await client.next())["ok"]
            assert await client.ended()
        await until(lambda: len(handler.ended) == 1)
        assert (await to_thread.run_sync(control_client.request, path, GetStatus(id=1))).ok


async def test_truncated_frame(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path) as (_, handler):
        with Client(path) as client:
            await client.send(b"\x10\x00\x00\x00{")
        await until(lambda: len(handler.ended) == 1)


async def test_slow_frame_is_cut_off_but_an_idle_session_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "FRAME_SECONDS", 0.3)
    path = tmp_path / "control.sock"
    async with running(path):
        with Client(path) as slow, Client(path) as idle:
            assert (await idle.ask(GetStatus(id=1)))["ok"]
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:

                    async def drip() -> None:
                        for byte in b"\x40\x00\x00\x00" + b" " * 60:
                            try:
                                await slow.send(bytes([byte]))
                            except OSError:
                                return
                            await anyio.sleep(0.1)

                    group.start_soon(drip)
                    assert await slow.ended()
            assert (await idle.ask(GetStatus(id=2)))["ok"]


async def test_who_does_not_read_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path) as (server, handler):
        with Client(path) as client:
            await client.ask(Hello(id=1, version=1))
            big = StatusEvent(status=msgspec.structs.replace(STATUS, version="v" * 500_000))
            for _ in range(control.QUEUE_LENGTH + 8):
                server.broadcast(big)
                await anyio.sleep(0)
            await until(lambda: len(handler.ended) == 1)
        assert (await to_thread.run_sync(control_client.request, path, GetStatus(id=1))).ok


async def test_number_of_sessions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_SESSIONS", 2)
    path = tmp_path / "control.sock"
    async with running(path):
        with Client(path) as first, Client(path) as second:
            await first.ask(GetStatus(id=1))
            await second.ask(GetStatus(id=1))
            with Client(path) as third:
                assert await third.ended()
            assert (await first.ask(GetStatus(id=2)))["ok"]


async def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(control, "peer_uid", lambda _: os.geteuid() + 1)
    async with running(path):
        with Client(path) as client:
            assert await client.ended()


async def test_second_helper_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path):
        with pytest.raises(AlreadyRunningError):
            await ControlServer(path, Handler()).serve()
        assert (await to_thread.run_sync(control_client.request, path, GetStatus(id=1))).ok


async def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NotRunningError):
        control_client.connect(path, 1)
    async with running(path):
        assert (await to_thread.run_sync(control_client.request, path, GetStatus(id=1))).ok


async def test_a_file_in_the_socket_s_place_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(ControlSocketError, match="cannot be opened"):
        await ControlServer(path, Handler()).serve()
    assert path.read_text() == "mine"


async def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(ControlSocketError, match="cannot be used"):
        await ControlServer(tmp_path / "missing" / "control.sock", Handler()).serve()


async def test_stop_waits_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, running(path) as (_, handler):
            group.start_soon(to_thread.run_sync, control_client.stop, path)
            await handler.stopped.wait()
            assert not handler.ended


async def test_the_end_is_told_when_another_helper_can_start(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = ControlServer(path, Handler())
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        client = Client(path)
        await client.ask(GetStatus(id=1))
        group.cancel_scope.cancel()
    with client:
        with pytest.raises(NotRunningError):
            control_client.connect(path, 1)
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        async with running(path):
            server.hang_up()
            assert await client.ended()


async def test_stop_of_a_helper_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with running(path):
        with pytest.raises(HelperError, match="does not end"):
            await to_thread.run_sync(control_client.stop, path, 0.2)


def fake_helper(path: Path, says: bytes) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        connection.sendall(says)
        connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "says",
    [b"", b"\x02\x00\x00\x00{}", b"\xff\xff\xff\xff", b"\x05\x00\x00\x00[", encode_frame(b'{"id":2,"ok":true}')],
)
def test_client_refuses_what_is_no_answer(tmp_path: Path, says: bytes) -> None:
    thread = fake_helper(tmp_path / "s", says)
    with pytest.raises(HelperError):
        control_client.request(tmp_path / "s", GetStatus(id=1), timeout=5)
    thread.join()


def test_client_gives_up_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(HelperError):
            control_client.request(tmp_path / "s", GetStatus(id=1), timeout=0.1)


def test_no_helper(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        control_client.request(tmp_path / "s", GetStatus(id=1))
