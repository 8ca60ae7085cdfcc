"""When a node runs a directory, and for whom."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.app.directory import Api, policy_of
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import NOW, Peer, public

pytestmark = pytest.mark.anyio


def network(*operators: Peer, open_to_all: bool = False) -> NetworkFile:
    founder = public(Ed25519PrivateKey.generate())
    return NetworkFile(founder, "n", NOW, tuple(Operator(each.descriptor()) for each in operators), open_to_all)


def test_before_there_is_a_network_a_node_is_an_operator_by_itself() -> None:
    policy = policy_of(None, b"me")
    assert policy is not None and policy.operators == {b"me"} and not policy.open


def test_in_a_network_only_its_operators_run_directories() -> None:
    one, other, stranger = Peer(), Peer(), Peer()
    policy = policy_of(network(one, other), public(one.key))
    assert policy is not None and policy.operators == {public(one.key), public(other.key)} and not policy.open
    assert policy_of(network(one, other), public(stranger.key)) is None
    opened = policy_of(network(one, open_to_all=True), public(one.key))
    assert opened is not None and opened.open


async def test_the_api_is_the_directory_while_there_is_one() -> None:
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    api = Api()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://n.test") as client:
        refused = await client.get("/api/relays/by-country")
        assert refused.status_code == 404 and refused.json()["error"]["code"] == "not-found"
        api.directory = Starlette(routes=[Route("/api/relays/by-country", lambda request: PlainTextResponse("here"))])
        assert (await client.get("/api/relays/by-country")).text == "here"
        api.directory = None
        assert (await client.post("/api/relay/register")).status_code == 404
