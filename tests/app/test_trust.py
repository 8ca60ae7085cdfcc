"""The roots that a decoy's certificate may come from."""

from pathlib import Path

import pytest

from qnet.app.trust import RootsError, load_roots
from tests.support.tls_servers import Authority


def test_the_webs_roots() -> None:
    assert len(load_roots(None)) > 100


def test_a_test_networks_own_are_added(tmp_path: Path) -> None:
    authority = Authority()
    roots = load_roots(str(authority.write(tmp_path)))
    assert authority.certificate in roots and len(roots) == len(load_roots(None)) + 1


@pytest.mark.parametrize(
    "content", [None, b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RootsError, match=r"roots\.pem") as caught:
        load_roots(str(path))
    assert caught.value.exit_code == 66


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RootsError):
        load_roots(str(tmp_path))
