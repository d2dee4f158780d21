"""The host: determinism, limits, old states, and failures that are never exceptions."""

import subprocess
import sys

import pytest
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

from ledger.contract import ContractHost, encode_args
from ledger.contract.artefacts import ADDRESSES
from ledger.encoding import BLOCK_GAS_MAX, TX_GAS_MAX, encode_receipt
from ledger.encoding.transactions import decode_receipt
from ledger.errors import InvalidError, StorageError
from ledger.ports import Executor
from ledger.types import Height, Millis, Receipt
from tests.support.contracts import (
    CHAIN,
    START,
    World,
    bits,
    key,
    must,
    no_node,
    panel_of,
    query_id,
    reason_of,
    standard,
    transaction,
)

Q = query_id(1)


def life(world: World) -> list:
    """Transactions of one query, some of which fail, with their times."""
    script = [(0, world.register_tx(world.request(Q, model="before"))), (1, world.register_tx(world.request(Q)))]
    commitments = [b"\x01" * 32] * 3
    for participant in (*bits(panel_of(world.genesis)), 9):
        args = encode_args("queries.commit_input", Q, 1, commitments, b"envelope")
        script.append((2, world.tx(participant, "queries.commit_input", args)))
    probe = world.fork()
    probe.to_computing(Q, model="before")
    script += [
        (3, probe.post_tx(Q)),
        (4, world.tx(1, "queries.attest", encode_args("queries.attest", Q, 1, 1, 0, 0, 0, b""))),
    ]
    return script


def replay(world: World, script: list, *, one_block: bool) -> tuple:
    """Root and receipts after the script."""
    receipts: list[Receipt] = []
    groups = [[tx for _, tx in script]] if one_block else [[tx] for _, tx in script]
    for height, txs in enumerate(groups, 1):
        done = world.host.execute(world.root, Height(height), Millis(START), txs)
        world.nodes.update(done.nodes)
        world.root = done.state_root
        receipts += done.receipts
    return world.root, tuple(receipts)


def test_two_hosts_agree(base: World):
    """Same transactions, same roots, receipts and validators; in one block or in many."""
    script = life(base.fork())
    first = replay(World(genesis=standard()), script, one_block=False)
    assert first == replay(World(genesis=standard()), script, one_block=False)
    assert first == replay(World(genesis=standard()), script, one_block=True)
    assert [receipt.ok for receipt in first[1]] == [True, False, True, True, True, False, True, True]


def test_genesis_is_a_function_of_the_document(base: World):
    one, two = (ContractHost(CHAIN, no_node).genesis(standard()) for _ in range(2))
    assert one == two
    assert one.state_root == base.root
    assert one.receipts == ()


def test_a_state_is_its_nodes(world: World):
    """A replica that restarts, or that was given the nodes by another, goes on with the same results."""
    world.to_computing(Q)
    other = world.fork()
    other.host = ContractHost(CHAIN, dict(world.nodes).get)
    assert other.get(Q) == world.get(Q)
    assert must(other.post(Q)) == must(world.post(Q))
    assert other.root == world.root


def test_execution_keeps_nothing(world: World):
    before = dict(world.nodes)
    tx = world.register_tx(world.request(Q))
    first = world.host.execute(world.root, Height(1), Millis(world.now), [tx])
    assert world.nodes == before
    assert world.host.execute(world.root, Height(1), Millis(world.now), [tx]) == first
    assert first.state_root != world.root
    assert not first.nodes.keys() & before.keys()


def test_an_empty_block_changes_nothing(world: World):
    done = world.host.execute(world.root, Height(1), Millis(world.now), [])
    assert (done.state_root, done.receipts, dict(done.nodes)) == (world.root, (), {})
    assert done.validators == world.genesis.validators()


def test_a_reverted_transaction_leaves_the_state_as_it_was(world: World):
    done = world.host.execute(world.root, Height(1), Millis(world.now), [world.register_tx(world.request(Q), sender=6)])
    assert done.state_root == world.root
    assert done.receipts[0].reason == "OPERATOR_ONLY"
    assert done.receipts[0].gas > 0


def test_nothing_is_written_but_the_contracts(world: World):
    """Precompiles and senders leave no trace: the state of a thousand queries is theirs alone."""
    world.to_answered(Q)
    trie = HexaryTrie(world.nodes, world.root)
    assert all(trie.exists(keccak(address)) for address in ADDRESSES.values())
    for stranger in (bytes(19) + b"\x02", bytes(20), b"\x00" * 18 + b"\x01\xff"):
        assert not trie.exists(keccak(stranger))


def test_preflight_says_what_a_block_would(world: World):
    tx = world.register_tx(world.request(Q))
    expected = world.host.execute(world.root, Height(1), Millis(world.now), [tx]).receipts[0]
    assert world.host.call(world.root, Height(1), Millis(world.now), tx) == expected
    assert world.get(Q)["state"] == "NONE"


