"""``qnet doctor``: every link between a browser and the network, tried one after the other.

``CHECKS`` is the order; a check whose ``needs`` are broken is left out, so that the first broken link is the cause.
``WORDS`` has what a person reads for each finding. A finding's ``code`` and ``about`` say nothing of the person or of
where he browses; ``detail`` may (paths, the helper's own words) and is for his eyes only.

A helper that does not run is started, as a browser would, and ended again.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from qnet.app.modes import MODES, capabilities
from qnet.browser.install import OF_A_PERSON, is_present, manifest_path
from qnet.browser.manifests import DEV_ID, GECKO_ID, STORE_IDS, SYSTEM, Browser, Family, Place, Platform, is_ours
from qnet.net.control_client import connect, request, stop
from qnet.net.listen import ListenError, PortInUseError, bind
from qnet.net.native_client import NativeHost, NativeHostError
from qnet.roles.networks import NetworkError, Networks
from qnet.roles.peer_book import SUFFIX, PeerBook
from qnet.settings import Folders, Settings, load_settings, split_address
from qnet.wire import descriptor
from qnet.wire.errors import LocalError
from qnet.wire.messages import Connect, GetStatus, Hello, State, Status
from qnet.wire.network_file import NetworkFile
from qnet.wire.signed import Reason, SignedError

LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 15.0
"""A helper that has to be started has ten seconds for it."""
CIRCUIT_SECONDS = 45.0


class Outcome(StrEnum):
    """What became of a check."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """It cannot be told from here; said rather than guessed."""
    SKIPPED = "skipped"
    """Something it needs is broken."""


class Words(NamedTuple):
    """A finding's outcome and its words; ``{about}`` stands for the browser or port it is about."""

    outcome: Outcome
    text: str
    mend: str = ""


_OK, _BROKEN, _UNKNOWN = Outcome.OK, Outcome.BROKEN, Outcome.UNKNOWN

