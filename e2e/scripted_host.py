"""A native host that plays one scene, for views that would need luck or patience with the real one.

Real frames, real messages and the real proxy script; no helper behind it. The scene is the first argument:

- ``connected`` / ``connecting`` / ``troubled``: connects and reports that state
- ``busy``: as connected, with rates that go up and down
- ``biased``: as connected, with a warning
- ``hostile``: as connected, with markup, switched directions and far too much of it in every text
- ``nonsense``: connects, then sends a status that is none
- ``lost``: connects, then says that the helper is gone, and ends
- ``start``: says that the helper could not be started, and ends
- ``refused``: answers ``connect`` with an error
- ``damaged``: sends a proxy script that does not fit its hash
- ``old``: speaks another version
"""

import math
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import segno

from qnet.browser.pac import compile_pac
from qnet.wire.errors import Place
from qnet.wire.framing import FrameReader, encode_frame
from qnet.wire.messages import (
    PROTOCOL_VERSION,
    Answer,
    ChangeSettings,
    Connect,
    ErrorInfo,
    ExitCountry,
    FailedEvent,
    Generation,
    GetInvitation,
    GetPac,
    GetRules,
    GetSettings,
    GetSubscriptions,
    Hello,
    HelloInfo,
    Hop,
    InvitationInfo,
    NetworkInfo,
    PacChunk,
    ProxyInfo,
    Rates,
    Refresh,
    Rule,
    RuleAction,
    RuleKind,
    RulesPage,
    SettingsInfo,
    State,
    Status,
    StatusEvent,
    Subscribe,
    Subscription,
    TestAddress,
    Traffic,
    Unsubscribe,
    VerdictInfo,
    decode_request,
    encode,
)

rng = random.Random(7)
CHUNK = 50
"""Characters of the script in one message: small, so that it takes several."""

LOST = ErrorInfo(
    code="helper-lost",
    message="the helper ended while it was in use",
    hint="press Reconnect; if it happens again, see what `qnet run` says",
    place=Place.HOST,
)
START = ErrorInfo(
    code="helper-start",
    message="port 1088 is in use by another program",
    hint="end that program, or set another port with STEALTH_SOCKS_PORT",
    place=Place.HOST,
)
RULES = [
    Rule(kind=RuleKind.DOMAIN, pattern="bank.example.org", action=RuleAction.DIRECT, note="wants my country"),
    Rule(kind=RuleKind.DOMAIN, pattern="example.org", action=RuleAction.TUNNEL),
    Rule(kind=RuleKind.HOST, pattern="video.example.net", action=RuleAction.TUNNEL, country="NL"),
    Rule(kind=RuleKind.WILDCARD, pattern="*.ads.*", action=RuleAction.BLOCK),
    Rule(kind=RuleKind.REGEX, pattern=r"^track(er)?[0-9]+\.", action=RuleAction.BLOCK, enabled=False),
    Rule(kind=RuleKind.CIDR, pattern="192.168.0.0/16", action=RuleAction.DIRECT),
    Rule(kind=RuleKind.KEYWORD, pattern="telemetry", action=RuleAction.BLOCK),
    Rule(kind=RuleKind.DOMAIN, pattern="xn--80ak6aa92e.com", action=RuleAction.BLOCK),
]
SETTINGS = SettingsInfo(
    hops=3,
    exit_country="NL",
    peers=12,
    countries=[
        ExitCountry(country=country, exits=exits) for country, exits in {"CH": 2, "DE": 5, "NL": 1, "SE": 3}.items()
    ],
    network=NetworkInfo(
        name="Tulip Friends", fingerprint="3f9a 11c0 52de 8b04 77e1 9d25 c6aa 0b9f 41d8 e230", operators=3
    ),
)
BIAS = ErrorInfo(code="path-bias", message="Unusually many routes break off.", place=Place.MESH)
LISTS = [
    Subscription(
        url="https://lists.example.org/gfwlist.txt",
        action=RuleAction.TUNNEL,
        exceptions=RuleAction.DIRECT,
        rules=6021,
        trouble=12,
        fetched=1_790_000_000.0,
        checked=1_790_000_000.0,
        next=1_790_086_400.0,
    ),
    Subscription(
        url="https://example.net/trackers.hosts",
        action=RuleAction.BLOCK,
        exceptions=RuleAction.TUNNEL,
        rules=1,
        trouble=0,
        fetched=0.0,
        checked=1_790_000_000.0,
        next=1_790_000_060.0,
        error=ErrorInfo(code="list-fetch", message="the list's server answers 404", hint="Check the address"),
    ),
]
LINK = "qnet:" + "pkZvdW5kZXI" * 30
INVITATION = InvitationInfo(
    link=LINK, qr=["".join("1" if dark else "0" for dark in row) for row in segno.make_qr(LINK, error="l").matrix]
)
EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>\u202egnp.exe"
LONG = "w" * 2_000
TROUBLE = ErrorInfo(code="peer-unreachable", message="no answer from any entry yet", place=Place.MESH)


