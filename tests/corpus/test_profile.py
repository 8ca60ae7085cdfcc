"""A profile from a recording: what answers what is found from the round trip."""

import json
from pathlib import Path

import zstandard

from qnet.wire.script import Profile
from tools.corpus.profile import HEADER, VERSIONS, build, rows
from tools.corpus.sites import site

TRIP = 0.1
NAME = 10
"""Bytes of www.site.test, Huffman coded."""
RECORDS = [
    (0.0, 1900, 22), (0.101, -122, 22), (0.101, -700, 23), (0.102, 53, 23), (0.103, 87, 23), (0.104, 463, 23),
    (0.202, -266, 23), (0.202, -266, 23), (0.203, -57, 23), (0.2038, 26, 23), (0.204, -26, 23),
    (0.210, -9000, 23), (0.250, 120, 23), (0.2501, 97, 23), (0.260, -4000, 23),
    (0.351, -800, 23), (0.352, -16401, 23), (0.360, 54, 23), (0.470, -700, 23),
]  # fmt: skip
PACKETS = [(0.203, -62), (0.204, -31), (0.208, -1448), (0.210, -1448)]
FLOW = {"name": "www.site.test", "octets": 1, "records": RECORDS, "packets": PACKETS}


def test_head_and_body_of_a_visit() -> None:
    found = rows(FLOW, "chromium")
    assert found is not None
    head, (up, down) = found
    assert head == [463 - NAME, [9000, 4000], 1, 400, 2, 100, 100, 200, 1]
    assert up == [[120 - NAME, 1, 0, 0, 400], [97 - NAME, 1, 0, 0, 1], [54, 0, 2, 2, 80]]
    assert down == [[800, 2, 0], [16401, 2, 0], [700, 3, 0]]


def test_nobody_asks_for_more_within_a_millisecond_of_what_has_come() -> None:
    found = rows(FLOW | {"records": [*RECORDS, (0.4704, 60, 23)]}, "chromium")
    assert found is not None
    assert found[1][0][-1] == [60, 0, 2, 2, 1104], "it follows the request before"


def test_a_record_waits_for_what_was_asked_before_it_began() -> None:
    records = [*RECORDS[:15], (0.2602, 60, 23), (0.351, -800, 23), (0.3605, -16401, 23)]
    before = sum(-size + HEADER for _, size, _ in records[:-1] if size < 0)
    packets = [(0.203, -62), (0.204, -31), (0.208, 93 - before), (0.352, -1448)]
    asked = []
    for seen in (packets, packets[:-1]):
        found = rows(FLOW | {"records": records, "packets": seen}, "chromium")
        assert found is not None
        asked.append(found[1][1][-1][1])
    assert asked == [2, 3], "where its packets are not known, its end counts"


def test_a_visit_that_cannot_serve_is_left_out() -> None:
    assert rows(FLOW | {"records": RECORDS[:5]}, "chromium") is None, "no request"
    assert rows(FLOW | {"records": RECORDS[:12]}, "chromium") is None, "one request only"
    small = [(at, -100 if size in (-9000, -4000) else size, kind) for at, size, kind in RECORDS]
    assert rows(FLOW | {"records": small}, "chromium") is None, "N2 has no room"


def test_a_recording_becomes_a_profile(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"
    lines = [{"arm": arm, "site": "site.test", "seconds": 1, "flows": [FLOW]} for arm in ("direct", "shaped", "direct")]
    recording.write_text("\n".join(json.dumps(line) for line in lines))
    profile = Profile.parse(zstandard.ZstdDecompressor().decompress(build([recording], 10, "firefox", least=5)))
    assert profile.version == VERSIONS["firefox"]
    assert [(len(heads), len(bodies)) for heads, bodies in profile.groups] == [(2, 2)]


def test_sites_are_the_same_for_the_same_seed_and_have_names_of_many_lengths() -> None:
    assert site(7) == site(7)
    assert len({len(site(seed).name) for seed in range(40)}) > 6
    assert min(len(site(seed).resources) for seed in range(40)) >= 4
