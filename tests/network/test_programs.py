"""Programs that nobody here wrote, through the helper: curl in every way to ask, and git."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.network.conftest import BIG, Site
from tests.support.network import Network


def curl(*arguments: str, seconds: int = 30) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "", *arguments], capture_output=True, timeout=seconds, check=False
    )


def ways(qnet: Network) -> dict[str, list[str]]:
    proxy = f"127.0.0.1:{qnet.client.socks_port}"
    return {
        "socks5h": ["--socks5-hostname", proxy],
        "http": ["-x", f"http://{proxy}"],
        "connect": ["-x", f"http://{proxy}", "--proxytunnel"],
    }


@pytest.mark.parametrize("way", ["socks5h", "http", "connect"])
def test_a_name_that_only_the_exit_knows(qnet: Network, site: Site, way: str) -> None:
    done = curl(*ways(qnet)[way], "http://site.test/")
    assert done.stdout == b"<title>site</title>hello from the site\n", done.stderr


@pytest.mark.parametrize("way", ["socks5h", "http", "connect"])
def test_twenty_megabytes_arrive_whole(qnet: Network, site: Site, way: str) -> None:
    done = curl(*ways(qnet)[way], f"http://127.0.0.1:{site.port}/big")
    assert len(done.stdout) == BIG // 256 * 256
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256((site.folder / "big").read_bytes()).digest()


def test_socks5_with_an_address(qnet: Network, site: Site) -> None:
    done = curl("--socks5", f"127.0.0.1:{qnet.client.socks_port}", f"http://127.0.0.1:{site.port}/")
    assert b"hello from the site" in done.stdout


def test_git_clone(qnet: Network, tmp_path: Path) -> None:
    command = ["git", "-c", f"http.proxy=http://127.0.0.1:{qnet.client.socks_port}", "clone", "-q"]
    done = subprocess.run(
        [*command, "http://site.test/repo.git", str(tmp_path / "clone")],
        capture_output=True,
        timeout=50,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clone" / "file").read_text() == "through the tunnel\n"


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("http://elsewhere.test/", "403", b"does not allow"),
        ("http://site.test:25/", "403", b"does not allow"),
        ("http://169.254.169.254/", "403", b"does not allow"),
    ],
)
def test_what_the_exit_refuses_has_a_reason(qnet: Network, url: str, status: str, words: bytes) -> None:
    done = curl(*ways(qnet)["http"], "-w", "%{http_code}", url)
    assert done.stdout.endswith(status.encode()), done
    assert words in done.stdout


def test_socks5_carries_the_reason(qnet: Network) -> None:
    done = curl("--socks5-hostname", f"127.0.0.1:{qnet.client.socks_port}", "http://elsewhere.test/")
    assert done.returncode == 97 and b"(2)" in done.stderr, "RFC 1928: connection not allowed by ruleset"


def test_many_at_once(qnet: Network, site: Site) -> None:
    proxy = f"127.0.0.1:{qnet.client.socks_port}"
    urls = [argument for _ in range(60) for argument in ("-o", "-", "http://site.test/")]
    done = curl("--socks5-hostname", proxy, "--parallel", "--parallel-max", "60", *urls)
    assert done.stdout.count(b"hello from the site") == 60, done.stderr
