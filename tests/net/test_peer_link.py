"""A peer's connection over real sockets: a relay to its decoy for strangers, a link for who holds the key."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.net import peer_link
from qnet.net.client_link import Disguise, UnreachablePeerError, UnusablePeerError, connect
from qnet.net.link import Link
from qnet.net.network import router
from qnet.wire import frames
from qnet.wire.channel import record
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.errors import RemoteError
from qnet.wire.frames import Frame
from qnet.wire.scratch import Scratch
from qnet.wire.tls import codes
from qnet.wire.tls.errors import CertificateError
from qnet.wire.tls.hello import ServerHello
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.tickets import Network
from tests.support.cover_pair import NAME, authority, template
from tests.support.links import CIRCUIT, Owner, Serve, attach, silent_listener, site, until
from tests.support.peers import QUIET, Peer, disguise, gone, peer
from tests.support.tls_servers import nginx, openssl_server
from tests.support.visits import DOWN, UP, observed

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


# --- who holds the key


async def test_a_link_through_a_real_decoy_carries_a_stream(decoy: int) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(3) + b" back")
        writer.write_eof()
        await reader.read()

    async with site(greet) as port, peer(decoy, exit_port=port) as made:
        link = await made.connect()
        stream = link.channel.open(CIRCUIT, "127.0.0.1", port)
        reader, writer = await attach(stream)
        writer.write(b"hey")
        assert await reader.read() == b"hey back"
        writer.close()
        await until(lambda: link.streams == 0)
        link.close("enough")
        connection = made.made[0]
        await until(lambda: gone(connection.client) and gone(connection.decoy))


async def test_thirty_links_leave_nothing_behind(decoy: int) -> None:
    async with peer(decoy) as made:
        tasks = len(asyncio.all_tasks())
        for number in range(30):
            link = await made.connect()
            if number % 2:
                link.close("enough")
            else:
                link._transport.abort()
        await until(lambda: all(gone(each.client) and gone(each.decoy) for each in made.made))
        assert len(made.made) == 30 and not made.exit._links
        assert not any(each._alarm.is_set for each in made.made)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_the_next_visit_resumes(decoy: int, browser: str) -> None:
    """A resumed hello is authenticated like any other, its decoy's fewer bytes are waited for, and no longer."""
    wears = Disguise(template(browser), APPEARANCES[browser], [authority().certificate])
    async with peer(decoy) as made:
        with observed(made.port) as (made.port, seen):
            for visit in range(4):
                began = time.monotonic()
                link = await made.bare(wears)
                assert time.monotonic() - began < 0.9, "N2 did not wait for its timer"
                link.close("enough")
                hello, answer = seen[visit].hello, ServerHello.parse(seen[visit].first[DOWN][5:])
                assert hello is not None
                assert (hello.extension(codes.PRE_SHARED_KEY) is not None) == answer.resumed == bool(visit)
        assert len(wears.tickets) == 2


async def test_a_decoy_that_does_not_know_its_ticket_any_more(decoy: int) -> None:
    """The ticket is refused, the handshake is full, and the peer is proven all the same."""
    wears = disguise()
    async with peer(decoy) as made:
        stale = SessionTicket(300, 0, os.urandom(208), os.urandom(48), 0x1302)
        visited = (made.keys.peer_id, made.keys.server_name)
        wears.tickets.keep(visited, [stale], Network("127.0.0.1", await router()), time.time())
        link = await made.bare(wears)
        assert not link.closed
        assert len(wears.tickets) == 2, "it was used up, and two came anew"
        link.close("enough")


@pytest.mark.parametrize(("quiet_after", "at_least"), [(QUIET, 0.0), (QUIET + 500, 0.9)])
async def test_the_second_message_waits_for_the_decoys_records_but_not_for_ever(
    decoy: int, quiet_after: int, at_least: float
) -> None:
    async with peer(decoy, quiet_after=quiet_after) as made:
        began = time.monotonic()
        link = await made.connect()
        assert at_least <= time.monotonic() - began < at_least + 0.8
        link.close("enough")


@pytest.mark.parametrize("rest", [b"", os.urandom(5000)])
async def test_a_bad_record_in_a_tunnel_is_answered_by_the_decoy_itself(decoy: int, rest: bytes) -> None:
    async with peer(decoy) as made:
        link = await made.connect()
        raw = await take_over(link)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(raw, record(os.urandom(60)) + rest)
        answer = await read_to_the_end(raw)
        tail = answer[-24:]
        assert tail[:5] == b"\x17\x03\x03\x00\x13", "nginx answers with an encrypted alert and closes"
        raw.close()
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))
        assert not made.exit._links


