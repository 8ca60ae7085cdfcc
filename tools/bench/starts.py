"""How long the programs take to start: the native host to its first status, a helper until it listens."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from qnet.wire.framing import encode_frame
from qnet.wire.messages import GetStatus, Hello, encode
from tests.support.network import Node

HOST = [sys.executable, "-I", "-m", "qnet", "host", "chrome-extension://abcdefghijklmnop/"]


def host_start(environment: Mapping[str, str]) -> float:
    """Milliseconds from the start of the native host to its first status; a helper runs already."""
    began = time.perf_counter()
    with subprocess.Popen(HOST, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for request in (Hello(id=1, version=1), GetStatus(id=2)):
            process.stdin.write(encode_frame(encode(request)))
        process.stdin.flush()
        while True:
            length = int.from_bytes(process.stdout.read(4), sys.byteorder)
            message = json.loads(process.stdout.read(length))
            if message.get("id") == 2:
                took = time.perf_counter() - began
                process.stdin.close()
                return took * 1000


def await_listening(node: Node) -> None:
    """Until the proxy of ``node``'s helper listens; raises ``TimeoutError``."""
    for _ in range(5000):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", node.socks_port), 1).close()
            return
        time.sleep(0.002)
    raise TimeoutError("the helper does not listen")


def helper_start(node: Node) -> float:
    """Milliseconds from the start of ``node``'s helper until its proxy listens; it ends again."""
    command = [sys.executable, "-m", "qnet", "run", *node.arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, env=node.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as made:
        await_listening(node)
        took = time.perf_counter() - began
        made.terminate()
    return took * 1000
