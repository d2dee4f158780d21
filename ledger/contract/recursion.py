"""Importing py-evm raises Python's recursion limit to 100,000 for the whole process; this takes it back.

At that depth C code overflows the stack before Python says RecursionError: some nested JSON from a peer would end the
process. The contracts call each other three deep at most and need nothing of the kind.
"""

import sys

RECURSION_MAX = 1000
"""Python's own default."""


def restore_recursion_limit() -> None:
    """Call after each import of `eth`."""
    sys.setrecursionlimit(min(sys.getrecursionlimit(), RECURSION_MAX))
