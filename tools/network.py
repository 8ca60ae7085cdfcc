"""A whole network on this computer: ``python3 tools/dev.py network [--relays 5 --exits 2 --operators 3] [--check]``.

1. a decoy (nginx), and every node in front of it: operators, relays, exits, each a process of its own
2. founded, endorsed and joined with the commands that people use: network init, invite, endorse, accept, join
3. a client that knows nothing but the link browses a small site: in fast mode (1 hop), then in privacy mode (3 hops)

``--check`` ends then, with exit code 0 only if everything held; otherwise the network stays up for you to try.
"""

import argparse
import functools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.network import Community, Node, community, started  # noqa: E402

PAGE = b"hello from site.test, through the mesh\n"


@contextmanager
def site() -> Iterator[int]:
    """A page that only exits can reach; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def say(began: float, text: str) -> None:
    """Progress, at once."""
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def show_map(made: Community) -> None:
    """Who is where."""
    print("\n  node        mode   reached at             status")
    for node in made.public:
        mode, _, _, listen, *_ = (argument.partition("=")[2] for argument in node.arguments)
        print(f"  {node.home.name:11} {mode:6} {listen:22} http://127.0.0.1:{node.status_port}/")
    print(flush=True)


def browse(made: Community, hops: int, began: float) -> str | None:
    """A newcomer fetches the page over ``hops`` peers; gives what did not hold."""
    client = made.newcomer(f"client{hops}", hops)
    client.arguments = ["--connect"]
    at = time.monotonic()
    with started(client):
        client.wait("connected")
        connected = time.monotonic() - at
        fetched = fetch(client)
        way = [hop["nickname"] for hop in client.status()["hops"]]
    if fetched != PAGE or len(way) != hops:
        return f"{hops} hops: got {fetched!r} by way of {way}"
    say(
        began,
        f"{hops} hop{'s' * (hops > 1)}: connected {connected:.1f} s after its start; {' → '.join(way)} → site.test",
    )
    return None


def fetch(client: Node) -> bytes:
    """The page, as any program on the client's computer gets it."""
    proxy = f"127.0.0.1:{client.socks_port}"
    command = ["curl", "-sS", "--max-time", "20", "--noproxy", "", "--socks5-hostname", proxy, "http://site.test/"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).stdout


def stay(made: Community, hops: int) -> None:
    """Leave everything up, with one more client, for a person to try."""
    client = made.newcomer("client", hops)
    with started(client):
        print(f"""
Everything stays up. Try, from another terminal:
  curl --socks5-hostname 127.0.0.1:{client.socks_port} http://site.test/
  curl http://127.0.0.1:{made.operators[0].status_port}/api/relays/by-country
  QNET_HOME={client.home} {sys.executable} -m qnet status
Another client joins with: qnet join '{made.link}'
Press Enter to end.""")
        try:
            input()
        except (EOFError, KeyboardInterrupt):
            print()


def run(options: argparse.Namespace) -> int:
    """The whole story; gives the exit code."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qnet-network-")))
        port = stack.enter_context(site())
        made = stack.enter_context(
            community(
                folder,
                relays=options.relays,
                exits=options.exits,
                operators=options.operators,
                operator_mode=options.operator_mode,
                exit_rules=(f"--exit-map=site.test:80=127.0.0.1:{port}", "--exit-only"),
                say=functools.partial(say, began),
            )
        )
        show_map(made)
        wanted = [options.hops] if options.hops else [1, 3]
        failures = [failure for hops in wanted if (failure := browse(made, hops, began)) is not None]
        print("It failed: " + "; ".join(failures) if failures else "Everything held.", flush=True)
        if not options.check:
            stay(made, wanted[-1])
    return 1 if failures else 0


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    made = argparse.ArgumentParser(prog="dev.py network", description="A whole network, on this computer alone.")
    made.add_argument("--relays", type=int, default=5, metavar="N")
    made.add_argument("--exits", type=int, default=2, metavar="N")
    made.add_argument("--operators", type=int, default=3, metavar="N")
    made.add_argument("--operator-mode", choices=("super", "bootstrap"), default="super")
    made.add_argument("--hops", type=int, choices=(1, 2, 3), help="only routes of this length")
    made.add_argument("--check", action="store_true", help="end by itself; exit code 0 if everything held")
    return made


if __name__ == "__main__":
    sys.exit(run(parser().parse_args()))
