"""What tshark, which nobody here wrote, makes of a tunnel's connection."""

import signal
import subprocess
from pathlib import Path

from tests.network.conftest import MEDIUM, Site
from tests.support.network import DECOY_NAME, Network, joined_client, started

HANDSHAKE, CHANGE_CIPHER_SPEC, APPLICATION_DATA = "22", "20", "23"


def test_tshark_sees_tls_1_3_and_nothing_malformed(qnet: Network, site: Site, tmp_path: Path) -> None:
    capture = tmp_path / "wire.pcap"
    command = ["tshark", "-q", "-B", "64", "-i", "lo", "-f", f"tcp port {qnet.public}", "-w", str(capture)]
    sniffer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert sniffer.stderr is not None
        while "Capturing on" not in (line := sniffer.stderr.readline()):
            assert line, "tshark did not start"
        with started(joined_client(tmp_path / "client", [qnet.peer], qnet.roots)) as client:
            proxy = f"127.0.0.1:{client.socks_port}"
            for path in ("", "medium"):
                done = subprocess.run(
                    ["curl", "-sS", "-o", "/dev/null", "--socks5-hostname", proxy, f"http://site.test/{path}"],
                    timeout=30,
                    check=False,
                )
                assert done.returncode == 0
    finally:
        sniffer.send_signal(signal.SIGINT)
        sniffer.communicate(timeout=20)

    def fields(shown: str, *names: str) -> list[list[str]]:
        asked = [part for name in names for part in ("-e", name)]
        read = ["tshark", "-r", str(capture), "-d", f"tcp.port=={qnet.public},tls", "-Y", shown, "-T", "fields"]
        done = subprocess.run([*read, *asked], capture_output=True, text=True, timeout=50, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    assert fields("_ws.malformed || tls.ignored_unknown_record || tls.alert_message", "frame.number") == []
    kinds = {kind for row in fields("tls.record.content_type", "tls.record.content_type") for kind in row[0].split(",")}
    assert kinds <= {HANDSHAKE, CHANGE_CIPHER_SPEC}
    opaque = [kind for row in fields("tls.record.opaque_type", "tls.record.opaque_type") for kind in row[0].split(",")]
    assert set(opaque) == {APPLICATION_DATA}
    assert len(opaque) > MEDIUM // 16384
    assert fields("tls.handshake.type == 1", "tls.handshake.extensions_server_name") == [[DECOY_NAME]]
    assert fields("tls.handshake.type == 2", "tls.handshake.extensions.supported_version") == [["0x0304"]]
