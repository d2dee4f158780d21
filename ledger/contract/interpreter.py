"""The inner loop of the machine: instructions that touch only stack, memory and the place in the code.

py-evm spends some 2.5 µs on an instruction, most of it on dispatch, and contracts made by Vyper use nine in ten of
their instructions to move words, and most of the others to move bytes. Those run here, on code that was taken apart
once; every other instruction is py-evm's own, called with its gas meter in step. Results, gas and errors equal those of
py-evm's loop: tests run both on the same code.

Instruction set: Ethereum Yellow Paper, appendix H; Cancun.
"""
# ruff: noqa: SLF001 - stack, memory and gas meter are py-evm's; going through their methods is what costs

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeAlias, cast

from eth.abc import OpcodeAPI
from eth.constants import GAS_COPY, GAS_MEMORY, GAS_MEMORY_QUADRATIC_DENOMINATOR, GAS_SHA3WORD
from eth.exceptions import FullStack, Halt, InsufficientStack, InvalidJumpDestination, OutOfGas
from eth.vm.computation import BaseComputation
from eth.vm.forks.cancun.opcodes import CANCUN_OPCODES
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.opcode import Opcode
from eth.vm.stack import Stack as EvmStack
from eth_hash.auto import keccak

from ledger.contract.artefacts import load_codes
from ledger.contract.blocks import EXPRESSIONS, SIGN, STACK_MAX, Block, Part, Step, find_blocks
from ledger.contract.frame import READS
from ledger.contract.recursion import restore_recursion_limit

restore_recursion_limit()

_MAX = 2**256 - 1
_WORD = 32
_PROGRAMS_CACHED = 16
_ALIKE_CACHED = 4_096
"""Instructions of all programs that are alike; most occur hundreds of times."""

_STOP = 0x00
_POP, _MLOAD, _MSTORE, _JUMP, _JUMPI, _PC, _JUMPDEST = 0x50, 0x51, 0x52, 0x56, 0x57, 0x58, 0x5B
_PUSH0, _PUSH32, _DUP1, _DUP16, _SWAP1, _SWAP16 = 0x5F, 0x7F, 0x80, 0x8F, 0x90, 0x9F
_SHA3, _CALLDATALOAD, _CALLDATACOPY, _CODECOPY, _MCOPY = 0x20, 0x35, 0x37, 0x39, 0x5E
_CREATE, _CREATE2, _SELFDESTRUCT = 0xF0, 0xF5, 0xFF

Stack = list[int]

OPCODES: dict[int, OpcodeAPI] = {
    code: opcode for code, opcode in CANCUN_OPCODES.items() if code not in {_CREATE, _CREATE2, _SELFDESTRUCT}
}
"""Cancun without any way to make or remove a contract."""


class Kind(IntEnum):
    """What the loop does with an instruction; the most frequent ones first."""

    PUSH = 0
    """Push `value`."""
    WORDS = 1
    """Run `words` on the stack."""
    LOAD = 2
    DUPLICATE = 3
    """Push the `value`-th word from the top."""
    JUMP_IF = 4
    STORE = 5
    SWAP = 6
    """Exchange the top with the `value`-th word."""
    JUMP = 7
    NOTHING = 8
    """JUMPDEST."""
    BYTES = 9
    """Run `moved` on stack and memory."""
    FOREIGN = 10
    """py-evm's `opcode`, which charges its own gas."""


Moved: TypeAlias = Callable[[BaseComputation, Stack, Memory, int], int]
"""Takes the gas that is left and returns what is left then."""


