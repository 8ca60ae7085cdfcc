"""The installed browsers: what they send is what we send."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from qnet.wire.tls import codes
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4
from qnet.wire.tls.record import CHANGE_CIPHER_SPEC_RECORD, RecordReader
from qnet.wire.tls.template import Template
from qnet.wire.tls.tickets import Offer
from tests.support.tls_servers import Authority, nginx
from tests.support.visits import observed, visitor
from tests.wire.tls.fake_server import FakeServer, shake
from tests.wire.tls.hello_skeleton import skeleton
from tests.wire.tls.peers import BROWSERS, NAME, TEMPLATES, client, connect, draft
from tests.wire.tls.test_real_servers import PREFACE
from tools.capture_hello import SERVER_NAME, capture, command, version


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_capture_tool_finds_the_bundled_hello(browser):
    """Where the installed browser is the bundled one's version, nothing differs."""
    bundled = json.loads((TEMPLATES / "templates.json").read_text())[f"{browser}.hello"]
    captured = Template.from_record(capture(browser), browser)
    rebuilt = captured.build(SERVER_NAME, os.urandom).hello
    assert skeleton(rebuilt) == skeleton(captured.hello)
    if version(browser) == bundled["version"]:
        stored = ClientHello.parse((TEMPLATES / f"{browser}.hello").read_bytes()[5:])
        assert skeleton(captured.hello) == skeleton(stored)


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_resumed_hello_equals_the_browsers(browser, authority, credential, tmp_path):
    """The browser visits nginx, which closes after each request, again and again; then we, with a ticket of nginx's."""
    (tmp_path / "nginx").mkdir()
    with (
        nginx(tmp_path / "nginx", credential, settings="keepalive_requests 1;") as port,
        observed(port) as (relay, seen),
    ):
        with visitor(browser, NAME, tmp_path / "profile") as visit:
            for number in range(3):
                visit(f"https://{NAME}:{relay}/{number}")
        theirs = [each.hello for each in seen if each.hello and each.hello.extension(codes.PRE_SHARED_KEY)]
        assert len(theirs) >= 2
        first = connect(port, client([authority.certificate], draft(browser)))
        first.send(PREFACE)
        first.receive()
        for hello in theirs:
            offer = Offer(first.session.tickets.pop(0), 10)
            ours = draft(browser, offer).hello
            assert skeleton(ours) == skeleton(hello)
            assert ja4(ours) == ja4(hello)
            if browser == "firefox":
                assert len(ours.message()) == len(hello.message())
            if not first.session.tickets:
                break
        first.sock.close()


def chromium_flight(server: FakeServer, profile: Path) -> bytes:
    """What Chromium writes when it has the server's flight: up to and including its Finished."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        arguments = command("chromium", profile, f"https://{SERVER_NAME}:{listener.getsockname()[1]}/")
        process = subprocess.Popen(
            [arguments[0], "--ignore-certificate-errors", *arguments[1:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        try:
            connection, _ = listener.accept()
            while not connection.recv(1, socket.MSG_PEEK):  # one that Chromium had opened beforehand, and drops
                connection.close()
                connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                records = RecordReader()

                def read() -> bytes:
                    while (record := records.next()) is None:
                        received = connection.recv(65536)
                        assert received, "Chromium ended the connection"
                        records.feed(received)
                    return record

                connection.sendall(server.answer(read()))
                return read() + read()
        finally:
            process.terminate()
            process.wait()


@pytest.mark.parametrize("alps", [True, False])
def test_last_flight_equals_chromiums(alps, tmp_path):
    """The hybrid key exchange agrees with Chromium's, and so do the records of our answer."""
    authority = Authority()
    extensions = [(codes.ALPN, b"\x00\x03\x02h2")] + ([(codes.APPLICATION_SETTINGS[0], b"")] if alps else [])
    lengths, messages = [], []
    for ours in (False, True):
        server = FakeServer(authority.issue("decoy.test"), group=codes.X25519_MLKEM768, extensions=extensions)
        if ours:
            flight = shake(client([authority.certificate], draft("chromium")), server).result.flight
        else:
            flight = chromium_flight(server, tmp_path)
        assert flight.startswith(CHANGE_CIPHER_SPEC_RECORD)
        lengths.append(len(flight))
        messages.append(server.finish(flight))
    assert lengths[0] == lengths[1]
    assert messages[0] == messages[1]
