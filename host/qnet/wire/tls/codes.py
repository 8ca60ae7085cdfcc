"""Numbers of TLS 1.3 that this package acts upon (IANA TLS registries; RFC 8446 §4, RFC 8701 for GREASE)."""

from typing import Final

TLS_1_2: Final = 0x0303
TLS_1_3: Final = 0x0304

# Content types (RFC 8446 §5.1)
CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23

# Handshake types (RFC 8446 §4, RFC 8879)
CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
NEW_SESSION_TICKET: Final = 4
ENCRYPTED_EXTENSIONS: Final = 8
CERTIFICATE: Final = 11
CERTIFICATE_REQUEST: Final = 13
CERTIFICATE_VERIFY: Final = 15
FINISHED: Final = 20
KEY_UPDATE: Final = 24
COMPRESSED_CERTIFICATE: Final = 25
MESSAGE_HASH: Final = 254

# Extensions
SERVER_NAME: Final = 0
STATUS_REQUEST: Final = 5
SUPPORTED_GROUPS: Final = 10
EC_POINT_FORMATS: Final = 11
SIGNATURE_ALGORITHMS: Final = 13
ALPN: Final = 16
SIGNED_CERTIFICATE_TIMESTAMP: Final = 18
PADDING: Final = 21
EXTENDED_MASTER_SECRET: Final = 23
COMPRESS_CERTIFICATE: Final = 27
RECORD_SIZE_LIMIT: Final = 28
SESSION_TICKET: Final = 35
PRE_SHARED_KEY: Final = 41
EARLY_DATA: Final = 42
SUPPORTED_VERSIONS: Final = 43
COOKIE: Final = 44
PSK_KEY_EXCHANGE_MODES: Final = 45
CERTIFICATE_AUTHORITIES: Final = 47
OID_FILTERS: Final = 48
POST_HANDSHAKE_AUTH: Final = 49
SIGNATURE_ALGORITHMS_CERT: Final = 50
KEY_SHARE: Final = 51
RENEGOTIATION_INFO: Final = 0xFF01
ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D
APPLICATION_SETTINGS: Final = (0x44CD, 0x4469)
"""ALPS, new and old code point: both browsers of the Chromium family answer the one the server echoes."""

# Named groups
SECP256R1: Final = 0x0017
SECP384R1: Final = 0x0018
SECP521R1: Final = 0x0019
X25519: Final = 0x001D
X25519_MLKEM768: Final = 0x11EC

GREASE: Final = tuple(0x0A0A + 0x1010 * i for i in range(16))
_GREASE_SET: Final = frozenset(GREASE)


def is_grease(value: int) -> bool:
    """Whether ``value`` is one of the sixteen reserved 16-bit values of RFC 8701."""
    return value in _GREASE_SET
