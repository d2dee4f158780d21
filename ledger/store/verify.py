"""Offline verification of a replica's store: everything in it follows from genesis, or the first height that does not.

Trusts the genesis, the contract host and the signatures' verifier; reads every block, certificate, receipt, state node,
index entry, own vote and proof against a validator. Each block is executed again and what that gives is compared with
what is stored. That needs the states of old blocks too: what a compaction removed is computed again and kept aside.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from ledger import merkle
from ledger.chain import (
    Head,
    Verify,
    check_body,
    check_certificate,
    check_execution,
    check_final,
    check_transaction,
    genesis_head,
)
from ledger.encoding import block_hash, decode_vote, proposal_statement
from ledger.errors import InvalidError, StorageError
from ledger.ports import Execution, Executor
from ledger.replica.scrubbing import check_indices, check_vote
from ledger.store.audit import AuditableStore, Counts
from ledger.store.compaction import reach
from ledger.store.rows import blob, check_node
from ledger.store.scratch import Scratch
from ledger.types import (
    Certificate,
    FinalBlock,
    Genesis,
    Height,
    Proposal,
    PublicKey,
    Transaction,
    TxId,
    Vote,
)

ReadNode = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first thing that is wrong."""

    height: Height | None
    """None: it belongs to no block, like a state node that no block put there."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What verification found."""

    verified: Height | None
    """Newest height up to which everything is right; None: not even genesis."""
    states_from: Height
    """Height from which on every state is stored whole; above 0 after a compaction."""
    failure: Failure | None


def verify_store(
    store: AuditableStore,
    make_executor: Callable[[ReadNode], Executor],
    genesis: Genesis,
    verify: Verify,
    progress: Callable[[Height], None] | None = None,
) -> Report:
    """Check a store from genesis to its newest block, then what belongs to no block.

    Args:
        store: of a replica that does not run.
        make_executor: makes the executor that reads state nodes so.
        genesis: the consortium document.
        verify: checks a signature.
        progress: told each height that is right.
    """
    with closing(store.scratch()) as removed:
        walk = _Walk(store, make_executor, removed, genesis, verify)
        verified: Height | None = None
        try:
            newest = store.height()
            walk.check_kept(newest)
            for number in range(0 if newest is None else newest + 1):
                walk.check_block(Height(number))
                verified = Height(number)
                if progress is not None:
                    progress(verified)
            walk.check_states()
            walk.check_votes()
            walk.check_evidence()
            walk.check_records()
            walk.check_rest()
        except (InvalidError, StorageError) as error:
            failure = Failure(height=walk.height, reason=str(error))
            return Report(verified=verified, states_from=walk.states_from, failure=failure)
        return Report(verified=verified, states_from=walk.states_from, failure=None)


