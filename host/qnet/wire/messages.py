"""The messages between extension, native host, command line and helper: one set for stdio and control socket.

Conversation (every message is one JSON object in one native-messaging frame, see ``framing``):

1. → ``{"cmd": "hello", "id": 1, "version": 1, "client": "chromium"}``; ← ``{"ok": true, "id": 1, "hello": {…}}``
2. → ``{"cmd": "connect", "id": 2}``; ← ``{"ok": true, "id": 2, "proxy": {…}, "status": {…}}``
3. → ``{"cmd": "pac", "id": 3, "offset": 0}`` until all of ``size`` is there; ← ``{"ok": true, "id": 3, "pac": {…}}``
4. ← ``{"event": "status", "status": {…}}`` whenever the status changes, to every session that said hello
5. → ``{"cmd": "disconnect", "id": 4}`` gives the lease back. So does closing the session.

The rules are a numbered state (``generation``); whoever changes them says which one he saw, and is refused if another
came between. After a change every session gets a status with the new ``generation`` and ``pac_hash``:

1. → ``{"cmd": "rules", "id": 5, "offset": 0}`` until ``total`` are there; ← ``{"ok": true, "id": 5, "rules": {…}}``
2. → ``{"cmd": "edit-rules", "id": 6, "base": 3, "edits": [{"at": 0, "remove": 1, "insert": […]}]}``; ← as above
3. → ``{"cmd": "upload", "id": 7, "offset": 0, "text": "…"}`` until a file is there, then
   ``{"cmd": "import-rules", "id": 8, "base": 4}``; ← ``{"ok": true, "id": 8, "imported": {…}, "rules": {…}}``

What a person decides while the helper runs, and joining a network: what the link says is shown first, and its
fingerprint comes back with the person's consent.

1. → ``{"cmd": "settings", "id": 9}``; ← ``{"ok": true, "id": 9, "settings": {…}}``
2. → ``{"cmd": "change-settings", "id": 10, "hops": 3}``; ← as above
3. → ``{"cmd": "examine-network", "id": 11, "link": "qnet:…"}``; ← ``{"ok": true, "id": 11, "proposal": {…}}``
4. → ``{"cmd": "join-network", "id": 12, "link": "qnet:…", "fingerprint": "…"}``; ← as 1
5. → ``{"cmd": "invite", "id": 13}``; ← ``{"ok": true, "id": 13, "invitation": {"link": "qnet:…", "qr": […]}}``

The tunnel looks like the browser beside it, which therefore shows once how it begins a connection; before connecting:

1. → ``{"cmd": "capture", "id": 14, "browser": "Chromium", "version": "156.0.8078.79"}``;
   ← ``{"ok": true, "id": 14, "capture": {"url": "https://….localhost:40123/", …}}``
2. the extension fetches the URL, which fails, as it must; with an empty one there is nothing to do

Lists that others keep come after the person's own rules, each as a section of its own; no message about them can change
those: ``subscriptions`` tells them, ``subscribe``, ``unsubscribe`` and ``refresh`` change them and tell them.

An error answers ``{"ok": false, "id": 4, "error": {"code", "message", "hint"}}``. Unknown fields are ignored, an
unknown ``cmd`` is an error. The JSON Schema and the extension's types are generated from this file
(``tools/generate.py``); a test fails when they drift.
"""

from typing import TypeAlias

import msgspec

from qnet.wire.errors import RemoteError
from qnet.wire.facts import ErrorInfo as ErrorInfo
from qnet.wire.facts import ExitCounts as ExitCounts
from qnet.wire.facts import Hop as Hop
from qnet.wire.facts import Rates as Rates
from qnet.wire.facts import State as State
from qnet.wire.facts import Status as Status
from qnet.wire.facts import Traffic as Traffic
from qnet.wire.rule import Rule as Rule
from qnet.wire.rule import RuleAction as RuleAction
from qnet.wire.rule import RuleKind as RuleKind
from qnet.wire.rule import rule_size as rule_size

PROTOCOL_VERSION = 1
FEATURES = ("connect", "pac", "status-events", "rules", "subscriptions", "settings", "networks", "capture")
PAC_CHUNK = 128 * 1024
"""Characters of PAC text in one message: with JSON escapes well below the browsers' 1 MiB."""
RULES_CHUNK = 128 * 1024
"""Characters of rules in one message, counted as ``rule_size`` does."""
UPLOAD_LIMIT = 16 * 1024 * 1024
"""Characters of a file to import."""


# --- requests: tagged by "cmd"


class Request(msgspec.Struct, tag_field="cmd", kw_only=True, frozen=True):
    """Any request; ``id`` comes back with the answer."""

    id: int


class Hello(Request, tag="hello", frozen=True):
    """Opens a session. ``client`` names the browser or ``cli``."""

    version: int
    client: str = ""


class GetStatus(Request, tag="status", frozen=True):
    """Asks for the status once."""


