"""``qnet subscriptions add URL | list | remove URL | refresh [URL]``: the running helper does it."""

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qnet.settings import Folders

if TYPE_CHECKING:
    from qnet.wire.messages import AnyRequest, Subscription

Command = Callable[[argparse.Namespace, Folders], int]
SECONDS = 120.0


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Add the command's parsers."""
    parser = add("subscriptions", _usage, "Lists of sites that others keep; your own rules always come first.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    added = actions.add_parser("add", help="subscribe to a list (AutoProxy, hosts file, domains)")
    added.add_argument("url", metavar="URL")
    choices = ("tunnel", "direct", "block")
    added.add_argument("--action", choices=choices, default="tunnel", help="for what the list names (default: tunnel)")
    added.add_argument(
        "--exceptions", choices=choices, default="tunnel", help="for what the list excepts (default: tunnel)"
    )
    added.set_defaults(command=_add)
    actions.add_parser("list", help="show them and how they are").set_defaults(command=_list)
    removed = actions.add_parser("remove", help="forget a list and its rules")
    removed.add_argument("url", metavar="URL")
    removed.set_defaults(command=_remove)
    refreshed = actions.add_parser("refresh", help="fetch a list now, or all of them")
    refreshed.add_argument("url", metavar="URL", nargs="?")
    refreshed.set_defaults(command=_refresh)


def _usage(options: argparse.Namespace, folders: Folders) -> int:
    raise AssertionError("an action is required")


def _add(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.wire.messages import RuleAction, Subscribe

    action, exceptions = RuleAction(options.action), RuleAction(options.exceptions)
    return _show(_ask(folders, Subscribe(id=1, url=options.url, action=action, exceptions=exceptions)))


def _list(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.wire.messages import GetSubscriptions

    return _show(_ask(folders, GetSubscriptions(id=1)))


def _remove(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.wire.messages import Unsubscribe

    return _show(_ask(folders, Unsubscribe(id=1, url=options.url)))


def _refresh(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.wire.messages import GetSubscriptions, Refresh

    found = _ask(folders, GetSubscriptions(id=1))
    for url in [options.url] if options.url else [each.url for each in found]:
        found = _ask(folders, Refresh(id=1, url=url))
    return _show(found)


def _ask(folders: Folders, message: "AnyRequest") -> "list[Subscription]":
    from qnet.net.control_client import HelperError, request

    answer = request(folders.control, message, SECONDS)
    if answer.error is not None or answer.subscriptions is None:
        error = answer.error
        raise HelperError(error.message if error else "the helper tells nothing", error.hint if error else "")
    return answer.subscriptions


def _show(found: "list[Subscription]") -> int:
    if not found:
        print("No subscriptions.")
    for each in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.fetched)) if each.fetched else "never"
        print(f"{each.url}\n  {each.action}, {each.rules} rules, {each.trouble} left out, fetched: {when}")
        if each.error is not None:
            print(f"  {each.error.message}. {each.error.hint}")
    return 0
