"""One certificate authority and one server credential for all TLS tests of a run."""

import pytest
from cryptography import x509

from tests.support.tls_servers import Authority, Credential
from tests.wire.tls.peers import NAME


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Whom the clients trust."""
    return Authority()


@pytest.fixture(scope="session")
def credential(authority: Authority) -> Credential:
    """A good P-256 certificate for the name that the clients ask for."""
    return authority.issue(NAME)


@pytest.fixture(scope="session")
def roots(authority: Authority) -> list[x509.Certificate]:
    """What the clients trust."""
    return [authority.certificate]
