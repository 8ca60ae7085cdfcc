"""The bench of the leak tests: a browser whose only name server is ours, a site that goes through the tunnel, and a
listener where the browser would arrive without it. Needs root: port 53, and a mount namespace for ``resolv.conf``.
"""

import os
import shlex
import shutil
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode
import dns.rrset
import pytest

from e2e.listeners import Site, site
from qnet.browser.launcher import write_launcher
from tests.support.network import Node, joined_client, network

LATE_SECONDS = 1.5
NAME_SERVER = "127.83.0.1"
SITE = "site.test"
HINTS = f'<link rel="dns-prefetch" href="//hint.{SITE}"><link rel="preconnect" href="http://{SITE}:PORT">'
ASK = "setInterval(() => fetch('/?' + Math.random()).catch(() => 0), 20)"
"""What the site's page does for as long as it is open."""


@dataclass
class Names:
    """A name server on ``NAME_SERVER``. Every name under ``test`` is 127.0.0.1; ``asked`` counts names."""

    asked: Counter[str] = field(default_factory=Counter)

    @property
    def leaked(self) -> Counter[str]:
        """Queries for the tunnelled site's names."""
        return Counter({name: count for name, count in self.asked.items() if name.endswith(SITE)})

    def answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked[name] += 1
        answer = dns.message.make_response(query)
        if not name.endswith(".test"):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", "127.0.0.1"))
        return answer.to_wire()


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((NAME_SERVER, 53))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    data, source = server.recvfrom(4096)
                    if not data:
                        return
                    with suppress(dns.exception.DNSException, IndexError):
                        server.sendto(made.answer(data), source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield made
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (NAME_SERVER, 53))
        thread.join()


@dataclass
class Lab:
    """``launcher`` starts the helper, late if the file ``late`` is there."""

    client: Node
    inside: Site
    outside: Site
    names: Names
    folder: Path
    launcher: Path
    late: Path
    gaps: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{SITE}:{self.outside.port}/"

    def program(self, browser: str, page: str = "") -> Path:
        """The browser, with our name server as the only one; it opens ``page`` when it starts."""
        (self.folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
        path = self.folder / browser
        mount = f"mount --bind {shlex.quote(str(self.folder / 'resolv.conf'))} /etc/resolv.conf"
        # Playwright wants a blank page; the site takes its place.
        instead = f'for a do shift; [ "$a" = about:blank ] && a={page or "about:blank"}; set -- "$@" "$a"; done'
        inner = f'{mount} && {instead}; exec {shutil.which(browser)} "$@"'
        path.write_text(f'#!/bin/sh\nexec unshare --mount sh -c {shlex.quote(inner)} {browser} "$@"\n')
        path.chmod(0o755)
        return path

    def kill_helper(self) -> None:
        """At once, if it runs."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.client.home / "run" / "control.sock"))
            credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            os.kill(int.from_bytes(credentials[:4], "little"), signal.SIGKILL)

    def prepare(self, start: str) -> None:
        """The helper as it shall be when the browser starts: it runs, or it starts with it, or late."""
        self.late.unlink(missing_ok=True)
        if start == "late":
            self.late.touch()
        if start != "up":
            self.kill_helper()
        self.inside.hits.clear()

    def note_gap(self) -> None:
        """While an extension is being reloaded there is none, and nobody who holds pages back: counted apart."""
        self.gaps.append(len(self.outside.hits))
        self.outside.hits.clear()
        self.names.asked.clear()

    def leaks(self) -> tuple[int, Counter[str]]:
        return len(self.outside.hits), self.names.leaked


@pytest.fixture
def lab(tmp_path: Path, names: Names) -> Iterator[Lab]:
    with (
        site("<title>outside</title>reached directly") as outside,
        site(f"<title>inside</title>{HINTS.replace('PORT', str(outside.port))}<script>{ASK}</script>") as inside,
        network(tmp_path, f"--exit-map={SITE}:{outside.port}=127.0.0.1:{inside.port}", "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        (client.home / "data").mkdir(mode=0o700, exist_ok=True)
        real, late = write_launcher(client.home / "data"), tmp_path / "late"
        launcher = tmp_path / "launcher"
        launcher.write_text(f'#!/bin/sh\n[ -e {late} ] && sleep {LATE_SECONDS}\nexec {real} "$@"\n')
        launcher.chmod(0o755)
        yield Lab(client, inside, outside, names, tmp_path, launcher, late)
        client.command("stop")
