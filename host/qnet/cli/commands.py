"""The commands and their options. Each imports what it needs when it runs."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnet import __version__
from qnet.cli import community, decoy, subscriptions
from qnet.settings import Folders, Settings, find_folders, load_settings

if TYPE_CHECKING:
    from qnet.browser.install import Installed

_ROOT = Path("/")


def run_command(arguments: Sequence[str]) -> int:
    """Parse and run; ends the process with code 2 on a usage error."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace, Folders], int] = options.command
    return command(options, find_folders(os.environ))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error arose")
    parser = argparse.ArgumentParser("qnet", description="Browse through the QNet mesh.", parents=[common])
    parser.add_argument("--version", action="version", version=f"qnet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace, Folders], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(command=command)
        return added

    _add_run_options(add("run", _run, "Run the helper in the foreground."))
    add("status", _status, "Show what the helper is doing.").add_argument("--json", action="store_true")
    add("stop", _stop, "End the helper.")
    community.add_commands(add)
    subscriptions.add_commands(add)
    decoy.add_commands(add)
    add("descriptor", _descriptor, "Write this node's signed descriptor to FILE.").add_argument(
        "file", type=Path, metavar="FILE"
    )
    _add_install_options(add)
    doctor = add(
        "doctor", _doctor, "Check every link between browser and network, and say what mends the first broken."
    )
    doctor.add_argument("--json", action="store_true", help="for a program, with nothing personal in it")
    doctor.add_argument("--connect", action="store_true", help="also build a tunnel to an exit")
    commands.add_parser("worker").set_defaults(command=_worker)
    commands.add_parser("host", help="Speak to a browser on stdin and stdout; browsers start this themselves.")
    return parser


def _add_install_options(add: Callable[..., argparse.ArgumentParser]) -> None:
    whole = "for every user of this computer, as root"
    install = add("install", _install, "Make the helper known to every browser found.")
    which = install.add_mutually_exclusive_group()
    which.add_argument("--profile", type=Path, metavar="DIR", help="also to the Chromium profile DIR")
    which.add_argument("--system", action="store_true", help=whole)
    uninstall = add("uninstall", _uninstall, "Undo install; other programs' entries stay.")
    uninstall.add_argument("--system", action="store_true", help=whole)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options whose ``dest`` is a field of ``Settings`` override it; absent ones leave no trace."""
    parser.argument_default = argparse.SUPPRESS
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--helper-mode", dest="mode", metavar="MODE", help="client, relay, bootstrap, exit or super")
    for flag, mode in (("--relay-only", "relay"), ("--exit-node", "exit"), ("--bootstrap", "bootstrap")):
        modes.add_argument(flag, dest="mode", action="store_const", const=mode, help=f"same as --helper-mode {mode}")
    parser.add_argument("--socks-port", type=int, metavar="N")
    parser.add_argument("--status-port", type=int, metavar="N")
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help="where this node listens for the public")
    parser.add_argument("--address", metavar="HOST:PORT", help="where the public reaches it, if elsewhere")
    parser.add_argument("--nickname", metavar="NAME", help="what people see of this node")
    parser.add_argument("--country", metavar="CC", help="where it stands, as two letters")
    parser.add_argument("--decoy", metavar="HOST:PORT", help="the site this node looks like")
    parser.add_argument("--decoy-address", metavar="ADDRESS:PORT", help="connect here for the decoy")
    parser.add_argument("--decoy-roots", type=os.path.abspath, metavar="FILE", help="further roots for it (PEM)")
    parser.add_argument("--workers", type=int, metavar="N", help="share a relay's or exit's clients among N processes")
    parser.add_argument("--via", type=os.path.abspath, metavar="FILE", help="be reached through this public relay only")
    parser.add_argument("--exit-allow", action="append", metavar="CIDR:PORT", help="allow this destination too")
    parser.add_argument("--relay-allow", action="append", metavar="CIDR:PORT", help="circuits may go on there too")
    parser.add_argument("--exit-map", action="append", type=_pair, metavar="NAME:PORT=ADDRESS:PORT")
    parser.add_argument("--exit-only", action="store_true", help="serve only --exit-allow and --exit-map")
    parser.add_argument("--invite-only", action="store_true", help="let no directory show this node")
    parser.add_argument("--directory-http", metavar="ADDRESS:PORT", help="answer plain HTTP there too (operators)")
    parser.add_argument("--directory-redis", metavar="URL", help="share the directory through Redis (operators)")
    parser.add_argument("--mdns", action="store_true", help="announce this node on the local network, or look for some")
    parser.add_argument("--hops", type=int, metavar="N", help="peers between here and a site: 1 fast, 3 private")
    parser.add_argument("--connect", action="store_true", help="connect at once, without waiting for a browser")


def run_options() -> dict[str, list[str]]:
    """The options of ``qnet run``, by the setting that each decides."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_run_options(parser)
    found: dict[str, list[str]] = {}
    for action in parser._actions:
        if action.dest in Settings.__struct_fields__:
            found.setdefault(action.dest, []).extend(action.option_strings)
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"“{text}” is not NAME:PORT=ADDRESS:PORT")
    return name, address


