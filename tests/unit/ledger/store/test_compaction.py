"""Removing old state on the real contracts, between blocks and through kills: no kept state ever lacks a node."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from ledger.contract import ContractHost
from ledger.encoding import block_hash
from ledger.errors import StorageError
from ledger.ports import Compaction
from ledger.replica.engine import Engine
from ledger.store import SqliteStore, create_directory, verify_store
from ledger.store.compaction import reach
from ledger.types import Height, Transaction
from tests.ports.store_suite import Grower
from tests.support.chains import NOW, finalize, transaction, verify
from tests.support.contracts import query_id, standard
from tests.support.ledger_grpc import query_genesis, registration
from tests.support.stored_world import StoredWorld

STATES = 4


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr("ledger.store.compaction.MARKED_AT_ONCE", 7)
    monkeypatch.setattr("ledger.store.compaction.SWEPT_AT_ONCE", 11)


@dataclass(kw_only=True)
class Lives(StoredWorld):
    """Queries on the real contracts, a block at a time."""

    source: random.Random = field(default_factory=lambda: random.Random(0))
    count: int = 0
    sent: int = 0

    def run_all(self, *txs: Transaction):
        self.sent += len(txs)
        return super().run_all(*(replace(tx, unique=(self.sent + n).to_bytes(16, "big")) for n, tx in enumerate(txs)))

    def grow(self) -> None:
        """A block: a new query, or two contributions to one of the last; every day the same slots change back."""
        if self.count == 0 or self.source.random() < 0.4:
            self.count += 1
            self.register(query_id(self.count))
        else:
            older = query_id(self.source.randrange(max(1, self.count - 4), self.count + 1))
            self.run_all(*(self.commit_tx(older, sender, count=3) for sender in (6, 7)))

    def reached(self, heights: Iterable[int]) -> set[bytes]:
        """What the states after some blocks reach, read from the store.

        Raises:
            StorageError: a node is missing, or another than its key says.
        """
        headers = [self.store.header(Height(height)) for height in heights]
        met: set[bytes] = set()

        def is_new(key: bytes) -> bool:
            return key not in met and not met.add(key)  # type: ignore[func-returns-value]

        roots = [header.state_root for header in headers if header is not None]
        return set(reach(roots, self.store.read_node, self.host.children, is_new))

    def compact(self, states: int = STATES) -> Compaction:
        return self.store.compact(self.host.children, states)


def on_disk(path, seed=0):
    store = SqliteStore(path)
    return Lives(genesis=standard(), store=store, source=random.Random(seed))  # type: ignore[arg-type]


def uncached(lives):
    """The same chain, with nothing but the disk to read from."""
    lives.store._cache._nodes.clear()
    return lives


def test_what_a_new_state_refers_to_is_new_or_was_reached_from_its_parent():
    """Therefore marking a block's own nodes while a compaction is under way is enough."""
    lives = Lives(genesis=standard())
    for height in range(1, 60):
        known = lives.reached([height - 1])
        lives.grow()
        assert lives.reached([height]) <= known | set(lives.store._decisions[height].nodes)


@pytest.mark.parametrize("seed", range(6))
def test_blocks_between_any_two_slices_lose_nothing(path, small_slices, seed):
    lives, source = on_disk(path, seed), random.Random(seed)
    for _ in range(25):
        lives.grow()
    rounds = removed = 0
    while rounds < 3:
        done = lives.compact()
        if done.done:
            rounds += 1
            removed += done.removed
            newest = lives.store.height()
            assert newest is not None
            uncached(lives).reached(range(lives.store.states_from(), newest + 1))
            assert newest - lives.store.states_from() >= STATES - 1
        if source.random() < 0.15:
            lives.grow()
    assert removed > 80
    assert all(lives.get(query_id(number))["state"] != "NONE" for number in range(1, lives.count + 1))
    lives.store.close()


def test_without_blocks_in_between_exactly_the_kept_states_are_left(path, small_slices):
    lives = on_disk(path)
    for _ in range(30):
        lives.grow()
    kept = lives.reached(range(30 - STATES + 1, 31))
    stored = {key for key, _ in lives.store.scan_nodes()}
    while not (done := lives.compact()).done:
        pass
    assert {key for key, _ in lives.store.scan_nodes()} == kept
    assert (done.kept, done.removed) == (len(kept), len(stored - kept))
    assert done.removed > 100
    lives.store.close()


@pytest.mark.parametrize("slices", range(1, 12))
def test_what_is_written_again_while_its_removal_is_under_way_is_kept(path, monkeypatch, slices):
    """At whatever moment: not marked yet, doomed, or gone already."""
    for name in ("MARKED_AT_ONCE", "SWEPT_AT_ONCE"):
        monkeypatch.setattr(f"ledger.store.compaction.{name}", 3)
    store = SqliteStore(path)
    grower = Grower(store)
    doomed = [grower.grow(transaction(number)).nodes for number in range(1, 16)][:-2]
    is_done = False
    for _ in range(slices):
        is_done = is_done or store.compact(grower.executor.children, 2).done
    decided, _ = grower.decision(transaction(20))
    again = {key: value for nodes in doomed for key, value in nodes.items()}
    store.commit(replace(decided, nodes={**decided.nodes, **again}))
    while not is_done:
        is_done = store.compact(grower.executor.children, 2).done
    store._cache._nodes.clear()
    assert {key: store.read_node(key) for key in again} == again
    assert store.read_node(decided.final.block.header.state_root) is not None
    store.close()


