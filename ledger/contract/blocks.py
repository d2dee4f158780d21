"""Straight runs of instructions as one Python function each, made when a run is first met.

Most of what contracts made by Vyper do is to move words between places of the stack. Inside a run without jumps these
moves are known beforehand, so a function needs variables and no stack: it reads what it takes from the stack once, and
puts back once what is left. Its gas and the depth of the stack are checked as a whole before it; where they do not
suffice, the loop goes on instruction by instruction (`ledger.contract.interpreter`), and so finds the very error.

A function's text is made of the expressions below and of numbers, and only code that this program brought along is made
into functions; a test takes every such text apart, and knows each name and each operation in it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import NamedTuple, TypeAlias, cast

STACK_MAX = 1024

SIGN = 1 << 255
"""A word with this bit is negative to a signed comparison; with it flipped, signed order is unsigned order."""

_WORD = 32
_SHORTEST = 2
"""Instructions of a run; a shorter one is not worth a call."""
_LONGEST = 256
"""Instructions of a run; a longer one is cut, for Python needs seconds and much memory to make one function of it."""

Run: TypeAlias = Callable[[list[int], object, int], tuple[int, int]]
"""Takes stack, memory and the gas that is left after the run's own; returns the gas that is left and where to go on."""


class Part(Enum):
    """What an instruction is to a run."""

    PUSH = auto()
    """Push `value`."""
    DUPLICATE = auto()
    """Push the `value`-th word from the top."""
    SWAP = auto()
    """Exchange the top with the `value`-th word."""
    POP = auto()
    WORDS = auto()
    """Take `takes` words, push what `text` says of them."""
    LOAD = auto()
    STORE = auto()
    JUMP = auto()
    JUMP_IF = auto()
    NOTHING = auto()
    OTHER = auto()
    """In no run."""


class Step(NamedTuple):
    """One instruction of a run."""

    part: Part
    gas: int
    value: int = 0
    text: str = ""
    """Expression over a (the top) and b."""
    takes: int = 0


class Block(NamedTuple):
    """A run, and what must hold before it."""

    gas: int
    needs: int
    """Words that must be on the stack."""
    room: int
    """Most words that may be on the stack."""
    run: Run


EXPRESSIONS: Mapping[int, tuple[str, int]] = {
    0x01: ("({a} + {b}) & MAX", 2),
    0x02: ("({a} * {b}) & MAX", 2),
    0x03: ("({a} - {b}) & MAX", 2),
    0x04: ("{a} // {b} if {b} else 0", 2),
    0x06: ("{a} % {b} if {b} else 0", 2),
    0x10: ("1 if {a} < {b} else 0", 2),
    0x11: ("1 if {a} > {b} else 0", 2),
    0x12: ("1 if {a} ^ SIGN < {b} ^ SIGN else 0", 2),
    0x13: ("1 if {a} ^ SIGN > {b} ^ SIGN else 0", 2),
    0x14: ("1 if {a} == {b} else 0", 2),
    0x15: ("0 if {a} else 1", 1),
    0x16: ("{a} & {b}", 2),
    0x17: ("{a} | {b}", 2),
    0x18: ("{a} ^ {b}", 2),
    0x19: ("{a} ^ MAX", 1),
    0x1B: ("({b} << {a}) & MAX if {a} < 256 else 0", 2),
    0x1C: ("{b} >> {a} if {a} < 256 else 0", 2),
}
"""Instructions that make one word of others: opcode -> expression, and how many it takes."""


