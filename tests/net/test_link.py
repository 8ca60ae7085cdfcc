"""The data path: two links over TCP with an exit behind one, real applications and sites at the sockets."""

import asyncio
import gc
import hashlib
import os
import random
import socket
from contextlib import suppress
from pathlib import Path

import pytest

import qnet.net.stream
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net import endings
from qnet.net.link import LINK_WRITE_HIGH, LINK_WRITE_LEAST, OVERFULL
from qnet.net.stream import LATE
from qnet.wire.frames import MAX_DATA, Reset
from qnet.wire.scratch import BULK
from qnet.wire.streams import INITIAL_WINDOW
from tests.support.links import CIRCUIT, Pair, allowing, attach, echo, link_pair, site, until

pytestmark = pytest.mark.anyio
MB = 1_000_000


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def policy(port: int) -> ExitPolicy:
    return ExitPolicy(frozenset(), allowing(port))


async def test_a_stream_is_opened_and_carries_both_ways() -> None:
    async with site(echo) as port, link_pair(policy(port)) as pair:
        (reader, writer), stream = await pair.application(port)
        assert await stream.opened is None
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert pair.client.streams == pair.peer.streams == 1
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await until(lambda: pair.client.streams == pair.peer.streams == 0)
        assert pair.client.bytes_up == pair.client.bytes_down == 5


async def test_what_is_sent_before_the_destination_is_reached_arrives_first() -> None:
    async with site(echo) as port, link_pair(policy(port)) as pair:
        stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
        early = os.urandom(3 * INITIAL_WINDOW)
        stream.send_first(early)
        reader, writer = await attach(stream)
        writer.write(b"late")
        assert await reader.readexactly(len(early) + 4) == early + b"late"
        writer.close()


async def test_a_whole_window_that_came_before_the_socket_does_not_stop_the_stream() -> None:
    """All credit is used up before anybody could consume: the grant must not wait for an event that never comes."""
    content = os.urandom(5 * INITIAL_WINDOW)

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.write_eof()

    async with site(speak_first) as port, link_pair(policy(port)) as pair:
        stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
        await until(lambda: pair.client.bytes_down == INITIAL_WINDOW)
        reader, writer = await attach(stream)
        async with asyncio.timeout(5):
            assert await reader.readexactly(len(content)) == content
        writer.close()


async def test_half_close_by_the_application_leaves_the_other_way_open() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = len(await reader.read())
        await asyncio.sleep(0.05)
        writer.write(str(received).encode())

    async with site(count) as port, link_pair(policy(port)) as pair:
        (reader, writer), _ = await pair.application(port)
        writer.write(bytes(300_000))
        writer.write_eof()
        assert await reader.read() == b"300000"
        writer.close()


async def test_half_close_by_the_site_leaves_the_other_way_open() -> None:
    received = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"that is all")
        writer.write_eof()
        received.set_result(len(await reader.read()))

    async with site(greet) as port, link_pair(policy(port)) as pair:
        (reader, writer), _ = await pair.application(port)
        assert await reader.read() == b"that is all"
        writer.write(bytes(200_000))
        writer.write_eof()
        assert await received == 200_000
        writer.close()
        await until(lambda: pair.client.streams == pair.peer.streams == 0)


def reset(writer: asyncio.StreamWriter) -> None:
    endings.reset(writer.transport)


async def test_reset_by_the_application_reaches_the_site_as_one() -> None:
    seen: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1000)
        except (OSError, EOFError) as error:
            seen.set_result(error)

    async with site(watch) as port, link_pair(policy(port)) as pair:
        (_, writer), stream = await pair.application(port)
        writer.write(b"half of it")
        await stream.opened
        reset(writer)
        assert isinstance(await seen, ConnectionResetError)
        await until(lambda: pair.client.streams == pair.peer.streams == 0)


async def test_reset_by_the_site_reaches_the_application_as_one() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of it")
        await asyncio.sleep(0.05)
        reset(writer)

    async with site(cut) as port, link_pair(policy(port)) as pair:
        (reader, writer), _ = await pair.application(port)
        with pytest.raises(ConnectionResetError):
            assert await reader.readexactly(1000)
        writer.close()


@pytest.mark.parametrize("end", ["client", "peer"])
async def test_a_lost_link_is_a_reset_at_both_ends(end: str) -> None:
    """An end of file would say that a truncated page is whole."""
    seen: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        try:
            await reader.readexactly(1000)
        except (OSError, EOFError) as error:
            seen.set_result(error)

    async with site(upload) as port, link_pair(policy(port)) as pair:
        (reader, writer), _ = await pair.application(port)
        writer.write(b"half")
        assert await reader.readexactly(4) == b"half"
        getattr(pair, end).link._transport.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert isinstance(await seen, ConnectionResetError)
        assert pair.client.link.closed and pair.peer.link.closed
        assert len(pair.owner.reasons) == 1
        writer.close()


