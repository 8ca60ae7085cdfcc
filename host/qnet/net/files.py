"""How many files this process may have open: every connection is one."""

import sys
from contextlib import suppress


def raise_file_limit() -> int | None:
    """Raise the soft limit to the hard one; gives what it is now, ``None`` where there is no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems' hard limit is more than they grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
