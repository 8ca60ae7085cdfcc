"""What EncryptedExtensions and a ServerHello after a HelloRetryRequest may say."""

import pytest

from qnet.wire.tls import codes, errors
from qnet.wire.tls.answers import ServerParameters, application_settings, check_server_hello, pull_encrypted_extensions
from qnet.wire.tls.codec import handshake_message, push_extensions, u16, vector
from qnet.wire.tls.hello import RETRY_RANDOM, ServerHello
from tests.wire.tls.peers import draft

HELLO = draft("firefox").hello  # offers record_size_limit
H2 = (codes.ALPN, b"\x00\x03\x02h2")


def encrypted_extensions(*extensions: tuple[int, bytes]) -> bytes:
    return handshake_message(codes.ENCRYPTED_EXTENSIONS, vector(2, push_extensions(list(extensions))))


@pytest.mark.parametrize(("announced", "content"), [(64, 63), (1000, 999), (16385, 16384)])
def test_record_size_limit(announced, content):
    message = encrypted_extensions(H2, (codes.RECORD_SIZE_LIMIT, u16(announced)))
    assert pull_encrypted_extensions(message, HELLO) == ServerParameters(b"h2", None, content)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (u16(63), errors.IllegalParameterError),
        (u16(16386), errors.IllegalParameterError),
        (b"\1", errors.DecodeError),
        (b"\1\0\0", errors.DecodeError),
    ],
)
def test_bad_record_size_limit(body, error):
    with pytest.raises(error):
        pull_encrypted_extensions(encrypted_extensions((codes.RECORD_SIZE_LIMIT, body)), HELLO)


def test_nothing_settled():
    parameters = pull_encrypted_extensions(encrypted_extensions(), HELLO)
    assert parameters == ServerParameters(None, None, 16384)
    assert application_settings(parameters) == b""


def test_ech_retry_configs_are_ignored_by_who_only_greases():
    message = encrypted_extensions(H2, (codes.ENCRYPTED_CLIENT_HELLO, b"\0\4\xfe\x0d\0\0"))
    assert pull_encrypted_extensions(message, HELLO).alpn == b"h2"


@pytest.mark.parametrize("names", [b"\x00\x08\x02h2\x05other", b"\x00\x03\x02h3", b"\x00\x06\x02h2\x02h2", b"\x00\x00"])
def test_bad_protocol(names):
    with pytest.raises(errors.TlsError):
        pull_encrypted_extensions(encrypted_extensions((codes.ALPN, names)), HELLO)


def server_hello(random: bytes = bytes(32), suite: int = 0x1301, **changes: object) -> ServerHello:
    extensions = {codes.SUPPORTED_VERSIONS: b"\3\4", codes.KEY_SHARE: u16(codes.SECP384R1)}
    hello = ServerHello(0x0303, random, HELLO.session_id, suite, 0, extensions)
    for name, value in changes.items():
        setattr(hello, name, value)
    return hello


def test_the_suite_stays_after_a_retry():
    retry = server_hello(RETRY_RANDOM)
    check_server_hello(server_hello(), HELLO, retry)
    with pytest.raises(errors.IllegalParameterError):
        check_server_hello(server_hello(suite=0x1302), HELLO, retry)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"legacy_version": 0x0304}, errors.IllegalParameterError),
        ({"cipher_suite": 0xC02B}, errors.IllegalParameterError),  # offered, but for TLS 1.2
        ({"extensions": {codes.SUPPORTED_VERSIONS: b"\3\3"}}, errors.IllegalParameterError),
        ({"extensions": {codes.SUPPORTED_VERSIONS: b"\3"}}, errors.DecodeError),
        ({"extensions": {codes.SUPPORTED_VERSIONS: b"\3\4"}}, errors.MissingExtensionError),
        ({"extensions": {}}, errors.UnsupportedVersionError),
        ({"extensions": {codes.SUPPORTED_VERSIONS: b"\3\4", codes.COOKIE: b""}}, errors.UnsupportedExtensionError),
    ],
)
def test_bad_server_hello(changes, error):
    with pytest.raises(errors.TlsError) as raised:
        check_server_hello(server_hello(**changes), HELLO, None)
    assert type(raised.value) is error
