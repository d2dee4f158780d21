"""What a replica checks of its store before it runs."""

from ledger.chain import Head, Verify, check_finality, check_header, genesis_head
from ledger.errors import InvalidError, StorageError
from ledger.ports import BlockStore, Decision, Execution, Executor, Store
from ledger.types import Block, FinalBlock, Genesis, Height

CHECKED_BLOCKS = 1_000
"""Newest blocks of which certificate and body are checked at start; `verify_store` checks all of everything."""


def open_chain(store: Store, executor: Executor, genesis: Genesis, verify: Verify) -> Head:
    """Check the header chain in full, the newest certificates and bodies and the state; return the head.

    A store without blocks gets the genesis block.

    Raises:
        InvalidError: the genesis itself breaks a rule.
        StorageError: the store holds something else than a chain from this genesis.
    """
    execution = executor.genesis(genesis)
    validators = tuple(execution.validators)
    if validators != genesis.validators():
        raise InvalidError("genesis: expected its validators to be those of the contract, got others")
    head = genesis_head(genesis.chain, execution.state_root, validators)
    newest = store.height()
    if newest is None:
        store.commit(_genesis_decision(head, execution))
        return head
    if store.header(Height(0)) != head.header:
        raise StorageError("height 0: expected the genesis block of this consortium, got another")
    for number in range(1, newest + 1):
        head = follow_stored(store, head, Height(number), verify, in_full=number > newest - CHECKED_BLOCKS)
    if store.read_node(head.header.state_root) is None:
        raise StorageError(f"height {newest}: expected the state {head.header.state_root.hex()}, got none")
    return head


def follow_stored(store: BlockStore, head: Head, height: Height, verify: Verify, *, in_full: bool) -> Head:
    """Return the head after a stored block, checked; `in_full` with its certificate and body.

    Raises:
        StorageError: there is none, or it does not follow.
    """
    header = store.header(height)
    if header is None:
        raise StorageError(f"height {height}: expected a block, got none")
    try:
        check_header(header, head)
        if in_full:
            final = store.final(height)
            check_finality(final.certificate if final else None, header, head.validators, verify)
        return head.follow(header, store.validators(height))
    except InvalidError as error:
        raise StorageError(f"height {height}: {error}") from error


def _genesis_decision(head: Head, execution: Execution) -> Decision:
    return Decision(
        final=FinalBlock(block=Block(header=head.header, txs=()), certificate=None),
        tx_ids=(),
        receipts=(),
        nodes=execution.nodes,
        validators=head.validators,
    )
