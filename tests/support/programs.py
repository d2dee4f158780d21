"""Random programs that call each other, write, read, revert and fail, for machines to be compared on."""

from collections.abc import Callable, Sequence
from random import Random

STOP, MUL, SUB, ISZERO, BYTE, SHA3 = 0x00, 0x02, 0x03, 0x15, 0x1A, 0x20
CALLDATALOAD, CALLDATASIZE, RETURNDATASIZE, RETURNDATACOPY = 0x35, 0x36, 0x3D, 0x3E
POP, MLOAD, MSTORE, SLOAD, SSTORE, JUMP, JUMPI, GAS, JUMPDEST = 0x50, 0x51, 0x52, 0x54, 0x55, 0x56, 0x57, 0x5A, 0x5B
TLOAD, TSTORE, MCOPY, PUSH2, DUP1, DUP2, SWAP1, SWAP2 = 0x5C, 0x5D, 0x5E, 0x61, 0x80, 0x81, 0x90, 0x91
ADD, LOG0, LOG1, CALL, CALLCODE, RETURN, DELEGATECALL, STATICCALL, REVERT, INVALID = (
    *(0x01, 0xA0, 0xA1, 0xF1, 0xF2),
    *(0xF3, 0xF4, 0xFA, 0xFD, 0xFE),
)
SLOTS = (0, 1, 2, 3, 255, 256, 2**256 - 1)
WORDS = (0, 0, 0, 1, 1, 2, 127, 128, 255, 256, 2**64, 2**255, 2**256 - 1)
FAR = (*(0, 0, 0, 1, 1, 31, 31, 32, 33, 33, 64, 64, 255, 1_000, 5_000), *(2**32, 2**256 - 32, 2**256 - 1))
NOWHERE = (1, 2, 3, 4, 9, 11, 0xDEAD, 0)
"""Precompiles, and addresses where nobody is."""


def push(value: int) -> bytes:
    """Push a word with the shortest instruction."""
    size = (value.bit_length() + 7) // 8
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


