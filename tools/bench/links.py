"""How long a first link takes: TCP, the decoy's TLS handshake and Noise, and a circuit through three peers."""

import asyncio
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from qnet.app.trust import load_roots
from qnet.net.channel import Channel
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect, peer_keys, places
from qnet.net.link import Link
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.descriptor import Descriptor, verify
from qnet.wire.events import Extend, StreamOpen
from qnet.wire.scratch import Scratch
from qnet.wire.tls.template import Template

BROWSER = "chromium"


class _Client:
    """The owner of links that nobody uses."""

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None: ...

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None: ...

    def link_closed(self, link: Link, reason: str) -> None: ...


def cold_links(homes: Sequence[Path], roots: Path, count: int) -> list[float]:
    """Milliseconds of ``count`` circuits one after the other, each on a link of its own, through the nodes' peers."""
    record = resources.files("qnet").joinpath("data", "templates", f"{BROWSER}.hello").read_bytes()
    disguise = Disguise(Template.from_record(record, BROWSER), APPEARANCES[BROWSER], load_roots(str(roots)))
    peers = [verify((home / "data" / "descriptor.qnet").read_bytes(), time.time()) for home in homes]
    return asyncio.run(_cold(peers, disguise, count))


async def _cold(peers: Sequence[Descriptor], disguise: Disguise, count: int) -> list[float]:
    scratch, took = Scratch(), []
    for _ in range(count):
        began = time.perf_counter()
        link = await connect(places(peers[0]), peer_keys(peers[0]), disguise, scratch, _Client())
        circuit = Circuit(link)
        for peer in peers[1:]:
            await circuit.extend(peer.signed, peer_keys(peer))
        took.append((time.perf_counter() - began) * 1000)
        link.close("measured")
        await asyncio.sleep(0.02)
    return took
