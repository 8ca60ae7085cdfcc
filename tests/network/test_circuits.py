"""Circuits of three hops through real processes: two relays and an exit, each in front of the decoy."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.network.conftest import BIG, Site
from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started
from tests.support.tls_servers import Authority, free_port, nginx

LOCAL = "--relay-allow=127.0.0.1/32:*"


@dataclass
class Route:
    """``nodes``: relays first, the exit last."""

    nodes: list[Node]
    client: Node


@pytest.fixture(scope="module", params=[2, 3])
def route(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    folder: Path = tmp_path_factory.mktemp("route")
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        rules = [f"--exit-map=site.test:80=127.0.0.1:{site.port}", "--exit-only"]
        nodes = []
        for number in range(1, request.param + 1):
            last = number == request.param
            nodes.append(
                stack.enter_context(
                    started(
                        public_node(
                            folder / f"node{number}",
                            free_port(),
                            decoy,
                            roots,
                            rules if last else [LOCAL],
                            mode="super" if last else "relay",
                            nickname=f"node{number}",
                        )
                    )
                )
            )
        client = stack.enter_context(started(joined_client(folder / "client", nodes, roots, request.param)))
        yield Route(nodes, client)


def curl(route: Route, url: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    proxy = f"127.0.0.1:{route.client.socks_port}"
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "", "-x", f"http://{proxy}", *arguments, url],
        capture_output=True,
        timeout=40,
        check=False,
    )


def test_a_page(route: Route) -> None:
    done = curl(route, "http://site.test/")
    assert done.stdout == b"<title>site</title>hello from the site\n", done.stderr
    status = route.client.status()
    names = [hop["nickname"] for hop in status["hops"]]
    assert names[-1] == f"node{len(route.nodes)}"
    assert sorted(names) == [f"node{number}" for number in range(1, len(route.nodes) + 1)]
    assert [hop["exit"] for hop in status["hops"]] == [False] * (len(names) - 1) + [True]


def test_twenty_megabytes_arrive_whole(route: Route, site: Site) -> None:
    done = curl(route, "http://site.test/big")
    assert done.stdout == (site.folder / "big").read_bytes()
    assert len(done.stdout) == BIG // 256 * 256


def test_many_at_once(route: Route) -> None:
    urls = [argument for _ in range(40) for argument in ("-o", "-", "http://site.test/")]
    done = curl(route, "http://site.test/", "--parallel", "--parallel-max", "40", *urls[:-1])
    assert done.stdout.count(b"hello from the site") == 40, done.stderr


def test_the_exits_refusal_reaches_the_program(route: Route) -> None:
    done = curl(route, "http://elsewhere.test/", "-w", "%{http_code}")
    assert done.stdout.endswith(b"403")


def test_the_relays_know_no_destination(route: Route) -> None:
    for node in route.nodes[:-1]:
        assert "site.test" not in (node.home / "stderr.log").read_text()
        assert node.status()["exit"] is None


def test_a_hop_that_dies_is_a_reason_and_the_route_comes_back(route: Route) -> None:
    middle = route.nodes[-2]
    assert middle.process is not None
    assert curl(route, "http://site.test/").returncode == 0
    middle.process.kill()
    middle.process.wait()
    done = curl(route, "http://site.test/", "-w", "%{http_code}")
    assert done.stdout.endswith(b"503") or done.returncode != 0
    with started(middle):
        status = route.client.wait("offline", 30)
        assert status["last_error"]["place"] in ("mesh", "local network")
        assert curl(route, "http://site.test/").stdout.endswith(b"hello from the site\n")
