"""ClientHello and ServerHello: vectors, round trips, bounds."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.errors import RemoteError
from qnet.wire.tls import codes
from qnet.wire.tls.codec import handshake_message, vector
from qnet.wire.tls.errors import DecodeError, IllegalParameterError
from qnet.wire.tls.hello import ClientHello, ServerHello, truncated_before_binders
from tests.wire.tls.peers import BROWSERS, TEMPLATES

MESSAGES = {browser: (TEMPLATES / f"{browser}.hello").read_bytes()[5:] for browser in BROWSERS}


def hello(*extensions: tuple[int, bytes]) -> ClientHello:
    return ClientHello(0x0303, bytes(range(32)), bytes(32), [0x1301], b"\0", list(extensions))


@pytest.mark.parametrize("browser", BROWSERS)
def test_captures_survive_a_round_trip(browser):
    parsed = ClientHello.parse(MESSAGES[browser])
    assert parsed.message() == MESSAGES[browser]
    assert parsed.server_name() == "example.test"
    assert parsed.protocols() == [b"h2", b"http/1.1"]
    assert len(parsed.key_shares()[codes.X25519_MLKEM768]) == 1216


@pytest.mark.parametrize("browser", BROWSERS)
def test_every_cut_and_every_surplus_is_refused(browser):
    message = MESSAGES[browser]
    for end in range(len(message)):
        with pytest.raises(DecodeError):
            ClientHello.parse(message[:end])
    with pytest.raises(DecodeError):
        ClientHello.parse(message + b"\0")


@given(
    st.builds(
        ClientHello,
        legacy_version=st.integers(0, 0xFFFF),
        random=st.binary(min_size=32, max_size=32),
        session_id=st.binary(max_size=32),
        cipher_suites=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=20),
        compression=st.binary(min_size=1, max_size=255),
        extensions=st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=50)).map(lambda d: list(d.items())),
    )
)
def test_round_trip(made):
    assert ClientHello.parse(made.message()) == made


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0", b"\0\1\0", b"\0\3\0\0\0", b"\0\4\1\0\1a", b"\0\4\0\0\1\xff", b"\0\4\0\0\1a\0", b"\0\5\0\0\1ab"],
)
def test_bad_server_name(body):
    with pytest.raises(DecodeError):
        hello((codes.SERVER_NAME, body)).server_name()


def test_absent_extensions():
    assert hello().server_name() is None
    assert hello().key_shares() == {}
    assert hello().protocols() == []
    assert hello().code_list(codes.SUPPORTED_GROUPS) == []


@pytest.mark.parametrize(
    "body", [b"", b"\0\1\0", b"\0\4\0\x1d\0\0", b"\0\4\0\x1d\0\1", vector(2, b"\0\x1d\0\1x" * 2), b"\0\5\0\x1d\0\1xy"]
)
def test_bad_key_shares(body):
    with pytest.raises(DecodeError):
        hello((codes.KEY_SHARE, body)).key_shares()


def test_the_same_extension_twice():
    with pytest.raises(IllegalParameterError):
        ClientHello.parse(hello((5, b"a"), (5, b"b")).message())


def psk(identity: bytes, binder: bytes) -> bytes:
    return vector(2, vector(2, identity) + bytes(4)) + vector(2, vector(1, binder))


def test_truncation():
    message = hello((5, b"a"), (codes.PRE_SHARED_KEY, psk(b"ticket", bytes(32)))).message()
    assert truncated_before_binders(message) == message[:-35]
    plain = hello((5, b"a")).message()
    assert truncated_before_binders(plain) == plain
    with pytest.raises(DecodeError):
        truncated_before_binders(hello((codes.PRE_SHARED_KEY, psk(b"ticket", bytes(32))), (5, b"a")).message())
    with pytest.raises(DecodeError):
        truncated_before_binders(hello((codes.PRE_SHARED_KEY, b"\0\1x\0\0")).message())


def test_server_hello_of_tls_1_2_without_extensions():
    body = b"\x03\x03" + bytes(32) + b"\0\xc0\x2f\0"
    parsed = ServerHello.parse(handshake_message(codes.SERVER_HELLO, body))
    assert parsed.selected_version == 0x0303
    assert parsed.key_share is None
    assert parsed.retry_group is None


def use(parsed: ClientHello) -> None:
    parsed.server_name(), parsed.key_shares(), parsed.protocols()
    parsed.code_list(codes.SUPPORTED_GROUPS), parsed.code_list(codes.SUPPORTED_VERSIONS, 1)
    truncated_before_binders(parsed.message())


def use_server(parsed: ServerHello) -> None:
    _ = (parsed.is_hello_retry_request, parsed.selected_version, parsed.resumed)
    _ = parsed.retry_group if parsed.is_hello_retry_request else parsed.key_share


@given(st.binary(max_size=400), st.sampled_from([codes.CLIENT_HELLO, codes.SERVER_HELLO]), st.booleans())
def test_a_value_or_a_remote_error(data, kind, framed):
    message = handshake_message(kind, data) if framed else data
    try:
        if kind == codes.CLIENT_HELLO:
            use(ClientHello.parse(message))
        else:
            use_server(ServerHello.parse(message))
    except RemoteError:
        pass


@given(st.sampled_from(BROWSERS), st.integers(0, 2000), st.binary(min_size=1, max_size=6))
def test_a_damaged_capture_gives_a_value_or_a_remote_error(browser, position, junk):
    damaged = bytearray(MESSAGES[browser])
    damaged[position : position + len(junk)] = junk
    with contextlib.suppress(RemoteError):
        use(ClientHello.parse(bytes(damaged)))
