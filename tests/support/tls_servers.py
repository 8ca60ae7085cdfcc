"""Real TLS servers on loopback for tests, and a certificate authority that they all trust in.

Everything is a context manager that gives the port; nothing outlives it. Folders are the caller's ``tmp_path``.
"""

import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

T = TypeVar("T")

KEYS: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Credential:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Store both in PEM; gives the paths of certificate and key."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        return certificate, key


class Authority:
    """A certificate authority of one test run."""

    def __init__(self, name: str = "QNet test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = (
            self._builder(self._name, self._key, timedelta(days=-30), timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self,
        *names: str,
        key: str = "p256",
        valid_from: timedelta = timedelta(days=-1),
        valid_until: timedelta = timedelta(days=60),
    ) -> Credential:
        """A server certificate for ``names``; the validity is relative to now."""
        private = KEYS[key]()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, private, valid_from, valid_until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Credential(certificate, private)

    def write(self, folder: Path, name: str = "root") -> Path:
        """Store the root certificate in PEM; gives its path."""
        path = folder / f"{name}.crt"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def _builder(
        self, subject: x509.Name, key: CertificateIssuerPrivateKeyTypes, start: timedelta, end: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(log: Path, arguments: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block and writes into ``log``."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(condition: Callable[[], T | None], process: subprocess.Popen[bytes], log: Path) -> T:
    """What ``condition`` gives as soon as it is not None; raises ``RuntimeError`` with the log otherwise."""
    deadline = time.monotonic() + 10
    while (value := condition()) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start: {log.read_text()}")
        time.sleep(0.02)
    return value


def accepts(port: int) -> bool | None:
    """True when somebody listens on the port, else None."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return None


NGINX = """\
{user}worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        server_name _;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols {protocols};
        {settings}
        location / {{ {location} }}
    }}
}}
"""


@contextmanager
def nginx(
    folder: Path,
    credential: Credential,
    *,
    protocols: str = "TLSv1.2 TLSv1.3",
    settings: str = "",
    location: str = 'default_type text/plain; return 200 "hello from the decoy\\n";',
    port: int = 0,
    inside: Sequence[str] = (),
) -> Iterator[int]:
    """nginx with TLS and HTTP/2; ``settings`` and ``location`` are lines of its configuration. Gives its port.

    ``inside``: what leads into another network namespace; it listens on that one's loopback.
    """
    certificate, key = credential.write(folder, "nginx")
    port = port or free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX.format(
            user="user root;\n" if os.geteuid() == 0 else "",
            folder=folder,
            port=port,
            certificate=certificate,
            key=key,
            protocols=protocols,
            settings=settings,
            location=location,
        )
    )
    log = folder / "nginx.log"
    command = [*inside, "nginx", "-p", folder, "-e", folder / "error.log", "-c", configuration]
    with running(log, command) as process:
        # It writes its number once it listens.
        written = folder / "nginx.pid"
        wait_for((lambda: written.exists() or None) if inside else (lambda: accepts(port)), process, log)
        yield port


@contextmanager
def openssl_server(folder: Path, credential: Credential, *arguments: str, port: int = 0) -> Iterator[int]:
    """``openssl s_server -rev`` (answers each line reversed) with more ``arguments``. Gives its port."""
    certificate, key = credential.write(folder, "openssl")
    where = ["-accept", f"127.0.0.1:{port}"]
    command = ["openssl", "s_server", *where, "-rev", "-cert", certificate, "-key", key, *arguments]
    log = folder / "openssl.log"
    with running(log, command) as process:
        line = wait_for(lambda: re.search(rb"^ACCEPT(?: .*:(\d+))?$", log.read_bytes(), re.MULTILINE), process, log)
        yield int(line[1] or port)  # it names the port that it chose itself


@contextmanager
def python_server(folder: Path, credential: Credential) -> Iterator[int]:
    """Python's own ssl module: one echo per connection. Gives its port."""
    certificate, key = credential.write(folder, "python")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(tls.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
