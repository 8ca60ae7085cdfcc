"""What ``/config`` shows."""

import json

import msgspec

from qnet.roles.shown_settings import SHOWN, shown_settings
from qnet.settings import Settings

FULL = Settings(
    mode="exit", nickname="rose", country="DE", listen="192.0.2.1:443", address="rose.example:443",
    decoy="decoy.example:443", decoy_address="192.0.2.2:443", decoy_roots="/home/me/roots.pem",
    abuse_email="me@example.org", exit_allow=["192.0.2.3/32:80"], relay_allow=["192.0.2.4/32:*"],
    exit_map={"site.example:80": "192.0.2.5:80"}, exit_bind=["192.0.2.6"], exit_deny=["192.0.2.7/32:*"],
)  # fmt: skip
NAMING = {"nickname", "country", "listen", "address", "decoy", "decoy_address", "decoy_roots", "abuse_email",
          "exit_allow", "relay_allow", "exit_map", "exit_bind", "exit_deny"}  # fmt: skip


def test_what_names_somebody_or_something_is_withheld() -> None:
    shown = json.loads(json.dumps(shown_settings(FULL)))
    assert shown["set"] == sorted(NAMING)
    text = json.dumps(shown["settings"])
    for secret in ("rose", "DE", "192.0.2", "example", "/home"):
        assert secret not in text
    assert shown["settings"]["mode"] == "exit" and shown["settings"]["exit_allowed_ports"] == [80, 443]
    assert "left out" in shown["note"]


def test_every_setting_is_either_shown_or_withheld() -> None:
    fields = {field.name for field in msgspec.structs.fields(Settings)}
    assert set(SHOWN) <= fields and not set(SHOWN) & NAMING
    assert shown_settings(Settings())["set"] == []