@dataclass(slots=True)
class _Writer:
    """Follows a run, and writes its function."""

    lines: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    """Variables and numbers that stand for the words above those that are not touched."""
    needs: int = 0
    highest: int = 0
    """Most words above those that were there before."""
    variables: int = 0

    def reach(self, depth: int) -> None:
        """Let at least so many words be known."""
        while len(self.stack) < depth:
            self.needs += 1
            self.stack.insert(0, f"s{self.needs}")

    def pop(self) -> str:
        self.reach(1)
        return self.stack.pop()

    def push(self, word: str) -> None:
        self.stack.append(word)
        self.highest = max(self.highest, len(self.stack) - self.needs)

    def let(self, expression: str) -> str:
        self.variables += 1
        self.lines.append(f"v{self.variables} = {expression}")
        return f"v{self.variables}"

    def follow(self, step: Step) -> None:
        match step.part:
            case Part.PUSH:
                self.push(str(step.value))
            case Part.DUPLICATE:
                self.reach(step.value)
                self.push(self.stack[-step.value])
            case Part.SWAP:
                self.reach(step.value)
                self.stack[-1], self.stack[-step.value] = self.stack[-step.value], self.stack[-1]
            case Part.POP:
                self.pop()
            case Part.WORDS:
                names = dict(zip("ab", [self.pop() for _ in range(step.takes)], strict=False))
                self.push(self.let(step.text.format(**names)))
            case Part.LOAD:
                start = self._memory_at(self.pop())
                self.push(self.let(f"number(m[{start}:{start} + {_WORD}], 'big')"))
            case Part.STORE:
                start = self._memory_at(self.pop())
                self.lines.append(f"m[{start}:{start} + {_WORD}] = ({self.pop()}).to_bytes({_WORD}, 'big')")

    def _memory_at(self, start: str) -> str:
        self.lines += [
            f"if {start} + {_WORD} > len(m):",
            f"    gas = extend(memory, {start}, {_WORD}, gas)",
            "    m = memory._bytes",
        ]
        return start

    def settle(self) -> list[str]:
        """Write what brings the stack from before to after."""
        kept = 0
        while kept < self.needs and kept < len(self.stack) and self.stack[kept] == f"s{self.needs - kept}":
            kept += 1
        removed, pushed = self.needs - kept, self.stack[kept:]
        lines = []
        if removed:
            lines.append(f"del stack[-{removed}:]")
        if len(pushed) == 1:
            lines.append(f"stack.append({pushed[0]})")
        elif pushed:
            lines.append(f"stack += ({', '.join(pushed)})")
        return lines


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that was found, and what its function would say."""

    gas: int
    writer: _Writer
    ending: Sequence[str]

    @property
    def text(self) -> str:
        """Its function."""
        body = "\n".join([*self.writer.lines, *self.ending])
        known = set(re.findall(r"s[0-9]+", body))
        read = [f"s{k} = stack[-{k}]" for k in range(1, self.writer.needs + 1) if f"s{k}" in known]
        if "m[" in body:
            read.append("m = memory._bytes")
        lines = (*read, *self.writer.lines, *self.ending)
        return "def run(stack, memory, gas):\n" + "".join(f"    {line}\n" for line in lines)

    def block(self, run: Run) -> Block:
        """Say what must hold before a run."""
        return Block(self.gas, self.writer.needs, STACK_MAX - self.writer.highest, run)


def find_blocks(
    steps: Sequence[Step], targets: Mapping[int, int], tools: Mapping[str, object]
) -> MutableSequence[Block | None]:
    """Return for each instruction the run that begins there; None where none does.

    Args:
        steps: the whole code.
        targets: place of each JUMPDEST -> its index in the steps.
        tools: `extend` (memory, start, size, gas -> gas left) and `BadJump`, the error to raise.
    """
    blocks: list[Block | None] = [None] * len(steps)
    names: dict[str, object] = {
        "MAX": (1 << 256) - 1,
        "SIGN": SIGN,
        "number": int.from_bytes,
        "targets": targets,
        **tools,
    }

    def make(start: int, end: int, _stack: list[int], _memory: object, gas: int) -> tuple[int, int]:
        """Make a run's function when it is first met, and go on where it begins."""
        draft = draft_run(steps, targets, start, end)
        made = dict(names)
        exec(compile(draft.text, "<a run of instructions>", "exec"), made)  # noqa: S102 - see above
        blocks[start] = draft.block(cast("Run", made["run"]))
        return gas, start

    for start, end in find_runs(steps, targets):
        blocks[start] = Block(gas=0, needs=0, room=STACK_MAX, run=partial(make, start, end))
    return blocks


def find_runs(steps: Sequence[Step], targets: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Find where runs begin and end (exclusively); arguments are those of `find_blocks`."""
    entries = set(targets.values())
    start = 0
    while start < len(steps):
        end, longest = start, min(len(steps), start + _LONGEST)
        while end < longest and (end == start or end not in entries):
            part = steps[end].part
            if part is Part.OTHER or (part is Part.JUMP_IF and not _goes_on(steps[start:end], targets)):
                break
            end += 1
            if part is Part.JUMP or part is Part.JUMP_IF:
                break
        if end - start >= _SHORTEST:
            yield start, end
        start = max(end, start + 1)


def draft_run(steps: Sequence[Step], targets: Mapping[int, int], start: int, end: int) -> Draft:
    """Follow one run."""
    writer = _Writer()
    for step in steps[start:end]:
        writer.follow(step)
    ending = _ending(writer, steps[end - 1].part, end, targets)
    return Draft(sum(step.gas for step in steps[start:end]), writer, ending)


def _goes_on(before: Sequence[Step], targets: Mapping[int, int]) -> bool:
    """Whether a conditional jump has a known destination, by the steps of its run before it."""
    return bool(before) and before[-1].part is Part.PUSH and before[-1].value in targets


def _ending(writer: _Writer, last: Part, end: int, targets: Mapping[int, int]) -> list[str]:
    """Write how a run ends: with a jump, or at the instruction after it."""
    if last is Part.JUMP:
        place = writer.pop()
        known = targets.get(int(place)) if place.isdigit() else None
        if known is not None:
            return [*writer.settle(), f"return gas, {known}"]
        return [
            f"to = targets.get({place})",
            "if to is None:",
            "    raise BadJump('Invalid Jump Destination')",
            *writer.settle(),
            "return gas, to",
        ]
    if last is Part.JUMP_IF:
        place, condition = writer.pop(), writer.pop()
        return [*writer.settle(), f"return gas, {targets[int(place)]} if {condition} else {end}"]
    return [*writer.settle(), f"return gas, {end}"]
