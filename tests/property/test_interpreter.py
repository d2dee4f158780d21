"""Our inner loop against py-evm's, instruction by instruction: random programs, and whole lives of queries."""

from dataclasses import dataclass
from typing import cast

import pytest
from eth.db.account import AccountDB
from eth.vm.computation import BaseComputation
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.memory import Memory
from eth.vm.message import Message
from eth.vm.stack import Stack, to_int
from eth_typing import Address as EvmAddress
from hypothesis import given
from hypothesis import strategies as st

from ledger.contract import interpreter, machine
from ledger.contract.accounts import Accounts
from ledger.contract.interpreter import OPCODES, take_apart
from ledger.contract.storage import Nodes
from ledger.types import Height, Millis, Receipt, Transaction
from tests.support.contracts import World, bits, must, no_node, panel_of, query_id, standard

US, THEM = EvmAddress(b"\x11" * 20), EvmAddress(b"\x22" * 20)
GAS = 60_000
JUMPS = {"InvalidJumpDestination": "jump", "InvalidInstruction": "jump"}
"""py-evm calls a jump into the data of a PUSH an invalid instruction; both burn all gas."""


@dataclass(frozen=True)
class Ran:
    """All that can be seen of a computation."""

    error: str
    gas: int
    output: bytes
    stack: tuple[int, ...]
    memory: bytes
    logs: tuple[object, ...]
    stored: tuple[int, ...]


class Stock(CancunComputation):
    """py-evm's own loop over the instructions that we allow; it runs on py-evm's own accounts as well."""

    opcodes = OPCODES


def run(computation: type[CancunComputation], code: bytes, data: bytes, gas: int) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        if computation is Stock:
            patch.setattr(machine._State, "account_db_class", AccountDB)
        made = machine.Machine(no_node, None, nodes=Nodes(), chain_id=1, height=Height(1), timestamp_ms=Millis(1))
    state = made._state
    assert isinstance(state._account_db, Accounts) is (computation is not Stock)
    state.set_code(US, code)
    state.lock_changes()
    state.mark_address_warm(US)
    state.mark_address_warm(THEM)
    message = Message(gas=gas, to=US, sender=THEM, value=0, data=data, code=code)
    context = CancunTransactionContext(gas_price=0, origin=THEM)
    done = cast("BaseComputation", computation.apply_message(state, message, context))
    ok = not done.is_error
    return Ran(
        error="" if ok else JUMPS.get(type(done.error).__name__, type(done.error).__name__),
        gas=done.get_gas_used(),
        output=done.output,
        stack=tuple(map(to_int, cast("Stack", done._stack).values)) if ok else (),
        memory=bytes(cast("Memory", done._memory)._bytes) if ok else b"",
        logs=done.get_log_entries(),
        stored=tuple(state.get_storage(US, slot) for slot in range(4)),
    )


def ours(code: bytes, data: bytes, gas: int) -> Ran:
    """Our loop, with straight runs as functions and instruction by instruction: both say the same."""
    ran = []
    for is_ours in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interpreter, "_is_ours", lambda _, made=is_ours: made)
            take_apart.cache_clear()
            ran.append(run(machine._Computation, code, data, gas))
    take_apart.cache_clear()
    assert ran[0] == ran[1]
    return ran[0]


words = st.one_of(
    st.integers(0, 300), st.sampled_from([2**255, 2**256 - 1, 2**128, 31, 32, 33, 255, 256]), st.integers(0, 2**256 - 1)
)


