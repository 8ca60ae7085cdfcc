"""The command line. Imports nothing heavy: ``qnet host`` must answer a browser at once.

An error of this machine is one line on stderr, what and what to do; its exit code says which kind
(docs/EXIT_CODES.md).
"""

import os
import sys
from collections.abc import Sequence

from qnet.wire.errors import LocalError

INTERNAL_ERROR = 70
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. ``arguments`` are the process's own by default."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        if arguments[:1] == ["host"]:
            # Browsers append arguments of their own, and wait.
            from qnet.cli.host import run_host

            return run_host(os.environ)
        from qnet.cli.commands import run_command

        return run_command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, ExceptionGroup):
        # Task groups wrap what ended them; the first of our own errors is the reason, the rest its echo.
        ours, _ = error.split(LocalError)
        return _explain((ours or error).exceptions[0])
    if not isinstance(error, LocalError):
        _say(f"internal error ({type(error).__name__})", "Run it again with --debug and report what it says")
        return INTERNAL_ERROR
    _say(error.message, error.hint)
    return error.exit_code


def _say(what: str, hint: str) -> None:
    text = f"{what.rstrip('.')}. {hint[:1].upper()}{hint[1:]}"
    print("qnet:", *text.split(), file=sys.stderr)
