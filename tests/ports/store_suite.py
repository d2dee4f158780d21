"""What every store must do; each store's tests inherit this."""

from dataclasses import replace

import pytest

from ledger.chain import Head
from ledger.encoding import block_hash, decode_transaction, proposal_statement, transaction_id
from ledger.errors import StorageError
from ledger.ports import Decision, Equivocation, Place, Store
from ledger.store.evidence import EVIDENCE_PER_KEY_MAX
from ledger.types import Block, BlockHash, FinalBlock, Height, Proposal, TxId, View, Vote, VoteKind
from tests.support.chains import (
    CHAIN,
    block_on,
    certificate,
    finalize,
    genesis_of,
    genesis_state,
    sign,
    transaction,
    vote_key,
)
from tests.support.executors import CountingExecutor, genesis_decision

GENESIS = genesis_of(4)


def vote(kind: VoteKind, height: int, view: int, voted: bytes = b"\x01" * 32, signer: int = 0) -> Vote:
    """A vote as one validator's own log would hold it."""
    made = certificate(GENESIS, kind, height, view, voted, signers=[signer])
    return Vote(
        kind=kind,
        height=made.height,
        view=made.view,
        block_hash=made.block_hash,
        signer=signer,
        signature=made.signatures[0],
    )


def equivocation(height: int, view: int, first: Vote | None = None, second: Vote | None = None, signer: int = 0):
    """Proof against a validator, by default of two NOTARIZE."""
    return Equivocation(
        key=GENESIS.validators()[signer].key,
        first=first or vote(VoteKind.NOTARIZE, height, view, b"\x01" * 32, signer),
        second=second or vote(VoteKind.NOTARIZE, height, view, b"\x02" * 32, signer),
    )


