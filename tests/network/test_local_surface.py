"""What listens on this computer: garbage does not end it, strangers' pages get nothing from it."""

import json
import os
import socket
import urllib.error
import urllib.request

import pytest

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


def test_nothing_personal_is_logged(qnet: Network, site: Site) -> None:
    for node in (qnet.client, qnet.peer):
        log = (node.home / "stderr.log").read_text()
        for secret in ("site.test", "elsewhere", str(site.port), "169.254", str(node.home)):
            assert secret not in log
