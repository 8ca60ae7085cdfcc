"""One QNet of real processes on loopback for the tests in this folder."""

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.network import Network, network
from tests.support.tls_servers import free_port

BIG = 20_000_000
MEDIUM = 1_000_000


class Site:
    """A small web site on loopback: files, a git repository, and what asked for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str]] = []
        folder.mkdir()
        (folder / "index.html").write_text("<title>site</title>hello from the site\n")
        (folder / "big").write_bytes(bytes(range(256)) * (BIG // 256))
        (folder / "medium").write_bytes(bytes(MEDIUM))
        self._make_repository()
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                site.requests.append((self.client_address[0], self.requestline))

        self.server = ThreadingHTTPServer(("127.0.0.1", free_port()), partial(Handler, directory=str(folder)))
        self.port = self.server.server_port

    def _make_repository(self) -> None:
        source = self.folder / "source"
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", "-C", str(source)]
        subprocess.run(["git", "init", "-q", str(source)], check=True)
        (source / "file").write_text("through the tunnel\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "one"], check=True)
        bare = self.folder / "repo.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)
        subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site") / "www")
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="session")
def qnet(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The exit may reach the site only: as ``site.test:80``, and by its address."""
    rules = (
        f"--exit-map=site.test:80=127.0.0.1:{site.port}",
        f"--exit-allow=127.0.0.1/32:{site.port}",
        "--exit-only",
        f"--status-port={(status_port := free_port())}",
    )
    with network(tmp_path_factory.mktemp("qnet"), *rules) as made:
        made.peer.status_port = status_port
        yield made
