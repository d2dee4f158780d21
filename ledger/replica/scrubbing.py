"""The slow pass of a running replica over everything that it stores: damage that nobody reads would stay unseen.

Every block follows from genesis with its certificate, its transactions, receipts, index entries and own votes; every
state node hashes to its key; every proof is signed. Nothing is executed: what a block does was compared with the roots
that a quorum signed when it was committed, and all that is stored of it is bound to them. `verify_store` executes
again, and finds rows that belong to nothing; that takes a replica that does not run.
"""

from collections.abc import Iterator, Sequence

from ledger.chain import Head, Verify, genesis_head
from ledger.encoding import decode_transaction, transaction_id, vote_statement
from ledger.errors import InvalidError, StorageError
from ledger.ports import BlockStore, Store
from ledger.replica.opening import follow_stored
from ledger.types import ChainId, FinalBlock, Genesis, Height, PublicKey, Receipt, Validator, Vote


def scrub(store: Store, genesis: Genesis, verify: Verify) -> Iterator[None]:
    """Look at everything, a few milliseconds of work before each `yield`; blocks may be committed in between.

    Raises:
        StorageError: something is not what was written; it names the height, if it has one.
    """
    head = _genesis(store, genesis)
    number = Height(1)
    while number <= (store.height() or 0):
        head = _check_block(store, head, number, verify)
        number = Height(number + 1)
        yield
    _check_votes(store, head, number, verify)
    key: bytes | None = b""
    while key is not None:
        key = store.check_nodes(key)
        yield
    for proof in store.evidence():
        validators = store.validators(Height(proof.first.height - 1))
        for vote in (proof.first, proof.second):
            if check_vote(vote, validators, genesis.chain, verify) != proof.key:
                raise StorageError(f"evidence: expected votes signed by {proof.key.hex()}, got {proof}")
        yield


def check_indices(store: BlockStore, final: FinalBlock, receipts: Sequence[Receipt]) -> None:
    """Check that a block's transactions and events are found where they are.

    Raises:
        StorageError: one is not.
    """
    height = final.block.header.height
    for index, data in enumerate(final.block.txs):
        place = store.locate(transaction_id(decode_transaction(data)))
        if place is None or (place.height, place.index) != (height, index):
            raise StorageError(f"height {height}: expected transaction {index} in the index, got {place}")
    logs = [log for receipt in receipts for log in receipt.logs]
    found = store.find_logs(height, height)
    if [entry.log for entry in found] != logs:
        raise StorageError(f"height {height}: expected {len(logs)} events in the index, got {len(found)}")
    for log in logs:
        topic = log.topics[0] if log.topics else None
        if all(entry.log != log for entry in store.find_logs(height, height, log.address, topic)):
            raise StorageError(f"height {height}: expected an event in the index by its topic, got none")


def check_vote(vote: Vote, validators: Sequence[Validator], chain: ChainId, verify: Verify) -> PublicKey:
    """Check a vote's signature against the set of its height; return whose it is.

    Raises:
        StorageError: no validator signed it.
    """
    stated = vote_statement(chain, vote.kind, vote.height, vote.view, vote.block_hash)
    if vote.signer < len(validators) and verify(validators[vote.signer].key, stated, vote.signature):
        return validators[vote.signer].key
    raise StorageError(f"vote: expected one signed by a validator of height {vote.height}, got {vote}")


def _genesis(store: BlockStore, genesis: Genesis) -> Head:
    """The first head; its state's root is what the first block's previous hash covers."""
    header = store.header(Height(0))
    if header is not None:
        head = genesis_head(genesis.chain, header.state_root, genesis.validators())
        if (header, store.validators(Height(0))) == (head.header, head.validators):
            return head
    raise StorageError(f"height 0: expected the genesis block of this consortium, got {header}")


def _check_block(store: Store, head: Head, height: Height, verify: Verify) -> Head:
    _check_votes(store, head, height, verify)
    followed = follow_stored(store, head, height, verify, in_full=True)
    final = store.final(height)
    if final is None:
        raise StorageError(f"height {height}: expected a block, got none")
    try:
        check_indices(store, final, store.receipts(height))
    except InvalidError as error:
        raise StorageError(f"height {height}: {error}") from error
    return followed


def _check_votes(store: Store, head: Head, height: Height, verify: Verify) -> None:
    for record in store.records(height):
        if isinstance(record, Vote):
            check_vote(record, head.validators, head.header.chain, verify)
