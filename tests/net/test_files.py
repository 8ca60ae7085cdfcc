"""The limit of open files, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import resource
from qnet.net.files import raise_file_limit
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard > 64
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 80))
assert raise_file_limit() == 80
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
