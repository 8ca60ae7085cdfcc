"""What listens on this computer: garbage does not end it, strangers' pages get nothing from it."""

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.network.conftest import Site
from tests.support.network import Network

JUNK = [b"", b"\x05", b"\x05\xff" + bytes(255), b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"GET", os.urandom(3000)]


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read(), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def test_status_pages(qnet: Network, site: Site) -> None:
    port = qnet.client.status_port
    assert get(port, "/ping")[:2] == (200, b"pong\n")
    status, body, _ = get(port, "/status")
    assert status == 200 and json.loads(body)["mode"] == "client"
    assert get(port, "/ready")[0] in (200, 503)
    status, body, headers = get(port, "/")
    assert status == 200 and b"QNet is" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert get(port, "/nothing")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:80"}, {"Origin": "http://evil.example"},
     {"Sec-Fetch-Site": "cross-site"}],
    ids=["rebound name", "similar name", "origin", "cross-site"],
)  # fmt: skip
def test_other_sites_get_nothing(qnet: Network, headers: dict[str, str]) -> None:
    status, body, answered = get(qnet.client.status_port, "/status", headers)
    assert status == 403
    assert b"mode" not in body
    assert "access-control-allow-origin" not in {name.lower() for name in answered}


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("port", ["socks_port", "status_port"])
def test_garbage_on_the_local_ports(qnet: Network, port: str, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", getattr(qnet.client, port)), timeout=5) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
    assert get(qnet.client.status_port, "/ping")[0] == 200


@pytest.mark.parametrize("junk", [os.urandom(4096), b"\xff" * 8, b"\x05\x00\x00\x00{bad}", b"\x02\x00\x00\x00{}"])
def test_garbage_on_the_control_socket(qnet: Network, junk: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(qnet.client.home / "run" / "control.sock"))
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert qnet.client.status()["mode"] == "client"


END = "\r\nConnection: close\r\n\r\n"
RAW = [
    ("GET http://127.0.0.1:{port}/ping HTTP/1.1\r\nHost: 127.0.0.1{end}", 404),
    ("GET http://evil.test/ping HTTP/1.1\r\nHost: 127.0.0.1{end}", 404),
    ("GET http://evil.test/ping HTTP/1.1\r\nHost: evil.test{end}", 403),
    ("GET /ping HTTP/1.1\r\nHost: 127.0.0.1.evil.test{end}", 403),
    ("GET /ping HTTP/1.1\r\nHost: evil.test\r\nHost: 127.0.0.1{end}", 400),
    ("GET /ping HTTP/1.1{end}", 400),
    ("GET /ping HTTP/1.0{end}", 403),
    ("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1{end}", 404),
    ("GET /ping HTTP/1.1\r\nHost: 127.0.0.1{end}", 200),
]


@pytest.mark.parametrize(("request_text", "status"), RAW, ids=range(len(RAW)))
def test_requests_that_no_client_library_makes(qnet: Network, request_text: str, status: int) -> None:
    """Absolute form, two hosts, none."""
    port = qnet.client.status_port
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request_text.format(port=port, end=END).encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert ("pong" in answer) is (status == 200)


SECRETS = ("site.test", "distinct-name", "elsewhere", "169.254", "tulip")


def test_nothing_personal_is_told(qnet: Network, site: Site) -> None:
    """After a real session: a page, a name that the exit refuses, an address that it refuses."""
    proxy = ["-x", f"http://127.0.0.1:{qnet.client.socks_port}"]
    for url in ("http://site.test/", "http://distinct-name.test/", "http://169.254.169.254/", "http://site.test:25/"):
        subprocess.run(["curl", "-sS", "--noproxy", "", *proxy, url], capture_output=True, timeout=30, check=False)
    port = qnet.client.status_port
    metrics = get(port, "/metrics")[1].decode()
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    assert families["qnet_received_bytes"].samples[0].value > 0
    config = json.loads(get(port, "/config")[1])
    assert config["settings"]["socks_port"] == qnet.client.socks_port and config["set"] == [
        "abuse_email",
        "decoy_roots",
    ]
    status = json.loads(get(port, "/status")[1])
    assert status["active_circuits"] == status["peers_online"] == 1 and status["uptime"] >= 0
    assert status["hops"] == [{"nickname": "tulip", "country": "NL", "exit": True}]
    exits = json.loads(get(qnet.peer.status_port, "/status")[1])
    assert exits["state"] == "connected" and exits["exit_requests_blocked"] >= 3 and exits["exit_bandwidth_bytes"] > 0

    told = {}
    for node in (qnet.client, qnet.peer):
        for path in ("/metrics", "/config", "/logs?tail=500", "/status.txt", "/status"):
            told[node.home.name + path] = get(node.status_port, path)[1].decode()
        told[f"stderr of {node.home.name}"] = (node.home / "stderr.log").read_text()
    # The route is the person's own, on this computer: who the peers are is told, nothing more.
    for path in ("client/status", "client/status.txt"):
        told[path] = told[path].replace("tulip", "").replace(str(qnet.client.socks_port), "")
    assert "ready as client" in told["client/logs?tail=500"] and "ready as super" in told["peer/logs?tail=500"]
    for place, text in told.items():
        for secret in (*SECRETS, str(site.port), str(qnet.public), str(qnet.decoy), str(qnet.client.home)):
            assert secret not in text, place