class Instruction(NamedTuple):
    """One instruction, taken apart."""

    kind: int
    gas: int
    value: int = 0
    words: Callable[[Stack], None] | None = None
    moved: Moved | None = None
    opcode: Callable[..., None] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Code, taken apart."""

    instructions: tuple[Instruction, ...] = field(repr=False)
    targets: Mapping[int, int] = field(repr=False)
    """Place of each JUMPDEST that is no data of a PUSH -> its index in the instructions."""
    blocks: Sequence[Block | None] = field(repr=False)
    """For each instruction the run that begins there, if one does."""


def _add(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = (top + stack[-1]) & _MAX


def _mul(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = (top * stack[-1]) & _MAX


def _sub(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = (top - stack[-1]) & _MAX


def _divide(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = top // stack[-1] if stack[-1] else 0


def _remainder(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = top % stack[-1] if stack[-1] else 0


def _less(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = 1 if top < stack[-1] else 0


def _greater(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = 1 if top > stack[-1] else 0


def _signed_less(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = 1 if top ^ SIGN < stack[-1] ^ SIGN else 0


def _signed_greater(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = 1 if top ^ SIGN > stack[-1] ^ SIGN else 0


def _equal(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] = 1 if top == stack[-1] else 0


def _is_zero(stack: Stack) -> None:
    stack[-1] = 0 if stack[-1] else 1


def _and(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] &= top


def _or(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] |= top


def _xor(stack: Stack) -> None:
    top = stack.pop()
    stack[-1] ^= top


def _not(stack: Stack) -> None:
    stack[-1] ^= _MAX


def _shift_left(stack: Stack) -> None:
    shift = stack.pop()
    stack[-1] = (stack[-1] << shift) & _MAX if shift < 256 else 0


def _shift_right(stack: Stack) -> None:
    shift = stack.pop()
    stack[-1] = stack[-1] >> shift if shift < 256 else 0


def _pop(stack: Stack) -> None:
    stack.pop()


_WORDS: Mapping[int, Callable[[Stack], None]] = {
    0x01: _add,
    0x02: _mul,
    0x03: _sub,
    0x04: _divide,
    0x06: _remainder,
    0x10: _less,
    0x11: _greater,
    0x12: _signed_less,
    0x13: _signed_greater,
    0x14: _equal,
    0x15: _is_zero,
    0x16: _and,
    0x17: _or,
    0x18: _xor,
    0x19: _not,
    0x1B: _shift_left,
    0x1C: _shift_right,
    _POP: _pop,
}


def _count_words(size: int) -> int:
    return (size + _WORD - 1) // _WORD


def _memory_gas(words: int) -> int:
    return words * GAS_MEMORY + words * words // GAS_MEMORY_QUADRATIC_DENOMINATOR


def _extend(memory: Memory, start: int, size: int, gas: int) -> int:
    """Let memory reach to the end of some bytes; return the gas that is left then."""
    before, after = len(memory._bytes) // _WORD, _count_words(start + size)
    if size and after > before:
        gas -= _memory_gas(after) - _memory_gas(before)
        if gas < 0:
            raise OutOfGas("Out of gas")
        memory.extend(start, size)
    return gas


def _pay(gas: int, cost: int) -> int:
    if gas < cost:
        raise OutOfGas("Out of gas")
    return gas - cost


def _copy(data: bytes, stack: Stack, memory: Memory, gas: int) -> int:
    """Copy a part of the data into memory; beyond its end are zeroes."""
    start, source, size = stack.pop(), stack.pop(), stack.pop()
    gas = _pay(_extend(memory, start, size, gas), GAS_COPY * _count_words(size))
    memory._bytes[start : start + size] = data[source : source + size].ljust(size, b"\0")
    return gas


def _call_data_copy(computation: BaseComputation, stack: Stack, memory: Memory, gas: int) -> int:
    return _copy(computation.msg.data_as_bytes, stack, memory, gas)


def _code_copy(computation: BaseComputation, stack: Stack, memory: Memory, gas: int) -> int:
    return _copy(computation.msg.code, stack, memory, gas)


def _memory_copy(_: BaseComputation, stack: Stack, memory: Memory, gas: int) -> int:
    start, source, size = stack.pop(), stack.pop(), stack.pop()
    gas = _pay(_extend(memory, max(start, source), size, gas), GAS_COPY * _count_words(size))
    memory._bytes[start : start + size] = memory._bytes[source : source + size]
    return gas


def _call_data_load(computation: BaseComputation, stack: Stack, _: Memory, gas: int) -> int:
    start = stack[-1]
    stack[-1] = int.from_bytes(computation.msg.data_as_bytes[start : start + _WORD].ljust(_WORD, b"\0"), "big")
    return gas


def _hash(_: BaseComputation, stack: Stack, memory: Memory, gas: int) -> int:
    start, size = stack.pop(), stack.pop()
    gas = _pay(_extend(memory, start, size, gas), GAS_SHA3WORD * _count_words(size))
    stack.append(int.from_bytes(keccak(memory._bytes[start : start + size]), "big"))
    return gas


_BYTES: Mapping[int, Moved] = {
    _SHA3: _hash,
    _CALLDATALOAD: _call_data_load,
    _CALLDATACOPY: _call_data_copy,
    _CODECOPY: _code_copy,
    _MCOPY: _memory_copy,
    **READS,
}

_EXPRESSIONS = {words: EXPRESSIONS[opcode] for opcode, words in _WORDS.items() if opcode in EXPRESSIONS}

_PARTS: Mapping[Kind, Part] = {
    Kind.PUSH: Part.PUSH,
    Kind.LOAD: Part.LOAD,
    Kind.DUPLICATE: Part.DUPLICATE,
    Kind.JUMP_IF: Part.JUMP_IF,
    Kind.STORE: Part.STORE,
    Kind.SWAP: Part.SWAP,
    Kind.JUMP: Part.JUMP,
    Kind.NOTHING: Part.NOTHING,
}

_TOOLS: Mapping[str, object] = {"extend": _extend, "BadJump": InvalidJumpDestination}

_PLAIN: Mapping[int, Kind] = {
    _MLOAD: Kind.LOAD,
    _MSTORE: Kind.STORE,
    _JUMP: Kind.JUMP,
    _JUMPI: Kind.JUMP_IF,
    _JUMPDEST: Kind.NOTHING,
}


@functools.lru_cache(maxsize=_PROGRAMS_CACHED)
def take_apart(code: bytes) -> Program:
    """Return the instructions of a code and where one may jump."""
    instructions: list[Instruction] = []
    targets: dict[int, int] = {}
    place = 0
    while place < len(code):
        opcode = code[place]
        if opcode == _JUMPDEST:
            targets[place] = len(instructions)
        instructions.append(_instruction(code, place))
        place += 1 + (opcode - _PUSH0 if _PUSH0 <= opcode <= _PUSH32 else 0)
    instructions.append(_foreign(_STOP))
    steps = [_step(known) for known in instructions]
    blocks = find_blocks(steps, targets, _TOOLS) if _is_ours(code) else (None,) * len(steps)
    return Program(tuple(instructions), targets, blocks)


def _is_ours(code: bytes) -> bool:
    """Whether this program brought the code along: no other is made into functions."""
    return any(code == artefact.runtime for artefact in load_codes().values())


@functools.lru_cache(maxsize=_ALIKE_CACHED)
def _step(instruction: Instruction) -> Step:
    """What an instruction is to a run (`ledger.contract.blocks`)."""
    kind, gas, value, words, *_ = instruction
    if words is None:
        return Step(_PARTS.get(Kind(kind), Part.OTHER), gas, value)
    if words is _pop:
        return Step(Part.POP, gas)
    text, takes = _EXPRESSIONS[words]
    return Step(Part.WORDS, gas, 0, text, takes)


def _instruction(code: bytes, place: int) -> Instruction:
    opcode = code[place]
    if _PUSH0 <= opcode <= _PUSH32:
        size = opcode - _PUSH0
        data = code[place + 1 : place + 1 + size].ljust(size, b"\0")
        return _push(opcode, int.from_bytes(data, "big"))
    return _push(opcode, place) if opcode == _PC else _plain(opcode)


@functools.lru_cache(maxsize=_ALIKE_CACHED)
def _push(opcode: int, value: int) -> Instruction:
    return Instruction(Kind.PUSH, cast("Opcode", OPCODES[opcode]).gas_cost, value=value)


@functools.cache
def _plain(opcode: int) -> Instruction:
    """Return an instruction that is the same wherever it is."""
    known = OPCODES.get(opcode)
    gas = 0 if known is None else cast("Opcode", known).gas_cost
    if opcode in _WORDS:
        return Instruction(Kind.WORDS, gas, words=_WORDS[opcode])
    if opcode in _BYTES:
        return Instruction(Kind.BYTES, gas, moved=_BYTES[opcode])
    if opcode in _PLAIN:
        return Instruction(_PLAIN[opcode], gas)
    if _DUP1 <= opcode <= _DUP16:
        return Instruction(Kind.DUPLICATE, gas, value=opcode - _DUP1 + 1)
    if _SWAP1 <= opcode <= _SWAP16:
        return Instruction(Kind.SWAP, gas, value=opcode - _SWAP1 + 2)
    return _foreign(opcode)


def _foreign(opcode: int) -> Instruction:
    return Instruction(Kind.FOREIGN, 0, opcode=OPCODES.get(opcode) or InvalidOpcode(opcode))


def interpret(computation: BaseComputation, program: Program) -> None:
    """Run code to its end, on py-evm's stack, memory and gas meter.

    Raises:
        VMError: as py-evm's loop would.
    """
    try:
        _loop(computation, program)
    except Halt:
        return
    except IndexError as error:
        raise InsufficientStack("Insufficient stack items") from error


# The branches are the instruction set, and calls are what costs.
def _loop(computation: BaseComputation, program: Program) -> None:  # noqa: C901, PLR0912, PLR0915
    # py-evm's instructions push integers or byte strings; here they become integers at once.
    stack = cast("Stack", cast("EvmStack", computation._stack).values)
    memory, meter = cast("Memory", computation._memory), computation._gas_meter
    instructions, targets, blocks = program.instructions, program.targets, program.blocks
    gas, index = meter.gas_remaining, 0
    while True:
        block = blocks[index]
        if block is not None:
            if gas >= block.gas and block.needs <= len(stack) <= block.room:
                gas, index = block.run(stack, memory, gas - block.gas)
                continue
            blocks = (None,) * len(instructions)  # the end is near: find it instruction by instruction
        kind, cost, value, words, moved, opcode = instructions[index]
        index += 1
        gas -= cost
        if gas < 0:
            raise OutOfGas("Out of gas")
        if kind == 0:
            if len(stack) >= STACK_MAX:
                raise FullStack("Stack limit reached")
            stack.append(value)
        elif kind == 1:
            words(stack)  # type: ignore[misc]
        elif kind == 2:
            start = stack[-1]
            if start + _WORD > len(memory._bytes):
                gas = _extend(memory, start, _WORD, gas)
            stack[-1] = int.from_bytes(memory._bytes[start : start + _WORD], "big")
        elif kind == 3:
            if len(stack) >= STACK_MAX:
                raise FullStack("Stack limit reached")
            stack.append(stack[-value])
        elif kind == 4:
            target = stack.pop()
            if stack.pop():
                if target not in targets:
                    raise InvalidJumpDestination("Invalid Jump Destination")
                index = targets[target]
        elif kind == 5:
            start, word = stack.pop(), stack.pop()
            if start + _WORD > len(memory._bytes):
                gas = _extend(memory, start, _WORD, gas)
            memory._bytes[start : start + _WORD] = word.to_bytes(_WORD, "big")
        elif kind == 6:
            stack[-1], stack[-value] = stack[-value], stack[-1]
        elif kind == 7:
            target = stack.pop()
            if target not in targets:
                raise InvalidJumpDestination("Invalid Jump Destination")
            index = targets[target]
        elif kind == 9:
            gas = moved(computation, stack, memory, gas)  # type: ignore[misc]
        elif kind == 10:
            meter.gas_remaining = gas
            opcode(computation=computation)  # type: ignore[misc]
            gas = meter.gas_remaining
            top: object = stack[-1] if stack else 0
            if isinstance(top, bytes):
                stack[-1] = int.from_bytes(top, "big")
