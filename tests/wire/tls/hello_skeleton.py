"""What is left of a hello when everything that differs between two hellos of one browser is taken away."""

from qnet.wire.tls import codes
from qnet.wire.tls.codec import Reader, u16, u16_list
from qnet.wire.tls.hello import ClientHello

ECH_PAYLOADS = {144, 176, 208, 240}


def degrease(values: list[int]) -> list[int]:
    """Every GREASE value as the same one."""
    return [codes.GREASE[0] if codes.is_grease(value) else value for value in values]


def skeleton(hello: ClientHello) -> tuple[object, ...]:
    """Everything of a hello that is equal in one browser's first hellos, or in those that resume with such a ticket."""
    bodies = [(degrease([kind])[0], part(hello, kind, body)) for kind, body in hello.extensions]
    boringssl = codes.is_grease(bodies[0][0])
    tail = bodies[-1:]
    if tail[0][0] == codes.PRE_SHARED_KEY and boringssl:
        tail = bodies[-2:]
    return (
        hello.legacy_version,
        len(hello.random),
        len(hello.session_id),
        degrease(hello.cipher_suites),
        hello.compression,
        (bodies[0], sorted(map(repr, bodies[1 : -len(tail)])), tail) if boringssl else bodies,
    )


def part(hello: ClientHello, kind: int, body: bytes) -> object:
    """The constant part of one extension's body."""
    match kind:
        case codes.SERVER_NAME:
            return None
        case codes.SUPPORTED_GROUPS | codes.SIGNATURE_ALGORITHMS:
            return degrease(u16_list(body))
        case codes.SUPPORTED_VERSIONS:
            return body[:1], degrease(u16_list(body[1:]))
        case codes.KEY_SHARE:
            shares = hello.key_shares()
            groups = degrease(hello.code_list(codes.SUPPORTED_GROUPS))
            same_grease = [group for group in shares if codes.is_grease(group)] == [
                group for group in hello.code_list(codes.SUPPORTED_GROUPS) if codes.is_grease(group)
            ]
            reused = shares[codes.X25519_MLKEM768][-32:] == shares[codes.X25519]
            return groups, [(degrease([group]), len(key)) for group, key in shares.items()], same_grease, reused
        case codes.ENCRYPTED_CLIENT_HELLO:
            length = len(body) - 42
            assert body[40:42] == u16(length)
            assert body[3:5] in (b"\0\1", b"\0\3")
            return body[:3], body[6:8], "chosen" if length in ECH_PAYLOADS else length
        case codes.PRE_SHARED_KEY:
            reader = Reader(body)
            identities, binders = reader.vector(2), reader.vector(2)
            reader.finish()
            return len(identities), len(binders), identities[:2], binders[:1]
    return body
