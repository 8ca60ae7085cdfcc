"""The status as numbers for Prometheus (text format 0.0.4): one table, no label that names a person, peer or place."""

from collections.abc import Callable
from typing import NamedTuple

from qnet.wire.messages import ExitCounts, State, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Metric(NamedTuple):
    name: str
    kind: str
    text: str
    value: Callable[[Status], float]


class _ExitMetric(NamedTuple):
    name: str
    kind: str
    text: str
    value: Callable[[ExitCounts], float]


METRICS = (
    _Metric("qnet_started_seconds", "gauge", "When the helper began, unix time.", lambda s: s.started),
    _Metric("qnet_state_since_seconds", "gauge", "When it entered its state, unix time.", lambda s: s.since),
    _Metric("qnet_mesh_peers", "gauge", "Peers known that can be used.", lambda s: s.peers),
    _Metric("qnet_peers_online", "gauge", "Peers of the present route.", lambda s: s.online),
    _Metric("qnet_active_circuits", "gauge", "Circuits in use.", lambda s: s.circuits),
    _Metric("qnet_circuit_hops", "gauge", "Peers on the present route.", lambda s: len(s.hops)),
    _Metric("qnet_streams", "gauge", "Streams open through the tunnel.", lambda s: s.streams),
    _Metric("qnet_sent_bytes_total", "counter", "Content sent through the tunnel.", lambda s: s.traffic.up),
    _Metric("qnet_received_bytes_total", "counter", "Content received through it.", lambda s: s.traffic.down),
    _Metric("qnet_reconnections_total", "counter", "Times a tunnel was lost.", lambda s: s.reconnection_attempts),
    _Metric("qnet_last_error", "gauge", "1 while the last attempt failed.", lambda s: s.last_error is not None),
)  # fmt: skip
EXIT_METRICS = (
    _ExitMetric("qnet_exit_requests_total", "counter", "Streams asked for.", lambda e: e.requests),
    _ExitMetric("qnet_exit_requests_success_total", "counter", "Streams connected.", lambda e: e.success),
    _ExitMetric("qnet_exit_requests_blocked_total", "counter", "Streams that the policy refused.", lambda e: e.blocked),
    _ExitMetric("qnet_exit_requests_limited_total", "counter", "Streams that a limit refused.", lambda e: e.limited),
    _ExitMetric("qnet_exit_sent_bytes_total", "counter", "Content sent to destinations.", lambda e: e.traffic.up),
    _ExitMetric("qnet_exit_received_bytes_total", "counter", "Content received from them.", lambda e: e.traffic.down),
    _ExitMetric("qnet_exit_month_bytes", "gauge", "Content both ways this month (UTC).", lambda e: e.month_bytes),
)


def exposition(status: Status) -> str:
    """The whole text."""
    lines = [
        *_heading("qnet_info", "gauge", "Version and mode."),
        f'qnet_info{{version="{_escaped(status.version)}",mode="{_escaped(status.mode)}"}} 1',
        *_heading("qnet_state", "gauge", "1 for the present state."),
        *(f'qnet_state{{state="{state}"}} {int(status.state is state)}' for state in State),
    ]
    samples = [(*metric[:3], metric.value(status)) for metric in METRICS]
    if status.exit is not None:
        samples += [(*metric[:3], metric.value(status.exit)) for metric in EXIT_METRICS]
    for name, kind, text, value in samples:
        lines += [*_heading(name, kind, text), f"{name} {float(value)!r}"]
    return "\n".join(lines) + "\n"


def _heading(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
