"""Writing small files whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_if_changed(path: Path, text: str, mode: int) -> bool:
    """Give ``path`` exactly ``text`` and the permission bits ``mode``; says whether anything had to be done.

    The folder is made where it is absent. A reader sees the old file or the new one, never a part:
    the text goes to a temporary file beside it, which then takes the name. Raises ``OSError``.
    """
    try:
        if not path.is_symlink() and path.stat().st_mode & 0o777 == mode and path.read_bytes() == text.encode():
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True
