"""A private Tor network: one authority that is no relay, relays at the given places, and a client."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.tls_servers import free_port

BOOTSTRAP_SECONDS = 180.0

_COMMON = """TestingTorNetwork 1
DataDirectory {folder}
PidFile {folder}/pid
Log notice file {folder}/log
EnforceDistinctSubnets 0
AssumeReachable 1
ShutdownWaitLength 0
Sandbox 0
"""
_RELAY = """Nickname {name}
Address {address}
ORPort {address}:{port}
DirPort {address}:{directory}
SocksPort 0
ContactInfo bench@example.test
"""
_EXIT = """ExitRelay 1
ExitPolicy accept *:*
ExitPolicyRejectPrivate 0
ExitPolicyRejectLocalInterfaces 0
"""
_AUTHORITY = """AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
V3AuthVotingInterval 20
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 20
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
ExitPolicy reject *:*
"""
_CLIENT = """SocksPort 127.0.0.1:{socks}
ClientRejectInternalAddresses 0
ClientDNSRejectInternalAddresses 0
UseEntryGuards 0
"""
Place = tuple[str, Sequence[str]]
"""An address, and what leads into its network namespace."""


@contextmanager
def tor_network(
    folder: Path, relays: Mapping[str, Place], client: Sequence[str] = ()
) -> Iterator[tuple[int, list[int]]]:
    """Gives the client's SOCKS port and the ids of client and relays, once the client is ready (about a minute).

    The authority stands with the first relay; ``client`` leads into the client's network namespace.
    """
    address, inside = next(iter(relays.values()))
    socks = free_port()
    with ExitStack() as stack:
        authority = folder / "authority"
        line = _authority(authority, address)
        _start(stack, authority, line, inside)
        processes = []
        for name, (at, within) in relays.items():
            made = _folder(folder, name)
            ports = {"name": name, "address": at, "port": free_port(), "directory": free_port()}
            (made / "torrc").write_text(_COMMON.format(folder=made) + _RELAY.format(**ports) + _EXIT)
            processes.append(_start(stack, made, line, within))
        made = _folder(folder, "client")
        (made / "torrc").write_text(_COMMON.format(folder=made) + _CLIENT.format(socks=socks))
        process = _start(stack, made, line, client)
        deadline = time.monotonic() + BOOTSTRAP_SECONDS
        while "Bootstrapped 100%" not in (made / "log").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError((made / "log").read_text()[-2000:])
            time.sleep(0.5)
        yield socks, [process, *processes]


def _folder(folder: Path, name: str) -> Path:
    made = folder / name
    (made / "keys").mkdir(parents=True)
    made.chmod(0o700)
    (made / "keys").chmod(0o700)
    (made / "log").touch()
    return made


def _authority(folder: Path, address: str) -> str:
    """Make the authority's keys and configuration; gives the line by which others know it."""
    _folder(folder.parent, folder.name)
    ports = {"name": "authority", "address": address, "port": free_port(), "directory": free_port()}
    names = {"i": "identity_key", "s": "signing_key", "c": "certificate"}
    files = [part for flag, name in names.items() for part in (f"-{flag}", folder / "keys" / f"authority_{name}")]
    make = ["tor-gencert", "--create-identity-key", "-m", "12", "-a", f"{address}:{ports['directory']}"]
    subprocess.run([*make, "--passphrase-fd", "0", *files], input=b"\n", check=True, capture_output=True)
    certificate = (folder / "keys" / "authority_certificate").read_text()
    identity = re.search(r"^fingerprint ([0-9A-F]{40})", certificate, re.MULTILINE)
    assert identity is not None

    def line(fingerprint: str) -> str:
        orport = f"orport={ports['port']} no-v2 v3ident={identity[1]}"
        return f"DirAuthority authority {orport} {address}:{ports['directory']} {fingerprint}\n"

    configuration = _COMMON.format(folder=folder) + _RELAY.format(**ports) + _AUTHORITY
    (folder / "torrc").write_text(configuration + line("F" * 40))
    told = subprocess.run(
        ["tor", "-f", folder / "torrc", "--list-fingerprint", "--quiet"], check=True, capture_output=True, text=True
    )
    (folder / "torrc").write_text(configuration)
    return line("".join(told.stdout.strip().splitlines()[-1].split()[1:]))


def _start(stack: ExitStack, folder: Path, line: str, inside: Sequence[str]) -> int:
    with (folder / "torrc").open("a") as file:
        file.write(line)
    process = stack.enter_context(
        subprocess.Popen([*inside, "tor", "-f", folder / "torrc", "--quiet"], stdout=subprocess.DEVNULL)
    )
    stack.callback(process.terminate)
    return process.pid