class Grower:
    """Grows a chain in a store, executing with `CountingExecutor`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.executor = CountingExecutor(GENESIS.validators(), store.read_node)
        first = genesis_decision(GENESIS, self.executor)
        if store.height() is None:
            store.commit(first)
        self.head = genesis_state(GENESIS, first.final.block.header.state_root)
        for height in range(1, (store.height() or 0) + 1):
            final = store.final(Height(height))
            assert final is not None
            self.head = self.head.follow(final.block.header, GENESIS.validators())

    def decision(self, *txs: bytes) -> tuple[Decision, Head]:
        decoded = [decode_transaction(data) for data in txs]
        parent = self.head.header
        execution = self.executor.execute(parent.state_root, Height(parent.height + 1), parent.timestamp_ms, decoded)
        block = block_on(self.head, txs, execution.receipts, state_root=execution.state_root)
        after = self.head.follow(block.header, GENESIS.validators())
        decided = Decision(
            final=FinalBlock(block=block, certificate=finalize(GENESIS, block.header, after.block_hash)),
            tx_ids=tuple(map(transaction_id, decoded)),
            receipts=execution.receipts,
            nodes=execution.nodes,
            validators=execution.validators,
        )
        return decided, after

    def grow(self, *txs: bytes) -> Decision:
        decided, after = self.decision(*txs)
        self.store.commit(decided)
        self.head = after
        return decided


class StoreSuite:
    """Tests of one store; `store` is an empty one."""

    @pytest.fixture
    def store(self):
        raise NotImplementedError

    def test_an_empty_store_says_so(self, store):
        assert store.height() is None
        assert store.final(Height(0)) is None
        assert store.header(Height(0)) is None
        assert store.receipts(Height(0)) == ()
        assert store.validators(Height(0)) == ()
        assert store.records(Height(1)) == ()
        assert store.newest_vote() is None
        assert store.read_node(b"\1" * 32) is None

    def test_what_is_committed_is_read_back(self, store):
        grower = Grower(store)
        made = [grower.grow(transaction(n), transaction(n + 100, method="test.fail")) for n in range(1, 6)]
        assert store.height() == 5
        for height, decided in enumerate(made, 1):
            assert store.final(Height(height)) == decided.final
            assert store.header(Height(height)) == decided.final.block.header
            assert store.receipts(Height(height)) == decided.receipts
            assert store.validators(Height(height)) == GENESIS.validators()
            assert [store.locate(tx_id) for tx_id in decided.tx_ids] == [Place(Height(height), n) for n in (0, 1)]
            for key, value in decided.nodes.items():
                assert store.read_node(key) == value
            assert store.find_block(block_hash(decided.final.block.header)) == height
        assert store.find_block(BlockHash(bytes(32))) is None
        assert store.locate(TxId(bytes(32))) is None
        assert store.final(Height(6)) is None
        assert store.final(Height(0)) == FinalBlock(
            block=Block(header=store.header(Height(0)), txs=()), certificate=None
        )

    def test_logs_are_found_by_height_address_and_topic(self, store):
        grower = Grower(store)
        made = [grower.grow(transaction(n), transaction(n + 100)) for n in range(1, 5)]
        found = store.find_logs(Height(2), Height(3))
        assert [(entry.height, entry.tx_index, entry.log_index) for entry in found] == [
            (2, 0, 0),
            (2, 1, 0),
            (3, 0, 0),
            (3, 1, 0),
        ]
        assert [entry.log for entry in found] == [receipt.logs[0] for d in made[1:3] for receipt in d.receipts]
        wanted = found[1].log
        assert store.find_logs(Height(0), Height(9), wanted.address, wanted.topics[0]) == (found[1],)
        assert store.find_logs(Height(0), Height(1), wanted.address, wanted.topics[0]) == ()
        assert len(store.find_logs(Height(0), Height(9), wanted.address)) == 8
        assert store.find_logs(Height(0), Height(9), type(wanted.address)(bytes(20))) == ()

    def test_a_block_that_does_not_follow_is_refused(self, store):
        grower = Grower(store)
        first, _ = grower.decision(transaction(1))
        header = first.final.block.header
        for change in ({"height": Height(3)}, {"previous": b"\x05" * 32}):
            wrong = FinalBlock(block=replace(first.final.block, header=replace(header, **change)), certificate=None)
            with pytest.raises(StorageError, match="commit"):
                self.reopened(store).commit(replace(first, final=wrong))

    def test_a_transaction_is_never_stored_twice(self, store):
        grower = Grower(store)
        grower.grow(transaction(1))
        with pytest.raises(StorageError):
            grower.grow(transaction(1))

    def reopened(self, store):
        """The same store after a StorageError, if it can go on at all."""
        return store

    def test_records_are_kept_until_their_height_is_decided(self, store):
        grower = Grower(store)
        notarized = certificate(GENESIS, VoteKind.NOTARIZE, 1, 1, b"\x01" * 32)
        block = grower.decision(transaction(1))[0].final.block
        stated = proposal_statement(CHAIN, Height(1), View(1), grower.head.block_hash, View(0))
        proposal = Proposal(
            height=Height(1),
            view=View(1),
            block=block,
            base=View(0),
            justification=(notarized,),
            signature=sign(vote_key(0), stated),
        )
        votes = (vote(VoteKind.NOTARIZE, 1, 1), vote(VoteKind.FINALIZE, 1, 1))
        store.append([votes[0], proposal])
        store.append([notarized, votes[1]])
        next_vote = vote(VoteKind.NOTARIZE, 2, 1)
        store.append([next_vote])
        assert store.records(Height(1)) == (*votes, proposal, notarized)
        grower.grow(transaction(1))
        assert store.records(Height(1)) == votes
        assert store.records(Height(2)) == (next_vote,)
        assert store.newest_vote() == next_vote

    def test_the_same_vote_again_changes_nothing(self, store):
        store.append([vote(VoteKind.NOTARIZE, 1, 1)])
        store.append([vote(VoteKind.NOTARIZE, 1, 1)])
        assert store.records(Height(1)) == (vote(VoteKind.NOTARIZE, 1, 1),)

    def test_newest_vote_is_of_the_highest_height_then_view(self, store):
        for made in ((3, 1), (2, 9), (3, 2)):
            store.append([vote(VoteKind.NOTARIZE, *made)])
        assert store.newest_vote() == vote(VoteKind.NOTARIZE, 3, 2)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (vote(VoteKind.NOTARIZE, 1, 1), vote(VoteKind.NOTARIZE, 1, 1, b"\x02" * 32)),
            (vote(VoteKind.FINALIZE, 1, 1), vote(VoteKind.FINALIZE, 1, 1, b"\x02" * 32)),
            (vote(VoteKind.FINALIZE, 1, 1), vote(VoteKind.NULLIFY, 1, 1, bytes(32))),
            (vote(VoteKind.NULLIFY, 1, 1, bytes(32)), vote(VoteKind.FINALIZE, 1, 1)),
        ],
    )
    @pytest.mark.parametrize("together", [False, True])
    def test_a_vote_that_contradicts_an_earlier_one_is_refused(self, store, first, second, together):
        if not together:
            store.append([first])
        with pytest.raises(StorageError, match="vote"):
            store.append([first, second])

    def test_notarize_after_nullify_is_allowed(self, store):
        store.append([vote(VoteKind.NULLIFY, 1, 1, bytes(32)), vote(VoteKind.NOTARIZE, 1, 1)])
        assert len(store.records(Height(1))) == 2

    def test_a_new_store_never_voted_until_its_first_vote(self, store):
        assert store.has_never_voted()
        store.append([certificate(GENESIS, VoteKind.NOTARIZE, 1, 1, b"\x01" * 32)])
        assert store.has_never_voted()
        store.append([vote(VoteKind.NOTARIZE, 1, 1)])
        assert not store.has_never_voted()

    def test_a_log_is_whole_only_from_above_what_it_holds_and_never_moves_back(self, store):
        assert store.whole_from() == 0
        store.append([vote(VoteKind.NOTARIZE, 3, 1)])
        store.rejoin(Height(4), b"grounds")
        assert store.whole_from() == 4
        store.append([vote(VoteKind.NOTARIZE, 6, 1)])
        store.rejoin(Height(9), b"other grounds")
        assert store.whole_from() == 9
        assert store.newest_vote() == vote(VoteKind.NOTARIZE, 6, 1)

    @pytest.mark.parametrize("height", [0, 3, 5, 8, 9])
    def test_a_log_is_not_said_to_be_whole_from_lower_again_or_from_below_a_vote(self, store, height):
        store.append([vote(VoteKind.NOTARIZE, 5, 1)])
        if height > 5:
            store.rejoin(Height(9), b"grounds")
        with pytest.raises(StorageError, match=r"rejoin: expected a height above [59], got"):
            store.rejoin(Height(height), b"replayed")

    def test_evidence_is_kept_once_whatever_the_order_of_its_votes(self, store):
        assert store.evidence() == ()
        finalized, nullified = vote(VoteKind.FINALIZE, 3, 1), vote(VoteKind.NULLIFY, 3, 1, bytes(32))
        proofs = [equivocation(2, 9), equivocation(3, 1, nullified, finalized), equivocation(3, 1, signer=1)]
        for proof in proofs:
            assert store.accuse(proof)
        assert not store.accuse(proofs[0])
        assert not store.accuse(equivocation(2, 9, proofs[0].second, proofs[0].first))
        assert not store.accuse(equivocation(3, 1, finalized, nullified))
        assert store.accuse(equivocation(3, 1))
        store.append([vote(VoteKind.NOTARIZE, 1, 1)])
        found = self.reopened(store).evidence()
        assert set(found) == {*proofs, equivocation(3, 1)}
        assert [proof.first.height for proof in found] == [2, 3, 3, 3]

    def test_evidence_against_one_key_has_a_limit(self, store):
        kept = [view for view in range(1, 100) if store.accuse(equivocation(1, view))]
        assert kept == list(range(1, EVIDENCE_PER_KEY_MAX + 1))
        assert len(store.evidence()) == EVIDENCE_PER_KEY_MAX
        assert store.accuse(equivocation(1, 1, signer=2))

    @pytest.mark.parametrize(
        "second",
        [
            vote(VoteKind.NOTARIZE, 1, 1),
            vote(VoteKind.NOTARIZE, 1, 2, b"\x02" * 32),
            vote(VoteKind.NOTARIZE, 2, 1, b"\x02" * 32),
            vote(VoteKind.NOTARIZE, 1, 1, b"\x02" * 32, signer=1),
            vote(VoteKind.NULLIFY, 1, 1, bytes(32)),
            vote(VoteKind.FINALIZE, 1, 1),
        ],
    )
    def test_votes_that_agree_are_no_evidence(self, store, second):
        with pytest.raises(StorageError, match="evidence"):
            store.accuse(equivocation(1, 1, vote(VoteKind.NOTARIZE, 1, 1), second))

    def compacted(self, store, states, executor):
        """Compact to the end; return what was removed."""
        while not (done := store.compact(executor.children, states)).done:
            pass
        return done.removed

    def test_a_compaction_removes_what_only_old_states_reach(self, store):
        grower = Grower(store)
        made = [grower.grow(transaction(n)) for n in range(1, 7)]
        assert store.states_from() == 0
        assert self.compacted(store, 3, grower.executor) == 4
        again = self.reopened(store)
        assert again.states_from() == 4
        assert [again.read_node(decided.final.block.header.state_root) is None for decided in made] == [
            *(True, True, True),
            *(False, False, False),
        ]
        assert [again.final(Height(height)) for height in range(1, 7)] == [decided.final for decided in made]

    def test_states_that_are_gone_are_not_kept_by_a_larger_wish(self, store):
        grower = Grower(store)
        for number in range(1, 7):
            grower.grow(transaction(number))
        self.compacted(store, 2, grower.executor)
        assert store.states_from() == 5
        assert self.compacted(store, 1_000, grower.executor) == 0
        assert store.states_from() == 5

    def test_a_node_that_was_removed_is_stored_again_when_it_is_written_again(self, store):
        grower = Grower(store)
        first = grower.grow(transaction(1))
        for number in range(2, 6):
            grower.grow(transaction(number))
        self.compacted(store, 1, grower.executor)
        (key,) = first.nodes
        assert self.reopened(store).read_node(key) is None
        store = self.reopened(store)
        grower = Grower(store)
        decided, _ = grower.decision(transaction(9))
        store.commit(replace(decided, nodes={**decided.nodes, **first.nodes}))
        assert self.reopened(store).read_node(key) == first.nodes[key]

    def test_before_the_first_block_there_is_nothing_to_compact(self, store):
        executor = CountingExecutor(GENESIS.validators(), store.read_node)
        assert self.compacted(store, 3, executor) == 0
        assert store.states_from() == 0

    def test_a_compaction_does_not_go_on_without_a_node_that_it_must_keep(self, store):
        grower = Grower(store)
        grower.grow(transaction(1))
        with pytest.raises(StorageError, match=r"01010101.* of a state that is kept"):
            store.compact(lambda _node: (b"\1" * 32,), 1)
        assert self.reopened(store).read_node(grower.head.header.state_root) is not None