class Program:
    """Writes one program. Its calldata is its fuel: whoever is called gets a byte less, and without any calls nobody.

    What calldata holds decides branches, so each call of one program goes another way.
    """

    def __init__(self, random: Random, others: Sequence[int]) -> None:
        self.random = random
        self.others = (*others, *others, *others, *NOWHERE)
        self.code = bytearray()

    def emit(self, *parts: int | bytes) -> None:
        """Append opcodes and code."""
        for part in parts:
            self.code += part if isinstance(part, bytes) else bytes([part])

    def unless(self, *condition: int | bytes) -> Callable[[], None]:
        """Skip what follows, up to a call of what this returns, if a condition is not zero."""
        self.emit(*condition, PUSH2, b"\0\0")
        hole = len(self.code) - 2
        self.emit(JUMPI)

        def end() -> None:
            self.code[hole : hole + 2] = len(self.code).to_bytes(2, "big")
            self.emit(JUMPDEST)

        return end

    def slot(self) -> bytes:
        return push(self.random.choice(SLOTS))

    def word(self) -> bytes:
        """Leave one word on the stack."""
        constant = push(self.random.choice(WORDS))
        return self.random.choice(
            (
                constant,
                constant,
                bytes([GAS]),
                bytes([RETURNDATASIZE]),
                self.slot() + bytes([SLOAD]),
                push(1) + self.slot() + bytes([SLOAD, ADD]),
                push(self.random.randrange(40)) + bytes([CALLDATALOAD]),
                self.slot() + bytes([TLOAD]),
                push(self.random.randrange(0, 128, 32)) + bytes([MLOAD]),
            )
        )

    def write(self) -> None:
        self.emit(self.word(), self.slot(), SSTORE)

    def measure(self) -> None:
        """Write down the gas that is left."""
        self.emit(GAS, self.slot(), SSTORE)

    def rewrite(self) -> None:
        """Set and clear one word, in any order."""
        slot = self.slot()
        for _ in range(self.random.randrange(2, 5)):
            self.emit(push(self.random.choice((0, 0, 1, 2))), slot, SSTORE)

    def write_for_now(self) -> None:
        self.emit(self.word(), self.slot(), TSTORE)

    def remember(self) -> None:
        self.emit(self.word(), push(self.random.randrange(0, 128, 31)), MSTORE)

    def report(self) -> None:
        """Show a word in an event."""
        self.emit(self.word(), push(0), MSTORE, self.word(), push(32), push(0), LOG1)

    def compute(self) -> None:
        self.emit(self.word(), self.word(), self.word())
        for _ in range(self.random.randrange(1, 8)):
            self.emit(self.random.choice((DUP1, DUP2, SWAP1, SWAP2, bytes([DUP2, ADD]), bytes([DUP2, SUB]))))
        self.emit(*[self.random.choice((ADD, SUB, MUL, 0x04, 0x06, 0x10, 0x12, 0x13, 0x16, 0x1B, 0x1C))] * 2)
        self.emit(self.slot(), SSTORE)

    def loop(self) -> None:
        """Go round a few times; now and then for ever."""
        start, step = len(self.code) + 2, self.random.choice((1, 1, 1, 1, 1, 0))
        self.emit(push(self.random.randrange(1, 40)), JUMPDEST, push(step), SWAP1, SUB)
        if self.random.random() < 0.3:
            self.emit(DUP1, push(7), SSTORE)
        self.emit(DUP1, PUSH2, start.to_bytes(2, "big"), JUMPI, POP)

    def pile(self) -> None:
        """Fill the stack, perhaps to its limit."""
        start, count = len(self.code) + 3, self.random.choice((5, 1_000, 1_016, 1_020, 1_022, 1_024))
        self.emit(PUSH2, count.to_bytes(2, "big"), JUMPDEST)
        self.emit(push(1), DUP2, SUB, DUP1, PUSH2, start.to_bytes(2, "big"), JUMPI)

    def function(self) -> None:
        """Jump somewhere and back again by an address on the stack."""
        start = len(self.code)
        self.emit(PUSH2, (start + 12).to_bytes(2, "big"), PUSH2, (start + 7).to_bytes(2, "big"), JUMP)
        self.emit(JUMPDEST, push(1), SWAP1, JUMP, JUMPDEST)

    def reach_far(self) -> None:
        """Use memory anywhere."""
        far, near, size = (push(self.random.choice(FAR)) for _ in range(3))
        self.emit(
            self.random.choice(
                (
                    far + bytes([MLOAD, POP]),
                    self.word() + far + bytes([MSTORE]),
                    size + far + bytes([SHA3]) + self.slot() + bytes([SSTORE]),
                    size + near + far + bytes([MCOPY]),
                    size + near + far + bytes([self.random.choice((0x37, 0x39, RETURNDATACOPY))]),
                    size + far + bytes([LOG0]),
                )
            )
        )

    def call(self) -> None:
        """Call somebody with a byte less; read, write and show what came of it."""
        kind = self.random.choice((*[CALL] * 6, STATICCALL, DELEGATECALL, DELEGATECALL, CALLCODE))
        end = self.unless(CALLDATASIZE, ISZERO)
        self.emit(self.word(), push(0), MSTORE)
        self.emit(push(self.random.choice((0, 32, 64, 100))), push(self.random.choice((0, 16, 64))))
        self.emit(push(1), CALLDATASIZE, SUB, push(self.random.choice((0, 31, 32))))
        if kind in {CALL, CALLCODE}:
            self.emit(push(self.random.choice((0, 0, 0, 0, 0, 1))))
        self.emit(push(self.random.choice(self.others)))
        self.emit(self.random.choice((*[bytes([GAS])] * 5, push(2_300), push(30_000), push(2**256 - 1))), kind)
        self.random.choice(
            (
                *[lambda: self.emit(POP)] * 3,
                *[lambda: self.emit(self.slot(), SSTORE)] * 4,
                *[lambda: self.emit(self.slot(), SLOAD, ADD, self.slot(), SSTORE)] * 8,
                lambda: self.emit(push(0), MSTORE, push(64), push(0), LOG0),
                *[lambda: self.emit(self.slot(), TSTORE, RETURNDATASIZE, push(0), push(0), RETURNDATACOPY)] * 4,
                lambda: self.emit(POP, push(33), push(0), push(0), RETURNDATACOPY),
            )
        )()
        end()

    def end_perhaps(self) -> None:
        """End here, if a byte of calldata says so."""
        end = self.unless(
            push(0), CALLDATALOAD, push(self.random.randrange(8)), BYTE, push(self.random.choice((20, 60, 128))), 0x10
        )
        self.end()
        end()

    def end(self) -> None:
        size, start = push(self.random.choice((0, 4, 32, 64))), push(self.random.choice((0, 16)))
        self.emit(
            self.random.choice(
                (
                    *[bytes([STOP]), size + start + bytes([RETURN])] * 5,
                    *[size + start + bytes([REVERT])] * 4,
                    *[bytes([INVALID]), bytes([JUMP])],
                )
            )
        )


def write_program(random: Random, others: Sequence[int]) -> bytes:
    """Return one program that calls others, by their addresses."""
    program = Program(random, others)
    parts = (
        *[
            program.write,
            program.rewrite,
            program.report,
            program.remember,
            program.compute,
            program.write_for_now,
            program.measure,
        ],
        *[program.call, program.call, program.call, program.call, program.call, program.end_perhaps],
    )
    for _ in range(random.randrange(3, 14)):
        random.choice(parts)()
        if random.random() < 0.1:
            random.choice((program.loop, program.pile, program.function, program.reach_far))()
    program.end()
    return bytes(program.code)
