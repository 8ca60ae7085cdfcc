"""The numbers for Prometheus, read by its own parser."""

from prometheus_client.parser import text_string_to_metric_families

from qnet.roles.metrics import exposition
from qnet.wire.errors import Place
from qnet.wire.messages import ErrorInfo, ExitCounts, Hop, State, Status, Traffic

PERSONAL = Status(
    state=State.CONNECTING, mode="super", version='0.1"\\\n', since=5.5, started=1.25, peers=3, circuits=1,
    hops=[Hop(nickname="rose", country="DE")], traffic=Traffic(up=10**15 + 1, down=2), reconnection_attempts=4,
    last_error=ErrorInfo(code="x", message="secret.test", place=Place.MESH),
    exit=ExitCounts(requests=9, success=5, blocked=3, limited=1, traffic=Traffic(up=1, down=2), month_bytes=3),
)  # fmt: skip


def values(status: Status) -> dict[str, float]:
    return {
        sample.name + "".join(sorted(f"/{value}" for value in sample.labels.values())): sample.value
        for family in text_string_to_metric_families(exposition(status))
        for sample in family.samples
    }


def test_every_number_arrives() -> None:
    found = values(PERSONAL)
    assert found['qnet_info/0.1"\\\n/super'] == 1
    assert [found[f"qnet_state/{state}"] for state in State] == [0, 0, 1, 0]
    expected = {"qnet_started_seconds": 1.25, "qnet_state_since_seconds": 5.5, "qnet_mesh_peers": 3,
                "qnet_active_circuits": 1, "qnet_circuit_hops": 1, "qnet_sent_bytes_total": 10**15 + 1,
                "qnet_received_bytes_total": 2, "qnet_reconnections_total": 4, "qnet_last_error": 1,
                "qnet_exit_requests_total": 9, "qnet_exit_requests_success_total": 5,
                "qnet_exit_requests_blocked_total": 3, "qnet_exit_requests_limited_total": 1,
                "qnet_exit_sent_bytes_total": 1, "qnet_exit_received_bytes_total": 2, "qnet_exit_month_bytes": 3,
                }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert all(name.startswith("qnet_") for name in found)


def test_each_family_is_described_once_and_typed() -> None:
    families = list(text_string_to_metric_families(exposition(PERSONAL)))
    assert len({family.name for family in families}) == len(families) == 20
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)


def test_nothing_personal_and_no_exit_where_there_is_none() -> None:
    text = exposition(PERSONAL)
    assert not any(word in text for word in ("rose", "DE", "secret"))
    assert "qnet_exit" not in exposition(Status(state=State.OFFLINE, mode="client", version="1", since=0.0))
