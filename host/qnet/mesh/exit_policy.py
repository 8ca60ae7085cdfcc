"""What an exit connects to: decided on the resolved address, never on the name alone.

Refused always, in every form that an address can take (RFC 6890 and its registries): this host, private, link-local
(with the clouds' metadata service), carrier-grade NAT, documentation, benchmark, multicast and reserved ranges, and
whatever reaches them through an IPv6 transition: mapped, NAT64, 6to4, Teredo, ISATAP. Of IPv6 only 2000::/3 is public
(RFC 4291); what else some network routes, for example to its own mesh, is not the internet. An address that carries
another is refused when either is.
"""

import ipaddress
from collections.abc import Collection, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "168.63.129.16/32",  # Azure's service for its own machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/3",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "4000::/2",
        "8000::/1",
    )
)
# Not 64:ff9b:1::/48: where an IPv4 address lies in that one is for each network to decide (RFC 8215).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an interface identifier whose lower half is an IPv4 address (RFC 5214, 6.1)."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Destinations that the general rule does not decide about; at any ``port`` if it is None."""

    network: Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in (None, port)


@dataclass(frozen=True, slots=True)
class ExitPolicy:
    """``mapped``: (host, port) → (address, port), for names of test networks. ``only``: nothing but allowances.

    ``denied``: destinations refused before all else, because somebody asked for it.
    ``own``: addresses that lead back to this exit although its machine does not have them (behind NAT).
    """

    ports: Container[int]
    allowances: tuple[Allowance, ...] = ()
    mapped: Mapping[tuple[str, int], tuple[str, int]] | None = None
    own: frozenset[Address] = frozenset()
    denied: tuple[Allowance, ...] = ()
    only: bool = False

    def target(self, host: str, port: int) -> tuple[str, int] | None:
        """The address that a name of a test network stands for."""
        return (self.mapped or {}).get((host, port))

    def may_ask(self, port: int) -> bool:
        """Whether a name at ``port`` is worth resolving."""
        allowed = any(allowance.port in (None, port) for allowance in self.allowances)
        return allowed or (port in self.ports and not self.only)

    def permits(self, address: Address, port: int, *, is_own: bool = False) -> bool:
        """Whether to connect to this very address. ``is_own``: the exit's machine has it."""
        if any(denial.covers(form, port) for denial in self.denied for form in _forms(address)):
            return False
        if any(allowance.covers(address, port) for allowance in self.allowances):
            return True
        if is_own or self.only or port not in self.ports:
            return False
        return all(form not in self.own and _is_public(form) for form in _forms(address))


def parse_allowance(text: str) -> Allowance:
    """``CIDR:port``, an IPv6 address with or without brackets, ``*`` for any port; raises ``ValueError``."""
    network, _, port = text.rpartition(":")
    number = None if port == "*" else int(port)
    if number is not None and not 0 < number < 65536:
        raise ValueError(f"“{text}” has no such port")
    return Allowance(ipaddress.ip_network(network.replace("[", "").replace("]", "")), number)


def carried(addresses: Iterable[str]) -> list[str]:
    """The ``addresses`` as they stand, and every address that they carry; what is none is left out."""
    found = []
    for text in addresses:
        with suppress(ValueError):
            found += [text, *map(str, _forms(ipaddress.ip_address(text.partition("%")[0])))]
    return list(dict.fromkeys(found))


def permitted(policy: ExitPolicy, addresses: Iterable[str], port: int, own: Collection[str] = ()) -> list[str]:
    """Those of the resolved ``addresses`` that may be connected to, in order.

    ``own``: which of what they carry (``carried``) the machine has itself. One refused address refuses the name: a
    name that points both outside and inside is an attempt to get inside.
    """
    checked = list(addresses)
    for text in checked:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return []
        is_own = any(form in own for form in (text, *map(str, _forms(address))))
        if not policy.permits(address, port, is_own=is_own):
            return []
    return checked


def _is_public(address: Address) -> bool:
    return not any(address in network for network in REFUSED if network.version == address.version)


def _forms(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it leads to; in the ranges that only carry, those alone."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped or address in _NAT64:
        return [low]
    inner: list[Address] = [address]
    if address.sixtofour:
        inner.append(address.sixtofour)
    if address.teredo:
        inner.extend(address.teredo)
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        inner.append(low)
    return inner