class _Walk:
    """Follows the chain; `height` is where it stands when something is wrong."""

    def __init__(
        self,
        store: AuditableStore,
        make_executor: Callable[[ReadNode], Executor],
        removed: Scratch,
        genesis: Genesis,
        verify: Verify,
    ) -> None:
        self.height: Height | None = None
        self.states_from = Height(0)
        self._store = store
        self._executor = make_executor(self._read_node)
        self._removed = removed
        self._genesis = genesis
        self._verify = verify
        self._head: Head | None = None
        self._sets = [genesis.validators()]
        self._txs = 0
        self._logs = 0
        self._written = 0

    def check_kept(self, newest: Height | None) -> None:
        """Check that the store says of a height that it has that its states are whole from there on."""
        self.states_from = self._store.states_from()
        if self.states_from > (newest or 0):
            raise StorageError(f"states: expected those of a block up to {newest}, got from {self.states_from} on")

    def check_block(self, height: Height) -> None:
        """Check one block on those before it."""
        self.height = height
        final = self._store.final(height)
        if final is None:
            raise StorageError(f"height {height}: expected a block, got none")
        if self._head is None:
            execution = self._executor.genesis(self._genesis)
            head = self._genesis_head(final, execution)
        else:
            execution = self._execution(final, self._head)
            head = self._head.follow(final.block.header, tuple(execution.validators))
        receipts = self._store.receipts(height)
        if receipts != tuple(execution.receipts):
            raise StorageError(f"height {height}: expected the receipts of its execution, got others")
        if self._store.validators(height) != tuple(execution.validators):
            raise StorageError(f"height {height}: expected the validators of its execution, got others")
        for key, value in execution.nodes.items():
            self._check_node(key, value)
        check_indices(self._store, final, receipts)
        self._txs += len(final.block.txs)
        self._logs += sum(len(receipt.logs) for receipt in receipts)
        self._head = head
        self._sets.append(tuple(execution.validators))

    def check_states(self) -> None:
        """Check that the states that a compaction kept are whole; without one each block's nodes were seen."""
        if self.states_from == 0:
            return
        with closing(self._store.scratch()) as met:
            for number in range(self.states_from, len(self._sets) - 1):
                self.height = Height(number)
                header = self._store.header(self.height)
                if header is None:
                    raise StorageError(f"height {number}: expected a block, got none")
                for _ in reach([header.state_root], self._store.read_node, self._executor.children, met.add):
                    pass

    def check_votes(self) -> None:
        """Check the signature of every own vote."""
        self.height = None
        for place, data in self._store.scan_votes():
            self.height = Height(place[0])
            vote = decode_vote(blob(data))
            if (vote.height, vote.view, vote.kind) != place:
                raise StorageError(f"vote: expected one of {place}, got {vote}")
            self._check_vote(vote)

    def check_evidence(self) -> None:
        """Check both signatures of every proof against a validator."""
        self.height = None
        for proof in self._store.evidence():
            self.height = proof.first.height
            if self._check_vote(proof.first) != proof.key or self._check_vote(proof.second) != proof.key:
                raise StorageError(f"evidence: expected votes signed by {proof.key.hex()}, got {proof}")

    def check_records(self) -> None:
        """Check the certificates and proposals of the height that is not decided."""
        self.height = Height(len(self._sets) - 1)
        validators = self._sets[self.height]
        for record in self._store.records(self.height):
            match record:
                case Certificate():
                    check_certificate(record, validators, self._genesis.chain, self._verify)
                case Proposal():
                    self._check_proposal(record, [validator.key for validator in validators])
                case Vote():
                    pass

    def check_rest(self) -> None:
        """Check what belongs to no height: surplus index entries, state nodes, the file's structure."""
        self.height = None
        expected = Counts(blocks=len(self._sets) - 1, txs=self._txs, logs=self._logs, written=self._written)
        found = self._store.counts()
        if found != expected:
            raise StorageError(f"index: expected {expected}, got {found}")
        for key, value in self._store.scan_nodes():
            check_node(key, value)
        self._store.check_structure()

    def _read_node(self, key: bytes) -> bytes | None:
        stored = self._store.read_node(key)
        return self._removed.get(key) if stored is None else stored

    def _check_node(self, key: bytes, value: bytes) -> None:
        """Check that a node that a block wrote is stored, or keep it aside if a compaction may have removed it."""
        self._written += 1
        stored = self._store.read_node(key)
        if stored is None and self.states_from > 0:
            self._removed.add(key, value)
        elif stored != value:
            raise StorageError(f"height {self.height}: expected the state node {key.hex()}, got none")

    def _genesis_head(self, final: FinalBlock, execution: Execution) -> Head:
        head = genesis_head(self._genesis.chain, execution.state_root, tuple(execution.validators))
        if final.block.header != head.header or final.block.txs:
            raise StorageError("height 0: expected the genesis block of this consortium, got another")
        return head

    def _execution(self, final: FinalBlock, head: Head) -> Execution:
        header = final.block.header
        check_final(final, head, self._verify)
        txs = check_body(final.block, self._checked, self._is_earlier)
        execution = self._executor.execute(head.header.state_root, header.height, header.timestamp_ms, txs)
        check_execution(final.block, execution.state_root, execution.receipts, execution.validators)
        return execution

    def _checked(self, data: bytes) -> Transaction:
        return check_transaction(data, self._genesis.chain, self._verify)

    def _is_earlier(self, tx_id: TxId) -> bool:
        place = self._store.locate(tx_id)
        return place is not None and self.height is not None and place.height < self.height

    def _check_vote(self, vote: Vote) -> PublicKey:
        """Check a vote's signature against the set of its height; return whose it is."""
        if vote.height >= len(self._sets):
            raise StorageError(f"vote: expected one below height {len(self._sets)}, got {vote}")
        return check_vote(vote, self._sets[vote.height], self._genesis.chain, self._verify)

    def _check_proposal(self, proposal: Proposal, keys: Sequence[PublicKey]) -> None:
        block = proposal.block
        proposed = block_hash(block.header)
        stated = proposal_statement(self._genesis.chain, proposal.height, proposal.view, proposed, proposal.base)
        if all(not self._verify(key, stated, proposal.signature) for key in keys):
            raise StorageError(f"proposal: expected one signed by a validator, got another in view {proposal.view}")
        if merkle.root(block.txs) != block.header.tx_root:
            raise StorageError(f"proposal: expected the transactions of its root, got others in view {proposal.view}")
