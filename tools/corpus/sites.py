"""Synthetic web sites with the numbers and sizes of real ones: HTML, then waves of resources from one or two origins.

Sizes are log-normal with medians near those of the HTTP Archive's (compressed transfer sizes of 2024), numbers of
resources about half of its: 2 cores have to load each page thousands of times.
"""

import math
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.tls_servers import Authority

DOMAIN = "site.test"
MEDIANS = {"js": (12_000, 1.1), "css": (6_000, 1.0), "img": (9_000, 1.3), "font": (24_000, 0.4), "json": (900, 1.2)}
"""Bytes and the logarithm's standard deviation, by kind."""
HTML = (22_000, 0.8)
SHARES = {"img": 0.5, "js": 0.27, "css": 0.09, "font": 0.05, "json": 0.09}
COUNT = (28, 0.65)
LEAST, MOST = 120, 300_000
LATE = 0.3
"""Share of images and answers that only a script asks for."""
POSTS = (0.35, (700, 0.9))
"""Share of sites whose scripts send something back, and what that measures."""


@dataclass(frozen=True)
class Resource:
    """One file; ``origin`` 0 is the site's own, 1 its second name; ``late``: a script asks for it."""

    kind: str
    size: int
    origin: int
    late: bool


@dataclass(frozen=True)
class Site:
    """``headers``: bytes of further response headers, 0 for none; ``cookie``: bytes of the cookie it sets.

    ``posts``: bytes of what its scripts send.
    """

    name: str
    html: int
    resources: Sequence[Resource]
    headers: int
    cookie: int
    posts: Sequence[int] = ()

    @property
    def origins(self) -> tuple[str, str]:
        return f"www.{self.name}", f"cdn.{self.name}"


def site(seed: int) -> Site:
    """The same one for the same seed. Names differ in length as real ones do: requests and tickets show it."""
    rng = random.Random(f"site {seed}")
    name = "".join(rng.choices("abcdefghijklmnoprstuvwy", k=rng.randrange(3, 15))) + f"{seed:05}.{DOMAIN}"
    count = min(max(round(rng.lognormvariate(math.log(COUNT[0]), COUNT[1])), 4), 90)
    third = rng.choice((0.0, 0.15, 0.4))
    resources = []
    for _ in range(count):
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        late = kind == "json" or (kind == "img" and rng.random() < LATE)
        resources.append(Resource(kind, _size(rng, MEDIANS[kind]), int(rng.random() < third), late))
    sends = range(rng.randrange(1, 4) if rng.random() < POSTS[0] else 0)
    posts = [_size(rng, POSTS[1]) for _ in sends]
    if posts or any(each.late for each in resources):
        resources.insert(0, Resource("js", _size(rng, MEDIANS["js"]), 0, False))
    headers = rng.choice((0, 0, rng.randrange(80, 900)))
    return Site(name, _size(rng, HTML), resources, headers, rng.choice((0, rng.randrange(30, 300))), posts)


def _size(rng: random.Random, shape: tuple[int, float]) -> int:
    return min(max(int(rng.lognormvariate(math.log(shape[0]), shape[1])), LEAST), MOST)


def write(made: Site, folder: Path) -> None:
    """Its files, for a web server's root ``folder``."""
    folder.mkdir(parents=True)
    paths = [f"{number}.{each.kind}" for number, each in enumerate(made.resources)]
    urls = [f"//{made.origins[each.origin]}/{path}" for each, path in zip(made.resources, paths, strict=True)]
    late = [url for each, url in zip(made.resources, urls, strict=True) if each.late]
    script = "".join(
        f"fetch('{url}',{{mode:'cors'}});" if url.endswith("json") else f"(new Image()).src='{url}';" for url in late
    )
    script += "".join(f"fetch('/send',{{method:'POST',body:'{secrets.token_hex(size // 2)}'}});" for size in made.posts)
    loader = True
    for each, path in zip(made.resources, paths, strict=True):
        body = b""
        if each.kind == "js":
            body, loader = (script if loader else "").encode() + b"/*", False
        elif each.kind == "css":
            body = b"/*"
        end = b"*/" if each.kind in ("js", "css") else b""
        filler = secrets.token_hex(max(each.size - len(body) - len(end), 0) // 2 + 1).encode()
        (folder / path).write_bytes(body + filler[: max(each.size - len(body) - len(end), 0)] + end)
    (folder / "index.html").write_text(_page(made, urls))


def _page(made: Site, urls: Sequence[str]) -> str:
    head, body = [], []
    for each, url in zip(made.resources, urls, strict=True):
        if each.late:
            continue
        if each.kind == "css":
            head.append(f'<link rel="stylesheet" href="{url}">')
        elif each.kind == "font":
            head.append(f'<link rel="preload" as="font" crossorigin href="{url}">')
        elif each.kind == "js":
            body.append(f'<script src="{url}"></script>')
        else:
            body.append(f'<img src="{url}">')
    filler = max(made.html - sum(map(len, head)) - sum(map(len, body)) - 80, 0)
    step = max(1, len(body) // 4)
    parts = [
        f"<!--{secrets.token_hex(filler // 10)}-->" + "".join(body[at : at + step]) for at in range(0, len(body), step)
    ]
    return f"<!doctype html><meta charset=utf-8><title>{made.name}</title>{''.join(head)}<body>{''.join(parts)}"


def server(made: Site, root: Path, certificates: Path, authority: Authority, listen: str, *, resumes: bool) -> str:
    """Its part of nginx's configuration; writes the certificate. ``resumes``: whether it knows who was there before."""
    certificate, key = authority.issue(*made.origins).write(certificates, made.name)
    lines = [
        f"listen {listen} ssl http2;",
        f"server_name {' '.join(made.origins)};",
        f"ssl_certificate {certificate};",
        f"ssl_certificate_key {key};",
        f"root {root};",
        f"ssl_session_tickets {'on' if resumes else 'off'};",
        "add_header Access-Control-Allow-Origin *;",
        "add_header Cache-Control 'public, max-age=3600';",
    ]
    lines.append("location = /send { return 204; }")
    if made.headers:
        lines.append(f'add_header Content-Security-Policy "default-src https:; report-uri /{"r" * made.headers}";')
    if made.cookie:
        lines.append(f'location = / {{ add_header Set-Cookie "id={secrets.token_hex(made.cookie // 2)}; Path=/"; }}')
    return "server { " + " ".join(lines) + " }"