class Connect(Request, tag="connect", frozen=True):
    """Takes a lease on the tunnel: the helper builds a circuit and keeps it while any lease is held."""


class Disconnect(Request, tag="disconnect", frozen=True):
    """Gives this session's lease back. Another session's lease is not touched."""


class GetPac(Request, tag="pac", frozen=True):
    """Asks for the proxy auto-configuration from ``offset`` on, in characters."""

    offset: int = 0


class Stop(Request, tag="stop", frozen=True):
    """Ends the helper."""


class GetRules(Request, tag="rules", frozen=True):
    """Asks for the person's own rules from ``offset`` on."""

    offset: int = 0


class Edit(msgspec.Struct, kw_only=True, frozen=True):
    """At place ``at`` take ``remove`` rules out, then put ``insert`` there."""

    at: int
    remove: int = 0
    insert: list[Rule] = []


class EditRules(Request, tag="edit-rules", frozen=True):
    """Changes generation ``base``: the edits one after the other, and what else is given."""

    base: int
    edits: list[Edit] = []
    default: RuleAction | None = None


class RestoreRules(Request, tag="restore-rules", frozen=True):
    """Makes an earlier generation the present one."""

    base: int
    generation: int


class Upload(Request, tag="upload", frozen=True):
    """A piece of a file; ``offset`` 0 begins anew. Kept for this session until it is imported."""

    offset: int
    text: str


class ImportRules(Request, tag="import-rules", frozen=True):
    """Reads the uploaded file. ``trial`` only reports.

    What a list names gets ``action``; a backup brings its own. The rules go behind the person's own, or in their place
    with the backup's default where ``replace``.
    """

    base: int
    action: RuleAction = RuleAction.TUNNEL
    replace: bool = False
    trial: bool = False


class TestAddress(Request, tag="test", frozen=True):
    """Asks what happens to ``address``, a URL or a host."""

    address: str


class GetSettings(Request, tag="settings", frozen=True):
    """Asks for what a person may change while the helper runs, and between what."""


class ChangeSettings(Request, tag="change-settings", frozen=True):
    """Changes what is given, at once and for later starts. ``exit_country``: two letters, or empty for any."""

    hops: int | None = None
    exit_country: str | None = None


class ExamineNetwork(Request, tag="examine-network", frozen=True):
    """Asks what joining by an invitation link would mean; changes nothing."""

    link: str


class JoinNetwork(Request, tag="join-network", frozen=True):
    """Joins, after a person has agreed to what has this ``fingerprint``; ``replace``: to leave another one, too."""

    link: str
    fingerprint: str
    replace: bool = False


class GetInvitation(Request, tag="invite", frozen=True):
    """Asks for the link with which others join the present network."""


class GetSubscriptions(Request, tag="subscriptions", frozen=True):
    """Asks for the lists subscribed to, and how they are."""


class Subscribe(Request, tag="subscribe", frozen=True):
    """Subscribes to the list at ``url``: what it names gets ``action``, what it excepts ``exceptions``."""

    url: str
    action: RuleAction
    exceptions: RuleAction = RuleAction.TUNNEL


class Unsubscribe(Request, tag="unsubscribe", frozen=True):
    """Forgets the list at ``url``, its rules included."""

    url: str


class Refresh(Request, tag="refresh", frozen=True):
    """Fetches the list at ``url`` now, through the tunnel, and waits for it."""

    url: str


class Capture(Request, tag="capture", frozen=True):
    """Tells which ``browser`` (its product's name) of which ``version`` this is; asks where to show its hello."""

    browser: str
    version: str


AnyRequest: TypeAlias = (
    Hello
    | Capture
    | GetStatus
    | Connect
    | Disconnect
    | GetPac
    | Stop
    | GetRules
    | EditRules
    | RestoreRules
    | Upload
    | ImportRules
    | TestAddress
    | GetSettings
    | ChangeSettings
    | ExamineNetwork
    | JoinNetwork
    | GetInvitation
    | GetSubscriptions
    | Subscribe
    | Unsubscribe
    | Refresh
)


# --- parts of answers


class HelloInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Who the helper is."""

    version: int
    helper: str
    features: list[str]


class ProxyInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Where this session's browser finds the proxy; ``pac_hash`` names the PAC that belongs to it."""

    host: str
    port: int
    pac_hash: str


class PacChunk(msgspec.Struct, kw_only=True, frozen=True):
    """A piece of the PAC: ``text`` from ``offset`` on, of ``size`` characters in all."""

    hash: str
    size: int
    offset: int
    text: str


class Generation(msgspec.Struct, kw_only=True, frozen=True):
    """A kept state of the rules, and when it was saved, in unix seconds."""

    number: int
    saved: float


class RulesPage(msgspec.Struct, kw_only=True, frozen=True):
    """The person's own rules from ``offset`` on, of ``total``; what no rule matches gets ``default``.

    ``problem``: the rules could not be read as they were saved last.
    """

    generation: int
    default: RuleAction
    total: int
    offset: int
    rules: list[Rule]
    generations: list[Generation]
    problem: ErrorInfo | None = None


class VerdictInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What happens to ``host``:``port``: the rule that decided and its place, or no rule where the default did.

    ``unmet``: the known peers do not make the route that the rule wants, so the request would be refused. ``section``:
    URL of the list that the rule is from; then it has no ``index`` among the person's own.
    """

    host: str
    port: int
    action: RuleAction
    rule: Rule | None = None
    index: int = -1
    unmet: bool = False
    section: str = ""


class ImportReport(msgspec.Struct, kw_only=True, frozen=True):
    """What a file gave: how many rules, how many of them ``direct``, how much trouble, the first hundred warnings."""

    rules: int
    direct: int
    trouble: int
    warnings: list[str]
    default: RuleAction | None = None


class ExitCountry(msgspec.Struct, kw_only=True, frozen=True):
    """A country, two letters, and how many exits are known there."""

    country: str
    exits: int


class NetworkInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A network; ``fingerprint`` is for comparing aloud, ten groups of four hex digits."""

    name: str
    fingerprint: str
    operators: int


class ExitTerms(msgspec.Struct, kw_only=True, frozen=True):
    """What this node connects to for others: ``ports``, or with ``only`` what its operator listed alone.

    ``connections``: at once, for all; ``per_client``: connecting at once for one of them; ``gigabytes``: a month, 0
    any number.
    """

    ports: list[int]
    only: bool
    connections: int
    per_client: int
    gigabytes: int


class SettingsInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What is in force: ``hops`` and ``exit_country`` (empty: any) of the usual route.

    ``peers``: known, of every kind. ``countries``: where known exits say that they stand. ``network``: the one joined.
    ``terms``: of a node that is an exit.
    """

    hops: int
    exit_country: str
    peers: int
    countries: list[ExitCountry]
    network: NetworkInfo | None = None
    terms: ExitTerms | None = None


class InvitationInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The link to the present network, and as a QR code: a text of ``1`` (dark) and ``0`` a row, none if too large."""

    link: str
    qr: list[str]


class ProposalInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What a link leads to. ``relation`` to the present network: first, same, newer, older, other."""

    network: NetworkInfo
    relation: str


class Subscription(msgspec.Struct, kw_only=True, frozen=True):
    """A list: how many ``rules`` of it are in force, when it was ``fetched`` (0: never) and ``checked``, and will be.

    Times in unix seconds; ``next`` is the next check. ``error`` is what the last check met; the rules of the last good
    one stay in force.
    """

    url: str
    action: RuleAction
    exceptions: RuleAction
    rules: int
    trouble: int
    fetched: float
    checked: float
    next: float
    error: ErrorInfo | None = None


class CaptureInfo(msgspec.Struct, kw_only=True, frozen=True):
    """``url``: where the browser is to be sent once, empty where that is not needed.

    ``known``: the tunnel can look like this browser. ``problem``: why it cannot, in words, if its hello was refused.
    """

    url: str
    known: bool
    problem: str


# --- answers and events


class Answer(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The answer to request ``id``: ``ok`` with the parts that the request asked for, or ``error``."""

    id: int
    ok: bool
    hello: HelloInfo | None = None
    status: Status | None = None
    proxy: ProxyInfo | None = None
    pac: PacChunk | None = None
    rules: RulesPage | None = None
    verdict: VerdictInfo | None = None
    imported: ImportReport | None = None
    settings: SettingsInfo | None = None
    proposal: ProposalInfo | None = None
    invitation: InvitationInfo | None = None
    subscriptions: list[Subscription] | None = None
    capture: CaptureInfo | None = None
    error: ErrorInfo | None = None


class StatusEvent(msgspec.Struct, tag_field="event", tag="status", kw_only=True, frozen=True):
    """The status changed."""

    status: Status


class FailedEvent(msgspec.Struct, tag_field="event", tag="failed", kw_only=True, frozen=True):
    """Said by the native host itself, then it ends: the helper could not be started, or is gone.

    Codes: ``helper-start`` (with the helper's own words), ``helper-lost``, ``bad-message``.
    """

    error: ErrorInfo


AnyEvent: TypeAlias = StatusEvent | FailedEvent


class MessageError(RemoteError):
    """The message is not one that this version understands."""


_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_encoder = msgspec.json.Encoder()


class _OnlyId(msgspec.Struct):
    id: int = 0


def decode_request(body: bytes) -> AnyRequest:
    """Parse one request; raises ``MessageError``, whose ``code`` is the request's id where it could be read."""
    try:
        return _requests.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            identifier = msgspec.json.decode(body, type=_OnlyId).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            identifier = 0
        raise MessageError(str(error), identifier) from None


def encode(message: msgspec.Struct) -> bytes:
    """Any message of this file as JSON."""
    return _encoder.encode(message)
