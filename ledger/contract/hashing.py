"""py-evm and the contracts hash with whatever eth-hash finds first, which spends seven times as long on it; not here.

A tenth of a transaction's execution was that. No environment variable says so: processes that this one starts
have packages of their own.
"""

from eth_hash.auto import keccak
from eth_hash.backends import pysha3


def hash_fast() -> None:
    """Let the one `keccak` that everybody imports from eth-hash be the one written in C."""
    keccak.hasher = pysha3.keccak256  # type: ignore[assignment]
