"""HelloRetryRequest: what it may ask for, and the second ClientHello (RFC 8446 §4.1.2, §4.1.4).

As both browser families do it, only key_share changes (to one share, without GREASE) and a cookie is echoed.
"""

from dataclasses import replace

from qnet.wire.steps import Entropy
from qnet.wire.tls import codes
from qnet.wire.tls.codec import Reader, u16, vector
from qnet.wire.tls.errors import IllegalParameterError
from qnet.wire.tls.hello import ClientHello, ServerHello
from qnet.wire.tls.keyshare import KeyShares
from qnet.wire.tls.template import draw


def retry_hello(hello: ClientHello, request: ServerHello, keys: KeyShares, entropy: Entropy) -> ClientHello:
    """The second hello, without pre_shared_key, which is to be bound anew.

    Raises ``IllegalParameterError`` for a request that the RFC forbids.

    Raises ``UnsupportedGroupError`` for a group that the browser offers and we do not implement (FFDHE).
    """
    group = request.retry_group
    cookie = request.extensions.get(codes.COOKIE)
    if group is None and cookie is None:
        raise IllegalParameterError("a HelloRetryRequest that asks for no change")
    extensions = [pair for pair in hello.extensions if pair[0] != codes.PRE_SHARED_KEY]
    if group is not None:
        offered = hello.code_list(codes.SUPPORTED_GROUPS)
        if group not in offered or group in hello.key_shares():
            raise IllegalParameterError(f"a HelloRetryRequest for group {group:#06x}")
        share = vector(2, u16(group) + vector(2, keys.public(group)))
        extensions = [(kind, share if kind == codes.KEY_SHARE else body) for kind, body in extensions]
    if cookie is not None:
        reader = Reader(cookie)
        reader.vector(2, 1)
        reader.finish()
        extensions.insert(_cookie_position(extensions, entropy), (codes.COOKIE, cookie))
    return replace(hello, extensions=extensions)


def _cookie_position(extensions: list[tuple[int, bytes]], entropy: Entropy) -> int:
    """BoringSSL permutes the cookie among the others between its two GREASE; NSS has it after the algorithms."""
    kinds = [kind for kind, _ in extensions]
    if codes.is_grease(kinds[0]):
        return 1 + draw(entropy, len(kinds) - 1)
    return kinds.index(codes.SIGNATURE_ALGORITHMS) + 1 if codes.SIGNATURE_ALGORITHMS in kinds else len(kinds)
