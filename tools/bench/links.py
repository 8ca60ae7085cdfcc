"""How long a first link takes: TCP, the decoy's TLS handshake and Noise, and a circuit through three peers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

from qnet.app.profile import load_profile
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


def cold_links(homes: Sequence[Path], roots: Path, count: int, *, shaped: bool) -> list[float]:
    """Milliseconds of ``count`` circuits one after the other, each on a link of its own, through the nodes' peers."""
    peers, disguise = _peers(homes, roots)
    if shaped:
        load_profile(BROWSER)
        disguise = replace(disguise, profile=load_profile)
    return asyncio.run(_cold(peers, disguise, count))


def _peers(homes: Sequence[Path], roots: Path) -> tuple[list[Descriptor], Disguise]:
    record = resources.files("qnet").joinpath("data", "templates", f"{BROWSER}.hello").read_bytes()
    disguise = Disguise(Template.from_record(record, BROWSER), APPEARANCES[BROWSER], load_roots(str(roots)))
    return [verify((home / "data" / "descriptor.qnet").read_bytes(), time.time()) for home in homes], disguise


def hold_circuits(homes: Sequence[Path], roots: Path, count: int, held: Callable[[], None]) -> None:
    """Open ``count`` circuits through the nodes' peers, each on a link of its own; call ``held`` while they rest."""
    peers, disguise = _peers(homes, roots)
    asyncio.run(_hold(peers, disguise, count, held))


async def _hold(peers: Sequence[Descriptor], disguise: Disguise, count: int, held: Callable[[], None]) -> None:
    scratch = Scratch()
    made = [await _circuit(peers, disguise, scratch) for _ in range(count)]
    await asyncio.sleep(1.0)
    held()
    for link in made:
        link.close("measured")
    await asyncio.sleep(0.5)


async def _circuit(peers: Sequence[Descriptor], disguise: Disguise, scratch: Scratch) -> Link:
    link = await connect(places(peers[0]), peer_keys(peers[0]), disguise, scratch, _Client())
    circuit = Circuit(link)
    for peer in peers[1:]:
        await circuit.extend(peer.signed, peer_keys(peer))
    return link


async def _cold(peers: Sequence[Descriptor], disguise: Disguise, count: int) -> list[float]:
    scratch, took = Scratch(), []
    for _ in range(count):
        began = time.perf_counter()
        link = await _circuit(peers, disguise, scratch)
        took.append((time.perf_counter() - began) * 1000)
        link.close("measured")
        await asyncio.sleep(0.02)
    return took
