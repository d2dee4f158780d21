"""What the C library does with memory that was freed (mallopt(3)).

By default glibc gives arrays of a few hundred KB back to the system when they are freed, and faults every page in anew
for the next one. Joint computation makes such arrays all the time: keeping them saves 4 to 8 % of the time of a query
about 100,000 subjects, and the daemon holds up to `KEPT_BYTES` more: of each heap, that is, and threads that allocate
at once have their own.
"""

import ctypes

KEPT_BYTES = 64 * 1024 * 1024
"""Free memory at the end of a heap from which on it is given back."""

MAPPED_BYTES = 8 * 1024 * 1024
"""Allocations from this size on are mapped by themselves, and given back at once."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; False if its C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    set_both = [mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES), mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)]
    return all(done == 1 for done in set_both)
