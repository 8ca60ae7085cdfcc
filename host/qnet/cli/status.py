"""``qnet status``: what the helper says about itself."""

import time
from pathlib import Path

import msgspec

from qnet.net.control_client import HelperError, request
from qnet.roles.status_text import describe
from qnet.wire.messages import GetStatus


def print_status(path: Path, as_json: bool) -> int:
    """Ask the helper at ``path`` and print; raises ``NotRunningError`` or ``HelperError``."""
    answer = request(path, GetStatus(id=1))
    if answer.status is None:
        error = answer.error
        raise HelperError(error.message if error else "the helper tells no status", error.hint if error else "")
    print(msgspec.json.encode(answer.status).decode() if as_json else describe(answer.status, time.time()))
    return 0
