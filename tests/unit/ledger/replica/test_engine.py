"""Building, validating and committing blocks on a store, and what a replica checks before it runs."""

from dataclasses import replace

import pytest

from ledger.consensus import Decided, decode_message
from ledger.consensus.inbox import DECIDED_KEPT_MAX
from ledger.encoding import BATCH_BYTES_MAX, block_hash
from ledger.errors import InvalidError, InvalidTransactionError, StorageError, UnavailableError
from ledger.ports import Place
from ledger.receipts import verify_receipt
from ledger.replica.engine import FRESH_MS, CheckedTransactions, Engine
from ledger.store import MemoryStore
from ledger.types import Digest, Height, Millis
from tests.support.chains import NOW, finalize, genesis_of, public_key, transaction, verify, vote_key
from tests.support.executors import CountingExecutor

GENESIS = genesis_of(4)
PROPOSER = public_key(vote_key(0))


class World:
    def __init__(self, store=None):
        self.store = store or MemoryStore()
        self.executor = CountingExecutor(GENESIS.validators(), self.store.read_node)
        self.engine = Engine(store=self.store, executor=self.executor, genesis=GENESIS, verify=verify)

    def build(self, *txs, now=NOW):
        return self.engine.build([self.engine.check(data) for data in txs], PROPOSER, Millis(now))

    def grow(self, *txs, now=NOW):
        block, _ = self.build(*txs, now=now)
        assert block is not None
        return self.engine.commit(block, finalize(GENESIS, block.header, block_hash(block.header)))


@pytest.fixture
def world():
    return World()


def test_a_new_store_gets_the_genesis_block(world):
    assert world.store.height() == 0
    assert world.engine.head.header == world.store.header(Height(0))


def test_what_one_builds_the_others_find_valid_and_commit(world):
    other = World()
    block, dropped = world.build(transaction(1), transaction(2, method="test.fail"))
    assert dropped == ()
    assert other.engine.validate(block, fresh=True, now=NOW)
    certificate = finalize(GENESIS, block.header, block_hash(block.header))
    committed = [one.engine.commit(block, certificate) for one in (world, other)]
    assert committed[0] == committed[1] == other.engine.committed(Height(1))
    assert [receipt.ok for receipt in committed[0].receipts] == [True, False]
    assert world.engine.head == other.engine.head
    assert world.engine.view(NOW, "test.count", ()) == (1,)


def test_nothing_is_executed_twice(world):
    other = World()
    block, _ = world.build(transaction(1))
    certificate = finalize(GENESIS, block.header, block_hash(block.header))
    for one in (world, other):
        one.engine.validate(block, fresh=True, now=NOW)
        one.engine.validate(block, fresh=False, now=NOW)
        one.engine.commit(block, certificate)
        assert one.executor.executed == 1


def test_a_block_never_seen_before_is_executed_when_it_is_committed(world):
    other = World()
    block, _ = world.build(transaction(1))
    other.engine.commit(block, finalize(GENESIS, block.header, block_hash(block.header)))
    assert other.engine.view(NOW, "test.count", ()) == (1,)


def test_time_of_a_block_is_later_than_its_parents(world):
    world.grow(transaction(1), now=NOW + 5)
    committed = world.grow(transaction(2), now=NOW - 1_000)
    assert committed.header.timestamp_ms == NOW + 6


@pytest.mark.parametrize(("off", "valid"), [(0, True), (FRESH_MS, True), (FRESH_MS + 1, False), (-FRESH_MS - 1, False)])
def test_only_a_fresh_block_must_be_close_to_the_clock(world, off, valid):
    block, _ = world.build(transaction(1))
    other = World()
    assert other.engine.validate(block, fresh=True, now=NOW + off) is valid
    assert other.engine.validate(block, fresh=False, now=NOW + off)


def test_an_invalid_block_is_refused_and_never_committed(world):
    block, _ = world.build(transaction(1))
    for change in ({"state_root": Digest(bytes(32))}, {"receipts_root": Digest(bytes(32))}, {"height": Height(2)}):
        wrong = replace(block, header=replace(block.header, **change))
        other = World()
        assert not other.engine.validate(wrong, fresh=True, now=NOW)
        with pytest.raises(StorageError, match="quorum"):
            other.engine.commit(wrong, finalize(GENESIS, wrong.header, block_hash(wrong.header)))
        assert other.store.height() == 0


def test_another_body_under_a_known_header_is_refused(world):
    block, _ = world.build(transaction(1))
    assert not world.engine.validate(replace(block, txs=(transaction(2),)), fresh=True, now=NOW)


def test_what_is_final_is_not_built_again(world):
    world.grow(transaction(1))
    block, dropped = world.build(transaction(1))
    assert block is None
    assert dropped == (world.engine.check(transaction(1)).tx_id,)
    block, dropped = world.build(transaction(1), transaction(2))
    assert len(block.txs) == len(dropped) == 1


def test_nothing_to_build(world):
    assert world.build() == (None, ())


def test_a_block_is_filled_up_to_its_size(world):
    wide = [transaction(number, args=bytes(14_000)) for number in range(40)]
    block, _ = world.build(*wide)
    assert block.txs == tuple(wide[:36])
    assert World().engine.validate(block, fresh=True, now=NOW)


