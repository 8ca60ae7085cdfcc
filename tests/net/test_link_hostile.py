"""Links against a client that holds the key and means harm, and callbacks in an order that networks produce."""

import asyncio
import os
import resource
import socket

import pytest

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net import endings
from qnet.net.link import CONTROL_LIMIT
from qnet.net.stream import StreamSocket
from qnet.wire import frames
from qnet.wire.channel import record
from qnet.wire.frames import Frame, Reset
from qnet.wire.scratch import BULK
from qnet.wire.streams import MAX_STREAMS
from tests.support.links import CIRCUIT, Pair, allowing, attach, echo, link_pair, silent_listener, site, until

pytestmark = pytest.mark.anyio
MB = 1_000_000


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def policy(port: int) -> ExitPolicy:
    return ExitPolicy(frozenset(), allowing(port))


# --- a client that holds the key and means harm


def send_frames(pair: Pair, data: bytes) -> None:
    pair.client.session._pending += data
    pair.client.flush()


async def test_a_flood_of_pings_that_nobody_hears_ends_the_link() -> None:
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        pair.client.link._transport.pause_reading()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(400):
            send_frames(pair, frames.frame(Frame.PING, 0, bytes(8)) * 5000)
            await asyncio.sleep(0)
            if pair.peer.link.closed:
                break
            assert pair.peer.link._transport.get_write_buffer_size() <= CONTROL_LIMIT + BULK
            await until(lambda: pair.client.link._transport.get_write_buffer_size() < MB or pair.peer.link.closed)
        assert pair.peer.link.closed
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 64 * 1024, "KiB"


async def test_open_and_reset_floods_leave_no_attempts_behind() -> None:
    with silent_listener() as port:
        async with link_pair(policy(port)) as pair:
            for first in range(1, 1001, 100):
                flood = b"".join(
                    frames.open_frame(CIRCUIT, stream, "127.0.0.1", port)
                    + frames.reset_frame(CIRCUIT, stream, Reset.CLOSED)
                    for stream in range(first, first + 100)
                )
                send_frames(pair, flood)
                await asyncio.sleep(0.02)
                assert len(pair.exit._tasks) <= 300, "those of the last floods at most"
            await until(lambda: not pair.exit._tasks, 1)
            assert pair.peer.streams == 0 and not pair.peer.link.closed


async def test_attempts_end_with_the_link() -> None:
    with silent_listener() as port:
        async with link_pair(policy(port)) as pair:
            streams = [pair.client.open(CIRCUIT, "127.0.0.1", port) for _ in range(50)]
            await until(lambda: len(pair.exit._tasks) == 50)
            pair.client.link.close("enough")
            await until(lambda: not pair.exit._tasks, 1)
            assert {stream.opened.result() for stream in streams} == {Reset.LINK_LOST}


async def test_streams_beyond_the_exits_limit_have_their_reason() -> None:
    async with site(silent) as port, link_pair(policy(port), max_connections=5) as pair:
        streams = [pair.client.open(CIRCUIT, "127.0.0.1", port) for _ in range(8)]
        outcomes = [await stream.opened for stream in streams]
        assert outcomes == [None] * 5 + [Reset.LIMIT] * 3
        streams[0].give_up(Reset.CLOSED)
        await until(lambda: pair.peer.streams == 4)
        assert await pair.client.open(CIRCUIT, "127.0.0.1", port).opened is None


async def test_streams_beyond_the_circuits_limit_have_their_reason() -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        streams = [pair.client.open(CIRCUIT, "127.0.0.1", port) for _ in range(MAX_STREAMS + 10)]
        outcomes = [await stream.opened for stream in streams]
        assert outcomes[:MAX_STREAMS] == [None] * MAX_STREAMS
        assert outcomes[MAX_STREAMS:] == [Reset.LIMIT] * 10
        assert not pair.peer.link.closed