WORDS: Mapping[str, Words] = {
    "skipped": Words(Outcome.SKIPPED, "not tried: mend what is above first"),
    "folders": Words(_OK, "the folders are private and usable"),
    "folders-unsafe": Words(_BROKEN, "a folder cannot be used safely", "do what the line says"),
    "settings": Words(_OK, "the settings can be read"),
    "settings-bad": Words(_BROKEN, "the settings cannot be used", "correct the setting that is named"),
    "no-browser": Words(_BROKEN, "no browser that QNet knows has been used here", "start one, then: qnet install"),
    "manifest": Words(_OK, "{about} knows the helper and allows the extension"),
    "manifest-missing": Words(_BROKEN, "{about} does not know the helper", "qnet install"),
    "manifest-damaged": Words(_BROKEN, "{about}'s entry for the helper is damaged", "qnet install"),
    "id-refused": Words(_BROKEN, "{about}'s entry does not allow the extension", "qnet install"),
    "launcher-gone": Words(_BROKEN, "{about}'s entry leads to a file that is gone", "qnet install"),
    "not-executable": Words(_BROKEN, "the file that {about} starts may not be run", "qnet install"),
    "port": Words(_OK, "port {about} is ours or free"),
    "port-any": Words(_OK, "any free port is taken"),
    "port-in-use": Words(_BROKEN, "port {about} is taken by another program", "end it, or choose another port"),
    "port-refused": Words(_BROKEN, "port {about} cannot be opened", "choose another port or address"),
    "port-elsewhere": Words(_UNKNOWN, "the helper that runs does not listen on port {about}; it may have others"),
    "host": Words(_OK, "the helper answers a browser"),
    "host-starts": Words(_OK, "the helper starts when a browser asks, and answers"),
    "host-not-running": Words(_UNKNOWN, "the helper does not run", "start it: qnet run"),
    "host-launch": Words(_BROKEN, "what the browser starts cannot be run", "qnet install"),
    "host-interpreter": Words(_BROKEN, "the Python that QNet was installed with is gone", "install QNet again"),
    "host-ended": Words(_BROKEN, "what the browser starts ends at once", "install QNet again, then: qnet install"),
    "host-garbage": Words(_BROKEN, "what the browser starts says nonsense", "qnet install"),
    "host-silent": Words(_BROKEN, "the helper does not answer", "qnet stop, then try again"),
    "host-failed": Words(_BROKEN, "the helper cannot be started", "do what the line says"),
    "host-version": Words(_BROKEN, "the helper that runs is of another version", "qnet stop, then try again"),
    "network": Words(_OK, "the network file is valid"),
    "network-none": Words(_OK, "no network is joined; only peers by hand count"),
    "network-damaged": Words(_BROKEN, "the network file cannot be used", "join again: qnet join LINK"),
    "network-expired": Words(_UNKNOWN, "everything in the network file has expired", "ask for a new link: qnet join"),
    "clock": Words(_OK, "the clock suits a peer: a tunnel is up"),
    "clock-behind": Words(_BROKEN, "the clock is slow: a peer's word is from the future", "set this computer's clock"),
    "clock-unknown": Words(_UNKNOWN, "the clock contradicts nothing; whether it is right cannot be told here"),
    "clock-ahead": Words(_UNKNOWN, "all that peers said has expired: old, or the clock is fast", "look at the clock"),
    "peers": Words(_OK, "{about} known"),
    "peers-served": Words(_OK, "this mode needs no peers"),
    "peers-none": Words(_BROKEN, "no usable peer is known", "ask for an invitation: qnet join LINK"),
    "circuit": Words(_OK, "a tunnel to an exit is up"),
    "circuit-none": Words(_BROKEN, "no tunnel could be built", "do what the line says"),
    "circuit-served": Words(_OK, "this mode needs no tunnel"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found about one thing."""

    check: str
    code: str
    about: str = ""
    detail: str = field(default="", repr=False)

    @property
    def outcome(self) -> Outcome:
        """See ``Outcome``."""
        return WORDS[self.code].outcome

    @property
    def text(self) -> str:
        """One line for a person, ``detail`` left out."""
        return WORDS[self.code].text.format(about=self.about)

    @property
    def mend(self) -> str:
        """What to do; empty where nothing is to be done."""
        return WORDS[self.code].mend


@dataclass(slots=True)
class Case:
    """What is examined, and what earlier checks learnt of it. ``root``: where the system's places are."""

    folders: Folders
    environ: Mapping[str, str]
    home: Path
    platform: str
    connect: bool = False
    root: Path = Path("/")
    settings: Settings = field(default_factory=Settings)
    command: list[str] = field(default_factory=list)
    """What a browser starts; the first that is in order."""
    status: Status | None = None
    network: NetworkFile | None = None
    host: NativeHost | None = None


Step = tuple[str, str, str]
"""A finding without its check: code, what it is about, detail."""


class Check(NamedTuple):
    """``run`` gives the findings; ``needs`` are checks without whose success this one means nothing."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[Case], Iterator[Step]]
    wanted: Callable[[Case], bool] = lambda case: True


def examine(case: Case) -> Iterator[Finding]:
    """Every finding, in order, as it is made."""
    broken: set[str] = set()
    with ExitStack() as stack:
        stack.callback(_end, case, _runs(case))
        for check in CHECKS:
            if not check.wanted(case):
                continue
            if broken.intersection(check.needs):
                broken.add(check.name)
                yield Finding(check.name, "skipped")
                continue
            for code, about, detail in check.run(case):
                found = Finding(check.name, code, about, detail)
                if found.outcome is Outcome.BROKEN:
                    broken.add(check.name)
                yield found
            if check.name == "manifest" and case.command:
                broken.discard("manifest")  # one browser that can start the helper is enough to go on


def _runs(case: Case) -> bool:
    with suppress(LocalError):
        connect(case.folders.control, 1.0).close()
        return True
    return False


def _end(case: Case, ran: bool) -> None:
    """Leave things as they were found."""
    if case.host is not None:
        case.host.__exit__(None, None, None)
        if not ran:
            with suppress(LocalError):
                stop(case.folders.control)


# --- the checks


def _folders(case: Case) -> Iterator[Step]:
    try:
        case.folders.create()
    except LocalError as error:
        yield "folders-unsafe", "", _said(error)
    else:
        yield "folders", "", ""


def _settings(case: Case) -> Iterator[Step]:
    try:
        case.settings = load_settings(case.folders, case.environ)
        capabilities(case.settings)
    except LocalError as error:
        yield "settings-bad", "", _said(error)
    else:
        yield "settings", "", ""


def _manifests(case: Case) -> Iterator[Step]:
    if not MODES[case.settings.mode].proxies:
        return
    found = False
    for browser, place in _places(OF_A_PERSON, case):
        if is_present(case.home, place):
            found = True
            yield _manifest(case, browser, place)
    if not found:
        yield "no-browser", "", ""


def _places(browsers: tuple[Browser, ...], case: Case) -> Iterator[tuple[Browser, Place]]:
    for browser in browsers:
        if (place := browser.places.get(Platform(case.platform))) is not None:
            yield browser, place


def _manifest(case: Case, browser: Browser, place: Place) -> Step:
    """The browser's own entry, or else the system's."""
    paths = [manifest_path(browser.family, place, case.home, case.folders.data)]
    paths += [
        manifest_path(each.family, where, case.root, case.folders.data)
        for each, where in _places(SYSTEM, case)
        if each.name.partition(" (")[0] == browser.name
    ]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return "manifest-missing", browser.name, str(paths[0])
    try:
        text = path.read_text(encoding="utf-8")
        entry = json.loads(text) if is_ours(text) else {}
        started = Path(entry["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return "manifest-damaged", browser.name, str(path)
    ids = {f"chrome-extension://{each}/" for each in (DEV_ID, *STORE_IDS)}
    key, wanted = ("allowed_origins", ids) if browser.family is Family.CHROMIUM else ("allowed_extensions", {GECKO_ID})
    allowed = entry.get(key)
    if not isinstance(allowed, list) or wanted.isdisjoint(map(str, allowed)):
        return "id-refused", browser.name, str(path)
    if not started.is_file():
        return "launcher-gone", browser.name, str(started)
    if not os.access(started, os.X_OK):
        return "not-executable", browser.name, str(started)
    if not case.command and not place.wrapper:
        arguments = [f"chrome-extension://{DEV_ID}/"] if browser.family is Family.CHROMIUM else [str(path), GECKO_ID]
        case.command = [str(started), *arguments]
    return "manifest", browser.name, str(path)


def _ports(case: Case) -> Iterator[Step]:
    settings, can = case.settings, MODES[case.settings.mode]
    ports = [(LOOPBACK, settings.status_port, "--status-port")]
    if can.proxies:
        ports.insert(0, (LOOPBACK, settings.socks_port, "--socks-port"))
    if can.relays and settings.listen is not None:
        ports.append((*split_address(settings.listen), "--listen"))
    runs = _runs(case)
    for host, port, option in ports:
        if port == 0:
            yield "port-any", "", ""
        elif runs:
            yield ("port" if _listens(host, port) else "port-elsewhere"), str(port), ""
        else:
            yield _try_port(host, port, option)


def _try_port(host: str, port: int, option: str) -> Step:
    try:
        bind(host, port, what="the helper", option=option).close()
    except PortInUseError as error:
        return "port-in-use", str(port), _said(error)
    except ListenError as error:
        return "port-refused", str(port), _said(error)
    return "port", str(port), ""


def _listens(host: str, port: int) -> bool:
    where = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    with suppress(OSError), socket.create_connection((where, port), 2):
        return True
    return False


def _host(case: Case) -> Iterator[Step]:
    if not case.command:
        # No browser starts such a node, and it may need options that only its operator knows.
        with suppress(LocalError):
            case.status = request(case.folders.control, GetStatus(id=1)).status
        yield ("host" if case.status is not None else "host-not-running"), "", ""
        return
    ran = _runs(case)
    try:
        case.host = NativeHost(case.command, case.environ)
        answer = case.host.ask(Hello(id=1, version=1, client="doctor"), ANSWER_SECONDS)
    except NativeHostError as error:
        info = error.info
        yield f"host-{error.kind}", "", f"{info.message}. {info.hint}" if info else case.command[0]
        return
    if answer.error is not None:
        yield "host-version", "", answer.error.message
        return
    case.status = answer.status
    yield ("host" if ran else "host-starts"), "", ""


def _network(case: Case) -> Iterator[Step]:
    now = time.time()
    try:
        case.network = Networks(case.folders.data).current(now)
    except NetworkError as error:
        yield "network-damaged", "", _said(error)
        return
    if case.network is None:
        yield "network-none", "", ""
    else:
        yield ("network" if case.network.known_peers(now) else "network-expired"), "", ""


def _clock(case: Case) -> Iterator[Step]:
    """Peers sign when they issued a descriptor and when it ends; a time between these is all that can be asked for."""
    reasons = [_reason(data) for data in _signed(case)]
    if case.status is not None and case.status.hops:
        yield "clock", "", ""
    elif Reason.FUTURE in reasons:
        yield "clock-behind", "", ""
    elif reasons and all(reason is Reason.EXPIRED for reason in reasons):
        yield "clock-ahead", "", ""
    else:
        yield "clock-unknown", "", ""


def _signed(case: Case) -> Iterator[bytes]:
    for path in sorted((case.folders.data / "peers").glob(f"*{SUFFIX}")):
        with suppress(OSError), path.open("rb") as file:
            yield file.read(descriptor.LIMIT + 1)
    if case.network is not None:
        yield from (each.descriptor for each in case.network.operators)


def _reason(data: bytes) -> Reason | None:
    try:
        descriptor.verify(data, time.time())
    except SignedError as error:
        return error.reason
    return None


def _peers(case: Case) -> Iterator[Step]:
    if not MODES[case.settings.mode].proxies:
        yield "peers-served", "", ""
        return
    now = time.time()
    known = {peer.peer_id for peer in PeerBook(case.folders.data / "peers").peers(now)}
    if case.network is not None:
        known |= {peer.peer_id for peer in case.network.known_peers(now)}
    count = max(len(known), case.status.peers if case.status is not None else 0)
    yield ("peers" if count else "peers-none"), ("1 peer" if count == 1 else f"{count} peers"), ""


def _circuit(case: Case) -> Iterator[Step]:
    if not MODES[case.settings.mode].proxies:
        yield "circuit-served", "", ""
        return
    assert case.host is not None  # noqa: S101 - this check needs that one
    deadline = time.monotonic() + CIRCUIT_SECONDS
    try:
        case.host.ask(Connect(id=2), ANSWER_SECONDS)
        while (status := case.host.ask(GetStatus(id=3), ANSWER_SECONDS).status) is not None:
            if status.state is State.CONNECTED:
                yield (
                    "circuit",
                    "",
                    " → ".join(f"{hop.nickname or 'peer'} {hop.country}".strip() for hop in status.hops),
                )
                return
            if time.monotonic() > deadline or status.state is State.OFFLINE:
                break
            time.sleep(0.1)
    except NativeHostError as error:
        yield "circuit-none", "", error.kind
        return
    last = status.last_error if status is not None else None
    yield "circuit-none", "", f"{last.message} {last.hint}" if last else ""


def _said(error: LocalError) -> str:
    return f"{error.message}. {error.hint}"


CHECKS = (
    Check("folders", (), _folders),
    Check("settings", ("folders",), _settings),
    Check("manifest", ("settings",), _manifests),
    Check("ports", ("settings",), _ports),
    Check("network", ("folders",), _network),
    Check("host", ("manifest", "ports", "network"), _host),
    Check("clock", ("folders",), _clock),
    Check("peers", ("settings", "network", "clock"), _peers),
    Check("circuit", ("host", "peers"), _circuit, lambda case: case.connect),
)
