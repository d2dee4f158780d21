"""The only source of randomness: everything else is handed its bytes."""

import os


def random_bytes(count: int) -> bytes:
    """Return `count` bytes from the operating system's generator."""
    return os.urandom(count)
