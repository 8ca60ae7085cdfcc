"""The observer's tap: ``python -m tools.corpus.tap DEVICE HOST``, in the host's network namespace.

Each line on standard input is answered with one line of JSON: the connections since the last. It ends with the input.
"""

import json
import select
import socket
import struct
import sys

from tools.corpus.flows import Flows

_ALL = 3
_SO_TIMESTAMPNS = 35


def main(device: str, host: str) -> None:
    """Until standard input ends."""
    flows = Flows(host)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL)) as raw:
        raw.bind((device, _ALL))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        raw.setblocking(False)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([raw, sys.stdin], [], [])
            if raw in ready:
                _drain(raw, flows)
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                _drain(raw, flows)
                print(json.dumps([flow.row() for flow in flows.take()]), flush=True)


def _drain(raw: socket.socket, flows: Flows) -> None:
    for _ in range(1000):
        try:
            packet, notes, _, _ = raw.recvmsg(65536, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("qq", notes[0][2])
        flows.packet(packet, seconds + nanoseconds / 1e9)


if __name__ == "__main__":
    main(*sys.argv[1:])
