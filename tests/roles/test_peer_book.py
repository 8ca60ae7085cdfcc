"""The book of peers: what is usable in it, whatever else lies there."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnet.roles.peer_book import JoinError, PeerBook
from qnet.settings import replace_file
from qnet.wire.descriptor import LIMIT, Descriptor, sign

NOW = 1_800_000_000
KEY = b"k" * 32


def signed(identity: Ed25519PrivateKey | None = None, *, issued: int = NOW, expires: int = NOW + 99) -> bytes:
    identity = identity or Ed25519PrivateKey.generate()
    public = identity.public_key().public_bytes_raw()
    return sign(
        Descriptor(public, KEY, KEY, KEY, ("192.0.2.1:443",), "decoy.test", ("exit",), issued, expires), identity
    )


@pytest.fixture
def book(tmp_path: Path) -> PeerBook:
    return PeerBook(tmp_path / "data" / "peers")


def test_no_folder_is_no_peers(book: PeerBook) -> None:
    assert book.peers(NOW) == []


def test_joining_twice_keeps_one_private_file(book: PeerBook, tmp_path: Path) -> None:
    source = tmp_path / "invitation"
    identity = Ed25519PrivateKey.generate()
    for issued in (NOW - 5, NOW):
        source.write_bytes(signed(identity, issued=issued))
        joined = book.join(source, NOW)
    files = list(book.folder.iterdir())
    assert len(files) == 1 and stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(book.folder.stat().st_mode) == 0o700
    assert book.peers(NOW) == [joined]


def test_an_older_descriptor_does_not_replace_a_newer_one(book: PeerBook, tmp_path: Path) -> None:
    source = tmp_path / "invitation"
    identity = Ed25519PrivateKey.generate()
    source.write_bytes(signed(identity, issued=NOW))
    joined = book.join(source, NOW)
    source.write_bytes(signed(identity, issued=NOW - 5))
    with pytest.raises(JoinError, match="older"):
        book.join(source, NOW)
    assert book.peers(NOW) == [joined]


def test_what_cannot_be_used_is_passed_over_and_kept(book: PeerBook) -> None:
    book.folder.mkdir(parents=True)
    good = signed()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    contents = {
        "good": good, "empty": b"", "garbage": os.urandom(500), "short": good[:-1], "long": good + b"\0",
        "tampered": bytes(flipped), "expired": signed(expires=NOW), "future": signed(issued=NOW + 121),
        "huge": good + bytes(LIMIT), "deep": b"\x81" * 3000,
    }  # fmt: skip
    for name, content in contents.items():
        (book.folder / f"{name}.qnet").write_bytes(content)
    (book.folder / "folder.qnet").mkdir()
    (book.folder / "dangling.qnet").symlink_to("nowhere")
    (book.folder / "notes.txt").write_bytes(good)
    assert len(book.peers(NOW)) == 1
    assert len(list(book.folder.iterdir())) == len(contents) + 3


@given(data=st.binary(max_size=5000), cut=st.integers(0, 250))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_is_a_peer_or_none(book: PeerBook, data: bytes, cut: int) -> None:
    book.folder.mkdir(parents=True, exist_ok=True)
    (book.folder / "a.qnet").write_bytes(data)
    (book.folder / "b.qnet").write_bytes(signed()[:cut] + data)
    assert book.peers(NOW) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "not a QNet descriptor"),
        (bytes(LIMIT * 3), "not a QNet descriptor"),
        (signed(expires=NOW), "has expired"),
        (signed(issued=NOW + 500), "not a QNet descriptor"),
    ],
    ids=["missing", "empty", "oversized", "expired", "future"],
)
def test_what_cannot_be_joined_says_why(book: PeerBook, tmp_path: Path, content: bytes | None, says: str) -> None:
    source = tmp_path / "invitation"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(JoinError, match=says) as caught:
        book.join(source, NOW)
    assert caught.value.exit_code == 65 and caught.value.hint
    assert not book.folder.exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in its place")
    source = tmp_path / "invitation"
    source.write_bytes(signed())
    with pytest.raises(JoinError, match="cannot be written"):
        PeerBook(tmp_path / "data" / "peers").join(source, NOW)


def test_a_private_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(TypeError):
        replace_file(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
