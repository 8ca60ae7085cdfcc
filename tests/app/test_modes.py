"""The mode matrix, word for word."""

from typing import Any, get_args

import pytest

from qnet.app.modes import MODES, ModeError, capabilities
from qnet.settings import Mode, Settings

MATRIX = {
    #            queries registers directory exits
    "client": (True, False, False, False),
    "relay": (True, True, False, False),
    "bootstrap": (False, False, True, False),
    "exit": (True, True, False, True),
    "super": (True, True, True, True),
}
COMPLETE = {"listen": "127.0.0.1:443", "decoy": "decoy.test:443", "abuse_email": "abuse@example.test"}


@pytest.mark.parametrize("mode", get_args(Mode))
def test_the_matrix(mode: Mode) -> None:
    found = MODES[mode]
    assert (found.queries_directory, found.registers, found.runs_directory, found.exits) == MATRIX[mode]
    assert found.relays is (mode != "client"), "a client relays only when reachable and allowed"


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_can_be_run(mode: Mode) -> None:
    assert capabilities(Settings(mode=mode, **COMPLETE)) is MODES[mode]


@pytest.mark.parametrize("mode", [mode for mode, exits in MATRIX.items() if exits[3]])
def test_an_exit_needs_an_address_for_complaints(mode: Mode) -> None:
    with pytest.raises(ModeError, match="complaints"):
        capabilities(Settings(mode=mode, **COMPLETE | {"abuse_email": ""}))


@pytest.mark.parametrize(
    ("missing", "says"), [("abuse_email", "complaints"), ("listen", "--listen"), ("decoy", "--decoy")]
)
def test_what_an_exit_needs(missing: str, says: str) -> None:
    with pytest.raises(ModeError, match=says) as caught:
        capabilities(Settings(mode="super", **{name: text for name, text in COMPLETE.items() if name != missing}))
    assert caught.value.exit_code == 64 and caught.value.hint


@pytest.mark.parametrize("listen", ["0.0.0.0:443", "[::]:443"])
def test_a_wildcard_is_no_address(listen: str) -> None:
    with pytest.raises(ModeError, match="wildcard"):
        capabilities(Settings(mode="super", **COMPLETE | {"listen": listen}))
    assert capabilities(Settings(mode="super", address="192.0.2.1:443", **COMPLETE | {"listen": listen})).exits


@pytest.mark.parametrize("mode", ["relay", "exit"])
def test_relays_and_exits_may_be_several_processes(mode: Mode) -> None:
    assert capabilities(Settings(mode=mode, workers=4, **COMPLETE)).relays


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "client"}, "others dial"),
        ({"mode": "super"}, "directory"),
        ({"mode": "bootstrap"}, "directory"),
        ({"mode": "relay", "via": "relay.qnet", "listen": None, "decoy": None}, "others dial"),
    ],
)
def test_what_has_to_be_one_process(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModeError, match=says) as caught:
        capabilities(Settings(**COMPLETE | {"workers": 2} | changes))
    assert caught.value.hint


def test_who_is_only_for_the_invited_does_not_announce_itself() -> None:
    with pytest.raises(ModeError, match="invite-only"):
        capabilities(Settings(mode="relay", invite_only=True, mdns=True, **COMPLETE))
    assert capabilities(Settings(mode="relay", invite_only=True, **COMPLETE)).relays


def test_a_client_needs_nothing() -> None:
    assert capabilities(Settings()).proxies


@pytest.mark.parametrize("mode", ["relay", "exit"])
def test_a_hidden_node_needs_neither_listen_nor_decoy(mode: Mode) -> None:
    assert capabilities(Settings(mode=mode, via="public.qnet", abuse_email="a@example.test")) is MODES[mode]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"mode": "super"}, "runs a directory"),
        ({"mode": "bootstrap"}, "runs a directory"),
        ({"listen": "127.0.0.1:1"}, "or reached through another"),
        ({"address": "192.0.2.1:1"}, "or reached through another"),
        ({"mdns": True}, "cannot announce itself"),
    ],
    ids=str,
)
def test_what_a_hidden_node_cannot_do(more: dict, says: str) -> None:
    settings = {"mode": "relay", "via": "public.qnet", "abuse_email": "a@example.test"}
    with pytest.raises(ModeError, match=says):
        capabilities(Settings(**settings | more))
