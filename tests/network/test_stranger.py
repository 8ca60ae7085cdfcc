"""Whoever has no key and connects to the peer's port: it is the decoy."""

import re
import socket
import ssl
import subprocess

import pytest

from tests.support.network import DECOY_NAME, Network

CASES = {
    "garbage": b"\x00\x01\x02 not TLS at all \xff" * 3,
    "HTTP": b"GET / HTTP/1.1\r\nHost: decoy.test\r\n\r\n",
    "a header alone": b"\x16\x03\x01\x02\x00",
    "an oversized record": b"\x16\x03\x01\xff\xff" + bytes(100),
    "an empty record": b"\x16\x03\x01\x00\x00",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "application data": b"\x17\x03\x03\x00\x20" + bytes(32),
    "CCS": b"\x14\x03\x03\x00\x01\x01" * 40,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "a wrong handshake type": b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
}


def answer(port: int, data: bytes) -> tuple[bytes, str]:
    """What a server says to ``data`` followed by our FIN, and how it ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        got = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            return got, "reset"
        except OSError:
            return got, "gone"  # it closed before all was said
        return got, "end"


@pytest.mark.parametrize("case", CASES)
def test_the_same_answer_as_the_decoys(qnet: Network, case: str) -> None:
    data = CASES[case]
    direct = [answer(qnet.decoy, data) for _ in range(3)]
    relayed = answer(qnet.public, data)
    dateless = [(re.sub(rb"Date: [^\r]+", b"", got), end) for got, end in [*direct, relayed]]
    assert dateless[-1] in dateless[:-1]


def test_curl_gets_the_decoys_page(qnet: Network) -> None:
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--http2",
            "--cacert",
            str(qnet.roots),
            "--resolve",
            f"{DECOY_NAME}:{qnet.public}:127.0.0.1",
            f"https://{DECOY_NAME}:{qnet.public}/",
        ],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.stdout == b"hello from the decoy\n", done.stderr


def test_openssl_gets_the_decoys_certificate(qnet: Network) -> None:
    command = ["openssl", "s_client", "-servername", DECOY_NAME, "-CAfile", str(qnet.roots), "-verify_return_error"]
    done = subprocess.run(
        [*command, "-connect", f"127.0.0.1:{qnet.public}"], input=b"", capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0 and b"Verify return code: 0 (ok)" in done.stdout
    assert certificate(qnet.public) == certificate(qnet.decoy)


def certificate(port: int) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=DECOY_NAME) as tls,
    ):
        return tls.getpeercert(binary_form=True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_long_conversation_with_the_decoy(qnet: Network, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(qnet.roots))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", qnet.public), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=DECOY_NAME) as tls,
    ):
        for _ in range(5):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: decoy.test\r\n\r\n")
            got = b""
            while b"hello from the decoy\n" not in got:
                piece = tls.recv(65536)
                assert piece
                got += piece