def test_one_that_is_not_finished_leaves_a_store_as_whole_as_before(path, small_slices):
    """Wherever it ends: the marks are gone, the next one begins anew."""
    lives = on_disk(path)
    for _ in range(25):
        lives.grow()
    for slices in itertools.count(1, 5):
        is_done = any(lives.compact().done for _ in range(slices))
        lives.store.close()
        lives.store = SqliteStore(path)
        lives.host = ContractHost(lives.genesis.chain, lives.store.read_node)
        newest = lives.store.height()
        assert newest is not None
        lives.reached(range(max(lives.store.states_from(), newest + 1 - STATES), newest + 1))
        lives.grow()
        if is_done:
            break
    assert slices > 40
    assert {name.name for name in path.iterdir()} >= {"ledger.sqlite", "lock"}
    assert not (path / "scratch").exists()
    lives.store.close()


def test_a_state_that_was_removed_is_an_error_and_not_another_state(path):
    lives = on_disk(path)
    for _ in range(12):
        lives.grow()
    header = lives.store.header(Height(2))
    assert header is not None
    while not lives.compact().done:
        pass
    uncached(lives)
    with pytest.raises(StorageError, match="expected every node of the state"):
        lives.host.view(header.state_root, header.height, header.timestamp_ms, "queries.get", query_id(1))
    lives.store.close()


@pytest.fixture
def genesis():
    return query_genesis(4)


@pytest.fixture
def store(path):
    opened = SqliteStore(path)
    yield opened
    opened.close()


@pytest.fixture
def engine(store, genesis):
    """A replica's chain on the real contracts, signed for real."""
    host = ContractHost(genesis.chain, store.read_node)
    made = Engine(store=store, executor=host, genesis=genesis, verify=verify)
    grow(made, genesis, range(12))
    return made


def grow(engine, genesis, numbers):
    for number in numbers:
        pooled = engine.check(registration(genesis, number, NOW + number))
        block, _ = engine.build([pooled], genesis.validators()[0].key, NOW + number)
        assert block is not None
        engine.commit(block, finalize(genesis, block.header, block_hash(block.header)))


def compact(store, genesis, states=STATES):
    host = ContractHost(genesis.chain, store.read_node)
    while not (done := store.compact(host.children, states)).done:
        pass
    assert done.removed > 20


def report_of(store, genesis):
    return verify_store(store, partial(ContractHost, genesis.chain), genesis, verify)


def test_a_compacted_store_verifies_opens_and_goes_on(store, engine, genesis):
    compact(store, genesis)
    report = report_of(store, genesis)
    assert (report.verified, report.states_from, report.failure) == (12, 9, None)
    again = Engine(store=store, executor=engine._executor, genesis=genesis, verify=verify)
    assert again.head == engine.head
    grow(again, genesis, range(12, 20))
    report = report_of(store, genesis)
    assert (report.verified, report.states_from, report.failure) == (20, 9, None)


def test_what_a_kept_state_lacks_is_found(store, engine, genesis):
    compact(store, genesis)
    host = ContractHost(genesis.chain, store.read_node)
    header = store.header(Height(9))
    assert header is not None
    met: set[bytes] = set()
    below = list(reach([header.state_root], store.read_node, host.children, lambda key: key not in met))
    for key in (below[0], below[1], below[-1]):
        value = store.read_node(key)
        store._db.run("DELETE FROM nodes WHERE key = ?", key)
        store._cache._nodes.clear()
        failure = report_of(store, genesis).failure
        assert failure is not None
        assert failure.height == 9
        store._db.run("INSERT INTO nodes VALUES (?, ?)", key, value)
        store._cache._nodes.clear()
    assert report_of(store, genesis).failure is None


def test_a_store_that_hides_its_compaction_does_not_verify(store, engine, genesis):
    compact(store, genesis)
    store._db.run("DROP TRIGGER compactions_no_delete")
    store._db.run("DELETE FROM compactions")
    store._cache._nodes.clear()
    failure = report_of(store, genesis).failure
    assert failure is not None
    assert failure.height == 0


def test_one_is_wanted_when_as_much_was_written_as_the_last_one_kept(store, engine, genesis):
    assert [store.wants_compaction(states) for states in (5, 6, 7)] == [True, True, False]
    compact(store, genesis)
    assert not store.wants_compaction(STATES)
    kept = store._db.one("SELECT kept FROM compactions")
    grow(engine, genesis, range(12, 12 + STATES))  # blocks enough, but little in them
    assert not store.wants_compaction(STATES)
    number = 12 + STATES
    while not store.wants_compaction(STATES):
        grow(engine, genesis, [number])
        number += 1
    written = [store._db.one("SELECT written FROM blocks WHERE height = ?", height) for height in (12, number)]
    assert written[1] - written[0] >= kept
    store.compact(engine._executor.children, STATES)
    assert store.wants_compaction(10**9)  # it is under way


def test_what_was_freed_is_given_back_to_the_file_system(path):
    lives = on_disk(path)
    for _ in range(60):
        lives.grow()
    while not lives.compact(1).done:
        pass
    kept = lives.reached([60])
    lives.store.close()
    before = (path / "ledger.sqlite").stat().st_size
    lives.store = SqliteStore(path)
    lives.store.shrink()
    lives.store.check_structure()
    assert lives.reached([60]) == kept
    lives.store.close()
    assert (path / "ledger.sqlite").stat().st_size < before - 4 * 4_096
