"""Checking a replica's files offline, from genesis, as a stranger would."""

from collections.abc import Callable
from functools import partial

from ledger.contract import ContractHost
from ledger.store import Report, SqliteStore, verify_store
from ledger.types import Height
from mpcnode.config.node import NodeConfig
from mpcnode.sealing.keys import verify


def verify_replica(config: NodeConfig, progress: Callable[[Height], None] | None = None) -> Report:
    """Verify the replica of a daemon that does not run.

    Args:
        config: the daemon's.
        progress: told each height that is right.

    Raises:
        LockedError: the daemon runs.
        StorageError: the store cannot be opened.
    """
    genesis = config.consortium.genesis()
    store = SqliteStore(config.ledger_dir)
    try:
        return verify_store(store, partial(ContractHost, genesis.chain), genesis, verify, progress)
    finally:
        store.close()
