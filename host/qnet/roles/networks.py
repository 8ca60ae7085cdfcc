"""The network this node belongs to: one signed network file in the data folder, beside the founder's key if it is ours.

1. Who founds a network: ``init`` makes ``founder.key`` and ``network.qnet-network``; ``invite`` gives the link.
2. Who joins: ``examine`` a link or file, show a person ``Proposal.fingerprint`` and what would change, ask; then
   ``accept``. Another network never takes the place of the present one unless the person says so with ``replace``,
   and an older file of the same network never does.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.settings import replace_file
from qnet.wire import descriptor as descriptors
from qnet.wire import endorsement as endorsements
from qnet.wire import network_file
from qnet.wire.endorsement import Endorsement
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.network_file import SCHEME, NetworkFile, Operator, fingerprint

NETWORK = "network.qnet-network"
FOUNDER = "founder.key"
BUCKETS = "buckets.key"
ENDORSEMENTS = "endorsements"
ENDORSEMENT_SECONDS = 90 * 86400


class NetworkError(LocalError):
    """The network file or link cannot be used."""

    code = "network"
    exit_code = 65


class Relation(StrEnum):
    """How a proposed network stands to the present one."""

    FIRST = "first"
    SAME = "same"
    NEWER = "newer"
    OLDER = "older"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A network that a person may join, verified. ``fingerprint``: to compare with who gave the link."""

    network: NetworkFile
    relation: Relation

    @property
    def fingerprint(self) -> str:
        """See ``network_file.fingerprint``."""
        return fingerprint(self.network.founder)


