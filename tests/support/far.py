"""A route of peers that stand far apart: places of an emulated internet, each peer with its own decoy beside it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started
from tests.support.tls_servers import Authority, nginx
from tests.support.tun import Internet, Wire, internet

SITE_PORT = 80
PUBLIC_PORT = 443


@dataclass(frozen=True)
class Far:
    """``peers``: in the order of the route, the exit last."""

    internet: Internet
    client: Node
    peers: list[Node]

    def load(self, *work: object, socks: int | None = None, host: str = "site.test") -> list[str]:
        """The command that does ``work`` (see ``load``) at the client's place, through its helper by default."""
        port = self.client.socks_port if socks is None else socks
        words = [str(word) for word in (port, host, SITE_PORT, *work)]
        return [*self.internet.inside("client"), sys.executable, "-m", "tests.support.load", *words]

    def measure(self, *work: object, socks: int | None = None, host: str = "site.test") -> Any:
        """What the work printed."""
        command = self.load(*work, socks=socks, host=host)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)


@contextmanager
def far_route(folder: Path, hop: Wire, hops: int = 3) -> Iterator[Far]:
    """``hops`` peers, ``hop`` between each two of them and the client; the site stands next to the peers.

    From the client straight to the site the way is as long as through all of them.
    """
    places = ["client", *(f"peer{number}" for number in range(1, hops + 1))]
    addresses = {place: f"10.{20 + number}.0.1" for number, place in enumerate([*places, "site"])}
    wires = dict.fromkeys(combinations(places, 2), hop)
    wires["client", "site"] = replace(hop, delay=hop.delay * hops)
    with ExitStack() as stack:
        folder.mkdir(exist_ok=True)
        authority = Authority()
        roots = authority.write(folder)
        net = stack.enter_context(internet(addresses, wires))
        site = [*net.inside("site"), sys.executable, "-m", "tests.support.source", addresses["site"], str(SITE_PORT)]
        source = stack.enter_context(subprocess.Popen(site, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        stack.callback(source.communicate)
        assert source.stdout is not None
        if source.stdout.readline() != "ready\n":
            raise RuntimeError("the site did not start")
        peers = []
        for place in places[1:]:
            last = place == places[-1]
            (folder / place).mkdir(mode=0o700)
            (folder / f"{place}-decoy").mkdir()
            decoy = stack.enter_context(
                nginx(folder / f"{place}-decoy", authority.issue(DECOY_NAME), inside=net.inside(place))
            )
            to_site = f"{addresses['site']}:{SITE_PORT}"
            rules = [
                f"--exit-map=site.test:{SITE_PORT}={to_site}",
                f"--exit-allow={to_site.replace(':', '/32:')}",
                "--exit-only",
            ]
            node = public_node(
                folder / place,
                PUBLIC_PORT,
                decoy,
                roots,
                rules if last else ["--relay-allow=10.0.0.0/8:*"],
                mode="super" if last else "relay",
                nickname=place,
                host=addresses[place],
            )
            node.inside = net.inside(place)
            peers.append(stack.enter_context(started(node)))
        client = joined_client(folder / "client", peers, roots, hops)
        client.inside = net.inside("client")
        yield Far(net, stack.enter_context(started(client)), peers)
