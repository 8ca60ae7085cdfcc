"""What keeps a helper from starting is one line that says what and what to do, with the exit code of its kind."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from qnet.app.helper import exit_policy
from qnet.app.modes import ModeError
from qnet.settings import Settings
from tests.support.tls_servers import Authority, free_port, nginx

NAME = "decoy.test"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority.issue(NAME)) as port:
        yield port


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    for name in ("config", "data", "run"):
        (home / name).mkdir(parents=True, mode=0o700)
    return home


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "qnet", *arguments],
        env=os.environ | {"QNET_HOME": str(home), "EXIT_ABUSE_EMAIL": "abuse@example.test"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("qnet:")]
    assert len(lines) == 1 and "Traceback" not in done.stderr and not done.stdout, done.stderr
    return done.returncode, lines[0]


def node(at: int, roots: Path | str, **changes: str) -> list[str]:
    options = {
        "helper-mode": "super",
        "listen": "127.0.0.1:" + str(free_port()),
        "decoy": f"{NAME}:{at}",
        "decoy-address": f"127.0.0.1:{at}",
        "decoy-roots": str(roots),
        "status-port": "0",
        "socks-port": "0",
    }
    return ["run", *(f"--{name}={value}" for name, value in (options | changes).items())]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("option", ["--socks-port", "--status-port"])
def test_a_local_port_in_use(home: Path, taken: int, option: str) -> None:
    other = "--status-port" if option == "--socks-port" else "--socks-port"
    code, line = run(home, "run", f"{option}={taken}", f"{other}=0")
    assert code == 75 and str(taken) in line and option in line


def test_the_public_port_in_use(home: Path, taken: int, decoy: int, authority: Authority) -> None:
    code, line = run(home, *node(decoy, authority.write(home), listen=f"127.0.0.1:{taken}"))
    assert code == 75 and "--listen" in line


def test_a_decoy_that_is_not_there(home: Path, authority: Authority) -> None:
    code, line = run(home, *node(free_port(), authority.write(home)))
    assert code == 69 and "decoy does not answer" in line


def test_a_decoy_whose_certificate_nobody_trusts(home: Path, decoy: int) -> None:
    code, line = run(home, *node(decoy, Authority().write(home)))
    assert code == 69 and "certificate is refused" in line


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_roots_that_cannot_be_read(home: Path, content: str | None) -> None:
    if content is not None:
        (home / "roots.pem").write_text(content)
    code, line = run(home, "run", f"--decoy-roots={home}/roots.pem")
    assert code == 66 and "--decoy-roots" in line


def test_keys_that_others_can_read(home: Path, decoy: int, authority: Authority) -> None:
    keys = home / "data" / "node.keys"
    keys.write_bytes(b"qnetkey1" + os.urandom(128))
    keys.chmod(0o644)
    code, line = run(home, *node(decoy, authority.write(home)))
    assert code == 77 and "chmod 600" in line
    assert keys.stat().st_mode & 0o777 == 0o644, "left as it was"


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"exit-allow": "everything"}, 64, "exit rule"),
        ({"exit-allow": "10.0.0.1/8:80"}, 64, "exit rule"),
        ({"listen": "192.0.2.7:443"}, 71, "--listen"),
        ({"nickname": "bell\a"}, 64, "nickname"),
        ({"address": "127.0.0.1:0"}, 64, "addresses"),
        ({"decoy": "a..b:443"}, 69, "decoy"),
    ],
    ids=["no rule", "host bits", "not our address", "nickname", "port 0", "no host name"],
)
def test_settings_that_make_no_node(
    home: Path, decoy: int, authority: Authority, changes: dict[str, str], code: int, says: str
) -> None:
    found, line = run(home, *node(decoy, authority.write(home), **changes))
    assert found == code and says in line


def test_a_descriptor_for_nowhere(home: Path, tmp_path: Path) -> None:
    assert run(home, "descriptor", str(tmp_path / "out"))[0] == 66
    (home / "data" / "descriptor.qnet").write_bytes(b"x")
    code, line = run(home, "descriptor", str(tmp_path / "missing" / "out"))
    assert code == 73 and "cannot be written" in line


def test_a_corrupt_book_does_not_keep_a_client_from_starting(home: Path) -> None:
    (home / "data" / "peers").mkdir()
    (home / "data" / "peers" / "x.qnet").write_bytes(os.urandom(5000))
    environ = os.environ | {"QNET_HOME": str(home)}
    command = [sys.executable, "-m", "qnet", "run", "--socks-port=0", "--status-port=0", "--connect"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(200):
                done = subprocess.run(
                    [sys.executable, "-m", "qnet", "status", "--json"],
                    env=environ,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode == 0 and json.loads(done.stdout)["last_error"]:
                    break
            status = json.loads(done.stdout)
            assert (status["state"], status["peers"], status["last_error"]["code"]) == ("offline", 0, "no-peers")
        finally:
            process.terminate()
            assert process.wait(10) == 0
            assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--exit-node"], {}),
        (["--helper-mode=exit"], {}),
        (["--helper-mode=super"], {}),
        ([], {"STEALTH_MODE": "exit"}),
        (["--relay-only"], {"STEALTH_MODE": "super"}),
    ],
    ids=str,
)
def test_no_exit_without_an_address_for_complaints(home: Path, arguments: list[str], environ: dict[str, str]) -> None:
    environ = {name: text for name, text in os.environ.items() if name != "EXIT_ABUSE_EMAIL"} | environ
    done = subprocess.run(
        [sys.executable, "-m", "qnet", "run", "--listen=127.0.0.1:443", f"--decoy={NAME}:443", *arguments],
        env=environ | {"QNET_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 64 and "EXIT_ABUSE_EMAIL=" in done.stderr, done.stderr


def test_a_damaged_network_file(home: Path) -> None:
    (home / "data" / "network.qnet-network").write_bytes(b"x")
    code, line = run(home, "run", "--socks-port=0", "--status-port=0")
    assert code == 65 and "join the network again" in line.lower()


def test_the_port_of_the_open_directory_in_use(home: Path, taken: int, decoy: int, authority: Authority) -> None:
    arguments = node(decoy, authority.write(home), **{"directory-http": f"127.0.0.1:{taken}"})
    code, line = run(home, *(each for each in arguments))
    assert code == 75 and "--directory-http" in line


def test_a_store_that_does_not_answer(home: Path, decoy: int, authority: Authority) -> None:
    arguments = node(decoy, authority.write(home), **{"directory-redis": f"redis://127.0.0.1:{free_port()}/0"})
    environ = os.environ | {"QNET_HOME": str(home), "EXIT_ABUSE_EMAIL": "abuse@example.test"}
    done = subprocess.run(
        [sys.executable, "-m", "qnet", *arguments], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 74 and "Redis does not answer" in done.stderr and "Traceback" not in done.stderr


def test_the_exit_policy_knows_where_the_public_reaches_it() -> None:
    policy = exit_policy(Settings(listen="0.0.0.0:443", address="93.184.216.34:443"))
    assert not policy.permits(ip_address("93.184.216.34"), 80)
    assert policy.permits(ip_address("93.184.216.35"), 80)
    assert exit_policy(Settings(listen="[2606:4700::1]:443", address="name.test:443")).own == {
        ip_address("2606:4700::1")
    }
    with pytest.raises(ModeError):
        exit_policy(Settings(exit_allow=["x"]))


def test_until_its_decoy_is_measured_a_peer_is_calibrating_and_listens_to_nobody(
    home: Path, authority: Authority
) -> None:
    public, status = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = node(silent.getsockname()[1], authority.write(home), **{"status-port": str(status)})
        process = subprocess.Popen(
            [sys.executable, "-m", "qnet", *options, f"--listen=127.0.0.1:{public}"],
            env=os.environ | {"QNET_HOME": str(home), "EXIT_ABUSE_EMAIL": "abuse@example.test"},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            assert json.loads(_page(status, "/status"))["state"] == "calibrating"
            assert "503" in _page(status, "/ready")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", public))
        finally:
            process.kill()
            process.wait()


def _page(port: int, path: str) -> str:
    """The page, or the error's words; waits until somebody listens."""
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return str(error)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
