"""Messages: every kind there and back, unknown fields ignored, everything else an error with the request's id."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.framing import LIMIT, encode_frame
from qnet.wire.messages import (
    PAC_CHUNK,
    Answer,
    AnyEvent,
    AnyRequest,
    Capture,
    ChangeSettings,
    Connect,
    Disconnect,
    Edit,
    EditRules,
    ErrorInfo,
    ExamineNetwork,
    FailedEvent,
    GetInvitation,
    GetPac,
    GetRules,
    GetSettings,
    GetStatus,
    GetSubscriptions,
    Hello,
    ImportRules,
    JoinNetwork,
    MessageError,
    PacChunk,
    Refresh,
    RestoreRules,
    Rule,
    RuleAction,
    RuleKind,
    State,
    Status,
    StatusEvent,
    Stop,
    Subscribe,
    Unsubscribe,
    Upload,
    decode_request,
    encode,
)
from qnet.wire.messages import TestAddress as AddressTest  # under its own name pytest would take it for a test class

RULE = Rule(kind=RuleKind.DOMAIN, pattern="a.test", action=RuleAction.TUNNEL, country="NL", hops=2, note="n")
STATUS = Status(state=State.CONNECTED, mode="client", version="1", since=1.5)
REQUESTS = {
    "hello": Hello(id=1, version=1, client="firefox"),
    "status": GetStatus(id=2),
    "connect": Connect(id=3),
    "disconnect": Disconnect(id=4),
    "pac": GetPac(id=5, offset=262144),
    "stop": Stop(id=6),
    "rules": GetRules(id=7, offset=1000),
    "edit-rules": EditRules(
        id=8, base=3, edits=[Edit(at=0, remove=1, insert=[RULE]), Edit(at=2)], default=RuleAction.BLOCK
    ),
    "restore-rules": RestoreRules(id=9, base=3, generation=2),
    "upload": Upload(id=10, offset=0, text="||a.test"),
    "import-rules": ImportRules(id=11, base=3, action=RuleAction.BLOCK, replace=True, trial=True),
    "test": AddressTest(id=12, address="https://a.test/"),
    "settings": GetSettings(id=20),
    "change-settings": ChangeSettings(id=21, hops=3, exit_country="NL"),
    "examine-network": ExamineNetwork(id=22, link="qnet:abc"),
    "join-network": JoinNetwork(id=23, link="qnet:abc", fingerprint="1234", replace=True),
    "invite": GetInvitation(id=24),
    "capture": Capture(id=25, browser="Chromium", version="156.0.8078.79"),
    "subscriptions": GetSubscriptions(id=13),
    "subscribe": Subscribe(id=14, url="https://lists.test/", action=RuleAction.BLOCK, exceptions=RuleAction.DIRECT),
    "unsubscribe": Unsubscribe(id=15, url="https://lists.test/"),
    "refresh": Refresh(id=16, url="https://lists.test/"),
}


def test_every_request_is_here() -> None:
    assert {type(request) for request in REQUESTS.values()} == set(get_args(AnyRequest))


@pytest.mark.parametrize(("command", "request_"), REQUESTS.items())
def test_request_round_trip(command: str, request_: AnyRequest) -> None:
    body = encode(request_)
    assert json.loads(body)["cmd"] == command
    assert decode_request(body) == request_


def test_unknown_fields_are_ignored() -> None:
    assert decode_request(b'{"cmd":"status","id":2,"from":"the future"}') == GetStatus(id=2)


@pytest.mark.parametrize("event", [StatusEvent(status=STATUS), FailedEvent(error=ErrorInfo(code="c", message="m"))])
def test_event_round_trip(event: AnyEvent) -> None:
    assert msgspec.json.decode(encode(event), type=AnyEvent) == event


def test_answer_leaves_out_what_was_not_asked_for() -> None:
    assert json.loads(encode(Answer(id=1, ok=True))) == {"id": 1, "ok": True}


@pytest.mark.parametrize(
    ("body", "identifier"),
    [
        (b'{"cmd":"fly","id":7}', 7),
        (b'{"cmd":"pac","id":8,"offset":"0"}', 8),
        (b'{"cmd":"hello","id":9}', 9),
        (b'{"id":10}', 10),
        (b'{"cmd":"status"}', 0),
        (b'{"cmd":"status","id":"x"}', 0),
        (b"[]", 0),
        (b"", 0),
        (b"\xff\xfe", 0),
        (b'{"cmd":"\xa7","id":10}', 10),
        (b'{"cmd":"\xa7","id":"\xa7"}', 0),
        (b"[" * 200_000, 0),
    ],
)
def test_errors_carry_the_id_where_it_can_be_read(body: bytes, identifier: int) -> None:
    with pytest.raises(MessageError) as caught:
        decode_request(body)
    assert caught.value.code == identifier
    assert str(caught.value)


def test_a_pac_chunk_fits_a_frame_even_if_all_of_it_is_escaped() -> None:
    for character in ('"', "\n", "é", "漢"):
        chunk = PacChunk(hash="h" * 64, size=1 << 30, offset=1 << 30, text=character * PAC_CHUNK)
        assert len(encode_frame(encode(Answer(id=1 << 53, ok=True, pac=chunk)))) <= LIMIT + 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
NEARLY = st.fixed_dictionaries({"cmd": st.sampled_from([*REQUESTS, "x"]), "id": JSON}, optional={"offset": JSON})


@given(st.binary(max_size=200) | (JSON | NEARLY).map(lambda value: json.dumps(value).encode()))
def test_any_input_gives_a_request_or_a_message_error(body: bytes) -> None:
    try:
        assert isinstance(decode_request(body), get_args(AnyRequest))
    except MessageError as error:
        assert isinstance(error.code, int)