def status(scene: str) -> Status:
    connected = scene in ("connected", "busy", "biased", "hostile", "nonsense", "lost")
    return Status(
        state=State.CONNECTED if connected else State.CONNECTING,
        mode="client",
        version="0.1.0",
        since=time.time(),
        peers=12,
        routes=[[], [Hop(nickname="lighthouse", country="DE"), Hop(nickname="birch", country="NL", exit=True)]]
        if connected
        else [],
        warning=BIAS if scene == "biased" else None,
        hops=[
            Hop(nickname="lighthouse", country="DE"),
            Hop(nickname="harbour", country="CH"),
            Hop(nickname="birch", country="NL", exit=True),
        ]
        if connected
        else [],
        traffic=Traffic(up=1_840_000, down=48_260_000) if connected else Traffic(),
        rates=rates(time.monotonic()) if connected else Rates(),
        last_error=TROUBLE if scene == "troubled" else None,
    )


def made_hostile(message: msgspec.Struct) -> msgspec.Struct:
    """The message with every text that a peer, a list or a network could have chosen replaced."""
    bad = ErrorInfo(code="odd-<b>", message=EVIL + LONG, hint=EVIL)
    hop = Hop(nickname=EVIL + LONG, country="<>", exit=True)
    replace = msgspec.structs.replace
    match message:
        case Status():
            return replace(message, hops=[hop] * 20, routes=[[hop] * 9] * 20, warning=bad, mode=EVIL)
        case SettingsInfo():
            network = NetworkInfo(name=EVIL + LONG, fingerprint=EVIL, operators=1)
            return replace(message, network=network, countries=[ExitCountry(country="<b>", exits=3)])
        case RulesPage():
            rule = Rule(kind=RuleKind.DOMAIN, pattern=EVIL, action=RuleAction.BLOCK, note=EVIL + LONG, country=EVIL)
            return replace(message, rules=[rule], total=1, offset=0, problem=bad)
        case Subscription():
            return replace(message, url=EVIL, error=bad)
        case InvitationInfo():
            return InvitationInfo(link=EVIL + LONG, qr=[EVIL, "1" * 9, ""])
    return message


def spoilt(message: msgspec.Struct) -> msgspec.Struct:
    """An answer or event with all its parts made hostile."""
    parts = {}
    for name in message.__struct_fields__:
        part = getattr(message, name)
        if isinstance(part, msgspec.Struct):
            parts[name] = made_hostile(part)
        elif isinstance(part, list) and part and isinstance(part[0], msgspec.Struct):
            parts[name] = [made_hostile(each) for each in part]
    return msgspec.structs.replace(message, **parts)


