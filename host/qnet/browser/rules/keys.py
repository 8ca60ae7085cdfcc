"""Rules that need no search: a name, a domain or an address range is one key, and a host has few keys that can match.

    =www.example.org    this very host (kind ``host``)
    example.org         the domain and all below it (kind ``domain``)
    /4110000001010      the addresses that begin with these bits; 4 or 6 for the kind of address

``keys_of(host)`` lists a host's keys from the narrowest to the widest. The engine in ``decide.js`` does the same.
"""

import ipaddress
from collections.abc import Iterator

from qnet.wire.messages import Rule, RuleKind


def key_of(rule: Rule) -> str | None:
    """The one key of a checked rule, or None where it must be tried against each host."""
    if rule.port:
        return None
    match rule.kind:
        case RuleKind.CIDR:
            address, _, length = rule.pattern.partition("/")
            return "/" + bits_of(address)[: 1 + int(length)]
        case RuleKind.DOMAIN | RuleKind.HOST:
            # An address is the narrowest range.
            if bits := bits_of(rule.pattern):
                return "/" + bits
            return rule.pattern if rule.kind is RuleKind.DOMAIN else "=" + rule.pattern
    return None


def keys_of(host: str) -> Iterator[str]:
    """Every key that could match a canonical host, the narrowest first."""
    if bits := bits_of(host):
        for length in range(len(bits), 0, -1):
            yield "/" + bits[:length]
        return
    yield "=" + host
    yield from domains_of(host)


def wider(key: str) -> Iterator[str]:
    """The keys that match whatever ``key`` matches, the narrowest first, itself included."""
    if key[0] == "/":
        for length in range(len(key), 1, -1):
            yield key[:length]
        return
    if key[0] == "=":
        yield key
        key = key[1:]
    yield from domains_of(key)


def domains_of(name: str) -> Iterator[str]:
    """The name and the domains that it is in."""
    yield name
    while (dot := name.find(".")) >= 0:
        name = name[dot + 1 :]
        yield name


def bits_of(host: str) -> str:
    """``4`` or ``6`` and the address in binary, or nothing where a canonical host is a name."""
    if ":" in host:
        return f"6{int(ipaddress.IPv6Address(host)):0128b}"
    if host[-1:].isdigit() and host.rpartition(".")[2].isdigit():
        return f"4{int(ipaddress.IPv4Address(host)):032b}"
    return ""
