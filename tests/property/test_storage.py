"""The storage trie beside the one of py-evm: equal roots and values, whatever is written, removed and read."""

import pytest
from eth.db.account import AccountDB
from eth.vm.computation import BaseComputation
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from ledger.contract import machine
from ledger.contract.accounts import Accounts
from ledger.contract.storage import EMPTY_ROOT, Nodes, Trie
from ledger.errors import StorageError
from tests.support.contracts import World, must, query_id, standard

SPREAD = st.integers(0, 60).map(lambda number: keccak(bytes([number])))
CLOSE = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0xFF]), min_size=2, max_size=2).map(
    lambda end: bytes(30) + bytes(end)
)
BRANCHING = st.sampled_from([0, 1, 2, 3, 16, 32, 0xF0]).map(lambda first: bytes([first]) + bytes(31))
KEYS = SPREAD | CLOSE | BRANCHING
VALUES = st.just(b"") | st.binary(min_size=1, max_size=33)
BLOCKS = st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=12), max_size=8)


class Both:
    """One state in two tries; `commit` ends a block."""

    def __init__(self):
        self.reference = HexaryTrie({}, prune=True)
        self.stored = {}
        self.nodes = Nodes()
        self.root = EMPTY_ROOT
        self.values = {}
        self.open()

    def open(self):
        self.trie = Trie(self.stored.get, self.nodes, self.root)

    def set(self, key, value):
        self.trie.set(key, value)
        if value:
            self.reference[key] = value
            self.values[key] = value
        elif key in self.reference:
            del self.reference[key]
            del self.values[key]

    def commit(self):
        self.root, new = self.trie.commit()
        assert all(keccak(data) == key for key, data in new.items())
        self.stored.update(new)
        return new


@given(BLOCKS)
def test_roots_and_values_are_equal(blocks):
    both = Both()
    for block in blocks:
        for key, value in block:
            both.set(key, value)
            assert both.trie.get(key) == value
        both.commit()
        assert both.root == both.reference.root_hash
        both.open()
        assert {key: both.trie.get(key) for key in both.values} == both.values


@given(BLOCKS)
def test_what_is_stored_is_enough_without_what_is_remembered(blocks):
    both = Both()
    for block in blocks:
        both.nodes = Nodes()
        both.open()
        for key, value in block:
            both.set(key, value)
        both.commit()
    assert both.root == both.reference.root_hash
    fresh = Trie(both.stored.get, Nodes(), both.root)
    assert {key: fresh.get(key) for key in both.values} == both.values
    assert fresh.commit() == (both.root, {})


@given(BLOCKS)
def test_no_node_is_new_that_the_state_does_not_hold(blocks):
    both = Both()
    for block in blocks:
        for key, value in block:
            both.set(key, value)
        new = both.commit()
        assert set(new) <= set(both.reference.db)
        both.open()


@given(BLOCKS, st.lists(st.tuples(KEYS, VALUES), max_size=12))
def test_what_is_not_committed_changes_nobody_elses_nodes(blocks, dropped):
    both = Both()
    for block in blocks:
        both.open()
        for key, value in block:
            both.set(key, value)
        both.commit()
    other = Trie(both.stored.get, both.nodes, both.root)
    for key, value in dropped:
        other.set(key, value)
    both.open()
    assert {key: both.trie.get(key) for key in both.values} == both.values
    assert both.trie.commit() == (both.root, {})


def test_few_nodes_are_remembered():
    both = Both()
    both.nodes = Nodes(size_max=4)
    both.open()
    for number in range(100):
        both.set(keccak(bytes([number])), b"value")
    both.commit()
    both.open()
    assert all(both.trie.get(keccak(bytes([number]))) == b"value" for number in range(100))
    assert len(both.nodes._nodes) == 4


def life_of_queries(accounts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine._State, "account_db_class", accounts)
        if accounts is AccountDB:  # our loop reads ours
            patch.setattr(machine._Computation, "apply_computation", vars(BaseComputation)["apply_computation"])
        world = World(genesis=standard())
        roots = [world.root]
        for number in range(6):
            query = query_id(number)
            for step in (world.to_answered, lambda query: must(world.attest(query, 1)), world.register):
                step(query)
                roots.append(world.root)
    return roots, set(world.nodes)


def test_a_life_of_queries_leaves_the_state_that_it_leaves_on_py_evms_trie():
    assert life_of_queries(Accounts) == life_of_queries(AccountDB)


@pytest.mark.parametrize("use", [lambda trie: trie.get(bytes(32)), lambda trie: trie.set(bytes(32), b"1")])
def test_a_missing_node_is_the_stores_fault(use):
    with pytest.raises(StorageError, match="every node"):
        use(Trie(lambda _: None, Nodes(), keccak(b"a root")))