async def test_a_site_that_ends_while_the_application_is_gone_does_not_end_the_link() -> None:
    """The application was not being read when it reset, so only the FIN towards it shows that it is gone."""
    go = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()

    async with site(greet) as port, link_pair(policy(port)) as pair:
        (_, writer), stream = await pair.application(port)
        await stream.opened
        writer.write_eof()
        await asyncio.sleep(0.05)
        reset(writer)
        await asyncio.sleep(0.05)
        go.set()
        await until(lambda: pair.client.streams == 0)
        assert not pair.client.link.closed


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", Reset.POLICY),
        ("10.0.0.1", Reset.POLICY),
        ("name.invalid", Reset.NAME_NOT_FOUND),
        ("a..b", Reset.NAME_NOT_FOUND),
        ("x" * 70, Reset.NAME_NOT_FOUND),
        ("nul\0", Reset.NAME_NOT_FOUND),
    ],
)
async def test_reasons(host: str, code: Reset) -> None:
    async with link_pair(ExitPolicy(frozenset([80]))) as pair:
        stream = pair.client.open(CIRCUIT, host, 80)
        assert await stream.opened is code
        assert pair.client.streams == pair.peer.streams == 0


async def test_refused_has_its_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with link_pair(policy(port)) as pair:
            stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
            assert await stream.opened is Reset.REFUSED
            assert pair.exit.counts.success == 0


async def test_a_slow_application_stops_its_own_stream_only() -> None:
    sent = dict.fromkeys(("slow", "quick"), 0)

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readexactly(5)).decode().strip()
        for _ in range(400):
            writer.write(bytes(50_000))
            await writer.drain()
            sent[name] += 50_000

    async with site(pour) as port, link_pair(policy(port)) as pair:
        (slow_reader, slow), slow_stream = await pair.application(port)
        slow.transport.pause_reading()
        slow.write(b"slow ")
        (reader, quick), _ = await pair.application(port)
        quick.write(b"quick")
        received = await reader.read(1)
        while len(received) < 20 * MB:
            received += await reader.readexactly(min(1 << 16, 20 * MB - len(received)))
        await asyncio.sleep(0.1)
        stopped_at = sent["slow"]
        assert stopped_at < 20 * MB
        assert slow_stream._transport is not None
        window = pair.client.session._circuits[CIRCUIT].get(slow_stream.stream).window  # type: ignore[union-attr]
        assert slow_stream._transport.get_write_buffer_size() <= window, "only the credit waits here"
        await asyncio.sleep(0.2)
        assert sent["slow"] == stopped_at, "the sender stands still"
        slow.transport.resume_reading()
        whole = 0
        while data := await slow_reader.read(1 << 16):
            whole += len(data)
            if whole == 20 * MB:
                break
        assert whole == 20 * MB
        slow.close(), quick.close()


async def test_a_slow_network_stops_the_sources() -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        pair.peer.link._transport.pause_reading()
        applications = []
        for _ in range(10):
            stream = pair.client.open(CIRCUIT, "127.0.0.1", port)
            # More credit than a link may hold back, as after a long quick download.
            pair.client.session._circuits[CIRCUIT].get(stream.stream).send_credit = 16 * MB  # type: ignore[union-attr]
            _, writer = await attach(stream)
            writer.write(bytes(12 * MB))
            applications.append(writer)
        await asyncio.sleep(0.5)
        waiting = pair.client.link._transport.get_write_buffer_size()
        assert pair.client.paused
        assert LINK_WRITE_LEAST <= waiting < LINK_WRITE_HIGH + BULK, "one read beyond what may wait"
        assert all(writer.transport.get_write_buffer_size() for writer in applications), "the applications wait"
        for writer in applications:
            writer.transport.abort()


