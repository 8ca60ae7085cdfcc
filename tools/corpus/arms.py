"""The ways on which pages are loaded, each a proxy of its own for the browser, in an emulated internet.

The client and the server side stand far apart, as far for each connection as it happens; the sites stand near every
server. So a connection's own round trip tells nothing; what happens in it may.

All these computers are one, whose scheduler lets a process that wakes wait for milliseconds until another's slice is
over. Elsewhere each has cores of its own: so the network comes before the servers, those before the helpers, and all
of them before the browser, in real time.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.network import joined_client, public_node, started
from tests.support.tls_servers import Authority, running, wait_for
from tests.support.tun import Internet, Wire, internet
from tools.bench.subjects import CIPHER
from tools.corpus.sites import Site, server, write

ADDRESSES = {"client": "10.20.0.1", "peer": "10.21.0.1", "site": "10.22.0.1"}
FAR = Wire(delay=0.008, rate=200e6 / 8, queue=2_500_000, spread=0.05, jitter=0.0015)
NEAR = Wire(delay=0.002, rate=400e6 / 8, queue=2_500_000, spread=0.006, jitter=0.0005)
NETWORK, SERVER, HELPER = 3, 2, 1
"""Real-time priorities."""
PORT = 443
PROXY_NAME = "proxy.test"
DECOY_PORT = 9443
"""Where the decoys listen beside their peers."""

NGINX = """\
user root;
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    ssl_protocols TLSv1.2 TLSv1.3;
    server_names_hash_bucket_size 128;
    {servers}
}}
"""


def at_once(priority: int) -> list[str]:
    """What to put before a command that is not to wait for others (sched(7): SCHED_RR)."""
    return ["chrt", "--rr", str(priority)]


@dataclass(frozen=True)
class Way:
    """``proxy``: for the browser, none for direct; ``server``: where the observed connection leads.

    ``fresh``: have the next load make a new connection.
    """

    proxy: str
    server: str
    fresh: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class World:
    """Everything is up. ``roots``: what the browser has to trust; ``arms``: the ways of each kind."""

    internet: Internet
    roots: Path
    arms: dict[str, list[Way]]
    sites: list[Site]
    decoys: list[Site]

    @property
    def names(self) -> dict[str, str]:
        """Where a browser finds whom."""
        at_peer = [name for each in self.decoys for name in each.origins] + [PROXY_NAME]
        at_site = [name for each in self.sites for name in each.origins]
        return dict.fromkeys(at_peer, ADDRESSES["peer"]) | dict.fromkeys(at_site, ADDRESSES["site"])


@contextmanager
def world(
    folder: Path, sites: list[Site], decoys: list[Site], shaping: dict[str, bool], browser: str
) -> Iterator[World]:
    """``shaping``: arms of ours with this value of the setting, each with a helper and a peer for each decoy.

    ``browser``: what their links look like.
    """
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(folder)
        wires = {("client", "peer"): FAR, ("client", "site"): FAR, ("peer", "site"): NEAR}
        net = stack.enter_context(internet(ADDRESSES, wires))
        os.sched_setscheduler(net.router, os.SCHED_RR, os.sched_param(NETWORK))
        place = f"{ADDRESSES['site']}:{PORT}"
        stack.enter_context(_web(folder / "web", sites, authority, place, net.inside("site")))
        # Every direct load is a first visit. A tunnel's would be further ones, with one ticket less and no certificate.
        stack.enter_context(
            _web(folder / "decoys", decoys, authority, f"127.0.0.1:{DECOY_PORT}", net.inside("peer"), resumes=False)
        )
        names = [name for each in sites for name in each.origins]
        arms = {"direct": [Way("", f"{ADDRESSES['site']}:{PORT}")], "decoy": [Way("", f"{ADDRESSES['peer']}:{PORT}")]}
        ports = itertools.count(PORT)
        for name, value in shaping.items():
            settings = {"shaping": value, "browser_template": browser}
            arms[name] = [
                stack.enter_context(_ours(folder / f"{name}-{number}", decoy, settings, next(ports), roots, net, names))
                for number, decoy in enumerate(decoys)
            ]
        arms["shadowsocks"] = [stack.enter_context(_shadowsocks(folder, net, names))]
        arms["tls-in-tls"] = [stack.enter_context(_tls_in_tls(folder, authority, net))]
        yield World(net, roots, arms, sites, decoys)


@contextmanager
def _web(
    folder: Path, sites: list[Site], authority: Authority, listen: str, inside: list[str], *, resumes: bool = True
) -> Iterator[None]:
    certificates = folder / "certificates"
    certificates.mkdir(parents=True)
    servers = []
    for each in sites:
        write(each, folder / each.name)
        servers.append(server(each, folder / each.name, certificates, authority, listen, resumes=resumes))
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, servers="\n    ".join(servers)))
    log = folder / "nginx.log"
    with running(
        log, [*inside, *at_once(SERVER), "nginx", "-p", folder, "-e", folder / "error.log", "-c", configuration]
    ) as process:
        wait_for(lambda: (folder / "nginx.pid").exists() or None, process, log)
        yield


@contextmanager
def _ours(
    folder: Path,
    decoy: Site,
    settings: dict[str, Any],
    port: int,
    roots: Path,
    net: Internet,
    names: Sequence[str],
) -> Iterator[Way]:
    folder.mkdir()
    with ExitStack() as stack:
        site = f"{ADDRESSES['site']}:{PORT}"
        rules = [f"--exit-map={each}:{PORT}={site}" for each in names]
        rules += [f"--exit-allow={ADDRESSES['site']}/32:{PORT}", "--exit-only"]
        name = decoy.origins[0]
        peer = public_node(folder / "peer", port, DECOY_PORT, roots, rules, host=ADDRESSES["peer"], decoy_name=name)
        peer.inside = [*net.inside("peer"), *at_once(SERVER)]
        stack.enter_context(started(peer))
        client = joined_client(folder / "client", [peer], roots)
        file = client.home / "config" / "settings.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        client.inside = [*net.inside("client"), *at_once(HELPER)]
        stack.enter_context(started(client))
        yield Way(f"socks5://127.0.0.1:{client.socks_port}", f"{ADDRESSES['peer']}:{port}", client.let_go)


@contextmanager
def hosts(inside: Sequence[str], names: Mapping[str, str]) -> Iterator[None]:
    """To programs ``inside`` each of ``names`` is at its address: ``ip netns exec`` puts a place's files over /etc."""
    etc = Path("/etc/netns") / inside[-1]
    etc.mkdir(parents=True)
    try:
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        (etc / "nsswitch.conf").write_text("hosts: files dns\n")
        lines = [f"{address} {name}\n" for name, address in names.items()]
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        yield
    finally:
        shutil.rmtree(etc)


