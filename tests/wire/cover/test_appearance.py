"""What a browser says first, against what the browsers were seen to say."""

import pytest

from qnet.wire.cover.answer import Answer
from qnet.wire.cover.appearance import APPEARANCES, PREFACE_MAGIC, has_settings, request

HEADLESS = 5
"""Bytes by which a headless Chromium's user-agent is longer (Huffman coded)."""


@pytest.mark.parametrize(
    ("browser", "host", "size"),
    # Measured at port 443 in front of nginx, Chromium 156 headless and Firefox 153.
    [
        ("chromium", "decoy.test", 459 - HEADLESS),
        ("chromium", "www.wikipedia.org", 465 - HEADLESS),
        ("chromium", "a-much-longer-name.example.test", 474 - HEADLESS),
        ("firefox", "decoy.test", 312),
    ],
)
def test_first_requests_have_the_browsers_sizes(browser: str, host: str, size: int) -> None:
    assert APPEARANCES[browser].request_body(host) == size


@pytest.mark.parametrize("browser", APPEARANCES)
def test_prefaces(browser: str) -> None:
    preface = APPEARANCES[browser].preface()
    assert len(preface) + 17 == 87
    assert has_settings(preface.removeprefix(PREFACE_MAGIC))
    Answer(4096).receive(preface.removeprefix(PREFACE_MAGIC))


@pytest.mark.parametrize("host", ["a.de", "x" * 63 + "." + "y" * 63 + ".example"])
def test_a_genuine_request_fits_into_its_record(host: str) -> None:
    for look in APPEARANCES.values():
        assert len(request(host)) + 17 <= look.request_body(host)
