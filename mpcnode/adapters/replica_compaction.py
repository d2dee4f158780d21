"""Compacting a replica's files while its daemon does not run: all at once, and the file gets smaller."""

from collections.abc import Callable

from ledger.contract import ContractHost
from ledger.ports import STATES_KEPT, Compaction
from ledger.store import SqliteStore
from ledger.types import ChainId
from mpcnode.config.node import NodeConfig


def compact_store(
    store: SqliteStore, chain: ChainId, progress: Callable[[Compaction], None], states: int = STATES_KEPT
) -> Compaction:
    """Remove the state nodes that the states of the newest blocks do not reach, and shrink the file.

    Args:
        store: of a daemon that does not run.
        chain: the consortium's.
        progress: told after each step.
        states: how many of the newest blocks keep their states.

    Raises:
        StorageError: the disk failed, or a node that must be kept is missing.
    """
    host = ContractHost(chain, store.read_node)
    done = store.compact(host.children, states)
    while not done.done:
        progress(done)
        done = store.compact(host.children, states)
    store.shrink()
    return done


def replica_bytes(config: NodeConfig) -> int:
    """Size of the replica's directory."""
    return sum(path.stat().st_size for path in config.ledger_dir.iterdir()) if config.ledger_dir.is_dir() else 0
