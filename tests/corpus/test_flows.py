"""What the tap keeps of connections, from packets in any order."""

import random
import socket
import struct

from tools.corpus.flows import KEPT, Flow, Flows

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


def packet(out: bool, sequence: int, payload: bytes, port: int = 40000) -> bytes:
    """An IPv4 packet with a TCP segment between the two."""
    ends = [(CLIENT, port), (SERVER, 443)]
    (source, source_port), (target, target_port) = ends if out else ends[::-1]
    tcp = struct.pack(">HHIIBBHHH", source_port, target_port, sequence % (1 << 32), 0, 5 << 4, 16, 1000, 0, 0)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0, 64, socket.IPPROTO_TCP, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(target) + tcp + payload


def record(kind: int, size: int) -> bytes:
    return bytes([kind, 3, 3]) + size.to_bytes(2, "big") + bytes(size)


def taken(flows: Flows) -> Flow:
    (flow,) = flows.take()
    return flow


def test_records_and_packets_of_both_directions() -> None:
    flows = Flows(CLIENT)
    flows.packet(packet(True, 100, record(23, 40)), 5.0)
    flows.packet(packet(False, 900, record(23, 300) + record(23, 20)), 5.25)
    flow = taken(flows)
    assert flow.server == f"{SERVER}:443"
    assert flow.records == [(0.0, 40, 23), (0.25, -300, 23), (0.25, -20, 23)]
    assert flow.packets == [(0.0, 45), (0.25, -330)]
    assert (flow.octets, flow.up, flow.lasted) == (375, 45, 0.25)
    assert not list(flows.take())


def test_segments_out_of_order_twice_and_around_the_end_of_the_numbers() -> None:
    rng = random.Random(1)
    stream = b"".join(record(23, rng.randrange(26, 3000)) for _ in range(20))
    wanted = [int.from_bytes(stream[3:5], "big")]
    start = (1 << 32) - 5000
    pieces = [(at, stream[at : at + 700]) for at in range(0, len(stream), 700)]
    for number in range(1, len(pieces) - 1, 3):
        pieces[number], pieces[number + 1] = pieces[number + 1], pieces[number]
    flows = Flows(CLIENT)
    for at, piece in pieces:
        for _ in range(rng.choice((1, 2))):
            flows.packet(packet(True, start + at, piece), 1.0)
    sizes = [size for _, size, _ in taken(flows).records]
    position, wanted = 0, []
    while position < len(stream):
        wanted.append(int.from_bytes(stream[position + 3 : position + 5], "big"))
        position += 5 + wanted[-1]
    assert sizes == wanted


def test_what_is_no_tls_has_packets_only() -> None:
    flows = Flows(CLIENT)
    flows.packet(packet(True, 1, bytes(range(200))), 1.0)
    flow = taken(flows)
    assert flow.packets == [(0.0, 200)] and not flow.records


def test_what_is_kept_is_bounded() -> None:
    flows = Flows(CLIENT)
    for number in range(3 * KEPT):
        flows.packet(packet(True, 1 + 31 * number, record(23, 26)), number)
    flow = taken(flows)
    assert len(flow.records) == len(flow.packets) == KEPT
    assert flow.octets == 3 * KEPT * 31 and flow.lasted == 3 * KEPT - 1


def test_strangers_packets_do_not_count() -> None:
    flows = Flows(CLIENT)
    flows.packet(packet(False, 1, b"unasked"), 1.0)
    flows.packet(b"\x60" + bytes(60), 1.0)
    assert not list(flows.take())
