"""The classifiers see what is there, and nothing where nothing is."""

import random
from dataclasses import replace

import pytest

from tools.corpus.score import ACK, PACKETS, RECORDS, Sample, by_arm, pack, read, sample_of, score


def samples(arm: str, upload: int, count: int = 90) -> list[Sample]:
    """Loads that differ by chance, and by what is sent third."""
    rng = random.Random(arm)
    made = []
    for number in range(count):
        events = [(0.001, 87), (0.002, 463), (0.05, rng.choice((53, 54, upload)))]
        events += [(0.1 + at / 100, rng.choice((53, -1400, -16401))) for at in range(60)]
        made.append(Sample(arm, f"site{number % 15}", events, events, (1.0, 2.0, 3.0), 1.0))
    return made


@pytest.mark.parametrize("task", ["encapsulation", "boosted"])
def test_like_and_unlike(task: str) -> None:
    same = score(samples("direct", 54), samples("tunnel", 54), task)
    assert same.auc < 0.65
    hello = [(0.05, 1949)] * 3
    other = [
        replace(each, packets=[*each.packets[:2], *hello], records=[*each.records[:2], *hello])
        for each in samples("tunnel", 54)
    ]
    assert score(samples("direct", 54), other, task).auc > 0.95


def test_a_corpus_survives_being_packed(tmp_path) -> None:
    path = tmp_path / "corpus.jsonl.xz"
    path.write_bytes(pack([*samples("direct", 54, 3), *samples("tunnel", 1949, 2)]))
    arms = by_arm(read(path))
    assert {arm: len(each) for arm, each in arms.items()} == {"direct": 3, "tunnel": 2}
    assert len(arms["direct"][0].records) == RECORDS and len(arms["direct"][0].packets) == PACKETS
    assert arms["direct"][0].records[0] == [0.001, 87]


def test_the_handshake_and_what_the_decoy_itself_says_are_left_out() -> None:
    records = [(0.0, 1900, 22), (0.1, -122, 22), (0.1, -700, 23), (0.2, 53, 23), (0.21, 87, 23), (0.22, 463, 23)]
    records += [(0.3, -266, 23), (0.3, -266, 23), (0.3, -57, 23), (0.31, ACK, 23), (0.32, -9000, 23)]
    flow = {"name": "decoy.test", "octets": 5, "records": records, "packets": [(at, size) for at, size, _ in records]}
    sample = sample_of({"arm": "shaped", "site": "s", "seconds": 1.0, "flows": [flow]})
    assert sample is not None
    assert [size for _, size in sample.records] == [87, 463, ACK, -9000]
    assert sample_of({"arm": "direct", "site": "s", "seconds": 1.0, "flows": [flow]}) is None
