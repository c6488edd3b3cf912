"""Code in a process of its own, for what would hang or change the process of the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def output_of(code, timeout=300, **environment):
    """What `code` prints, with the tests' modules to import; raises if it fails or takes too long.

    The environment's limits on the number of threads do not hold there, only those given.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=inherited | environment,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children, too, that may wait for ever
            raise
    assert process.returncode == 0, errors
    return output
