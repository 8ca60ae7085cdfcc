"""Where the helper's files live, and the settings in them.

Folders, created 0700: ``config`` (settings.json), ``data`` (keys, logs, what was learnt) and ``run`` (the control
socket). ``QNET_HOME`` puts all three below itself; otherwise they are the platform's own.

A setting comes from the file, then the command line, then the environment; the later wins. The file is read
strictly and never overwritten when it cannot be read: what a person wrote is not ours to lose.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import platformdirs

from qnet.wire.errors import LocalError

SOCKET_PATH_LIMIT = 107
"""Bytes of a Unix socket's path that every Linux takes (``sun_path`` is 108 with its final zero)."""


class SettingsError(LocalError):
    """A setting cannot be used."""

    code = "settings"
    exit_code = 78


class FolderError(LocalError):
    """A folder of ours cannot be used safely."""

    code = "folder"
    exit_code = 73


Mode: TypeAlias = Literal["client", "relay", "bootstrap", "exit", "super"]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
LocalPort: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""A port to listen on; 0 takes any free one."""


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``; raises ``ValueError`` if it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"“{text}” needs brackets round the address: [address]:port")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"“{text}” is not host:port")
    return host, int(port)


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a person may decide. Addresses are ``host:port``."""

    mode: Mode = "client"
    socks_port: LocalPort = 1088
    status_port: LocalPort = 8088
    nickname: Annotated[str, msgspec.Meta(max_length=32)] = ""
    country: Annotated[str, msgspec.Meta(pattern="^([A-Z]{2})?$")] = ""
    listen: str | None = None
    """Where this node's cover listens for the public."""
    address: str | None = None
    """Where clients reach it, if that is not ``listen`` itself (a wildcard, a forwarded port)."""
    decoy: str | None = None
    """The site this node looks like; its host is the TLS name."""
    decoy_address: str | None = None
    """Where to connect for the decoy instead of resolving its name."""
    decoy_roots: str | None = None
    """A PEM file of further roots the decoy's certificate may come from; for test networks."""
    via: str | None = None
    """The descriptor file of a public relay through which alone this node is reached: it listens nowhere."""
    reservations: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 32
    """Relays that nobody can dial which may wait here for circuits; 0 for none."""
    abuse_email: str = ""
    exit_allow: list[str] = []
    """Destinations beyond the usual exit policy, as ``CIDR:port``; for test networks."""
    exit_deny: list[str] = []
    """Destinations that the exit refuses because somebody asked for it, as ``CIDR:port`` or ``CIDR:*``."""
    relay_allow: list[str] = []
    """Peers beyond the public ones that circuits may go on to, as ``CIDR:port`` or ``CIDR:*``; for test networks."""
    exit_map: dict[str, str] = {}
    """Names an exit does not resolve but knows, as ``name:port`` → ``address:port``; for test networks."""
    exit_only: bool = False
    """Whether the exit serves only what ``exit_allow`` and ``exit_map`` name."""
    exit_max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """Streams open at once, over all clients."""
    exit_connects_per_client: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    """Connections being made at once for one client."""
    exit_streams_per_minute: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    """New streams of one client; more wait up to ten seconds, then they are refused."""
    exit_idle_minutes: Annotated[int, msgspec.Meta(ge=1, le=10_080)] = 30
    """A stream on which nothing moves for so long ends."""
    exit_monthly_gigabytes: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    """Gigabytes (10⁹ bytes, both ways, UTC months) after which the exit serves no more; 0 for no limit."""
    exit_bind: list[str] = []
    """The addresses of this machine that the exit leaves from, at most one of each family."""
    exit_abuse_log: bool = True
    """Whether refusals are counted in a file for seven days, without clients and destinations."""
    exit_allowed_ports: tuple[Port, ...] = (80, 443)
    hops: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1
    """Peers between this computer and the site: 1 is fast, 3 lets no single peer know both ends."""
    exit_country: Annotated[str, msgspec.Meta(pattern="^([A-Z]{2})?$")] = ""
    """Where the usual route ends; empty for anywhere."""
    invite_only: bool = False
    """Whether directories may neither show this node nor pass it on: only who holds its descriptor finds it."""
    directory_http: str | None = None
    """Where an operator's directory answers plain HTTP besides its tunnel, for all to find."""
    directory_redis: str | None = None
    """``redis://`` URL of the store that several front ends of one operator's directory share."""
    directory_admin_token: Annotated[str, msgspec.Meta(pattern="^([!-~]{16,})?$")] = ""
    """Who shows it may prune the directory from elsewhere; at least 16 characters."""
    mdns: bool = False
    """Whether a relay announces itself on the local network, or a client looks for those; either shows QNet there."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Processes among which a relay or an exit shares its clients: as many as the machine has cores for them."""
    window_budget: Annotated[int, msgspec.Meta(ge=16, le=1 << 16)] = 256
    """MiB that this node may hold for streams and circuits together while their receivers are slow."""
    shaping: bool = True
    """Whether a client's links begin like a browser's visit to a site (``wire.shaping``); costs some 0.4 MB each."""
    cover_traffic: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    """Megabytes an hour that a client's idle link may spend on looking like a person who goes on browsing."""
    browser_template: Literal["chromium", "firefox"] = "chromium"

    def __post_init__(self) -> None:
        """Raise ``ValueError``, the field's name first, for what types alone do not say."""
        addresses = {
            name: getattr(self, name) for name in ("listen", "address", "decoy", "decoy_address", "directory_http")
        }
        pairs = [(name, text) for name, text in addresses.items() if text is not None]
        pairs += [("exit_map", text) for pair in self.exit_map.items() for text in pair]
        for name, text in pairs:
            try:
                split_address(text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        families = [_family(text) for text in self.exit_bind]
        if len(set(families)) < len(families):
            raise ValueError("exit_bind: at most one address of each family")


def _family(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        raise ValueError(f"exit_bind: “{text}” is not an address") from None


class Variable(NamedTuple):
    """An environment variable: the field it sets, and how its text is read."""

    field: str
    read: Callable[[str], Any]


def _ports(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


VARIABLES = {
    "STEALTH_MODE": Variable("mode", str),
    "STEALTH_SOCKS_PORT": Variable("socks_port", int),
    "STEALTH_STATUS_PORT": Variable("status_port", int),
    "EXIT_ABUSE_EMAIL": Variable("abuse_email", str),
    "EXIT_MAX_CONNECTIONS": Variable("exit_max_connections", int),
    "EXIT_CONNECTS_PER_CLIENT": Variable("exit_connects_per_client", int),
    "EXIT_STREAMS_PER_MINUTE": Variable("exit_streams_per_minute", int),
    "EXIT_MONTHLY_GIGABYTES": Variable("exit_monthly_gigabytes", int),
    "EXIT_BIND": Variable("exit_bind", _words),
    "EXIT_ALLOWED_PORTS": Variable("exit_allowed_ports", _ports),
}


class Folders(NamedTuple):
    """The three folders, and the places in them."""

    config: Path
    data: Path
    run: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.config / "settings.json"

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.run / "control.sock"

    @property
    def log(self) -> Path:
        """What a helper that the native host started says on stderr."""
        return self.data / "helper.log"

    def create(self) -> None:
        """Create what is missing, 0700; raises ``FolderError`` if others can write to what is there."""
        for folder in self:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                found = folder.stat()
            except OSError as error:
                raise FolderError(
                    f"the folder {folder} cannot be made ({error.strerror})", "Check its parent"
                ) from None
            if found.st_uid != os.geteuid():
                raise FolderError(f"the folder {folder} belongs to another user", "Remove it, or set QNET_HOME")
            if stat.S_IMODE(found.st_mode) & 0o022:
                raise FolderError(f"others can write to the folder {folder}", f"Run: chmod 700 {folder}")
        if len(os.fsencode(self.control)) > SOCKET_PATH_LIMIT:
            raise FolderError(f"the path {self.control} is too long for a socket", "Set QNET_HOME to a shorter path")


def find_folders(environ: Mapping[str, str]) -> Folders:
    """Where the folders are, whether they exist or not."""
    if home := environ.get("QNET_HOME"):
        base = Path(home).absolute()
        return Folders(base / "config", base / "data", base / "run")
    data = platformdirs.user_data_path("qnet", appauthor=False)
    # Not XDG_RUNTIME_DIR: a browser's environment may lack it, and would then look for another helper's socket.
    session = Path("/run/user") / str(os.geteuid())
    run = session / "qnet" if os.access(session, os.W_OK) else data / "run"
    return Folders(platformdirs.user_config_path("qnet", appauthor=False), data, run)


def read_settings(path: Path) -> Settings:
    """The file's settings, the defaults where there is no file; raises ``SettingsError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror})", "Check its owner and permissions") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: {error}", "Correct the file, or move it away to start from the defaults"
        ) from None


def overlay(settings: Settings, changes: Mapping[str, Any], source: str) -> Settings:
    """``settings`` with ``changes``, checked; raises ``SettingsError`` naming ``source``."""
    try:
        return msgspec.convert(msgspec.structs.asdict(settings) | dict(changes), Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {error}", "Correct it") from None


def load_settings(folders: Folders, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """File, then ``flags`` (fields given on the command line), then the environment."""
    settings = overlay(read_settings(folders.settings), flags or {}, "command line")
    for name, variable in VARIABLES.items():
        if text := environ.get(name):
            try:
                value = variable.read(text)
            except ValueError:
                raise SettingsError(f"{name}: “{text}” is not a number", "Correct the variable") from None
            settings = overlay(settings, {variable.field: value}, name)
    return settings


def save_settings(folders: Folders, settings: Settings) -> None:
    """Write what differs from the defaults, in one piece or not at all; raises ``SettingsError``."""
    text = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    try:
        replace_file(folders.settings, text)
    except OSError as error:
        raise SettingsError(f"{folders.settings} cannot be written ({error.strerror})", "Check the folder") from None


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, 0600, in one piece or not at all; raises ``OSError``."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable; raises ``OSError``."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