def test_old_states_can_be_asked(world: World):
    roots = {"NONE": world.root}
    must(world.register(Q))
    roots["REGISTERED"] = world.root
    for participant in bits(panel_of(world.genesis)):
        must(world.commit(Q, participant))
    roots["COMPUTING"] = world.root
    must(world.post(Q))
    for state, root in roots.items():
        past = world.fork()
        past.root = root
        assert past.get(Q)["state"] == state


def test_block_gas(world: World):
    """A transaction is taken while the most it may use is left; the rest stays with the builder."""
    txs = [world.register_tx(world.request(query_id(number))) for number in range(20)]
    done = world.host.execute(world.root, Height(1), Millis(world.now), txs)
    used = [receipt.gas for receipt in done.receipts]
    assert 0 < len(used) < 20
    assert sum(used[:-1]) + TX_GAS_MAX <= BLOCK_GAS_MAX < sum(used) + TX_GAS_MAX
    assert sum(used) <= BLOCK_GAS_MAX
    fits = world.host.execute(world.root, Height(1), Millis(world.now), txs[: len(used)])
    assert fits == done


def test_a_transaction_runs_out_of_gas(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.contract.evm.TX_GAS_MAX", 50_000)
    receipt = world.register(Q)
    assert (receipt.ok, receipt.gas, receipt.reason) == (False, 50_000, "OUT_OF_GAS")
    assert world.get(Q)["state"] == "NONE"


@pytest.mark.parametrize(
    "method",
    [
        "queries.nothing",
        "nothing.register",
        "queries",
        "",
        "queries.get",
        "members.seat",
        "queries.register.",
        ".",
        "é",
    ],
)
def test_an_unknown_method_is_a_receipt(world: World, method: str):
    receipt = world.run(transaction(key("identity 0"), method, b""))
    assert (receipt.ok, receipt.gas, receipt.reason) == (False, 0, "UNKNOWN_METHOD")


@pytest.mark.parametrize(
    "args",
    [b"", b"\x01" * 31, b"\xff" * 32, b"\xff" * 320, bytes(10_000)],
    ids=["none", "part of a word", "one word", "wild offsets", "zeros"],
)
@pytest.mark.parametrize(
    "method",
    [
        "register",
        "commit_input",
        "refuse",
        "close_inputs",
        "post_result",
        "attest",
        "fail_attempt",
        "reject_input",
        "expire",
    ],
)
def test_wild_arguments_are_a_receipt(world: World, method: str, args: bytes):
    request = world.request(Q).bytes()
    cosigned = [(key("inquirer"), request)] if method == "register" else []
    receipt = world.run(world.tx(0, f"queries.{method}", args, cosigned))
    assert receipt.reason in {
        "MALFORMED_ARGUMENTS",
        "UNKNOWN_QUERY",
        "COPY_MISMATCH",
        "SUPERVISOR_ONLY",
        "MACHINE_ERROR",
    }
    assert decode_receipt(encode_receipt(receipt)) == receipt


def test_widest_arguments(world: World):
    """An envelope of 12 KiB passes; one byte more does not."""
    must(world.register(Q))
    must(world.commit(Q, 7, envelope=b"e" * 12_288))
    assert reason_of(world.commit(Q, 8, envelope=b"e" * 12_289)) == "MALFORMED_ARGUMENTS"


def test_receipts_have_an_encoding(base: World):
    _, receipts = replay(World(genesis=standard()), life(base.fork()), one_block=False)
    assert [decode_receipt(encode_receipt(receipt)) for receipt in receipts] == list(receipts)


def test_views_are_checked(world: World):
    for method, args in (
        ("queries.nothing", ()),
        ("queries.register", ([], b"", b"")),
        ("queries.get", (1, 2)),
        ("queries.get", ("x",)),
    ):
        with pytest.raises(InvalidError):
            world.view(method, *args)


def answers(world: World, expected: dict) -> bool:
    """Whether a state answers, rightly; it must not answer wrongly."""
    try:
        found = world.get(Q)
    except StorageError:
        return False
    assert found == expected
    return True


def test_a_missing_node_is_this_machines_fault(world: World):
    must(world.register(Q))
    whole = world.get(Q)
    needed = 0
    for missing in list(world.nodes):
        holed = world.fork()
        del holed.nodes[missing]
        if not answers(holed, whole):
            needed += 1
    assert needed > 3
    empty = ContractHost(CHAIN, no_node)
    with pytest.raises(StorageError):
        empty.execute(world.root, Height(1), Millis(START), [])
    with pytest.raises(StorageError):
        empty.view(world.root, Height(1), Millis(START), "queries.get", Q)


def test_the_set_of_validators_is_asked_for_once(world: World, monkeypatch: pytest.MonkeyPatch):
    world.run(world.register_tx(world.request(Q)))
    monkeypatch.setattr(world.host, "_view", None)
    done = world.host.execute(world.root, Height(9), Millis(START), [])
    assert done.validators == world.genesis.validators()


def test_importing_the_package_does_not_import_the_machine():
    code = "import sys, ledger.contract; sys.exit('eth' in sys.modules or 'ledger.contract.machine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_host_is_an_executor():
    def execute(executor: Executor) -> bytes:
        return executor.genesis(standard()).state_root

    assert len(execute(ContractHost(CHAIN, no_node))) == 32
