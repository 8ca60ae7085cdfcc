"""The directory's HTTP: register, query, prune, refusals in words, limits, and nothing where no directory runs."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnet.mesh.directory import Directory
from qnet.mesh.rate import RateLimit
from qnet.roles.directory import BODY_LIMIT, STATUS, DirectoryService, TunnelApp, no_directory
from qnet.roles.directory_store import MemoryStore, StoreError
from qnet.wire.descriptor import Descriptor
from tests.support.directories import NOW, Clock, Peer, closed_directory, open_directory, text

pytestmark = pytest.mark.anyio
REGISTER, LIST, PRUNE = "/api/relay/register", "/api/relays/by-country", "/api/relays/prune"


def client(app: Any, address: str = "127.0.0.1", host: str = "127.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 5))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", trust_env=False)


class Running:
    """A directory, its clock, and a client on this computer."""

    def __init__(self, directory: Directory | None = None, **given: Any) -> None:
        self.clock = Clock()
        self.directory = directory or open_directory()
        self.service = DirectoryService(self.directory, MemoryStore(None), clock=self.clock, **given)
        self.http = client(self.service.app)

    async def register(self, peer: Peer, *words: bytes, descriptor: bytes | None = b"", beat: bytes = b"") -> Any:
        body: dict[str, Any] = {"heartbeat": text(beat or peer.heartbeat(self.clock.now))}
        if descriptor is not None:
            body |= {"descriptor": text(descriptor or peer.descriptor(self.clock.now))}
            body |= {"endorsements": [text(word) for word in words]}
        return await self.http.post(REGISTER, json=body)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    yield made
    await made.http.aclose()


def error(response: httpx.Response) -> dict[str, Any]:
    """The error in an answer: a code, and words that a person can read."""
    found = response.json()["error"]
    assert response.status_code >= 400 and found["code"] and " " in found["message"]
    return found


async def test_the_checks_of_a_super_peer(running: Running) -> None:
    peer = Peer()
    assert (await running.register(peer)).json() == {"registered": True, "is_new": True}
    listed = (await running.http.get(LIST)).json()
    (item,) = listed.pop("US")
    assert listed == {} and item["peer_id"] == peer.id.hex()
    running.clock.now += 30
    assert (await running.register(peer, descriptor=None)).json() == {"registered": True, "is_new": False}
    assert len((await running.http.get(LIST)).json()["US"]) == 1
    running.clock.now += 120
    assert (await running.http.get(LIST)).json() == {}
    assert (await running.http.get(PRUNE)).json() == {"pruned": 1}
    assert (await running.http.get(PRUNE)).json() == {"pruned": 0}


async def test_by_country(running: Running) -> None:
    for country in ("US", "NL"):
        await running.register(Peer(country=country))
    assert list((await running.http.get(LIST)).json()) == ["NL", "US"]
    assert list((await running.http.get(LIST, params={"country": "us"})).json()) == ["US"]
    assert (await running.http.get(LIST, params={"country": "FR"})).json() == {}
    assert error(await running.http.get(LIST, params={"country": "USA"}))["code"] == "malformed"


async def test_refusals_have_their_codes(running: Running) -> None:
    peer = Peer()
    first, old = peer.heartbeat(), peer.descriptor(NOW - 9)
    await running.register(peer, beat=first)
    good = peer.descriptor()
    forged = good[:-1] + bytes([good[-1] ^ 1])
    cases = [
        ({"beat": first, "descriptor": None}, 409, "replayed"),
        ({"descriptor": old}, 409, "older"),
        ({"descriptor": forged}, 403, "signature"),
        ({"descriptor": peer.descriptor(NOW + 500)}, 409, "future"),
        ({"descriptor": peer.descriptor(NOW - 100_000)}, 409, "expired"),
        ({"descriptor": bytes(4097)}, 413, "oversized"),
        ({"descriptor": b"junk"}, 400, "malformed"),
        ({"beat": Peer().heartbeat(), "descriptor": None}, 404, "unknown-peer"),
    ]
    for given_, status, code in cases:
        response = await running.register(peer, **given_)  # type: ignore[arg-type]
        assert (response.status_code, error(response)["code"]) == (status, code)
        assert STATUS[code] == status


async def test_a_wrong_clock_is_told_the_time(running: Running) -> None:
    peer = Peer()
    for skew in (-600, 600):
        response = await running.register(peer, descriptor=peer.descriptor(NOW), beat=peer.heartbeat(NOW + skew))
        assert error(response)["now"] == NOW and error(response)["what"] == "heartbeat"


async def test_an_unendorsed_peer_is_told_so() -> None:
    operator = Ed25519PrivateKey.generate()
    running, peer = Running(closed_directory(operator)), Peer()
    assert error(await running.register(peer))["code"] == "unendorsed"
    assert (await running.register(peer, peer.endorsed(operator))).json()["is_new"] is True
    (item,) = (await running.http.get(LIST)).json()["US"]
    assert len(item["endorsements"]) == 1


async def test_keys_are_proven_when_they_are_new() -> None:
    tried: list[Descriptor] = []

    async def prove(peer: Descriptor) -> bool:
        tried.append(peer)
        return peer.addresses != ("192.0.2.66:443",)

    running, peer = Running(prove=prove), Peer()
    await running.register(peer)
    await running.register(peer, descriptor=None)
    running.clock.now += 1
    await running.register(peer)
    assert len(tried) == 1, "same keys, same address"
    peer.address = "192.0.2.66:443"
    running.clock.now += 1
    assert error(await running.register(peer))["code"] == "unproven"
    assert running.directory.entries[peer.id].descriptor.addresses == ("192.0.2.1:443",)


async def test_a_peer_that_never_answers_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qnet.roles.directory.PROOF_SECONDS", 0.05)

    async def prove(peer: Descriptor) -> bool:
        await anyio.sleep(60)
        return True

    assert error(await Running(prove=prove).register(Peer()))["code"] == "unproven"


async def test_only_what_is_new_since(running: Running) -> None:
    peers = [Peer(), Peer(country="NL")]
    for peer in peers:
        await running.register(peer)
    whole = await running.http.get(LIST)
    tag = whole.headers["etag"]
    nothing = (await running.http.get(LIST, params={"since": tag})).json()
    assert nothing == {"gone": []}
    running.clock.now += 100
    new = Peer(country="FR")
    await running.register(new)
    await running.register(peers[1], descriptor=None)
    running.clock.now += 100
    later = (await running.http.get(LIST, params={"since": tag})).json()
    assert later.pop("gone") == [peers[0].id.hex()]
    assert [item["peer_id"] for item in later.pop("FR")] == [new.id.hex()] and later == {}
    unknown = (await running.http.get(LIST, params={"since": "of another life"})).json()
    assert set(unknown) == {"FR", "NL"}


async def test_an_unchanged_list_is_not_sent_again(running: Running) -> None:
    peer = Peer()
    await running.register(peer)
    tag = (await running.http.get(LIST)).headers["etag"]
    running.clock.now += 30
    await running.register(peer, descriptor=None)
    again = await running.http.get(LIST, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await running.register(Peer())
    assert (await running.http.get(LIST, headers={"If-None-Match": f'"x", W/{tag}'})).status_code == 200


async def test_gzip_for_who_takes_it(running: Running) -> None:
    for _ in range(3):
        await running.register(Peer())
    plain = await running.http.get(LIST, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with running.http.stream("GET", LIST, headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        raw = b"".join([chunk async for chunk in packed.aiter_raw()])
    assert len(raw) < len(plain.content) and gzip.decompress(raw) == plain.content


async def test_invite_only_peers_do_not_show(running: Running) -> None:
    peer = Peer()
    assert (await running.register(peer, descriptor=peer.descriptor(invite_only=True))).json()["is_new"] is True
    assert (await running.http.get(LIST)).json() == {}


@pytest.mark.parametrize(
    ("address", "host", "headers", "status"),
    [
        ("127.0.0.1", "127.0.0.1", {}, 200),
        ("::1", "[::1]", {}, 200),
        ("192.0.2.1", "127.0.0.1", {}, 403),
        ("127.0.0.1", "attacker.example", {}, 403),
        ("127.0.0.1", "127.0.0.1", {"Origin": "https://attacker.example"}, 403),
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 403),
        ("192.0.2.1", "x", {"Authorization": "Bearer secret"}, 200),
        ("192.0.2.1", "x", {"Authorization": "Bearer wrong"}, 403),
        ("192.0.2.1", "x", {"Authorization": "Bearer "}, 403),
    ],
)
async def test_who_may_prune(address: str, host: str, headers: dict[str, str], status: int) -> None:
    service = DirectoryService(open_directory(), MemoryStore(None), admin_token="secret")
    response = await client(service.app, address, host).get(PRUNE, headers=headers)
    assert response.status_code == status
    assert status == 200 or error(response)["code"] == "forbidden"


async def test_no_token_is_nobodys_token() -> None:
    service = DirectoryService(open_directory(), MemoryStore(None))
    response = await client(service.app, "192.0.2.1").get(PRUNE, headers={"Authorization": "Bearer "})
    assert response.status_code == 403


async def test_bodies_are_bounded(running: Running) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(1000)
        raise AssertionError("read to the end")

    for content in (bytes(BODY_LIMIT + 1), endless()):
        assert error(await running.http.post(REGISTER, content=content))["code"] == "oversized"


async def test_a_body_that_does_not_come_is_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qnet.roles.directory.BODY_SECONDS", 0.05)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep(60)

    assert error(await running.http.post(REGISTER, content=stalled()))["code"] == "timeout"


async def test_rates_are_limited_by_source() -> None:
    few = RateLimit(rate=0.1, burst=2)
    running = Running(registrations=few, queries=few)
    assert [(await running.http.get(LIST)).status_code for _ in range(3)] == [200, 200, 429]
    refused = await running.register(Peer())
    assert error(refused)["code"] == "rate" and int(refused.headers["retry-after"]) >= 1
    assert (await client(running.service.app, "192.0.2.7").get(LIST)).status_code == 200


async def test_a_store_that_fails_is_said_and_not_hidden() -> None:
    class Full(MemoryStore):
        async def save(self, peer: bytes, record: object) -> None:
            raise StoreError("the disk is full", "")

    service = DirectoryService(open_directory(), Full(None), clock=Clock())
    peer = Peer()
    body = {"descriptor": text(peer.descriptor()), "heartbeat": text(peer.heartbeat())}
    assert error(await client(service.app).post(REGISTER, json=body))["code"] == "store"


async def test_through_the_tunnel_the_source_is_the_tunnels_end() -> None:
    sources = {5: "198.51.100.1", 6: "127.0.0.1"}
    running = Running(queries=RateLimit(rate=0.1, burst=1))
    await running.register(Peer())

    async def get(path: str, port: int, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(TunnelApp(running.service.app, sources.get), client=("127.0.0.1", port))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False) as http:
            return await http.get(path, headers=headers)

    assert (await get(LIST, 5)).status_code == 200
    assert error(await get(LIST, 5))["code"] == "rate"
    assert (await get(LIST, 6)).status_code == 200
    assert error(await get(LIST, 7))["message"] == "only through the tunnel"
    assert [(await get(PRUNE, port)).status_code for port in (5, 6, 7)] == [403, 403, 403]


@pytest.mark.parametrize("path", [REGISTER, LIST, PRUNE, "/api/gossip", "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_there_is_nothing_where_no_directory_runs(path: str, method: str) -> None:
    response = await client(no_directory()).request(method, path)
    assert response.status_code == 404 and error(response)["code"] == "not-found"


async def test_other_paths_and_methods(running: Running) -> None:
    assert error(await running.http.get("/api/nothing"))["code"] == "not-found"
    assert error(await running.http.get(REGISTER))["code"] == "method"
    assert error(await running.http.post("/api/gossip"))["code"] == "not-found"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["descriptor", "heartbeat"]), inner)
        ),
        max_leaves=5,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_gets_an_answer_in_words(body: bytes) -> None:
    async def post() -> None:
        running = Running(registrations=RateLimit(1, 1000))
        assert error(await running.http.post(REGISTER, content=body))["code"] in STATUS

    anyio.run(post)