def push(value: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


pushes = words.map(push)
small = st.integers(0, 200).map(push)
pure = st.sampled_from(
    [*range(0x01, 0x0B), *range(0x10, 0x1E), 0x50, 0x58, 0x5A, 0x5B, 0x59, 0x36, 0x33, 0x34, 0x3D, 0x42]
).map(lambda opcode: bytes([opcode]))
moves = st.integers(0x80, 0x9F).map(lambda opcode: bytes([opcode]))
memory = st.tuples(small, st.sampled_from([b"\x51", b"\x52", b"\x53", b"\x35"])).map(b"".join)
hashes = st.tuples(small, small, st.sampled_from([b"\x20", b"\xa0", b"\xf3", b"\xfd"])).map(b"".join)
copies = st.tuples(st.one_of(small, words.map(push)), small, small, st.sampled_from([b"\x37", b"\x39", b"\x5e"])).map(
    b"".join
)
storage = st.tuples(st.integers(0, 3).map(push), st.sampled_from([b"\x54", b"\x55", b"\x5c", b"\x5d"])).map(b"".join)
jumps = st.tuples(words, st.integers(0, 120), st.sampled_from(["if", "always"])).map(
    lambda drawn: push(drawn[0]) + b"\x60" + bytes([drawn[1]]) + (b"\x57" if drawn[2] == "if" else b"\x56")
)
sane = st.lists(
    st.one_of(pushes, pushes, pushes, pure, pure, moves, memory, hashes, copies, storage, jumps), max_size=40
)
programs = st.one_of(sane.map(b"".join), st.binary(max_size=80))


@given(programs, st.binary(max_size=70), st.one_of(st.just(GAS), st.integers(0, 400)))
def test_random_programs(code: bytes, data: bytes, gas: int):
    assert ours(code, data, gas) == run(Stock, code, data, gas)


def reads_by_call(end: bytes) -> bytes:
    """Called with data, it calls itself without and then reads word 1; without, it reads word 1 and ends."""
    return b"\x36\x15\x60\x12\x57\x5f\x5f\x5f\x5f\x30\x61\xff\xff\xfa\x60\x01\x54\x00" + (
        b"\x5b\x60\x01\x54\x5f\x5f" + end
    )


FILLED = b"\x61\x03\xfd\x5b\x60\x01\x81\x03\x80\x60\x03\x57"
"""Leaves 1,022 words on the stack, and has 1,024 there at times."""

CORNERS = {
    "empty": b"",
    "stack overflow by push": b"\x5b\x5f\x5f\x56",
    "stack overflow by dup": b"\x5f\x5b\x80\x60\x01\x56",
    "push at the end": b"\x61\x01",
    "jump into a push": b"\x60\x04\x56\x61\x5b\x5b",
    "jump beyond the end": b"\x61\xff\xff\x56",
    "jump far beyond": b"\x7f" + b"\xff" * 32 + b"\x56",
    "conditional jump not taken to nowhere": b"\x5f\x61\xff\xff\x57",
    "memory far away": b"\x7f" + b"\xff" * 32 + b"\x51",
    "store far away": b"\x5f\x7f" + b"\xff" * 32 + b"\x52",
    "load expands": b"\x61\x01\x00\x51\x59",
    "invalid": b"\xfe",
    "unknown": b"\x0c",
    "create": b"\x5f\x5f\x5f\xf0",
    "create2": b"\x5f\x5f\x5f\x5f\xf5",
    "selfdestruct": b"\x5f\xff",
    "revert": b"\x60\x20\x5f\xfd",
    "return": b"\x60\x07\x5f\x52\x60\x20\x5f\xf3",
    "call itself": b"\x5f\x5f\x5f\x5f\x30\x61\x02\x00\xfa",
    "sha256": b"\x60\x20\x5f\x60\x20\x5f\x60\x02\x61\xff\xff\xfa\x5f\x51",
    "code copy": b"\x60\x06\x5f\x5f\x39\x5f\x51",
    "call data copy beyond the end": b"\x60\x40\x60\x20\x60\x01\x37\x60\x10\x51",
    "call data copy from far away": b"\x60\x40\x7f" + b"\xff" * 32 + b"\x5f\x37\x59",
    "call data copy of nothing to far away": b"\x5f\x5f\x7f" + b"\xff" * 32 + b"\x37\x59",
    "call data copy of too much": b"\x7f" + b"\xff" * 32 + b"\x5f\x5f\x37",
    "call data load from far away": b"\x7f" + b"\xff" * 32 + b"\x35",
    "memory copy that overlaps": b"\x7f" + bytes(range(32)) + b"\x5f\x52\x60\x20\x60\x08\x60\x10\x5e\x60\x10\x51",
    "memory copy that expands": b"\x60\x20\x60\x41\x5f\x5e\x59",
    "memory copy of nothing": b"\x5f\x7f" + b"\xff" * 32 + b"\x60\x01\x5e\x59",
    "hash of much": b"\x62\xff\xff\xff\x5f\x20",
    "hash of nothing": b"\x5f\x7f" + b"\xff" * 32 + b"\x20\x59",
    "call itself, then expand": b"\x5f\x5f\x60\x20\x5f\x30\x61\x01\x00\xfa\x60\x80\x51\x59",
    "call data copy and no more": b"\x60\x41\x5f\x5f\x37",
    "hash and no more": b"\x60\x41\x5f\x20",
    "copy underflow": b"\x5f\x5f\x5e",
    "hash underflow": b"\x5f\x20",
    "load underflow": b"\x35",
    "swap underflow": b"\x5f\x90",
    "dup underflow": b"\x80",
    "add underflow": b"\x5f\x01",
    "shifts": b"\x60\xff\x61\x01\x00\x1b\x60\xff\x61\x01\x00\x1c\x60\xff\x60\xff\x1b",
    "signed order": b"\x7f" + b"\xff" * 32 + b"\x5f\x12\x7f" + b"\xff" * 32 + b"\x5f\x13",
    "division by nothing": b"\x5f\x60\x07\x04\x5f\x60\x07\x06",
    "word read twice": b"\x60\x01\x54\x60\x01\x54",
    "word read by a call that ends well": reads_by_call(b"\xf3"),
    "word read by a call that reverts": reads_by_call(b"\xfd"),
    "words at the end of the gas": b"\x60\x01\x54" * 40,
    "word underflow": b"\x54",
    "word read once": b"\x60\x01\x54",
    "gas left": b"\x5a\x5a",
    "pop underflow": b"\x5b\x50",
    "caller on top of arithmetic": b"\x33\x60\x01\x01\x30\x90\x03",
    "stack filled": FILLED,
    "stack overfilled at times": FILLED.replace(b"\x03\xfd", b"\x03\xfe"),
    **{f"stack filled by {opcode.hex()}": FILLED + opcode * 2 for opcode in (b"\x33", b"\x5f", b"\x80", b"\x30")},
    **{f"stack overfilled by {opcode.hex()}": FILLED + opcode * 3 for opcode in (b"\x33", b"\x5f", b"\x80")},
    "stack overfilled by one alone": FILLED + b"\x5f\x5f\x30",
    "run that is cut before a jump": b"\x58" * 255 + b"\x61\x01\x04\x57\xfe\x5b\x01",
    "run that is cut": b"\x58" * 400 + b"\x01" * 398,
}


@pytest.mark.parametrize("code", CORNERS.values(), ids=CORNERS)
@pytest.mark.parametrize("gas", [GAS, 0, 1, 5, 10, 11, 20, 100, 2_110])
def test_corners(code: bytes, gas: int):
    assert ours(code, b"\x01" * 40, gas) == run(Stock, code, b"\x01" * 40, gas)


@pytest.mark.parametrize("code", CORNERS.values(), ids=CORNERS)
def test_corners_with_the_gas_they_need_and_less(code: bytes):
    used = ours(code, b"", GAS).gas
    for gas in range(max(0, used - 3), used + 1):
        assert ours(code, b"", gas) == run(Stock, code, b"", gas)


@pytest.mark.parametrize("opcode", [0xF0, 0xF5, 0xFF])
def test_no_contract_is_made_or_removed(opcode: int):
    assert run(machine._Computation, bytes([0x5F] * 4 + [opcode]), b"", GAS).error == "jump"


def live(world: World) -> list[object]:
    """Everything a query may meet; what each call did, and the root after it."""
    seen: list[object] = []
    original = world.run

    def noted(tx: Transaction) -> Receipt:
        receipt = original(tx)
        seen.append((receipt, world.root))
        return receipt

    world.run = noted  # type: ignore[method-assign]
    first, second = query_id(1), query_id(2)
    must(world.register(first, model="before"))
    world.register(first)
    for participant in [*bits(panel_of(world.genesis)), 9]:
        world.commit(first, participant)
    world.fail(first, 1, waited=1 << world.get(first)["committee"][0])
    world.to_computing(first, attempt=2)
    world.call(1, "reject_input", first, 2, 7, world.pool_order(first, 3, world.get(first)["excluded"]))
    world.now += 10_001
    world.call(2, "close_inputs", first, 3)
    world.to_answered(second, model="before")
    world.attest(second, 3)
    world.attest(second, 1)
    must(world.register(query_id(3)))
    world.call(7, "refuse", query_id(3), 1, 1, b"no")
    world.now += 60_001
    world.call(4, "expire", query_id(3), 0)
    seen.append((world.get(first), world.get(second)))
    return seen


def test_whole_lives(monkeypatch: pytest.MonkeyPatch):
    ours = live(World(genesis=standard()))
    monkeypatch.setattr(machine._Computation, "apply_computation", vars(BaseComputation)["apply_computation"])
    theirs = live(World(genesis=standard()))
    assert ours == theirs
    assert len(ours) > 20


def test_data_of_a_push_is_no_instruction():
    program = take_apart(b"\x60\x5b\x5b\x7f\x5b")
    assert dict(program.targets) == {2: 1}
    assert len(program.instructions) == 4
