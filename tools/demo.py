"""The product at its work, on this computer alone: ``python3 tools/dev.py demo [--keep]``.

1. a decoy: an ordinary web site (nginx, TLS 1.3, HTTP/2), and an observer on the way to it
2. a super peer in front of the decoy, whose exit may reach one small web site and nothing else
3. Chromium with the extension; the extension's native host starts the helper
4. Connect is pressed, http://site.test/ is opened, Disconnect is pressed
5. an account of what happened, and of what the observer saw

Exit code 0 only if the page came through the exit with this run's token, and nothing went around it.
"""

import argparse
import os
import shutil
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402

from e2e.browsers import Chromium, chromium  # noqa: E402
from qnet.browser.launcher import write_launcher  # noqa: E402
from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started  # noqa: E402
from tests.support.tls_servers import Authority, free_port, nginx  # noqa: E402
from tools.extension import build  # noqa: E402
from tools.observer import TYPES, Flow, Observer  # noqa: E402

SCREENS = ROOT / "build" / "demo"
PAGE = """<!doctype html><meta charset="utf-8"><title>Through the tunnel</title>
<style>body{{font:18px/1.6 system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}}
code{{font-size:.9em}}</style>
<h1>Hello from site.test</h1><p>This page knows only the exit that asked for it.</p><p>Token <code>{token}</code></p>"""


@dataclass
class Account:
    """What is told as it happens, with the time since the start, and what did not hold."""

    started: float = field(default_factory=time.monotonic)
    failures: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.2f} s  {text}", flush=True)

    def check(self, holds: bool, claim: str) -> None:
        print(f"          {'yes' if holds else 'NO '}  {claim}", flush=True)
        if not holds:
            self.failures.append(claim)