async def test_a_bad_record_after_the_decoy_has_left_is_answered_alike(decoy: int) -> None:
    async with peer(decoy) as made:
        link = await made.connect()
        connection = made.made[0]
        raw = await take_over(link)
        connection.decoy.eof_received()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(raw, record(os.urandom(60)))
        answer = await read_to_the_end(raw)
        assert answer[-24:-19] == b"\x17\x03\x03\x00\x13"
        with pytest.raises(OSError):
            for _ in range(50):
                await loop.sock_sendall(raw, b"more")
                await asyncio.sleep(0.01)
        assert gone(connection.client) and gone(connection.decoy)
        raw.close()


async def test_a_decoy_that_reads_on_after_its_refusal_is_left_reading(tmp_path: Path) -> None:
    """``openssl s_server`` half-closes after its alert and reads on: so must the peer, with one alert and no more."""
    credential = authority().issue(NAME)
    with openssl_server(tmp_path, credential, "-alpn", "h2") as port:
        async with peer(port, quiet_after=500) as made:
            raw = await take_over(await made.connect())
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(raw, record(os.urandom(60)))
            answer = await read_to_the_end(raw)
            assert answer[-24:-19] == b"\x17\x03\x03\x00\x13" and answer[-48:-43] != answer[-24:-19]
            for _ in range(10):
                await loop.sock_sendall(raw, b"more")
                await asyncio.sleep(0.01)
            raw.close()
            await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))


async def take_over(link: Link) -> socket.socket:
    """The raw socket of a client's link, which is no more."""
    raw = link._transport.get_extra_info("socket").dup()
    link._end("taken over")
    link._transport.abort()
    await asyncio.sleep(0.05)
    raw.setblocking(False)
    return raw


async def read_to_the_end(raw: socket.socket) -> bytes:
    got = b""
    async with asyncio.timeout(5):
        while data := await asyncio.get_running_loop().sock_recv(raw, 1 << 16):
            got += data
    return got


async def test_a_client_that_breaks_the_protocol_inside_is_closed(decoy: int) -> None:
    async with peer(decoy) as made:
        link = await made.connect()
        link.channel.session._pending += frames.stream_frame(Frame.FIN, 9, 9)
        link.flush()
        await until(lambda: link.closed and gone(made.made[0].decoy))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"cover_secret": bytes(32)}, UnprovenPeerError),
        ({"noise": X25519PrivateKey.generate().public_key().public_bytes_raw()}, RemoteError),
        ({"peer_id": bytes(32)}, RemoteError),
        ({"server_name": "other.test"}, CertificateError),
        ({"cover": bytes(32)}, RemoteError),
        ({"server_name": "näme.test"}, UnusablePeerError),
    ],
    ids=["secret", "static key", "identity", "name", "low order point", "no host name"],
)
async def test_a_wrong_descriptor_is_an_error_of_its_kind(
    decoy: int, changes: dict[str, object], error: type[RemoteError]
) -> None:
    async with peer(decoy) as made:
        with pytest.raises(error):
            await made.connect(**changes)
        assert not made.owner.reasons
        await until(lambda: all(gone(each.client) for each in made.made))


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_to_the_decoy_itself_it_is_a_browser(decoy: int, browser: str) -> None:
    """Preface, request, SETTINGS ACK, in the sizes that the browser sends, and the decoy understands each."""
    wears = Disguise(template(browser), APPEARANCES[browser], [authority().certificate])
    async with peer(decoy) as made:
        with observed(made.port) as (made.port, seen):
            with pytest.raises(UnprovenPeerError) as raised:
                await made.bare(wears, cover_secret=bytes(32))
            assert raised.value.date is not None and abs(raised.value.date - time.time()) < 3
            await until(lambda: len(seen[0].sizes(UP)) == 6)
            assert seen[0].sizes(UP)[3:] == [87, APPEARANCES[browser].request_body(NAME), 26]


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b", "x" * 70, "name.invalid"])
async def test_no_peer_at_all(host: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        keys = PeerKeys(bytes(32), b"\x09" + bytes(31), b"\x09" + bytes(31), bytes(32), NAME)
        with pytest.raises((UnreachablePeerError, UnusablePeerError)):
            await connect([(host, unused.getsockname()[1])], keys, disguise(), Scratch(), Owner())


async def test_a_decoy_that_leaves_during_the_handshake_leaves_no_tunnel(decoy: int) -> None:
    """The decoy's end of file arrives before N1 is answered."""
    async with peer(decoy, quiet_after=10**6) as made:
        attempt = asyncio.create_task(made.connect())
        await until(lambda: made.made and made.made[0].core is not None and made.made[0].core.next_timer())
        made.made[0].decoy.eof_received()
        with pytest.raises(RemoteError):
            await attempt
        assert made.made[0]._link is None


# --- strangers: every ending crosses as it is


@asynccontextmanager
async def relay(serve: Serve) -> AsyncIterator[Peer]:
    async with site(serve) as port, peer(port) as made:
        yield made


def abort(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def open_raw(made: Peer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", made.port)


async def test_half_close_of_the_decoy() -> None:
    got = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        got.set_result(await reader.read())

    async with relay(serve) as made:
        reader, writer = await open_raw(made)
        assert await reader.read() == b"bye"
        writer.write(b"after your end")
        writer.write_eof()
        assert await got == b"after your end"
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))
        writer.close()


async def test_half_close_of_the_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())

    async with relay(serve) as made:
        reader, writer = await open_raw(made)
        writer.write(b"all")
        writer.write_eof()
        assert await reader.read() == b"got all"
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))
        writer.close()


