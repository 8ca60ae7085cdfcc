"""The place of the play: decoys of three TLS stacks, each three times, and a peer in front of one of each three.

``decoy`` is probed directly, ``twin`` too, as the control; ``behind`` stands behind the peer ``public`` alone, because
``openssl s_server`` serves one connection at a time. All share one RSA certificate: the lengths of ECDSA signatures
vary by themselves.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from urllib.request import urlopen

from cryptography import x509

from qnet.net.client_link import Disguise, peer_keys
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.auth import VERSION, CoverKeys, Credential
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.descriptor import verify
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.template import HelloDraft, Template
from tests.support import tls_servers
from tests.support.network import DECOY_NAME, Node, public_node, started
from tests.support.tls_servers import (
    Authority,
    accepts,
    free_port,
    nginx,
    openssl_server,
    running,
    wait_for,
)

BROWSERS = ("chromium", "firefox")
PATIENCE = "client_header_timeout 1s; keepalive_timeout 2s;"
"""nginx gives up early, so that its giving up can be compared too."""

RESTARTS = 10
"""Of s_server, at most, until the peer has ended its own connection with it."""


@contextmanager
def gnutls(folder: Path, credential: tls_servers.Credential) -> Iterator[int]:
    """``gnutls-serv``, which shares no code with OpenSSL and echoes lines. Gives its port."""
    certificate, key = credential.write(folder, "gnutls")
    port, log = free_port(), folder / "gnutls.log"
    files = ["--x509certfile", certificate, "--x509keyfile", key]
    mode = ["--echo", "--alpn", "h2", "--disable-client-cert", "--port", str(port)]
    with running(log, ["gnutls-serv", *mode, *files]) as process:
        wait_for(lambda: accepts(port), process, log)
        yield port


def s_server(folder: Path, credential: tls_servers.Credential, port: int = 0) -> AbstractContextManager[int]:
    """``openssl s_server``. Gives its port."""
    return openssl_server(folder, credential, "-alpn", "h2", port=port)


STACKS: dict[str, tuple[Callable[[Path, tls_servers.Credential], AbstractContextManager[int]], Sequence[str]]] = {
    "nginx": (lambda folder, credential: nginx(folder, credential, settings=PATIENCE), ("nginx", "-v")),
    "s_server": (s_server, ("openssl", "version")),
    "GnuTLS": (gnutls, ("gnutls-serv", "--version")),
}


@dataclass
class Front:
    """One kind of decoy and the peer in front of it; everything but ``name`` and ``node`` is a port."""

    name: str
    decoy: int
    twin: int
    public: int
    node: Node

    @property
    def known(self) -> PeerKeys:
        """What the peer's descriptor says."""
        return peer_keys(verify((self.node.home / "data" / "descriptor.qnet").read_bytes(), time.time()))


class Setting:
    """Starts what a detector asks for; everything ends with the block."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._fronts: dict[str, Front] = {}
        self.authority = Authority()
        self.roots = self.authority.write(folder)
        self._credential = self.authority.issue(DECOY_NAME, key="rsa")

    @property
    def anchors(self) -> Sequence[x509.Certificate]:
        """Whom clients trust to vouch for a decoy."""
        return [self.authority.certificate]

    def front(self, name: str = "nginx") -> Front:
        """Decoys of one kind with the peer, started once."""
        if name not in self._fronts:
            start, _ = STACKS[name]
            folders = [self._folder / f"{name}-{number}" for number in range(3)]
            for folder in folders:
                folder.mkdir()
            decoy, twin = (self._stack.enter_context(start(folder, self._credential)) for folder in folders[:2])
            own = self._stack.enter_context(ExitStack())
            behind = own.enter_context(start(folders[2], self._credential))
            public, status = free_port(), free_port()
            node = self.peer(name, public, behind, f"--status-port={status}")
            self._stack.enter_context(started(node))
            for _ in range(RESTARTS if name == "s_server" else 0):
                # It serves nobody else while the peer watches, up to ten minutes, how it ends an idle connection.
                if _has_learnt(status):
                    break
                own.close()
                own.enter_context(s_server(folders[2], self._credential, behind))
            self._fronts[name] = Front(name, decoy, twin, public, node)
        return self._fronts[name]

    def peer(self, name: str, public: int, decoy: int, *rules: str) -> Node:
        """A super peer with keys of its own in front of a decoy, not started."""
        return public_node(self._folder / f"peer-{name}", public, decoy, self.roots, rules)

    @contextmanager
    def own_peer(self, name: str, *rules: str) -> Iterator[Front]:
        """A peer for one detector alone, which may restart it. In front of the first nginx."""
        front = self.front()
        public = free_port()
        node = self.peer(name, public, front.decoy, *rules)
        with started(node):
            yield replace(front, public=public, node=node)


@contextmanager
def setting(folder: Path) -> Iterator[Setting]:
    with ExitStack() as stack:
        yield Setting(folder, stack)


def _has_learnt(status: int) -> bool:
    """Whether the peer's log says within a second how its decoy ends idle connections."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{status}/logs", timeout=1) as page:
            if b"the decoy ends idle connections" in page.read():
                return True
        time.sleep(0.05)
    return False


@cache
def template(browser: str) -> Template:
    """The bundled capture."""
    record = resources.files("qnet").joinpath("data", "templates", f"{browser}.hello").read_bytes()
    return Template.from_record(record, browser)


def disguise(browser: str, place: Setting) -> Disguise:
    return Disguise(template(browser), APPEARANCES[browser], place.anchors)


def draft_for(
    known: PeerKeys, browser: str, dated: float | None = None, edit: Callable[[ClientHello], None] = lambda hello: None
) -> tuple[HelloDraft, CoverKeys]:
    """A hello that holds the key, as ``wire.cover.opening`` makes it, dated ``dated`` (unix seconds; else now).

    ``edit`` is applied before it is sealed.
    """
    draft = template(browser).build(known.server_name, os.urandom)
    edit(draft.hello)
    keys = CoverKeys(draft.keys.x25519_shared(known.cover_at(time.time())), known.cover_secret, draft.hello.random)
    credential = Credential(VERSION, 0, int(time.time() if dated is None else dated), os.urandom(10))
    draft.hello.session_id = keys.seal_session_id(draft.hello.message(), credential)
    return draft, keys


def stranger(browser: str, name: str = DECOY_NAME) -> HelloDraft:
    """A browser's hello without any key."""
    draft = template(browser).build(name, os.urandom)
    draft.hello.session_id = os.urandom(32)
    return draft


def versions() -> dict[str, str]:
    """Name → version number of every program that takes part."""
    commands = {name: command for name, (_, command) in STACKS.items()}
    commands |= {"Chromium": ("chromium", "--version"), "Firefox": ("firefox-esr", "--version")}
    found = {}
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        match = re.search(r"\d+(\.\d+)+\w*", done.stdout + done.stderr)
        found[name] = match[0] if match else "unknown"
    return found