def _run(options: argparse.Namespace, folders: Folders) -> int:
    given: dict[str, Any] = {name: value for name, value in vars(options).items() if name in Settings.__struct_fields__}
    if "exit_map" in given:
        given["exit_map"] = dict(given["exit_map"])
    folders.create()
    settings = load_settings(folders, os.environ, given)
    from qnet import app

    def ready() -> None:
        print(f"QNet runs as {settings.mode}. See it with: qnet status. End it with: qnet stop, or Ctrl-C.")
        if settings.mode == "client" and settings.socks_port:
            print(f"Proxy for programs: 127.0.0.1:{settings.socks_port} (SOCKS5 and HTTP).")
        if settings.status_port:
            print(f"Status page: http://127.0.0.1:{settings.status_port}/", flush=True)

    app.run(settings, folders, connect="connect" in options, ready=ready)
    return 0


def _worker(options: argparse.Namespace, folders: Folders) -> int:
    """A process of ``qnet run --workers``, which starts it and speaks to it on stdin."""
    from qnet import app

    app.run_worker(folders)
    return 0


def _status(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.cli.status import print_status

    return print_status(folders.control, as_json=options.json)


def _stop(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.net.control_client import stop

    stop(folders.control)
    print("The helper has ended.")
    return 0


def _descriptor(options: argparse.Namespace, folders: Folders) -> int:
    folders.create()
    from qnet import app

    app.export_descriptor(folders, options.file)
    return 0


def _install(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.browser.install import check_for_all, install, install_profile
    from qnet.browser.launcher import write_launcher
    from qnet.browser.manifests import SYSTEM

    if options.system:
        check_for_all(Path(sys.executable))
        _show(install(_system_launcher(), _ROOT, sys.platform, SYSTEM))
        return 0
    folders.create()
    launcher = write_launcher(folders.data)
    outcomes = install(launcher, Path.home(), sys.platform)
    if options.profile is not None:
        outcomes.append(install_profile(launcher, options.profile))
    _show(outcomes)
    return 0


def _uninstall(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.browser.install import uninstall
    from qnet.browser.launcher import write_launcher
    from qnet.browser.manifests import SYSTEM, SYSTEM_FOLDER

    if options.system:
        _show(uninstall(_ROOT / SYSTEM_FOLDER / "qnet-host", _ROOT, sys.platform, SYSTEM))
    else:
        _show(uninstall(write_launcher(folders.data), Path.home(), sys.platform))
    return 0


def _system_launcher() -> Path:
    from qnet.browser.install import InstallError
    from qnet.browser.launcher import write_launcher
    from qnet.browser.manifests import SYSTEM_FOLDER

    folder = _ROOT / SYSTEM_FOLDER
    try:
        return write_launcher(folder)
    except OSError as error:
        raise InstallError(f"{folder} cannot be written ({error.strerror})", "Run it as root, with sudo") from None


def _show(outcomes: "list[Installed]") -> None:
    width = max(len(outcome.browser) for outcome in outcomes)
    for outcome in outcomes:
        print(f"{outcome.browser:{width}} {outcome.action:10} {outcome.path}")
        if outcome.advice and outcome.action in ("written", "unchanged"):
            print(f"{'':{width}} {outcome.advice}")


def _doctor(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.cli.doctor import print_findings

    return print_findings(folders, as_json=options.json, connect=options.connect)
