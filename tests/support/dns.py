"""A name server on loopback that answers as it is told: real queries, real answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Answers = Callable[[str, int], list[str] | None]
"""Addresses for a name, which was asked for so often before; ``None``: there is no such name."""


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """``asked``: queries by name and kind. ``silent``: kinds that are never answered."""

    answers: Answers
    ttl: int = 0
    silent: frozenset[str] = frozenset()
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        if kind in self.silent:
            return
        found = self.answers(name, self.asked[name, kind])
        self.asked[name, kind] += 1
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        for address in (found or []) if kind in ("A", "AAAA") else []:
            if (":" in address) == (kind == "AAAA"):
                answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, address))
        self._transport.sendto(answer.to_wire(), source)  # type: ignore[attr-defined]


@asynccontextmanager
async def name_server(
    answers: Answers, ttl: int = 0, silent: frozenset[str] = frozenset()
) -> AsyncIterator[NameServer]:
    server = NameServer(answers, ttl, silent)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
        await asyncio.sleep(0)
