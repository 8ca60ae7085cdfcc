"""The status as lines of text, for ``qnet status`` and ``/status.txt``."""

import time

from qnet.wire.messages import ExitCounts, Hop, Status

_UNITS = ("B", "kB", "MB", "GB", "TB")


def describe(status: Status, now: float) -> str:
    """The status as lines for a person; ``now`` in unix seconds."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.since))
    rates, traffic = status.rates, status.traffic
    lines = [
        ("state", f"{status.state} since {since}{', resting' if status.resting else ''}"),
        ("mode", f"{status.mode} (version {status.version}), up {duration(now - status.started)}"),
        ("way", " → ".join(map(_hop, status.hops)) or "none"),
        ("peers", f"{status.peers} known, {status.circuits} circuits, {status.streams} streams"),
        ("traffic", f"{traffic.up} bytes up, {traffic.down} bytes down, rebuilt {status.reconnection_attempts} times"),
        ("rate", f"{size(rates.up)}/s up, {size(rates.down)}/s down; last minute {size(rates.up_60)}/s, "
                 f"{size(rates.down_60)}/s"),
    ]  # fmt: skip
    if status.exit is not None:
        lines += _exit(status.exit)
    if status.last_error is not None:
        place = f"{status.last_error.place}: " if status.last_error.place else ""
        lines.append(("last error", f"{place}{status.last_error.message}. {status.last_error.hint}".rstrip()))
    return "\n".join(f"{name:11}{text}" for name, text in lines)


def _exit(counts: ExitCounts) -> list[tuple[str, str]]:
    carried = counts.traffic.up + counts.traffic.down
    return [
        ("exit", f"{counts.requests} asked for, {counts.success} connected, {counts.blocked} refused by policy, "
                 f"{counts.limited} by limits"),
        ("carried", f"{size(carried)} since the start, {size(counts.month_bytes)} this month"),
    ]  # fmt: skip


def _hop(hop: Hop) -> str:
    notes = [note for note in (hop.country, "exit" if hop.exit else "") if note]
    return f"{hop.nickname} ({', '.join(notes)})" if notes else hop.nickname


def duration(seconds: float) -> str:
    """Days, hours and minutes; under a minute, seconds."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    return " ".join(f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count)


def size(count: float) -> str:
    """Bytes in decimal units, three digits at least."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
