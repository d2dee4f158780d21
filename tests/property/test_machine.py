"""Our machine against py-evm's own loop, accounts, words and tries: contracts that call each other, for some blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from eth.constants import ZERO_ADDRESS
from eth.db.account import AccountDB
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth_typing import Address as EvmAddress
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.contract import interpreter, machine
from ledger.contract.interpreter import OPCODES, take_apart
from ledger.contract.machine import Machine, Outcome
from ledger.contract.storage import Nodes
from ledger.types import Address, Digest, Height, Millis
from tests.support.programs import NOWHERE, SLOTS, push, write_program

PLACES = (0x100, 0x101, 0x102)
CONTRACTS = tuple(Address(place.to_bytes(20, "big")) for place in PLACES)
SENDER = Address(b"\x77" * 20)
EMPTY = tuple(EvmAddress(place.to_bytes(20, "big")) for place in NOWHERE)


class Stock(CancunComputation):
    """py-evm's own loop over the instructions that we allow."""

    opcodes = OPCODES


class StockState(CancunState):
    """py-evm's own state; empty accounts that were touched go at the end of a transaction (EIP-161)."""

    computation_class = Stock
    account_db_class = AccountDB

    def set_system_contracts(self) -> None:
        pass

    def lock_changes(self) -> None:
        for address in EMPTY:
            if self.account_exists(address) and self.account_is_empty(address):
                self.delete_account(address)
        super().lock_changes()


@dataclass(frozen=True)
class Call:
    """One transaction."""

    target: Address
    data: bytes
    gas: int
    is_static: bool = False


@dataclass
class Chain:
    """A chain of blocks on one machine or the other."""

    state: type[CancunState]
    codes: Sequence[bytes]
    stored: dict[bytes, bytes] = field(default_factory=dict)
    nodes: Nodes = field(default_factory=Nodes)
    root: Digest | None = None
    height: int = 0

    def begin(self) -> None:
        made = self.machine()
        for address, code in zip(CONTRACTS, self.codes, strict=True):
            made.install(address, code)
        self.keep(*made.finish())

    def machine(self, nodes: Nodes | None = None) -> Machine:
        return Machine(
            self.stored.get,
            self.root,
            nodes=self.nodes if nodes is None else nodes,
            chain_id=1,
            height=Height(self.height),
            timestamp_ms=Millis(self.height * 1_000),
        )

    def run(
        self, calls: Sequence[Call], nodes: Nodes | None = None
    ) -> tuple[list[Outcome], list[int], Digest, Mapping[bytes, bytes]]:
        """Execute a block, and keep nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(machine, "_State", self.state)
            patch.setattr(machine, "_Computation", self.state.computation_class)
            made = self.machine(nodes)
            done = [made.call(SENDER, call.target, call.data, call.gas, is_static=call.is_static) for call in calls]
            words = [made.slot(address, slot) for address in CONTRACTS for slot in SLOTS]
            return done, words, *made.finish()

    def keep(self, root: Digest, nodes: Mapping[bytes, bytes]) -> None:
        self.stored.update(nodes)
        self.root = root
        self.height += 1


def draw_calls(random: Random, used: Sequence[int]) -> list[Call]:
    """Return a block's calls, some with about the gas that earlier ones used."""
    calls = []
    for _ in range(random.randrange(1, 6)):
        near = random.choice((*used, 30_000)) + random.choice((-100, -3, -2, -1, 0, 0, 1, 2, 3, 700))
        gas = random.choice((500_000, 500_000, 500_000, random.randrange(60_000), max(0, near)))
        data = bytes(random.randrange(256) for _ in range(random.choice((0, 1, 2, 2, 3, 3, 4))))
        calls.append(Call(random.choice(CONTRACTS), data, gas, is_static=random.random() < 0.1))
    return calls


def compare(random: Random, *, as_functions: bool) -> int:
    """Run a few blocks on both; return how much was computed."""
    codes = [write_program(random, PLACES) for _ in PLACES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_is_ours", lambda _: as_functions)
        take_apart.cache_clear()
        ours, theirs = Chain(machine._State, codes), Chain(StockState, codes)
        ours.begin()
        theirs.begin()
        assert ours.root == theirs.root
        used: list[int] = []
        for _ in range(random.randrange(1, 5)):
            candidates = [draw_calls(random, used) for _ in range(random.choice((1, 1, 2, 3)))]
            final = random.randrange(len(candidates))
            made = [ours.run(calls) for calls in candidates]
            expected = theirs.run(candidates[final])
            assert made[final][:3] == expected[:3]
            take_apart.cache_clear()
            assert ours.run(candidates[final], Nodes()) == made[final]
            assert set(made[final][3]) <= set(expected[3]) | set(theirs.stored)
            used += [outcome.gas for outcome in expected[0]]
            ours.keep(*made[final][2:])
            theirs.keep(*expected[2:])
        take_apart.cache_clear()
    return sum(used)


@settings(max_examples=35)
@given(random=st.randoms(use_true_random=True))
def test_programs_that_call_each_other(random: Random):
    compare(random, as_functions=random.random() < 0.7)


@pytest.mark.parametrize(
    ("asked", "cost"), [(ZERO_ADDRESS, 100), (SENDER, 100), (CONTRACTS[0], 100), (EMPTY[4], 100), (EMPTY[6], 2_600)]
)
def test_what_is_warm_from_the_beginning(asked: bytes, cost: int):
    """The block's maker, sender and target (EIP-3651, EIP-2929), and precompiles; nobody else."""
    code = push(int.from_bytes(asked, "big")) + b"\x31"  # BALANCE
    chain = Chain(machine._State, [code] * len(CONTRACTS))
    chain.begin()
    (outcome,), *_ = chain.run([Call(CONTRACTS[0], b"", 10_000)])
    assert outcome.gas == cost + (2 if asked == ZERO_ADDRESS else 3)


def run_block(code: bytes, *data: bytes) -> tuple[list[int], int]:
    """Call a contract a few times in one block; return the gas of each call and word 0 in the end."""
    chain = Chain(machine._State, [code] * len(CONTRACTS))
    chain.begin()
    done, words, *_ = chain.run([Call(CONTRACTS[0], given, 50_000) for given in data])
    assert all(outcome.ok for outcome in done)
    return [outcome.gas for outcome in done], words[0]


def test_gas_of_words_in_transactions_of_one_block():
    """A word is cold in every transaction (EIP-2929), and a fifth of the gas comes back at most (EIP-3529)."""
    code = b"\x36\x5f\x55"  # CALLDATASIZE, PUSH0, SSTORE
    set_to_one, changed, kept, cleared, still_clear = 22_100, 5_000, 2_200, 5_000, 2_200
    gas, word = run_block(code, b"a", b"bb", b"bb", b"", b"")
    assert gas == [set_to_one + 4, changed + 4, kept + 4, cleared + 4 - (cleared + 4) // 5, still_clear + 4]
    assert word == 0


def test_what_is_written_for_now_is_gone_in_the_next_transaction():
    # CALLDATASIZE, ISZERO, PUSH1 10, JUMPI, PUSH1 7, PUSH0, TSTORE, STOP, JUMPDEST, PUSH0, TLOAD, PUSH0, SSTORE
    code = b"\x36\x15\x60\x0a\x57\x60\x07\x5f\x5d\x00\x5b\x5f\x5c\x5f\x55"
    _, word = run_block(code, b"a", b"")
    assert word == 0
