"""How fast the record channel seals and opens, beside OpenSSL's own measure of the cipher."""

import os
import re
import subprocess
import time

from qnet.wire.link import LinkSession
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import Scratch

SECONDS = 1
CIRCUIT = 1


def openssl_rate() -> float:
    """MB/s of ``openssl speed`` in blocks of 16 KiB; it does not say how its decryption does."""
    command = ["openssl", "speed", "-seconds", str(SECONDS), "-bytes", "16384", "-evp", "chacha20-poly1305"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.findall(r"([\d.]+)k\s*$", done.stdout.strip())[-1]) / 1000


def record_rates() -> tuple[float, float]:
    """MB/s of payload sealed into full records, and opened from them, by two link sessions."""
    one, two = os.urandom(32), os.urandom(32)
    client = LinkSession(TransportKeys(one, two, b""), initiator=True, scratch=Scratch(), now=0)
    peer = LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=Scratch(), now=0)
    client.open_circuit(CIRCUIT)
    stream = client.open(CIRCUIT, "site.test", 80, 0)
    _give(peer, client.flush(0))
    sealing = opening = 0.0
    count = 0
    while sealing + opening < 2 * SECONDS:
        if client.credit(CIRCUIT, stream) < client.bulk:
            _give(client, peer.flush(0))
        size = min(client.bulk, client.credit(CIRCUIT, stream))
        began = time.perf_counter()
        records = client.seal_data(CIRCUIT, stream, size, 0)
        sealed = time.perf_counter()
        buffer = peer.get_buffer()
        buffer[: len(records)] = records
        copied = time.perf_counter()
        peer.received(len(records), 0)
        opened = time.perf_counter()
        peer.consumed(CIRCUIT, stream, size, 0)
        if client.waiting:  # a change of keys is due
            _give(peer, client.flush(0))
        sealing += sealed - began
        opening += opened - copied
        count += size
    return count / sealing / 1e6, count / opening / 1e6


def _give(session: LinkSession, data: bytes) -> None:
    session.get_buffer()[: len(data)] = data
    session.received(len(data), 0)
