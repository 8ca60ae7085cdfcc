"""What a peer costs in time, which anybody on the way can measure: its handshake beside the decoy's own."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from qnet.app.profile import load_profile
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect
from qnet.wire.cover.auth import CoverKeys
from qnet.wire.scratch import Scratch
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.template import HelloDraft
from qnet.wire.tls.verify import ChainVerifier
from tests.support.links import Owner, attach
from tools.evidence.row import Row, Say, at_most
from tools.evidence.setting import Front, Setting, disguise, draft_for, stranger
from tools.evidence.talk import Talk

FIRST_BYTE, EXCESS = 10.0, 5.0


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """300 handshakes of each kind, taking turns (short: 30). The short form's bounds are four times as wide."""
    number, slack = (30, 4) if short else (300, 1)
    with greeter() as port, place.own_peer("latency", f"--exit-allow=127.0.0.1/32:{port}", "--exit-only") as front:
        say(f"{number} handshakes at the decoy and through the peer")
        known = front.known
        direct, through, stranger_through = [], [], []
        for _ in range(number):
            direct.append(_handshake(front.decoy, place, (stranger("chromium"), None)))
            through.append(_handshake(front.public, place, draft_for(known, "chromium")))
            stranger_through.append(_handshake(front.public, place, (stranger("chromium"), None)))
        excess = [mine - other for mine, other in zip(through, direct, strict=True)]
        yield Row("the decoy's own handshake, median", f"{_median(direct):.2f} ms", "", number, None)
        yield at_most("handshake with the key: longer than the decoy's, median", excess, EXCESS * slack)
        excess = [mine - other for mine, other in zip(stranger_through, direct, strict=True)]
        yield at_most("handshake of a stranger: longer than the decoy's, median", excess, EXCESS * slack)
        say(f"{number} tunnels to their first byte")
        looks = disguise("chromium", place)
        took = asyncio.run(_first_bytes(front, looks, port, number))
        yield at_most("from connecting to the first tunnelled byte, hybrid, unshaped, median", took, FIRST_BYTE * slack)
        shaped = replace(looks, profile=load_profile)
        took = asyncio.run(_first_bytes(front, shaped, port, number // 3))
        yield Row("the same with the default shaping, median", f"{_median(took):.2f} ms", "", number // 3, None)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _handshake(port: int, place: Setting, hello: tuple[HelloDraft, CoverKeys | None]) -> float:
    """Milliseconds from connecting until the server's Finished is verified."""
    draft, keys = hello
    core = TlsClient(draft, ChainVerifier(place.anchors, time.time()), os.urandom, keys.mark if keys else None)
    with Talk(port) as talk:
        talk.run(core)
        return (time.perf_counter() - talk.began) * 1000


async def _first_bytes(front: Front, looks: Disguise, port: int, number: int) -> list[float]:
    known, scratch, took = front.known, Scratch(), []
    for _ in range(number):
        began = time.perf_counter()
        link = await connect([("127.0.0.1", front.public)], known, looks, scratch, Owner())
        circuit = Circuit(link)
        circuit.finish()
        reader, writer = await attach(link.channel.open(1, "127.0.0.1", port))
        await reader.readexactly(1)
        took.append((time.perf_counter() - began) * 1000)
        writer.close()
        link.close("measured")
        await asyncio.sleep(0.01)
    return took


@contextmanager
def greeter() -> Iterator[int]:
    """A site that says one byte to whoever connects; gives its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.sendall(b"!")

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
