"""The status page: what it shows, and to whom."""

import json
import logging
from collections.abc import Callable

import httpx
import pytest

from qnet.roles.log_ring import LogRing, collected
from qnet.roles.status import COLOURS, as_json, render, status_app
from qnet.wire.errors import Place
from qnet.wire.messages import ErrorInfo, ExitCounts, Hop, Rates, State, Status, Traffic

pytestmark = pytest.mark.anyio
PATHS = ["/", "/status", "/status.txt", "/ready", "/ping", "/metrics", "/config", "/logs", "/logs?tail=5"]
EVIL = "<script>alert('&\"{state}{0}')</script>"


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
    {"Host": "localhost.evil.example:80"}, {"Host": "127.0.0.1.evil.test"}, {"Host": "127.0.0.1.evil.test:8088"},
    {"Host": "127.0.0.1, evil.test"}, {"Host": "127.0.0.2:8088"}, {"Host": "2130706433:8088"}, {"Host": "127.1:8088"},
    {"Host": "localhost.:8088"}, {"Host": "[::ffff:127.0.0.1]:8088"}, {"Host": "evil.test:127.0.0.1"},
    {"Host": "0.0.0.0:8088"}, {"Host": "user@127.0.0.1:8088"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8088"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "nonsense"},
]  # fmt: skip


@pytest.mark.parametrize("headers", REFUSED, ids=str)
@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/api/relays/by-country"])
async def test_nobody_else_is(path: str, headers: dict[str, str]) -> None:
    async with client() as asking:
        answer = await asking.get(path, headers=headers)
        assert answer.status_code == 403
        assert answer.json() == {"error": {"code": "forbidden", "message": "only for this computer"}}
        assert "access-control-allow-origin" not in answer.headers


def test_every_page_is_in_these_tests() -> None:
    app = status_app(status)
    assert {route.path for route in app._app.routes} == {path.partition("?")[0] for path in PATHS}  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_is_closed_to_scripts_of_other_sites(path: str) -> None:
    async with client() as asking:
        answer = await asking.get(path)
        assert answer.status_code == 200
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_status_has_the_names_that_dashboards_know() -> None:
    exits = ExitCounts(requests=9, success=5, blocked=3, limited=1, traffic=Traffic(up=40, down=2), month_bytes=77)
    shown = status(peers=4, online=3, circuits=1, started=1000.0, exit=exits, rates=Rates(up=1, down=2))
    flat = as_json(shown, 1061.5)
    assert flat | {
        "state": "connected", "mode": "client", "uptime": 61, "version": "0.1", "peers_online": 3,
        "mesh_peer_count": 4, "active_circuits": 1, "exit_requests_total": 9, "exit_requests_success": 5,
        "exit_requests_blocked": 3, "exit_bandwidth_bytes": 42, "reconnection_attempts": 0,
    } == flat  # fmt: skip
    assert flat["rates"] == {"up": 1, "down": 2, "up_60": 0, "down_60": 0}
    async with client(lambda: shown) as asking:
        answer = (await asking.get("/status")).json()
        assert answer.keys() == flat.keys() and answer["exit"]["month_bytes"] == 77
    assert not [name for name in as_json(status(), 0.0) if name.startswith("exit_")]


async def test_the_log_by_lines() -> None:
    ring = LogRing()
    with collected(ring):
        for number in range(200):
            logging.getLogger("qnet").info("number %d", number)
    app = status_app(status, log=ring)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as asking:
        assert (await asking.get("/logs?tail=2")).text.splitlines() == ring.tail(2)
        assert len((await asking.get("/logs")).text.splitlines()) == 100
        assert len((await asking.get("/logs?tail=500")).text.splitlines()) == 200
        for wrong in ("0", "-1", "501", "x", "", "99999999999999999999", "٣", "1.0"):
            answer = await asking.get("/logs", params={"tail": wrong})
            assert answer.status_code == 400 and answer.json()["error"]["code"] == "tail"


async def test_the_text_and_the_settings() -> None:
    async with client() as asking:
        assert (await asking.get("/status.txt")).text.startswith("state      connected since")
        answer = await asking.get("/config")
        assert answer.json()["settings"]["mode"] == "client" and "left out" in answer.json()["note"]
        answer = await asking.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_an_exits_page_tells_what_it_does_for_others() -> None:
    exits = ExitCounts(requests=1234, success=5, blocked=3, traffic=Traffic(up=40, down=2), month_bytes=10**9)
    page = render(status(exit=exits))
    assert "1,234 asked for" in page and "this month 1.0 GB" in page
    assert "others" not in render(status())


async def test_other_methods_and_places() -> None:
    async with client() as asking:
        assert (await asking.post("/status")).status_code == 405
        assert (await asking.get("/nothing")).status_code == 404
        assert (await asking.get("/ping")).text == "pong\n"