async def test_reset_by_the_decoy() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        abort(writer)

    async with relay(serve) as made:
        reader, writer = await open_raw(made)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_reset_by_the_client() -> None:
    seen: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"y")
        try:
            await reader.readexactly(1)
        except (OSError, EOFError) as error:
            seen.set_result(error)

    async with relay(serve) as made:
        reader, writer = await open_raw(made)
        writer.write(b"x")
        await reader.readexactly(1)
        abort(writer)
        assert isinstance(await seen, ConnectionResetError)
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))


@pytest.mark.parametrize("direct", [True, False], ids=["decoy", "peer"])
async def test_writes_that_a_closed_decoy_takes_before_it_resets(direct: bool) -> None:
    """A decoy that has closed resets at the next byte; a prober counts how many it could send."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.close()

    async with site(serve) as port, peer(port) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", port if direct else made.port)
        raw = writer.get_extra_info("socket")
        writer.write(b"x")
        assert await reader.read() == b""
        sent = 0
        while not raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and sent < 20:
            try:
                os.write(raw.fileno(), b"\x14\x03\x03\x00\x01\x01")
            except OSError:
                break
            sent += 1
            await asyncio.sleep(0.05)
        assert sent == 1
        writer.close()


async def test_the_last_words_before_a_reset_cross_it() -> None:
    """A decoy answers and closes while more comes: the relay learns of the reset in writing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"last words")
        abort(writer)

    async with relay(serve) as made:
        for rest in (b"", bytes(1 << 20)):
            reader, writer = await open_raw(made)
            writer.write(b"x" + rest)
            got = b""
            with pytest.raises(ConnectionResetError):
                while piece := await reader.read(1 << 16):
                    got += piece
            assert got == b"last words"
            writer.close()


async def test_an_answer_to_data_and_fin_at_once_crosses_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoy has answered and reset before the relay passes the FIN on."""
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"no")
        abort(writer)
        answered.set()

    async with relay(serve) as made:
        reader, writer = await open_raw(made)
        await until(lambda: made.made and made.made[0].decoy.transport is not None)
        side = made.made[0].decoy
        assert side.transport is not None
        side.transport.pause_reading()
        writer.write(b"x")
        await answered.wait()
        await asyncio.sleep(0.02)
        made.made[0].eof(made.made[0].client)
        side.transport.resume_reading()
        with pytest.raises(ConnectionResetError):
            assert await reader.read(2) == b"no"
            await reader.read()
        await until(lambda: gone(made.made[0].client) and gone(side))
        writer.close()


async def test_a_decoy_that_does_not_answer_resets_the_client() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with peer(unused.getsockname()[1]) as made:
            reader, writer = await open_raw(made)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_a_decoy_that_hangs_resets_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_link, "DIAL_SECONDS", 0.2)
    with silent_listener() as port:
        async with peer(port) as made:
            reader, writer = await open_raw(made)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_a_client_that_says_nothing_has_the_decoys_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)

    async with relay(serve) as made:
        began = time.monotonic()
        reader, writer = await open_raw(made)
        assert await reader.read() == b""
        assert 0.25 < time.monotonic() - began < 1
        writer.close()


@pytest.mark.parametrize("slow", ["client", "decoy"])
async def test_a_full_pipe_stops_the_sender(slow: str) -> None:
    sent = 0
    stop = asyncio.Event()

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"\0")
        while not stop.is_set():
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if slow == "decoy":
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await stop.wait()
            reader._transport.resume_reading()  # type: ignore[attr-defined]
        else:
            await pour(writer)

    async with relay(serve) as made:
        _, writer = await open_raw(made)
        pouring = asyncio.create_task(pour(writer)) if slow == "decoy" else None
        if slow == "client":
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = -1
        while before != sent or sent < 1_000_000:
            before = sent
            await asyncio.sleep(0.2)
        held = [side.transport.get_write_buffer_size() for side in (made.made[0].client, made.made[0].decoy)]  # type: ignore[union-attr]
        assert 0 < max(held) <= 2 * peer_link.RELAY_WRITE_HIGH
        stop.set()
        abort(writer)
        if pouring is not None:
            await pouring
        await until(lambda: gone(made.made[0].client) and gone(made.made[0].decoy))