@dataclass(frozen=True, slots=True)
class Networks:
    """``folder``: the data folder; it exists. Times in unix seconds."""

    folder: Path

    def current(self, now: float) -> NetworkFile | None:
        """The network joined, if any; raises ``NetworkError`` if its file is damaged."""
        path = self.folder / NETWORK
        try:
            return network_file.verify(_read(path), now)
        except FileNotFoundError:
            return None
        except (RemoteError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise NetworkError(f"{path} cannot be used ({reason})", "join the network again") from None

    # --- founding

    def init(self, name: str, operators: Sequence[Operator], now: float, *, open_to_all: bool = False) -> NetworkFile:
        """Found a network, or issue the present one anew if it is ours; raises ``NetworkError``."""
        present = self.current(now)
        key = self._founder_key()
        founder = key.public_key().public_bytes_raw()
        if present is not None and present.founder != founder:
            raise NetworkError("this node belongs to a network that somebody else founded", "use another QNET_HOME")
        issued = int(now) if present is None else max(int(now), present.issued + 1)
        draft = NetworkFile(founder, name, issued, tuple(operators), open_to_all)
        return self._issue(draft, key, now)

    def invite(self, now: float, peers: Sequence[bytes] = ()) -> str:
        """The link of the present network; with ``peers``, invite-only descriptors that only this link's holders get.

        Raises ``NetworkError``; only the founder can add peers.
        """
        present = self._joined(now)
        if not peers:
            return present.link
        ours = (self.folder / FOUNDER).exists()
        key = self._founder_key(make=False) if ours else None
        if key is None or key.public_key().public_bytes_raw() != present.founder:
            raise NetworkError("only the founder can invite to single peers", "ask for a link")
        draft = NetworkFile(
            present.founder, present.name, present.issued, present.operators, present.open, tuple(peers)
        )
        return _verified(_sign(draft, key), now).link

    def _issue(self, draft: NetworkFile, key: Ed25519PrivateKey, now: float) -> NetworkFile:
        network = _verified(_sign(draft, key), now)
        self._keep(network)
        return network

    def _founder_key(self, *, make: bool = True) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(_secret(self.folder / FOUNDER, make=make))

    def _joined(self, now: float) -> NetworkFile:
        present = self.current(now)
        if present is None:
            raise NetworkError("this node has not joined a network", "run: qnet join LINK")
        return present

    # --- joining

    def examine(self, source: str, now: float) -> Proposal:
        """What joining by ``source``, a link or the path of a network file, would mean; changes nothing.

        Raises ``NetworkError``.
        """
        try:
            data = network_file.parse_link(source) if source.strip().startswith(SCHEME) else _read(Path(source))
        except RemoteError as error:
            raise NetworkError(f"the link cannot be used ({error})", "copy it again, whole") from None
        except OSError as error:
            raise NetworkError(f"{source} cannot be read ({error.strerror})", "check the name") from None
        network = _verified(data, now)
        present = self.current(now)
        if not network.known_peers(now):
            raise NetworkError(f"everything in the file of {network.name} has expired", "ask for a new one")
        return Proposal(network, _relation(network, present))

    def accept(self, proposal: Proposal, now: float, *, replace: bool = False) -> None:
        """Join, after a person has agreed; raises ``NetworkError``.

        ``replace``: the person agreed to leave the present network.
        """
        relation = _relation(proposal.network, self.current(now))  # it may have changed while the person thought
        if relation is Relation.OTHER and not replace:
            raise NetworkError("this node belongs to another network", "to leave that one: qnet join --replace LINK")
        if relation is Relation.OLDER:
            raise NetworkError("a newer file of this network is in use", "ask for a new link")
        self._keep(proposal.network)

    def _keep(self, network: NetworkFile) -> None:
        try:
            replace_file(self.folder / NETWORK, network.signed)
        except OSError as error:
            raise NetworkError(
                f"{self.folder / NETWORK} cannot be written ({error.strerror})", "check the folder's space"
            ) from None

    # --- operators

    def bucket_secret(self) -> bytes:
        """The secret order of the directory's buckets, made at first use; operators of one network copy the file."""
        return _secret(self.folder / BUCKETS, make=True)

    def endorsements(self, now: float) -> list[bytes]:
        """What operators gave this node, as far as it is good; one file each in ``endorsements``."""
        found = []
        for path in sorted((self.folder / ENDORSEMENTS).glob("*")):
            try:
                found.append(endorsements.verify(_read(path), now).signed)
            except (RemoteError, OSError):
                continue
        return found


def endorse(key: Ed25519PrivateKey, descriptor: bytes, now: float, *, weight: int = 1000, family: str = "") -> bytes:
    """An operator's endorsement, for 90 days, of a peer as its descriptor shows it; raises ``NetworkError``."""
    try:
        peer = descriptors.verify(descriptor, now)
        word = Endorsement(
            endorser=key.public_key().public_bytes_raw(),
            peer_id=peer.peer_id,
            addresses=peer.addresses,
            weight=weight,
            issued=int(now),
            expires=int(now) + ENDORSEMENT_SECONDS,
            family=family,
            country=peer.country,
        )
        return endorsements.sign(word, key)
    except RemoteError as error:
        raise NetworkError(f"the peer cannot be endorsed ({error})", "ask for its present descriptor") from None


def _relation(network: NetworkFile, present: NetworkFile | None) -> Relation:
    if present is None:
        return Relation.FIRST
    if present.founder != network.founder:
        return Relation.OTHER
    if present.signed == network.signed:
        return Relation.SAME
    # A link of the same second differs in the peers that it invites to.
    return Relation.NEWER if network.issued >= present.issued else Relation.OLDER


def _sign(draft: NetworkFile, key: Ed25519PrivateKey) -> bytes:
    try:
        return network_file.sign(draft, key)
    except RemoteError as error:
        raise NetworkError(f"the network cannot be described: {error}", "correct that") from None


def _verified(data: bytes, now: float) -> NetworkFile:
    try:
        return network_file.verify(data, now)
    except RemoteError as error:
        raise NetworkError(f"this is no usable network file ({error})", "ask for it again") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(network_file.LIMIT + 1)


def _secret(path: Path, *, make: bool) -> bytes:
    """32 bytes that are a file's; with ``make`` they are made where there is none."""
    try:
        if make and not path.exists():
            replace_file(path, os.urandom(32))
        secret = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"{path} cannot be used ({error.strerror})", "check the data folder") from None
    if len(secret) != 32:
        raise NetworkError(f"{path} is damaged", "restore it from a backup")
    return secret
