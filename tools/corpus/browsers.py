"""Real browsers at the client's place, each load in a context of its own: nothing is cached, no connection kept.

Of the one computer's cores they get what the others leave, which elsewhere have cores of their own.
"""

import ctypes
import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mode
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, sync_playwright

from e2e.bidi import BidiError, Session, session
from tools.capture_hello import FIREFOX_PREFERENCES, write_preferences
from tools.corpus.arms import Way, hosts
from tools.corpus.sites import DOMAIN

NICE = 15
AFTER_SECONDS = 0.1
"""How long a loaded page is watched on: what its scripts ask for belongs to it."""
LOAD_SECONDS = 20.0
START_SECONDS = 40.0
REMOTE = 9222
"""Firefox's port for remote control, which is its place's own."""
_CLONE_NEWNET = 0x40000000

Load = Callable[[Way, str, str], float]
"""Loads a URL on a way with a cookie, if any; gives the seconds to its load event, or raises ``LoadError``."""


class LoadError(Exception):
    """The page did not load."""


@contextmanager
def chromium(inside: Sequence[str], names: Mapping[str, str], folder: Path) -> Iterator[Load]:
    """Chromium for which each of ``names`` is at that address; ``inside``: what to put before its command."""
    program = folder / "chromium-there"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(inside)} nice -n {NICE} chromium "$@"\n')
    program.chmod(0o700)
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--ignore-certificate-errors",
        f"--host-rules={','.join(_rules(names))}",
    ]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=arguments, env=dict(os.environ))
        try:
            yield lambda way, url, cookie: _load_in_chromium(made, way, url, cookie)
        finally:
            made.close()


def _rules(names: Mapping[str, str]) -> list[str]:
    """Where Chromium finds whom, the first rule that fits: with one for each of 2,000 names it does not start."""
    usual = mode(names.values())
    others = [f"MAP {name} {address}" for name, address in names.items() if address != usual]
    return [*others, f"MAP *.{DOMAIN} {usual}"]


def _load_in_chromium(browser: Browser, way: Way, url: str, cookie: str) -> float:
    options = {"proxy": {"server": way.proxy}} if way.proxy else {}
    context = browser.new_context(**options, ignore_https_errors=True)  # type: ignore[arg-type]
    try:
        if cookie:
            context.add_cookies([{"name": "was", "value": cookie, "url": url}])
        page = context.new_page()
        began = time.monotonic()
        page.goto(url, wait_until="load", timeout=LOAD_SECONDS * 1000)
        took = time.monotonic() - began
        page.wait_for_timeout(AFTER_SECONDS * 1000)
        return took
    except Error as error:
        raise LoadError(str(error).splitlines()[0]) from None
    finally:
        context.close()


@contextmanager
def firefox(inside: Sequence[str], names: Mapping[str, str], folder: Path) -> Iterator[Load]:
    """The same with Firefox, which asks the system."""
    profile = Path(tempfile.mkdtemp(dir=folder))
    write_preferences(profile, FIREFOX_PREFERENCES)
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", profile, f"--remote-debugging-port={REMOTE}"]
    with hosts(inside, names):
        process = subprocess.Popen(
            [*inside, "nice", "-n", str(NICE), *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(profile)},
        )
        try:
            with session(f"ws://127.0.0.1:{REMOTE}", sock=_connect(inside[-1])) as remote:
                yield lambda way, url, cookie: _load_in_firefox(remote, way, url, cookie)
        finally:
            process.terminate()
            process.wait()


def _connect(place: str) -> socket.socket:
    """A connection to ``REMOTE`` in another network namespace, to which this thread belongs meanwhile."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    deadline = time.monotonic() + START_SECONDS
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", place).open() as there:
        while True:
            if setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.create_connection(("127.0.0.1", REMOTE), 1)
            except OSError:
                if time.monotonic() > deadline:
                    raise TimeoutError("Firefox does not start") from None
            finally:
                setns(home.fileno(), _CLONE_NEWNET)
            time.sleep(0.1)


def _load_in_firefox(remote: Session, way: Way, url: str, cookie: str) -> float:
    options: dict[str, object] = {"acceptInsecureCerts": True}
    if way.proxy:
        options["proxy"] = {"proxyType": "manual", "socksProxy": urlsplit(way.proxy).netloc, "socksVersion": 5}
    try:
        user = remote.command("browser.createUserContext", **options)["userContext"]
        try:
            if cookie:
                remote.command(
                    "storage.setCookie",
                    cookie={
                        "name": "was",
                        "value": {"type": "string", "value": cookie},
                        "domain": urlsplit(url).hostname,
                    },
                    partition={"type": "storageKey", "userContext": user},
                )
            tab = remote.command("browsingContext.create", type="tab", userContext=user)["context"]
            began = time.monotonic()
            remote.command("browsingContext.navigate", timeout=LOAD_SECONDS, context=tab, url=url, wait="complete")
            took = time.monotonic() - began
            time.sleep(AFTER_SECONDS)
            return took
        finally:
            remote.command("browser.removeUserContext", userContext=user)
    except (BidiError, TimeoutError) as error:
        raise LoadError(str(error).splitlines()[0] if str(error) else "no answer in time") from None


BROWSERS = {"chromium": chromium, "firefox": firefox}
