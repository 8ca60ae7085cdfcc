"""The one place where modes exist: a table, and the assembly of roles that it asks for."""

from collections.abc import Callable
from pathlib import Path

from qnet.settings import Folders, Settings
from qnet.wire.errors import LocalError


class NoDescriptorError(LocalError):
    """This node has no descriptor."""

    code = "no-descriptor"
    exit_code = 66


class ExportError(LocalError):
    """The file for the descriptor cannot be written."""

    code = "export"
    exit_code = 73


def run(settings: Settings, folders: Folders, *, connect: bool, ready: Callable[[], None]) -> None:
    """Run the helper until it is stopped; raises ``LocalError`` when it cannot start. ``ready``: called when it has."""
    import anyio

    from qnet.app.helper import Helper
    from qnet.roles.log_ring import LogRing, collected

    ring = LogRing()
    with collected(ring):
        anyio.run(Helper(settings, folders, connect=connect, ready=ready, ring=ring).run)


def run_worker(folders: Folders) -> None:
    """Be one of a node's further processes until it lets this one go; raises ``LocalError``."""
    import anyio

    from qnet.app.worker import run

    anyio.run(run, folders)


def export_descriptor(folders: Folders, target: Path) -> None:
    """Write this node's descriptor where the operator wants it; it lets its holder use this node."""
    from qnet.settings import replace_file

    try:
        data = (folders.data / "descriptor.qnet").read_bytes()
    except OSError:
        raise NoDescriptorError("there is no descriptor yet", "start the node once: qnet run …") from None
    try:
        replace_file(Path(target), data)
    except OSError as error:
        raise ExportError(f"{target} cannot be written ({error.strerror})", "choose another file") from None