async def digest_both_ways(pair: Pair, port: int, size: int, rng: random.Random) -> bool:
    """Send ``size`` bytes and get as many; whether both ends saw the same."""
    (reader, writer), _ = await pair.application(port)
    sent, received = hashlib.sha256(), hashlib.sha256()
    writer.write(size.to_bytes(8, "big"))

    async def send() -> None:
        left = size
        while left:
            piece = rng.randbytes(min(left, rng.choice([1, 10, 5000, 1 << 16, 1 << 18])))
            sent.update(piece)
            writer.write(piece)
            await writer.drain()
            left -= len(piece)
        writer.write_eof()

    async def receive() -> bytes:
        for _ in range(size // 65536):
            received.update(await reader.readexactly(65536))
        received.update(await reader.readexactly(size % 65536))
        return await reader.readexactly(64)

    (_, tail) = await asyncio.gather(send(), receive())
    assert await reader.read() == b""
    writer.close()
    return tail == sent.digest() + received.digest()


async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes ``size`` bytes while sending as many of its own, then both digests."""
    size = int.from_bytes(await reader.readexactly(8), "big")
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        left = size
        while left:
            piece = os.urandom(min(left, 1 << 17))
            sent.update(piece)
            writer.write(piece)
            await writer.drain()
            left -= len(piece)

    async def receive() -> None:
        while data := await reader.read(1 << 17):
            received.update(data)

    await asyncio.gather(send(), receive())
    writer.write(received.digest() + sent.digest())
    writer.write_eof()


async def test_fifty_megabytes_each_way_at_once() -> None:
    async with site(mirror) as port, link_pair(policy(port)) as pair:
        assert await digest_both_ways(pair, port, 50 * MB, random.Random(1))


async def test_many_streams_of_random_size() -> None:
    rng = random.Random(2)
    async with site(mirror) as port, link_pair(policy(port)) as pair:
        sizes = [rng.choice([0, 1, 65536, rng.randrange(300_000)]) for _ in range(120)]
        tasks = (digest_both_ways(pair, port, size, random.Random(size)) for size in sizes)
        assert all(await asyncio.gather(*tasks))
        await until(lambda: pair.client.streams == pair.peer.streams == 0)


def in_use() -> tuple[int, int]:
    gc.collect()
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_is_left_of_two_hundred_streams() -> None:
    async with site(echo) as port, link_pair(policy(port)) as pair:
        before = in_use()
        for number in range(200):
            (reader, writer), stream = await pair.application(port)
            match number % 5:
                case 0:
                    reset(writer)
                case 1:
                    stream.give_up(Reset.TIMEOUT)
                    writer.close()
                case 2:
                    await stream.opened
                    reset(writer)
                case 3:
                    writer.write(b"x" * number)
                    writer.write_eof()
                    assert len(await reader.read()) == number
                case 4:
                    writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed() if number % 5 != 3 else writer.close()
        await until(lambda: pair.client.streams == pair.peer.streams == 0)
        await until(lambda: in_use() <= before)
        assert not pair.exit._tasks
        for session in (pair.client.session, pair.peer.session):
            assert len(session._circuits[CIRCUIT]) == 0 and session._circuits[CIRCUIT]._windows == 0


async def test_what_a_finished_stream_has_not_handed_over_counts_until_it_is_gone() -> None:
    async with site(silent) as port, link_pair(policy(port)) as pair:
        budget = pair.peer.session._budget
        (_, writer), stream = await pair.application(port)
        stream_window = 16 * INITIAL_WINDOW
        for session in (pair.client.session, pair.peer.session):
            for _ in range(100):
                if CIRCUIT in session._circuits:
                    break
                await asyncio.sleep(0.01)
        await until(lambda: pair.peer.session._known(CIRCUIT, stream.stream))
        at_peer = pair.peer.session._known(CIRCUIT, stream.stream)
        at_client = pair.client.session._known(CIRCUIT, stream.stream)
        assert at_peer is not None and at_client is not None
        at_peer.receivable = at_peer.window = at_client.send_credit = stream_window
        pair.peer.session._circuits[CIRCUIT]._promise(stream_window - INITIAL_WINDOW)
        socket = pair.peer._sockets[CIRCUIT, stream.stream]
        await until(lambda: socket._transport)
        pair.peer.session.consumed = lambda *given: None  # type: ignore[method-assign]
        writer.write(bytes(100_000))
        writer.write_eof()
        await until(lambda: at_peer.received_fin)
        pair.peer.fin(socket)
        assert pair.peer.session.is_finished(CIRCUIT, stream.stream)
        assert budget.used == 100_000, "received, and by the account not handed over"
        socket._transport.abort()  # type: ignore[union-attr]
        await until(lambda: budget.used == 0)
        writer.transport.abort()


async def test_of_a_full_link_each_stream_learns_when_it_speaks_and_then_they_take_turns() -> None:
    count, size = 24, 600_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"x" * size)
        await writer.drain()
        writer.write_eof()

    async with site(serve) as port, link_pair(policy(port)) as pair:
        apps = [await pair.application(port) for _ in range(count)]
        for _, stream in apps:
            assert await stream.opened is None
        link = pair.peer.link
        link.pause_writing()
        for (_, writer), _ in apps:
            writer.write(b"!")
        await asyncio.sleep(0.3)
        assert pair.peer.bytes_up == count * LATE, "each has said one thing more, and waits"
        link.resume_writing()
        answers = await asyncio.gather(*(reader.read(-1) for (reader, _), _ in apps))
        assert [len(answer) for answer in answers] == [size] * count
        for (_, writer), _ in apps:
            writer.close()


async def test_a_link_that_is_more_than_full_stops_its_streams_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qnet.net.stream, "LATE", MAX_DATA)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1 << 20))
        await reader.read()

    count = 250
    async with site(flood) as port, link_pair(policy(port)) as pair:
        link = pair.peer.link
        transport = link._transport
        pair.client.link._transport.pause_reading()
        streams = [pair.client.open(CIRCUIT, "127.0.0.1", port) for _ in range(count)]
        await until(lambda: pair.exit.counts.success == count, 20)
        await asyncio.sleep(1.0)
        assert transport.get_write_buffer_size() < LINK_WRITE_HIGH + OVERFULL + 2 * MAX_DATA
        assert not link.closed
        for stream in streams:
            stream.abort(Reset.CLOSED)