async def test_a_site_that_never_reads_still_counts_when_all_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a client and its accomplice could leave the exit with sockets and bytes without end."""
    monkeypatch.setattr(endings, "LINGER_SECONDS", 0.3)
    release = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write_eof()
        await release.wait()

    async with site(deaf) as port, link_pair(policy(port)) as pair:
        (reader, writer), stream = await pair.application(port)
        await stream.opened
        credit = pair.client.session._circuits[CIRCUIT]
        for each in (credit, pair.peer.session._circuits[CIRCUIT]):
            account = each.get(stream.stream)
            assert account is not None
            account.send_credit = account.receivable = account.window = 16 * MB
        writer.write(bytes(12 * MB))
        writer.write_eof()
        assert await reader.read() == b""
        await until(lambda: pair.peer.session.is_finished(CIRCUIT, stream.stream))
        assert pair.peer.streams == 1
        await until(lambda: pair.peer.streams == 0)
        release.set()
        writer.close()


@pytest.mark.parametrize(
    "bad",
    [
        frames.window_frame(CIRCUIT, 1, 1 << 24),
        frames.window_frame(CIRCUIT, 1, 0),
        frames.window_frame(CIRCUIT, 99, 1),
        frames.open_frame(CIRCUIT, 1, "again.test", 80),
        frames.stream_frame(Frame.FIN, 7, 1),
        frames.HEADER.pack(77, CIRCUIT, 0),
        frames.frame(Frame.SETTINGS, 0, b"\xff"),
    ],
    ids=[
        "window overflow",
        "no window",
        "unknown stream",
        "number again",
        "unknown circuit",
        "unknown type",
        "settings",
    ],
)
async def test_a_broken_protocol_ends_the_link_and_its_streams(bad: bytes) -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        (reader, writer), stream = await pair.application(port)
        await stream.opened
        send_frames(pair, bad)
        await until(lambda: pair.peer.link.closed and pair.client.link.closed)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_link_that_ends_while_its_other_side_does_not_read_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "LINGER_SECONDS", 0.2)
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        pair.client.link._transport.pause_reading()
        while not pair.peer.link._transport.get_write_buffer_size():
            pair.peer.session._pending += frames.frame(Frame.PING, 0, bytes(8)) * 5000
            pair.peer.flush()
        pair.peer.link.close("enough")
        assert pair.peer.link._transport.get_extra_info("socket").fileno() != -1
        await until(lambda: pair.peer.link._transport.get_extra_info("socket").fileno() == -1, 2)


async def test_a_record_that_does_not_open_ends_a_clients_link() -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        (reader, writer), stream = await pair.application(port)
        await stream.opened
        pair.peer.link._transport.write(record(os.urandom(100)))
        await until(lambda: pair.client.link.closed)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


# --- callbacks in an order that networks produce


async def test_endings_in_any_order_are_harmless() -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
        stream.give_up(Reset.TIMEOUT)
        stream.give_up(Reset.TIMEOUT)
        stream.abort(Reset.CLOSED)
        stream.finish()
        stream.deliver(memoryview(b"late"))
        reader, writer = await attach(stream)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert await stream.opened is Reset.TIMEOUT
        pair.client.drop(stream, Reset.CLOSED)
        pair.client.link.close("enough")
        pair.client.link.close("enough")
        assert pair.owner.reasons == ["enough"]
        writer.close()


async def test_a_stream_of_a_closed_link_ends_at_once() -> None:
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        pair.client.link.close("enough")
        stream = pair.client.open(CIRCUIT, "site.test", 80)
        assert stream.opened.result() is Reset.LINK_LOST
        reader, writer = await attach(stream)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert pair.client.streams == 0
        writer.close()


async def test_the_link_is_lost_between_opened_and_the_handing_over() -> None:
    async with site(echo) as port, link_pair(policy(port)) as pair:
        stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
        stream.send_first(b"echo this")
        assert await stream.opened is None
        await until(lambda: stream._early)
        pair.client.link.close("enough")
        reader, writer = await attach(stream)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


class Limited:
    """A stream that takes only so many bytes of its application."""

    def __init__(self, pair: Pair, port: int, count: int) -> None:
        self.stream: StreamSocket = pair.client.open(CIRCUIT, "127.0.0.1", port)
        self.stream.limit_input(count)


@pytest.mark.parametrize("count", [0, 1, 100_000])
async def test_bytes_beyond_the_limit_stay_here_and_the_end_is_still_seen(count: int) -> None:
    got = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())

    async with site(take) as port, link_pair(policy(port)) as pair:
        limited = Limited(pair, port, count)
        _, writer = await attach(limited.stream)
        writer.write(b"a" * count + b"for another site" * 10_000)
        writer.close()
        assert await got == b"a" * count
        await until(lambda: pair.client.streams == pair.peer.streams == 0)
