"""The status page: what it shows, and to whom."""

import json
from collections.abc import Callable

import httpx
import pytest

from qnet.roles.status import COLOURS, render, status_app
from qnet.wire.errors import Place
from qnet.wire.messages import ErrorInfo, Hop, State, Status, Traffic

pytestmark = pytest.mark.anyio
EVIL = "<script>alert('&\"{state}{0}')</script>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def status(state: State = State.CONNECTED, **more: object) -> Status:
    return Status(state=state, mode="client", version="0.1", since=0.0, **more)  # type: ignore[arg-type]


def client(now: Callable[[], Status] = status, host: str = "127.0.0.1:8088") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(status_app(now)), base_url=f"http://{host}")


def test_each_state_has_its_colour() -> None:
    assert set(COLOURS) == set(State) and len(set(COLOURS.values())) == len(State)
    for state, colour in COLOURS.items():
        page = render(status(state))
        assert f"QNet is {state}" in page and colour in page
        assert not any(other in page for other in set(COLOURS.values()) - {colour})


def test_what_others_wrote_is_escaped() -> None:
    page = render(
        status(
            hops=[Hop(nickname=EVIL, country="NL", exit=True)],
            last_error=ErrorInfo(code="x", message=EVIL, hint=EVIL, place=Place.MESH),
            traffic=Traffic(up=1234567, down=7),
        )
    )
    assert "<script" not in page and page.count("&lt;script&gt;") == 3
    assert "7 / 1,234,567 bytes" in page


def test_a_peer_without_a_name_and_no_route() -> None:
    assert "unnamed" in render(status(hops=[Hop(nickname="", country="", exit=True)]))
    assert "<dd>none</dd>" in render(status(State.OFFLINE))


async def test_ready_says_connected_and_nothing_else() -> None:
    for state in State:
        async with client(lambda state=state: status(state)) as asking:
            answer = await asking.get("/ready")
            assert (answer.status_code == 200) is (state is State.CONNECTED) is answer.json()["ready"]


@pytest.mark.parametrize("host", ["127.0.0.1:8088", "localhost:8088", "127.0.0.1", "[::1]:8088"])
async def test_this_computer_is_answered(host: str) -> None:
    async with client(host=host) as asking:
        answer = await asking.get("/status")
        assert json.loads(answer.content)["state"] == "connected"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


REFUSED: list[dict[str, str]] = [
    {"Host": "evil.example"}, {"Host": "evil.example:8088"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""},
    {"Host": "localhost.evil.example:80"}, {"Host": "0.0.0.0:8088"}, {"Host": "user@127.0.0.1:8088"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8088"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "nonsense"},
]  # fmt: skip


@pytest.mark.parametrize("headers", REFUSED, ids=str)
@pytest.mark.parametrize("path", ["/", "/status", "/ready", "/ping", "/nothing"])
async def test_nobody_else_is(path: str, headers: dict[str, str]) -> None:
    async with client() as asking:
        answer = await asking.get(path, headers=headers)
        assert answer.status_code == 403
        assert b"connected" not in answer.content and b"pong" not in answer.content


async def test_other_methods_and_places() -> None:
    async with client() as asking:
        assert (await asking.post("/status")).status_code == 405
        assert (await asking.get("/nothing")).status_code == 404
        assert (await asking.get("/ping")).text == "pong\n"
