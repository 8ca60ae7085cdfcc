"""The notice page on port 80 of the address that an exit leaves from: what this is, and whom to write to.

Whoever finds that address in a log looks there first. Only an exit with an address of its own has it (``exit_bind``):
at the address where people enter, it would tell what the decoy hides.
"""

import html

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

PORT = 80
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>A QNet exit</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem}}</style>
<h1>This is an exit of QNet</h1>
<p>QNet lets people read the web where it is censored. What comes from this address was asked for by one of them, not
by the operator of this machine. Nothing kept here tells who it was: the exit passes bytes on, it cannot see inside
encrypted connections, and it keeps no record of who went where.</p>
<p>It reaches ports {ports} only, and no private networks.</p>
<p>Complaints, and requests to make your own address unreachable from here: <a href="mailto:{mail}">{mail}</a>. Please
say which of your addresses and ports, and when (with the time zone).</p></html>"""


def notice_app(abuse_email: str, ports: tuple[int, ...]) -> ASGIApp:
    """The same page at every path."""
    page = _PAGE.format(mail=html.escape(abuse_email), ports=", ".join(map(str, ports)))

    async def show(request: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    return Starlette(routes=[Route("/{path:path}", show)])
