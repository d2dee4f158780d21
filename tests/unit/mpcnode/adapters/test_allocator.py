"""Memory that was freed is kept for the next array."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from mpcnode.adapters.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
def work():
    for _ in range(20):
        arrays = [np.full(1 << 20, 1, np.uint8) for _ in range(16)]
        del arrays
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that had to be had anew for 20 times 16 arrays of 1 MiB, after as many before."""
    ran = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=False)
    if ran.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_arrays_are_made_of_memory_that_is_there():
    assert faults("keep") < 1_000 < faults("leave")