@contextmanager
def _shadowsocks(folder: Path, net: Internet, names: Sequence[str]) -> Iterator[Way]:
    """Its server resolves names as the system does."""
    port, socks = 8388, 1090
    common = ["-s", ADDRESSES["peer"], "-p", str(port), "-k", "corpus", "-m", CIPHER]
    with (
        hosts(net.inside("peer"), dict.fromkeys(names, ADDRESSES["site"])),
        running(folder / "ss-server.log", [*net.inside("peer"), *at_once(SERVER), "ss-server", *common]),
        running(
            folder / "ss-local.log",
            [*net.inside("client"), *at_once(HELPER), "ss-local", *common, "-l", str(socks)],
        ),
    ):
        yield Way(f"socks5://127.0.0.1:{socks}", f"{ADDRESSES['peer']}:{port}")


@contextmanager
def _tls_in_tls(folder: Path, authority: Authority, net: Internet) -> Iterator[Way]:
    port = 8443
    certificate, key = authority.issue(PROXY_NAME).write(folder, "proxy")
    command = [sys.executable, "-m", "tools.corpus.connect_proxy", ADDRESSES["peer"], str(port), certificate, key]
    target = f"{ADDRESSES['site']}:{PORT}"
    log = folder / "proxy.log"
    with running(log, [*net.inside("peer"), *at_once(SERVER), *command, target]) as process:
        wait_for(lambda: log.read_bytes().startswith(b"ready") or None, process, log)
        yield Way(f"https://{PROXY_NAME}:{port}", f"{ADDRESSES['peer']}:{port}")


def tap(net: Internet) -> "subprocess.Popen[str]":
    """The observer beside the client (see ``tools.corpus.tap``)."""
    device = json.loads(
        subprocess.run([*net.inside("client"), "ip", "-j", "link"], capture_output=True, check=True, text=True).stdout
    )
    name = next(each["ifname"] for each in device if each["ifname"] != "lo")
    watch = [sys.executable, "-m", "tools.corpus.tap", name, ADDRESSES["client"]]
    command = [*net.inside("client"), *at_once(NETWORK), *watch]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the tap did not start")
    return process
