"""Chains: what is accepted, and by which error the rest is refused."""

import time
from datetime import timedelta

import pytest

from qnet.wire.tls import errors
from qnet.wire.tls.verify import ChainVerifier
from tests.support.tls_servers import Authority

DAY = timedelta(days=1)


@pytest.mark.parametrize("key", ["p256", "p384", "rsa", "ed25519"])
def test_good_chains(authority, key):
    verify = ChainVerifier([authority.certificate], time.time())
    verify([authority.issue("decoy.test", key=key).certificate], "decoy.test")


def test_surplus_certificates_do_no_harm(authority):
    verify = ChainVerifier([authority.certificate], time.time())
    chain = [authority.issue("decoy.test").certificate, Authority("other").certificate, authority.certificate]
    verify(chain, "decoy.test")


def test_wildcards_and_several_names(authority):
    verify = ChainVerifier([authority.certificate], time.time())
    chain = [authority.issue("*.decoy.test", "decoy.test").certificate]
    verify(chain, "www.decoy.test")
    verify(chain, "decoy.test")
    for name in ("a.b.decoy.test", "test", "decoy.test.evil.test", "", "not a name", "127.0.0.1"):
        with pytest.raises(errors.CertificateNameError):
            verify(chain, name)


@pytest.mark.parametrize(
    ("names", "start", "end", "trusted", "error"),
    [
        (("other.test",), -DAY, DAY, True, errors.CertificateNameError),
        (("decoy.test",), -9 * DAY, -DAY, True, errors.CertificateExpiredError),
        (("decoy.test",), DAY, 9 * DAY, True, errors.CertificateExpiredError),
        (("other.test",), -9 * DAY, -DAY, True, errors.CertificateExpiredError),
        (("decoy.test",), -DAY, DAY, False, errors.CertificateUntrustedError),
        (("other.test",), -DAY, DAY, False, errors.CertificateUntrustedError),
        (("decoy.test",), -9 * DAY, -DAY, False, errors.CertificateUntrustedError),
    ],
)
def test_refusals(authority, names, start, end, trusted, error):
    issuer = authority if trusted else Authority()  # the same name, another key
    verify = ChainVerifier([authority.certificate], time.time())
    with pytest.raises(errors.CertificateError) as raised:
        verify([issuer.issue(*names, valid_from=start, valid_until=end).certificate], "decoy.test")
    assert type(raised.value) is error


def test_no_roots_and_no_server_certificate(authority):
    certificate = authority.issue("decoy.test").certificate
    with pytest.raises(errors.CertificateUntrustedError):
        ChainVerifier([], time.time())([certificate], "decoy.test")
    with pytest.raises(errors.CertificateUntrustedError):
        ChainVerifier([authority.certificate], time.time())([authority.certificate], "decoy.test")


def test_long_chains(authority):
    certificate = authority.issue("decoy.test").certificate
    with pytest.raises(errors.CertificateError):
        ChainVerifier([authority.certificate], time.time())([certificate] * 17, "decoy.test")
