"""Profiles, and the scripts that are made of them."""

import os
import random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.app.profile import load_profile, load_profiles
from qnet.wire.cbor import encode
from qnet.wire.channel import MAX_BODY, MIN_BODY, TAG
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.script import MAX_NAME, Profile, ProfileError, Script
from qnet.wire.shaping import PATIENCE
from tests.support.scripts import DOWN, HEAD, NAME, TINY, UP


def played(script: Script) -> tuple[list[int], list[int]]:
    """Both sides at work with nothing to say, on a way without delay: the sizes up and down, from N1 on."""
    client, peer = script.both(0.0)
    up: list[int] = []
    down: list[int] = []
    now = 0.0
    while not (client.finished and peer.finished):
        moved = False
        for speaker, listener, sizes in ((client, peer, up), (peer, client, down)):
            while (plain := speaker.take(now)) is not None:
                assert isinstance(plain, bytes)
                sizes.append(len(plain) + TAG)
                listener.heard(1, now)
                moved = True
        timers = [due for each in (client, peer) if (due := each.next_timer()) is not None]
        if not moved and timers:
            now = max(now, min(timers))
    assert now < PATIENCE * 2, "nobody had to give up waiting"
    return up, down


def test_a_script_is_the_same_at_both_ends_and_differs_from_link_to_link() -> None:
    profile = load_profile("chromium")
    one, two = os.urandom(10), os.urandom(10)
    assert profile.script(one, NAME) == profile.script(one, NAME) != profile.script(two, NAME)


def test_the_bundled_profiles_are_of_their_browsers() -> None:
    assert len(load_profiles()) == len(APPEARANCES)
    for family, look in APPEARANCES.items():
        assert abs(load_profile(family).least - look.request_base) < 8, "other languages, a few bytes"


@pytest.mark.parametrize("family", APPEARANCES)
def test_every_script_of_a_bundled_profile_plays_to_its_end(family: str) -> None:
    profile = load_profile(family)
    for number in range(300):
        script = profile.script(number.to_bytes(10, "big"), NAME)
        up, down = played(script)
        assert up == [step.size for step in script.up]
        assert down == [step.size for step in script.down]
        assert all(MIN_BODY <= size <= MAX_BODY for size in (*up, *down))


def test_sizes_that_name_a_file_vary_and_those_of_the_protocol_do_not() -> None:
    profile = Profile.parse(encode(TINY))
    scripts = [profile.script(bytes([number]), NAME) for number in range(100)]
    assert {script.up[0].size for script in scripts} == {452 + NAME}
    assert {script.up[1].size for script in scripts} == {103 + NAME}
    assert {script.up[2].size for script in scripts} == {60}
    assert {script.down[1].size for script in scripts} == {500}
    assert len({script.down[0].size for script in scripts}) > 50
    assert {script.down[3].size for script in scripts} == {MAX_BODY}


def test_a_visitor_with_a_cookie_has_it_in_every_request() -> None:
    more = [[[800, *HEAD[1:]]], [[pack(">5H", 700, 1, 0, 0, 100), DOWN]]]
    profile = Profile.parse(encode(TINY | {1: [*TINY[1], more]}))
    scripts = [profile.script(bytes([number]), NAME) for number in range(100)]
    assert {(script.up[0].size > 500, script.up[1].size > 500) for script in scripts} == {(False, False), (True, True)}


def test_a_visit_goes_on_as_others_do_that_are_alike_up_to_there() -> None:
    """Bodies of twenty rows with pauses of their own, the tenth unusual in half of them."""
    bodies = []
    for number in range(8):
        sizes = [103, *[53] * 9, 53 if number % 2 else 90, *[53] * 9]
        up = b"".join(pack(">5H", size, row == 0, 0, row, number) for row, size in enumerate(sizes))
        bodies.append([up, b"".join(pack(">3H", 900 + number, row, 0) for row in range(1, 21))])
    profile = Profile.parse(encode(TINY | {1: [[[HEAD], bodies]]}))
    (_, made), mixed = profile.groups[0], 0
    for number in range(50):
        up, down = made.spliced(random.Random(number).randbytes)
        sizes = [size for size, *_ in up]
        unusual = sizes.index(90) if 90 in sizes else len(sizes)
        assert all(wait % 2 == up[-1][4] % 2 for *_, wait in up[unusual + 1 :]), "nobody else has said that"
        assert sizes.count(90) <= 1, "and it is said once"
        assert [asked for _, asked, _ in down] == list(range(1, len(up) + 1)), "each has its answer"
        assert [beyond for _, _, _, beyond, _ in up] == list(range(len(up))), "nobody waits for the own answer"
        assert [size for size, *_ in down] == [900 + wait for *_, wait in up], "the answers are the visit's"
        mixed += len({wait for *_, wait in up}) > 3
    assert mixed > 25


def test_visits_that_go_on_as_each_other_may_have_said_a_little_more_or_less() -> None:
    up = b"".join(pack(">5H", 53, row == 0, 0, 0, 0) for row in range(20))
    bodies = [[up, b"".join(pack(">3H", 900 + number, 20, 0) for _ in range(number))] for number in (1, 2)]
    made = Profile.parse(encode(TINY | {1: [[[HEAD], bodies]]})).groups[0][1]
    lengths = set()
    for number in range(50):
        rows, answers = made.spliced(random.Random(number).randbytes)
        lengths.add(len(rows))
        assert {(size, asked) for size, asked, _ in answers} == {(900 + len(answers), len(rows))}
    assert len(lengths) > 2


def test_the_longest_name_has_room() -> None:
    long = TINY | {1: [[[HEAD], [[pack(">5H", MAX_BODY - 1, 1, 0, 0, 0), DOWN]]]]}
    script = Profile.parse(encode(long)).script(b"1", MAX_NAME)
    assert [script.up[0].size, script.up[1].size] == [452 + MAX_NAME, MAX_BODY]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        encode([]),
        encode({0: 1}),
        encode(TINY | {0: 0}),
        encode(TINY | {0: 256}),
        encode(TINY | {1: []}),
        encode(TINY | {1: [[[HEAD], []]]}),
        encode(TINY | {1: [[[], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP, DOWN]]], [[], []]]}),
        encode(TINY | {1: [[[[452, [MAX_BODY + 1], 1, 0, 0, 0, 0, 1]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[[452, [MIN_BODY - 1], 1, 0, 0, 0, 0, 1]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[[MAX_BODY, [3000], 1, 0, 0, 0, 0, 1]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[[452, [], 1, 0, 0, 0, 0, 1]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[[452, [3000], 1, -1, 0, 0, 0, 1]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[[452, [3000], 1, 0, 0, 0, 0]], [[UP, DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[pack(">5H", 120, 0, 0, 4097, 0), DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[pack(">5H", MIN_BODY - 1, 0, 0, 0, 0), DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP, pack(">3H", MAX_BODY + 1, 1, 0)]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP, pack(">3H", MAX_BODY, 0, 0)]]]]}),
        encode(TINY | {1: [[[HEAD], [[b"", DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP, b""]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP[:-2], DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [[UP[:-1], DOWN]]]]}),
        encode(TINY | {1: [[[HEAD], [["up", DOWN]]]]}),
    ],
)
def test_a_damaged_profile_is_refused(content: bytes) -> None:
    with pytest.raises(ProfileError):
        Profile.parse(content)


@given(st.binary(max_size=300))
def test_any_profile_is_one_or_refused(content: bytes) -> None:
    with pytest.raises(ProfileError):
        Profile.parse(content)
