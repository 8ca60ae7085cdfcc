"""The commands about networks: ``network init``, ``invite``, ``join``, ``endorse``, ``accept``."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qnet.settings import Folders
from qnet.wire.errors import LocalError

if TYPE_CHECKING:
    from qnet.app.community import OperatorFile
    from qnet.roles.networks import Proposal

Command = Callable[[argparse.Namespace, Folders], int]
Add = Callable[[str, Command, str], argparse.ArgumentParser]


class NotAgreedError(LocalError):
    """Nobody agreed to join the network."""

    code = "not-agreed"
    exit_code = 77


class CodeSizeError(LocalError):
    """The link is too long for a QR code."""

    code = "code-size"
    exit_code = 65


def add_commands(add: Add) -> None:
    """Add each command's parser."""
    network = add("network", _network_usage, "Found a network.")
    actions = network.add_subparsers(required=True, metavar="ACTION")
    init = actions.add_parser("init", help="found a network, or issue yours anew, and join it")
    init.add_argument("name", metavar="NAME")
    init.add_argument(
        "--operator",
        dest="operators",
        action="append",
        required=True,
        type=_operator,
        metavar="FILE[=URL]",
        help="an operator's descriptor, and the URL of its directory if that is not inside its tunnel",
    )
    init.add_argument("--open", action="store_true", help="let relays in that no operator endorses")
    init.set_defaults(command=_init)

    invite = add("invite", _invite, "Print the link with which others join your network.")
    invite.add_argument("--peer", dest="peers", action="append", type=Path, default=[], metavar="FILE")
    invite.add_argument("--qr", action="store_true", help="as a QR code for a camera")

    join = add("join", _join, "Join a network by its link or file, or learn of a single peer by its descriptor.")
    join.add_argument("source", metavar="LINK|FILE")
    join.add_argument("--replace", action="store_true", help="leave the present network for it")
    join.add_argument("--yes", action="store_true", help="do not ask")

    endorse = add("endorse", _endorse, "As an operator: vouch for the peer whose descriptor is in FILE.")
    endorse.add_argument("file", type=Path, metavar="FILE")
    endorse.add_argument("out", type=Path, metavar="OUT")

    accept = add("accept", _accept, "Keep an operator's endorsement of this node.")
    accept.add_argument("file", type=Path, metavar="FILE")


def _operator(text: str) -> "OperatorFile":
    from qnet.app.community import OperatorFile

    path, _, url = text.partition("=")
    return OperatorFile(Path(path), url)


def _network_usage(options: argparse.Namespace, folders: Folders) -> int:
    raise AssertionError("argparse asks for an action")


def _init(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet.app import community
    from qnet.wire.network_file import fingerprint

    network = community.found_network(folders, options.name, options.operators, open_to_all=options.open)
    count = len(network.operators)
    print(f"{network.name} is founded, with {count} operator{'s' * (count != 1)}. Fingerprint:")
    print(f"  {fingerprint(network.founder)}")
    print("Invite with: qnet invite. Operators join like everybody.")
    print(f"Keep a copy of {folders.data / 'founder.key'} in a safe place: only it can change the network.")
    return 0


def _invite(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet.app import community

    link = community.invite(folders, options.peers)
    if not options.qr:
        print(link)
        return 0
    import segno

    try:
        code = segno.make_qr(link, error="l")
    except segno.DataOverflowError:
        raise CodeSizeError("the link is too long for a QR code", "give the link itself: qnet invite") from None
    code.terminal(compact=True)
    return 0


def _join(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet.app import community

    proposal = community.look_at(folders, options.source)
    if proposal is None:
        peer = community.join_peer(folders, Path(options.source))
        print(f"Joined {peer.nickname or 'a peer without a name'}. Now: qnet run, or press Connect in the browser.")
        return 0
    _show(proposal)
    if not options.yes:
        _ask()
    community.join_network(folders, proposal, replace=options.replace)
    print(f"Joined {proposal.network.name}. Now: qnet run, or press Connect in the browser.")
    return 0


def _show(proposal: "Proposal") -> None:
    from qnet.roles.networks import Relation

    words = {
        Relation.FIRST: "",
        Relation.SAME: "You have joined it already.",
        Relation.NEWER: "It is a newer description of the network you are in.",
        Relation.OLDER: "It is an older description of the network you are in.",
        Relation.OTHER: "It is another network than the one you are in.",
    }
    network = proposal.network
    print(f"Network      {network.name}")
    print(f"Fingerprint  {proposal.fingerprint}")
    print(f"Operators    {len(network.operators)}{', open to any relay' if network.open else ''}")
    if words[proposal.relation]:
        print(words[proposal.relation])
    print("Whoever gave you this can read you the fingerprint. If it differs, do not join.", flush=True)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise NotAgreedError("nobody is here to be asked", "to join without being asked: qnet join --yes …")
    if input("Join? [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotAgreedError("not joined", "nothing was changed")


def _endorse(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet.app import community

    peer = community.endorse_peer(folders, options.file, options.out)
    print(f"Endorsed {peer.nickname or 'a peer without a name'} for 90 days. It runs: qnet accept {options.out.name}")
    return 0


def _accept(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet.app import community

    community.accept_endorsement(folders, options.file)
    print("The endorsement is kept. Directories see it with the next heartbeat.")
    return 0