@dataclass
class Site:
    """The small web site; ``requests`` are (client address, path)."""

    token: str
    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def serve_site(token: str) -> Iterator[Site]:
    """The destination."""
    site = Site(token)

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            site.connections.append(self.client_address)

        def do_GET(self) -> None:
            site.requests.append((f"{self.client_address[0]}:{self.client_address[1]}", self.path))
            body = PAGE.format(token=token).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the account below says what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def run(keep: bool) -> int:
    """The whole story; gives the exit code."""
    account = Account()
    token = os.urandom(8).hex()
    if SCREENS.exists():
        shutil.rmtree(SCREENS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qnet-demo-")))
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        account.say(f"the decoy is up: an ordinary web site, https://{DECOY_NAME} (nginx)")
        site = stack.enter_context(serve_site(token))
        bystander = stack.enter_context(serve_site("nobody"))
        account.say("a small web site is up, which only the exit can find as http://site.test/")
        public = free_port()
        observer = Observer(public)
        stack.callback(observer.close)
        rules = [f"--exit-map=site.test:80=127.0.0.1:{site.port}", "--exit-only"]
        peer = stack.enter_context(
            started(public_node(folder / "peer", public, decoy, roots, rules, address=observer.port))
        )
        account.say("the super peer “tulip” is up in front of the decoy; its exit may reach that site only")
        client = joined_client(folder / "client", [peer], roots)
        account.say("the client has joined; no helper runs yet")
        playwright = stack.enter_context(sync_playwright())
        extension = build("chrome", folder / "extension")
        launcher = write_launcher(client.home / "data")
        browser = stack.enter_context(
            chromium(
                playwright,
                folder / "profile",
                extension,
                launcher=launcher,
                env=client.environment,
                headless=not (keep and "DISPLAY" in os.environ),
                arguments=[f"--host-resolver-rules=MAP site.test 127.0.0.1:{bystander.port}"],
            )
        )
        stack.callback(client.command, "stop")
        account.say("Chromium is up with the extension")
        browse(account, browser, client, site)
        told = observer.flows[0] if observer.flows else Flow()
        tell_wire(account, told, len(observer.flows))
        tell_stranger(account, observer.port, decoy)
        judge(account, site, bystander, observer.flows, peer)
        if keep:
            stay(client, observer.port, roots)
    print(f"\nScreenshots: {SCREENS.relative_to(ROOT)}/")
    print("The demo failed: " + "; ".join(account.failures) if account.failures else "Everything held.")
    return 1 if account.failures else 0


def browse(account: Account, browser: Chromium, client: Node, site: Site) -> None:
    """Connect, open the page, disconnect; says each state as it is entered."""
    popup = browser.open_popup()
    popup.wait_for("off")
    popup.screenshot(SCREENS / "popup-off.png")
    account.say("the popup says: off")
    began = time.monotonic()
    popup.press()
    seen: list[str] = []
    while not seen or seen[-1] not in ("connected", "failed", "blocked"):
        state = popup.state()
        if not seen or seen[-1] != state:
            seen.append(state)
            account.say(f"the popup says: {state}")
        if time.monotonic() - began > 30:
            raise SystemExit(f"not connected after 30 s: {popup.text()}")
        time.sleep(0.005)
    account.say(f"connected {(time.monotonic() - began) * 1000:.0f} ms after the click, helper's start included")
    status = client.status()
    hop = status["hops"][0]
    account.say(f"the exit in use is “{hop['nickname']}” in {hop['country']}, {len(status['hops'])} hop")
    popup.screenshot(SCREENS / "popup-connected.png")
    popup.screenshot(SCREENS / "popup-connected-dark.png", dark=True)
    began = time.monotonic()
    page = browser.open("http://site.test/")
    account.say(f"http://site.test/ loaded in {(time.monotonic() - began) * 1000:.0f} ms: “{page.title()}”")
    page.screenshot(path=SCREENS / "page.png")
    account.check(site.token in page.content(), "the page carries this run's token")
    popup.press()
    popup.wait_for("off")
    account.say("Disconnect pressed; the popup says: off")


def tell_wire(account: Account, flow: Flow, flows: int) -> None:
    """What an observer wrote down."""
    print("\nWhat an observer on the way saw")
    print(f"  connections   {flows}, {flow.bytes} bytes in the first")
    print(f"  SNI           {flow.server_name}")
    print(f"  JA4           {flow.ja4}")
    kinds = Counter(TYPES[kind] for _, kind, _ in flow.records)
    print(f"  records       {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    row = " ".join(f"{direction}{length}" for direction, _, length in flow.records[:24])
    print(f"  sizes         {row}{' …' if len(flow.records) > 24 else ''}")
    account.check(flow.not_tls == 0, "nothing but TLS records")
    account.check(flow.server_name == DECOY_NAME, "the only name on the wire is the decoy's")


def tell_stranger(account: Account, port: int, decoy: int) -> None:
    """Who connects without the key sees the decoy's certificate."""
    mine, theirs = certificate(port), certificate(decoy)
    print(f"  certificate   {DECOY_NAME}, {len(mine)} bytes (as anybody who connects gets it)")
    account.check(mine == theirs, "it is the decoy's own")


def certificate(port: int) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=10))


def judge(account: Account, site: Site, bystander: Site, flows: list[Flow], peer: Node) -> None:
    """What must be true of a run."""
    print("\nDid it hold?")
    pages = [address for address, path in site.requests if path == "/"]
    account.check(len(pages) == 1, f"the site was asked for the page once ({', '.join(pages) or 'by nobody'})")
    counts = peer.status()["exit"]
    account.check(
        counts["success"] == len(site.connections),
        f"each of its {len(site.connections)} connections was the exit's own",
    )
    account.check(not bystander.connections, "the browser never looked site.test up by itself")
    account.check(any(flow.bytes > 3000 for flow in flows), "the bytes of the page were on the observed connection")


def stay(client: Node, observed: int, roots: Path) -> None:
    """Leave everything up for a person to try."""
    print(f"""
Everything stays up. Try, from another terminal:
  QNET_HOME={client.home} {sys.executable} -m qnet status
  curl --socks5-hostname 127.0.0.1:{client.socks_port} http://site.test/
  curl -x http://127.0.0.1:{client.socks_port} http://site.test/
  curl --cacert {roots} --resolve {DECOY_NAME}:{observed}:127.0.0.1 https://{DECOY_NAME}:{observed}/
The status page is http://127.0.0.1:{client.status_port}/. With a display, the browser window is yours to use.
Press Enter to end.""")
    try:
        input()
    except (EOFError, KeyboardInterrupt):
        print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dev.py demo", description="The product at its work, on this computer alone.")
    parser.add_argument("--keep", action="store_true", help="stay up until Enter is pressed")
    sys.exit(run(parser.parse_args().keep))