def test_a_transaction_is_checked_once(world, monkeypatch):
    world.engine.check(transaction(1))
    monkeypatch.setattr("ledger.replica.engine.check_transaction", None)
    assert world.engine.check(transaction(1)).data == transaction(1)


def test_what_is_remembered_is_bounded_in_bytes(world):
    pooled = [world.engine.check(transaction(number)) for number in range(3)]
    remembered = CheckedTransactions(bytes_max=len(pooled[0].data) * 2)
    for one in (*pooled, pooled[2]):
        remembered.put(one)
    assert [remembered.get(one.data) for one in pooled] == [None, pooled[1], pooled[2]]


def test_an_invalid_transaction_is_not_remembered_as_checked(world):
    wrong = transaction(1)[:-1] + b"\0"
    for _ in range(2):
        with pytest.raises(InvalidTransactionError):
            world.engine.check(wrong)


def test_outcomes_and_receipts(world):
    world.grow(transaction(1), transaction(2))
    pooled = world.engine.check(transaction(2))
    outcome = world.engine.outcome(pooled.tx_id)
    assert (outcome.height, outcome.index, outcome.receipt.ok) == (1, 1, True)
    assert world.engine.outcome(world.engine.check(transaction(3)).tx_id) is None
    file = world.engine.receipt([Place(Height(1), 0), Place(Height(1), 1)])
    assert [tx.tx_id for tx in verify_receipt(file, GENESIS, verify).transactions][1] == pooled.tx_id
    for place in (Place(Height(1), 2), Place(Height(2), 0), Place(Height(0), 0)):
        with pytest.raises(UnavailableError):
            world.engine.receipt([place])


def test_a_batch_holds_what_its_receiver_keeps(world):
    for number in range(DECIDED_KEPT_MAX + 5):
        world.grow(transaction(number))
    batch = [decode_message(data) for data in world.engine.decided_from(Height(1))]
    assert [message.block.header.height for message in batch if isinstance(message, Decided)] == list(
        range(1, DECIDED_KEPT_MAX + 2)
    )
    assert len(world.engine.decided_from(Height(DECIDED_KEPT_MAX + 3))) == 3
    assert world.engine.decided_from(Height(99)) == []
    assert world.engine.decided_from(Height(0)) == []


def test_a_batch_is_bounded_in_bytes(world):
    for number in range(5):
        world.grow(*(transaction(number * 100 + n, args=bytes(14_000)) for n in range(30)))
    batch = world.engine.decided_from(Height(1))
    assert len(batch) == 2
    assert sum(map(len, batch)) <= BATCH_BYTES_MAX


def test_newest_vote_of_a_validator_is_in_the_certificates(world):
    world.grow(transaction(1))
    world.grow(transaction(2))
    signed, silent = GENESIS.validators()[0], GENESIS.validators()[3]
    vote = world.engine.newest_vote_of(signed.key)
    assert (vote.height, vote.signer) == (2, 0)
    assert world.engine.newest_vote_of(silent.key) is None


def test_a_block_that_is_not_there(world):
    with pytest.raises(UnavailableError):
        world.engine.committed(Height(1))
    assert world.engine.committed(Height(0)).txs == ()


def test_preflight_keeps_nothing(world):
    tx = world.engine.check(transaction(1)).tx
    assert world.engine.try_call(NOW, tx).ok
    assert world.engine.view(NOW, "test.count", ()) == (0,)


class TestOpening:
    def grown(self, count=4):
        world = World()
        for number in range(count):
            world.grow(transaction(number))
        return world

    def test_a_chain_is_taken_up_where_it_was(self):
        world = self.grown()
        again = World(world.store)
        assert again.engine.head == world.engine.head
        again.grow(transaction(9))

    def damaged(self, height, **change):
        world = self.grown()
        decision = world.store._decisions[height]
        block = decision.final.block
        changed = {
            "header": lambda: replace(block, header=replace(block.header, **change)),
            "txs": lambda: replace(block, txs=()),
        }["header"]()
        world.store._decisions[height] = replace(decision, final=replace(decision.final, block=changed))
        return world.store

    @pytest.mark.parametrize("height", [1, 2, 4])
    def test_a_header_that_was_not_decided_is_found(self, height):
        store = self.damaged(height, receipts_root=Digest(bytes(32)))
        with pytest.raises(StorageError, match=f"height {height}"):
            World(store)

    def test_another_genesis_is_found(self):
        with pytest.raises(StorageError, match="height 0"):
            World(self.damaged(0, state_root=Digest(bytes(32))))

    def test_a_certificate_that_is_no_quorum_is_found(self):
        world = self.grown()
        decision = world.store._decisions[3]
        certificate = decision.final.certificate
        short = replace(certificate, signers=certificate.signers[:2], signatures=certificate.signatures[:2])
        world.store._decisions[3] = replace(decision, final=replace(decision.final, certificate=short))
        with pytest.raises(StorageError, match="height 3"):
            World(world.store)

    def test_a_missing_state_is_found(self):
        world = self.grown()
        del world.store._nodes[world.engine.head.header.state_root]
        with pytest.raises(StorageError, match="state"):
            World(world.store)

    def test_a_contract_with_other_validators_is_refused(self):
        store = MemoryStore()
        executor = CountingExecutor(GENESIS.validators()[:3], store.read_node)
        with pytest.raises(InvalidError, match="validators"):
            Engine(store=store, executor=executor, genesis=GENESIS, verify=verify)
