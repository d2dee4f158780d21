"""Compacting a replica's files while its daemon does not run: all at once, and the file gets smaller."""

from collections.abc import Callable
from dataclasses import dataclass

from ledger.contract import ContractHost
from ledger.ports import STATES_KEPT, Compaction
from ledger.types import Height
from mpcnode.adapters.replica_files import open_replica
from mpcnode.config.node import NodeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What compacting did."""

    kept: int
    removed: int
    """State nodes."""
    states_from: Height
    """Height from which on states are kept."""
    bytes_before: int
    bytes_after: int
    """Size of the replica's directory."""


def compact_replica(config: NodeConfig, progress: Callable[[Compaction], None], states: int = STATES_KEPT) -> Compacted:
    """Remove the state nodes that the states of the newest blocks do not reach, and shrink the file.

    Args:
        config: of a daemon that does not run.
        progress: told after each step.
        states: how many of the newest blocks keep their states.

    Raises:
        LockedError: the daemon runs.
        StorageError: the store cannot be opened, or a node that must be kept is missing.
    """
    before = _size(config)
    with open_replica(config) as store:
        host = ContractHost(config.consortium.chain, store.read_node)
        done = store.compact(host.children, states)
        while not done.done:
            progress(done)
            done = store.compact(host.children, states)
        store.shrink()
        states_from = store.states_from()
    return Compacted(
        kept=done.kept, removed=done.removed, states_from=states_from, bytes_before=before, bytes_after=_size(config)
    )


def _size(config: NodeConfig) -> int:
    return sum(path.stat().st_size for path in config.ledger_dir.iterdir()) if config.ledger_dir.is_dir() else 0
