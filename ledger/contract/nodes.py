"""State nodes of one block: reads fall through to the replica's store, writes stay here until the block is final."""

import contextlib
from collections.abc import Callable, Iterator

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from ledger.contract.storage import Nodes
from ledger.errors import StorageError


class NodeOverlay(BaseAtomicDB):
    """The database that py-evm sees. Nodes are named by their keccak256, so nothing is ever overwritten or deleted."""

    def __init__(self, read_node: Callable[[bytes], bytes | None], nodes: Nodes) -> None:
        self._read_node = read_node
        self.nodes = nodes
        """Of storage tries, taken apart."""
        self.new: dict[bytes, bytes] = {}

    def read(self, key: bytes) -> bytes | None:
        """Return a node; None if there is none."""
        value = self.new.get(key)
        return self._read_node(key) if value is None else value

    def __getitem__(self, key: bytes) -> bytes:
        value = self.read(key)
        if value is None:
            raise KeyError(key)  # py-evm asks for nodes that need not exist, too
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.new[key] = value

    def __delitem__(self, key: bytes) -> None:
        raise StorageError(f"expected no deletion of state nodes, got one of {key.hex()}")

    def _exists(self, key: bytes) -> bool:
        return key in self.new or self._read_node(key) is not None

    @contextlib.contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Collect writes and keep them if nothing raises."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:  # noqa: SLF001 - py-evm's own backends do so
            yield batch
