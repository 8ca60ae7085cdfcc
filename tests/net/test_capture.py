"""The listener for one hello: whose it takes, whose not, and that it is gone afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from qnet.net import capture
from qnet.net.capture import HelloListener
from qnet.wire.tls import codes
from qnet.wire.tls.record import plain_record
from tests.support.cover_pair import template

pytestmark = pytest.mark.anyio


@pytest.fixture
async def listener() -> AsyncIterator[HelloListener]:
    made = HelloListener()
    await made.open()
    yield made
    made.close()


def place(listener: HelloListener) -> tuple[str, int]:
    name, _, port = listener.url.removeprefix("https://").removesuffix("/").rpartition(":")
    return name, int(port)


def hello(name: str) -> bytes:
    draft = template("firefox").build(name, lambda count: bytes(range(count)) if count < 256 else bytes(count))
    return plain_record(codes.HANDSHAKE, draft.hello.message(), draft.record_version)


async def say(listener: HelloListener, *pieces: bytes, host: str = "127.0.0.1") -> bytes:
    """Say it piece by piece; gives what is answered."""
    reader, writer = await asyncio.open_connection(host, place(listener)[1])
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_hello_for_its_name_is_kept_and_not_answered(listener: HelloListener, host: str) -> None:
    record = hello(place(listener)[0])
    assert await say(listener, record[:3], record[3:700], record[700:] + b"more", host=host) == b""
    assert await listener.record() == record


async def test_nobody_else_can_slip_in_a_hello(listener: HelloListener) -> None:
    others = [
        hello("localhost"),
        hello("other.localhost"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03",
    ]
    for other in others:
        reader, writer = await asyncio.open_connection("127.0.0.1", place(listener)[1])
        writer.write(other)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    record = hello(place(listener)[0])
    await say(listener, record)
    assert await listener.record() == record


async def test_names_cannot_be_guessed() -> None:
    names = set()
    for _ in range(5):
        listener = HelloListener()
        await listener.open()
        names.add(place(listener)[0])
        listener.close()
    assert len(names) == 5
    assert all(len(name) == 32 + len(".localhost") for name in names)


async def test_nobody_comes(listener: HelloListener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await listener.record()


async def test_too_many_connections(listener: HelloListener) -> None:
    writers = [(await asyncio.open_connection("127.0.0.1", place(listener)[1]))[1] for _ in range(8)]
    reader, last = await asyncio.open_connection("127.0.0.1", place(listener)[1])
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    for writer in (*writers, last):
        writer.close()


async def test_it_is_gone_when_it_is_closed() -> None:
    listener = HelloListener()
    await listener.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", place(listener)[1])
    await asyncio.sleep(0.05)
    listener.close()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", place(listener)[1])
