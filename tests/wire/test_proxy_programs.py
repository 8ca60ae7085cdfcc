"""What real programs say to a proxy: curl and git against the handshake."""

import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from qnet.wire.proxy import FailureReason, ProxyHandshake, ProxyRequest, failure, success
from qnet.wire.steps import Done, Send


class OneProxy:
    """Serves one connection: the handshake, then ``page`` for plain requests, or the refusal."""

    def __init__(self, refuse: FailureReason | None = None) -> None:
        self.requests: list[tuple[ProxyRequest, bytes]] = []
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(20)
            handshake = ProxyHandshake()
            step = handshake.step(b"")
            while not isinstance(step, Done):
                if isinstance(step, Send):
                    connection.sendall(step.data)
                    step = handshake.step(b"")
                else:
                    step = handshake.step(connection.recv(7))
            request = step.result
            if self._refuse is not None:
                self.requests.append((request, step.trailing))
                connection.sendall(failure(request, self._refuse))
                return
            connection.sendall(success(request))
            asked = request.first + step.trailing
            while not asked.endswith(b"\r\n\r\n") and (data := connection.recv(4096)):
                asked += data
            self.requests.append((request, asked))
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage")

    def join(self) -> tuple[ProxyRequest, bytes]:
        self._thread.join(20)
        (only,) = self.requests
        return only


@pytest.fixture
def proxy() -> Iterator[OneProxy]:
    server = OneProxy()
    yield server
    server._thread.join(20)


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "-q", "--max-time", "15", *arguments]
    return subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


@pytest.mark.parametrize("url_host", ["site.test", "192.0.2.3", "[2001:db8::3]"])
def test_curl_socks5(proxy: OneProxy, url_host: str) -> None:
    done = curl("--socks5-hostname", f"127.0.0.1:{proxy.port}", f"http://{url_host}:8080/a")
    request, asked = proxy.join()
    assert done.stdout == "page", done.stderr
    assert (request.host, request.port, request.kind) == (url_host.strip("[]"), 8080, "socks5")
    assert asked.startswith(b"GET /a HTTP/1.1\r\n")


@pytest.mark.parametrize("url_host", ["site.test", "[2001:db8::3]"])
def test_curl_plain_http(proxy: OneProxy, url_host: str) -> None:
    done = curl("-x", f"http://me:secret@127.0.0.1:{proxy.port}", f"http://{url_host}/a?b")
    request, asked = proxy.join()
    assert done.stdout == "page", done.stderr
    assert (request.host, request.port, request.kind, request.body) == (url_host.strip("[]"), 80, "http", 0)
    assert asked.startswith(f"GET /a?b HTTP/1.1\r\nHost: {url_host}\r\n".encode())
    assert b"roxy" not in asked


def test_curl_connect(proxy: OneProxy) -> None:
    done = curl("-p", "-x", f"http://127.0.0.1:{proxy.port}", "http://site.test:81/a")
    request, asked = proxy.join()
    assert done.stdout == "page", done.stderr
    assert (request.host, request.port, request.kind) == ("site.test", 81, "connect")
    assert asked.startswith(b"GET /a HTTP/1.1\r\n")


def test_curl_sees_the_refusals() -> None:
    socks = OneProxy(FailureReason.REFUSED)
    assert "(5)" in curl("--socks5-hostname", f"127.0.0.1:{socks.port}", "http://a.test/").stderr
    socks.join()
    plain = OneProxy(FailureReason.NO_TUNNEL)
    assert curl("-x", f"http://127.0.0.1:{plain.port}", "http://a.test/").stdout.startswith("mesh: ")
    plain.join()
    connect = OneProxy(FailureReason.POLICY)
    assert "403" in curl("-p", "-x", f"http://127.0.0.1:{connect.port}", "http://a.test/").stderr
    connect.join()


def test_git_over_http(proxy: OneProxy) -> None:
    done = subprocess.run(
        ["git", "-c", f"http.proxy=http://127.0.0.1:{proxy.port}", "ls-remote", "http://site.test/a.git"],
        env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    request, asked = proxy.join()
    assert "not found" in done.stderr
    assert (request.host, request.port, request.kind) == ("site.test", 80, "http")
    assert asked.startswith(b"GET /a.git/info/refs?service=git-upload-pack HTTP/1.1\r\n")
