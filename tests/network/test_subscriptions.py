"""Lists of others, fetched by a real helper through a real exit from a real TLS server."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qnet.net.control_client import request
from qnet.wire.messages import Edit, EditRules, GetPac, GetRules, GetSubscriptions, Rule, RuleAction, RuleKind
from qnet.wire.messages import TestAddress as Ask
from tests.support.network import Network, Node, network, started
from tests.support.tls_servers import Credential, free_port

GFW = "[AutoProxy 0.2.9]\n! comment\n||blocked.example\n@@||fine.blocked.example\n|https://other.example/path\n"


@dataclass
class Lists:
    """A server of lists: ``pages`` by path are status, headers and body; ``asked`` what came."""

    port: int
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(port: int, credential: Credential, folder: Path) -> Iterator[Lists]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = made.pages[self.path]
            if headers.get("ETag") and self.headers["If-None-Match"] == headers["ETag"]:
                status, body = 304, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    made = Lists(port)
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*credential.write(folder, "lists"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@dataclass
class Lab:
    qnet: Network
    lists: Lists
    stack: ExitStack

    @property
    def client(self) -> Node:
        return self.qnet.client

    @property
    def control(self) -> Path:
        return self.client.home / "run" / "control.sock"

    def said(self, address: str) -> tuple[str, str]:
        """What happens to an address, and by which list."""
        verdict = request(self.control, Ask(id=1, address=address)).verdict
        assert verdict is not None
        assert not verdict.section or verdict.index == -1
        return verdict.action, verdict.section

    def only(self):
        (found,) = request(self.control, GetSubscriptions(id=1)).subscriptions or []
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lists")
    port = free_port()
    with (
        network(folder, f"--exit-map=lists.test:443=127.0.0.1:{port}", "--exit-only") as qnet,
        serving(port, qnet.authority.issue("lists.test"), folder) as lists,
        ExitStack() as stack,
    ):
        yield Lab(qnet, lists, stack)


@pytest.fixture
def url(lab: Lab) -> Iterator[str]:
    """A list that is subscribed to, gone with the test."""
    url = "https://lists.test/gfw"
    lab.lists.pages["/gfw"] = (200, {"ETag": '"one"'}, base64.encodebytes(GFW.encode()))
    lab.lists.asked.clear()
    done = lab.client.command("subscriptions", "add", url, "--action", "block", "--exceptions", "direct")
    assert done.returncode == 0, done.stderr
    assert "block, 3 rules" in done.stdout
    yield url
    assert lab.client.command("subscriptions", "remove", url).stdout == "No subscriptions.\n"
    assert lab.said("blocked.example") == ("tunnel", "")


def test_a_list_is_fetched_through_the_tunnel_and_in_force(lab: Lab, url: str) -> None:
    assert [path for path, _ in lab.lists.asked] == ["/gfw"]
    assert "qnet" not in json.dumps(lab.lists.asked).lower()
    assert lab.said("www.blocked.example") == ("block", url)
    assert lab.said("fine.blocked.example") == ("direct", url)
    assert lab.said("elsewhere.example") == ("tunnel", "")
    pac = request(lab.control, GetPac(id=1)).pac
    assert pac is not None and "fine.blocked.example" in pac.text


def test_the_persons_own_rules_come_first_and_stay_as_they_are(lab: Lab, url: str) -> None:
    def own() -> tuple[int, list[Rule]]:
        page = request(lab.control, GetRules(id=1)).rules
        assert page is not None
        return page.generation, page.rules

    base, before = own()
    mine = Rule(kind=RuleKind.DOMAIN, pattern="blocked.example", action=RuleAction.TUNNEL)
    request(lab.control, EditRules(id=1, base=base, edits=[Edit(at=0, insert=[mine])]))
    kept = own()
    assert kept[1] == [mine, *before]
    assert lab.said("fine.blocked.example") == ("tunnel", "")
    lab.lists.pages["/gfw"] = (200, {"ETag": '"two"'}, b"blocked.example\nnew.example\n")
    assert lab.client.command("subscriptions", "refresh").returncode == 0
    assert lab.said("new.example") == ("block", url)
    assert lab.said("blocked.example") == ("tunnel", "")
    assert own() == kept
    request(lab.control, EditRules(id=1, base=kept[0], edits=[Edit(at=0, remove=1)]))


def test_what_has_not_changed_is_not_sent_again(lab: Lab, url: str) -> None:
    before = lab.only()
    lab.client.command("subscriptions", "refresh", url)
    assert lab.lists.asked[-1][1]["if-none-match"] == '"one"'
    after = lab.only()
    assert after.rules == before.rules and after.fetched > before.fetched and after.error is None
    assert 0.7 * 86400 < after.next - after.checked < 1.3 * 86400


BAD = {
    "500": (500, {}, b"x"),
    "compressed": (200, {"Content-Encoding": "gzip"}, b"x"),
    "too long": (200, {}, b"a.example\n" * 900_000),
    "no text": (200, {}, b"\xff\xfe\x00"),
    "web page": (200, {}, b"<!doctype html>"),
    "unprotected": (302, {"Location": "http://lists.test/gfw"}, b""),
    "as it should": (302, {"Location": "https://lists.test/gfw"}, b""),
    "wildcards": (200, {}, b"[AutoProxy]\n" + b"".join(b"||a%d*.example\n" % n for n in range(6000))),
}


@pytest.mark.parametrize("word", BAD)
def test_the_last_good_list_stays_in_force(lab: Lab, url: str, word: str) -> None:
    lab.lists.pages["/gfw"] = BAD[word]
    assert word in lab.client.command("subscriptions", "refresh", url).stdout
    found = lab.only()
    assert found.rules == 3 and found.error is not None
    assert 40 < found.next - found.checked < 80
    assert lab.said("www.blocked.example") == ("block", url)


def test_a_list_holds_after_a_restart_before_anything_is_fetched(lab: Lab, url: str) -> None:
    copy = Node(lab.client.home, [])
    lab.client.command("stop")
    assert lab.client.process is not None
    lab.client.process.wait(10)
    asked = len(lab.lists.asked)
    with started(copy):
        assert lab.said("www.blocked.example") == ("block", url)
        assert len(lab.lists.asked) == asked
        lab.client.command("subscriptions", "remove", url)
        lab.client.command("stop")
    lab.stack.enter_context(started(lab.client))
    lab.client.command("subscriptions", "add", url, "--action", "block", "--exceptions", "direct")


@pytest.mark.parametrize(
    "address", ["http://lists.test/gfw", "ftp://lists.test/", "https://", "https://me:word@lists.test/", "gfw"]
)
def test_only_protected_addresses(lab: Lab, address: str) -> None:
    done = lab.client.command("subscriptions", "add", address)
    assert done.returncode == 76
    assert "https" in done.stderr
    assert lab.client.command("subscriptions", "list").stdout == "No subscriptions.\n"


def test_a_server_without_a_valid_certificate_is_not_believed(lab: Lab) -> None:
    url = "https://decoy.test/gfw"
    assert "does not answer as it should" in lab.client.command("subscriptions", "add", url).stdout
    assert lab.only().fetched == 0
    lab.client.command("subscriptions", "remove", url)


def test_a_relay_answers_too(lab: Lab) -> None:
    """It has no proxy that a list could be in force for, but keeps the person's lists as it keeps rules."""
    done = lab.qnet.peer.command("subscriptions", "remove", "https://lists.test/gfw")
    assert done.returncode == 76
    assert "there is no such subscription" in done.stderr
