"""Store the first ClientHello record that Debian's browser sends, as a template for the TLS client.

    python tools/capture_hello.py chromium|firefox OUT

The browser runs headless with an empty profile against a listener on this machine, which answers nothing. OUT gets
the raw record; templates.json beside it gets the browser's version and the hello's JA4. Everything stays on loopback.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))

from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4
from qnet.wire.tls.template import Template

SERVER_NAME = "example.test"
TIMEOUT = 40.0
"""Seconds until we give up; a browser's first start on a slow machine takes several."""

FIREFOX_PREFERENCES = {
    "network.dns.localDomains": SERVER_NAME,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


def write_preferences(profile: Path, preferences: Mapping[str, object]) -> None:
    """Have Firefox start with these in the existing folder ``profile``."""
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in preferences.items()]
    (profile / "user.js").write_text("\n".join(lines) + "\n")


def command(browser: str, profile: Path, url: str) -> list[str]:
    """The command line that opens ``url`` in ``browser`` with the empty ``profile``."""
    if browser == "chromium":
        return [
            "chromium",
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            f"--host-resolver-rules=MAP {SERVER_NAME} 127.0.0.1",
            "--dump-dom",
            url,
        ]
    write_preferences(profile, FIREFOX_PREFERENCES)
    return ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), url]


def first_hello(listener: socket.socket, deadline: float) -> bytes:
    """The first record that carries a hello for ``SERVER_NAME``; raises ``TimeoutError``."""
    while True:
        listener.settimeout(max(deadline - time.monotonic(), 0.01))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            record = read_record(connection)
        try:
            if ClientHello.parse(record[5:]).server_name() == SERVER_NAME:
                return record
        except RemoteError:
            continue


def read_record(connection: socket.socket) -> bytes:
    """One TLS record, or what came of it."""
    record = b""
    while len(record) < 5 or len(record) < 5 + int.from_bytes(record[3:5], "big"):
        try:
            received = connection.recv(65536)
        except OSError:
            break
        if not received:
            break
        record += received
    return record


def capture(browser: str) -> bytes:
    """Run ``browser`` once and give its first ClientHello record; raises ``TimeoutError``."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as folder:
        url = f"https://{SERVER_NAME}:{listener.getsockname()[1]}/"
        process = subprocess.Popen(
            command(browser, Path(folder), url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": folder},
        )
        try:
            return first_hello(listener, time.monotonic() + TIMEOUT)
        finally:
            process.terminate()
            process.wait()
            time.sleep(0.5)  # its children still write into the profile


def version(browser: str) -> str:
    """The browser's version number."""
    program = "chromium" if browser == "chromium" else "firefox-esr"
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)+(esr)?", output)
    return found[0] if found else output.strip()


def main() -> None:
    """Capture, check, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("browser", choices=["chromium", "firefox"])
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    record = capture(arguments.browser)
    template = Template.from_record(record, arguments.browser)
    arguments.out.write_bytes(record)
    index = arguments.out.with_name("templates.json")
    known = json.loads(index.read_text()) if index.exists() else {}
    known[arguments.out.name] = {
        "browser": arguments.browser,
        "version": version(arguments.browser),
        "ja4": ja4(template.hello),
    }
    index.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    print(f"{arguments.out}: {len(record)} bytes, {known[arguments.out.name]}")


if __name__ == "__main__":
    main()
