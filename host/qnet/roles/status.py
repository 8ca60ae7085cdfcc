"""The status page on 127.0.0.1: what the helper is doing, for people and for programs.

| path | what |
|---|---|
| ``/`` | a page, anew every five seconds |
| ``/status`` | the status as JSON, see ``as_json`` |
| ``/status.txt`` | the same as ``qnet status`` prints |
| ``/ready`` | 200 when connected, else 503 |
| ``/ping`` | ``pong`` |
| ``/metrics`` | numbers for Prometheus |
| ``/config`` | the settings, without what names somebody or something |
| ``/logs?tail=N`` | the last N lines of the log, 100 if not said |

Any web page can make its browser ask this port, so it answers only requests for a loopback host that no other site
caused, and never grants cross-origin access. It tells states and sums, no destination and no address.
"""

import html
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qnet.roles.log_ring import SIZE, LogRing
from qnet.roles.metrics import CONTENT_TYPE, exposition
from qnet.roles.shown_settings import shown_settings
from qnet.roles.status_text import describe, duration, size
from qnet.settings import Settings
from qnet.wire.messages import ExitCounts, State, Status

COLOURS = {
    State.OFFLINE: "#c62828",
    State.CALIBRATING: "#ef6c00",
    State.CONNECTING: "#f9a825",
    State.CONNECTED: "#2e7d32",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>QNet: {state}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}}
h1{{display:flex;gap:.6rem;align-items:center;font-size:1.6rem}}i{{width:1rem;height:1rem;border-radius:50%;
background:{colour}}}dt{{opacity:.7}}dd{{margin:0 0 .6rem}}p{{padding:.8rem 1rem;border:1px solid;border-radius:.6rem}}
</style><h1><i></i>QNet is {state}</h1>{error}<dl>{rows}</dl></html>"""


def status_app(
    status: Callable[[], Status],
    *,
    settings: Settings | None = None,
    log: LogRing | None = None,
    api: ASGIApp | None = None,
) -> ASGIApp:
    """The ASGI application; ``status`` is asked at each request, ``api`` answers what is asked below ``/api``."""
    shown = shown_settings(settings or Settings())
    ring = log or LogRing()

    async def page(request: Request) -> Response:
        return HTMLResponse(render(status()))

    async def whole(request: Request) -> Response:
        return Response(msgspec.json.encode(as_json(status(), time.time())), media_type="application/json")

    async def text(request: Request) -> Response:
        return PlainTextResponse(describe(status(), time.time()) + "\n")

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(exposition(status()), headers={"Content-Type": CONTENT_TYPE})

    async def config(request: Request) -> Response:
        return JSONResponse(shown)

    async def logs(request: Request) -> Response:
        tail = request.query_params.get("tail", "100")
        if not (tail.isascii() and tail.isdigit() and 0 < len(tail) <= len(str(SIZE)) and 0 < int(tail) <= SIZE):
            wrong = {"code": "tail", "message": f"tail is a number of lines from 1 to {SIZE}"}
            return JSONResponse({"error": wrong}, 400)
        return PlainTextResponse("".join(f"{line}\n" for line in ring.tail(int(tail))))

    async def ready(request: Request) -> Response:
        connected = status().state is State.CONNECTED
        return JSONResponse({"ready": connected}, status_code=200 if connected else 503)

    async def ping(request: Request) -> Response:
        return PlainTextResponse("pong\n")

    pages = {
        "/": page,
        "/status": whole,
        "/status.txt": text,
        "/ready": ready,
        "/ping": ping,
        "/metrics": metrics,
        "/config": config,
        "/logs": logs,
    }
    routes = [Route(path, answer) for path, answer in pages.items()]
    routes += [Route("/api/{path:path}", api)] if api is not None else []
    return _LocalOnly(Starlette(routes=routes))


def as_json(status: Status, now: float) -> dict[str, Any]:
    """The status, and the same facts under the flat names that dashboards know; ``now`` in unix seconds.

    ``exit_…``: only of a node that is an exit. ``uptime``: whole seconds.
    """
    flat: dict[str, Any] = {
        "uptime": max(0, int(now - status.started)),
        "peers_online": status.online,
        "mesh_peer_count": status.peers,
        "active_circuits": status.circuits,
    }
    if status.exit is not None:
        carried = status.exit.traffic
        flat |= {
            "exit_requests_total": status.exit.requests,
            "exit_requests_success": status.exit.success,
            "exit_requests_blocked": status.exit.blocked,
            "exit_bandwidth_bytes": carried.up + carried.down,
        }
    return {**msgspec.to_builtins(status), **flat}


class _LocalOnly:
    """Refuses what another site, or a name rebound to this address, asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "").rpartition(":")[0] or headers.get(b"host", "")
        foreign = headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin") or b"origin" in headers
        if host not in _LOOPBACK or foreign:
            refusal = JSONResponse({"error": {"code": "forbidden", "message": "only for this computer"}}, 403, _HEADERS)
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: dict) -> None:  # type: ignore[type-arg]
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, send_with_headers)  # type: ignore[arg-type]


def render(status: Status) -> str:
    """The page for people."""
    since = datetime.fromtimestamp(status.since, UTC).strftime("%H:%M:%S UTC")
    hops = " → ".join(hop.nickname or "unnamed" for hop in status.hops) or "none"
    facts = {
        "Since": since,
        "Mode": status.mode,
        "Peers known": str(status.peers),
        "Route": hops,
        "Open streams": str(status.streams),
        "Received / sent": f"{status.traffic.down:,} / {status.traffic.up:,} bytes",
        "Now": f"{size(status.rates.down)}/s / {size(status.rates.up)}/s",
        **(_exit_facts(status.exit) if status.exit else {}),
        "Running": f"{duration(time.time() - status.started)}, version {status.version}",
    }
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items())
    error = ""
    if status.last_error is not None:
        error = f"<p>{html.escape(status.last_error.message)} {html.escape(status.last_error.hint)}</p>"
    return _PAGE.format(state=status.state, colour=COLOURS[status.state], error=error, rows=rows)


def _exit_facts(counts: ExitCounts) -> dict[str, str]:
    carried = counts.traffic.up + counts.traffic.down
    return {
        "Streams for others": f"{counts.requests:,} asked for, {counts.success:,} connected, "
        f"{counts.blocked:,} refused by policy, {counts.limited:,} by limits",
        "Carried for others": f"{size(carried)}, this month {size(counts.month_bytes)}",
    }


class StatusServer(uvicorn.Server):
    """Uvicorn without its own signal handlers: the helper ends as a whole."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                # A local program could otherwise say that it speaks for another address.
                proxy_headers=False,
                date_header=False,
                h11_max_incomplete_event_size=16 * 1024,
                limit_concurrency=64,
                timeout_keep_alive=5,
                http="h11",
                ws="none",
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