def rates(now: float) -> Rates:
    """Something to draw: pages that load now and then."""
    wave = abs(math.sin(now / 3)) * abs(math.sin(now * 1.7)) ** 2
    return Rates(up=int(40_000 + 300_000 * wave), down=int(90_000 + 3_200_000 * wave))


def answers(scene: str, port: int, request: object) -> Iterator[msgspec.Struct]:
    """What the scene says to one request."""
    pac = compile_pac(port)
    match request:
        case Hello(id=i) if scene == "start":
            yield FailedEvent(error=START)
        case Hello(id=i):
            version = PROTOCOL_VERSION + (scene == "old")
            yield Answer(
                id=i, ok=True, hello=HelloInfo(version=version, helper="0.1.0", features=[]), status=status(scene)
            )
        case Connect(id=i) if scene == "refused":
            yield Answer(id=i, ok=False, error=START)
        case Connect(id=i):
            proxy = ProxyInfo(host="127.0.0.1", port=port, pac_hash=pac.hash)
            yield Answer(id=i, ok=True, proxy=proxy, status=status("connecting"))
        case GetPac(id=i, offset=offset):
            text = pac.text[offset : offset + CHUNK]
            hash_ = "0" * 64 if scene == "damaged" else pac.hash
            yield Answer(id=i, ok=True, pac=PacChunk(hash=hash_, size=len(pac.text), offset=offset, text=text))
            if offset + CHUNK >= len(pac.text):
                yield StatusEvent(status=status(scene))
                if scene == "lost":
                    time.sleep(1)  # long enough for the browser to have the script in force
                    yield FailedEvent(error=LOST)
        case GetRules(id=i, offset=offset):
            generations = [Generation(number=7, saved=1_790_000_000.0), Generation(number=6, saved=1_789_900_000.0)]
            yield Answer(
                id=i,
                ok=True,
                rules=RulesPage(
                    generation=7,
                    default=RuleAction.TUNNEL,
                    total=len(RULES),
                    offset=offset,
                    rules=RULES[offset:],
                    generations=generations,
                ),
            )
        case GetSettings(id=i):
            yield Answer(id=i, ok=True, settings=SETTINGS)
        case ChangeSettings(id=i, exit_country=country):
            yield Answer(id=i, ok=True, settings=msgspec.structs.replace(SETTINGS, exit_country=country or ""))
        case GetSubscriptions(id=i) | Subscribe(id=i) | Unsubscribe(id=i) | Refresh(id=i):
            yield Answer(id=i, ok=True, subscriptions=LISTS)
        case GetInvitation(id=i):
            yield Answer(id=i, ok=True, invitation=INVITATION)
        case TestAddress(id=i):
            verdict = VerdictInfo(host="www.example.org", port=443, action=RULES[1].action, rule=RULES[1], index=1)
            yield Answer(id=i, ok=True, verdict=verdict)
        case _:
            yield Answer(id=getattr(request, "id", 0), ok=True)


def play(scene: str, port: int, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until the browser ends the conversation, or the scene does."""
    reader = FrameReader()
    lock = threading.Lock()

    def send(message: msgspec.Struct) -> None:
        with lock:
            sink.write(encode_frame(encode(message)))
            sink.flush()

    def tell() -> None:
        while True:
            time.sleep(1)
            send(StatusEvent(status=status(scene)))

    while data := source.read1(1 << 16):  # type: ignore[attr-defined]
        for body in reader.receive(data):
            for message in answers(scene, port, decode_request(body)):
                if scene == "hostile":
                    message = spoilt(message)
                send(message)
                if isinstance(message, FailedEvent):
                    return
                if scene == "nonsense" and isinstance(message, StatusEvent):
                    time.sleep(2)
                    sink.write(encode_frame(b'{"event": "status", "status": {"state": ["connected"], "hops": 7}}'))
                    sink.flush()
                if scene == "busy" and isinstance(message, StatusEvent):
                    threading.Thread(target=tell, daemon=True).start()


if __name__ == "__main__":
    play(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
