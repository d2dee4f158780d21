"""What a division needs of a mask r that nobody knows: its quotient and its residue by a public number.

Node i knows its own number r_i = d q_i + s_i. A table of d bits, one of them set, says where a running residue is; it
is turned on by s_1, s_2, ... and by what the carries w beyond 2^k make, r being their sum less w 2^k. To turn it by a
public step c if a shared bit b says so is one multiplication of b with the table x: x + bx + (bx turned by c). What bx
has in its highest c places has gone once around: the quotient is one more. So, with -2^(k+j) = c_j - d e_j,
floor(r/d) = sum of q_i - sum of w_j e_j + times around,
and what is left is linear: [v < r mod d] is the sum of the table's bits above v. (Turning by shifts: folklore.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.bits import BitsToIntegers
from mpcnode.mpc.correlations import Arrays, Correlation
from mpcnode.mpc.division import Division
from mpcnode.mpc.joint.circuits import SumBits
from mpcnode.mpc.joint.scaling import ROWS_MAX, BitTimesBits
from mpcnode.mpc.openings import Protocol, parallel
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Lanes, Words, low_bits
from mpcnode.types import Rank


@dataclass(frozen=True, kw_only=True)
class BitTimesTable:
    """One bit times a table of any length: as many multiplications of a bit with several as that takes."""

    label: str
    rows: int
    words: int

    @cached_property
    def parts(self) -> tuple[BitTimesBits, ...]:
        """Each of a part of the table."""
        return tuple(
            BitTimesBits(label=f"{self.label}.{start}", rows=min(ROWS_MAX, self.rows - start), words=self.words)
            for start in range(0, self.rows, ROWS_MAX)
        )

    def run(self, party: Party, bit: Words, table: Words) -> Protocol[Words]:
        """Multiply shares [words] with each row of shares [rows, words]."""
        found = yield from parallel(
            *(part.run(party, bit, table[i * ROWS_MAX : (i + 1) * ROWS_MAX]) for i, part in enumerate(self.parts))
        )
        product: Words = np.concatenate(found)
        return product


@dataclass(frozen=True, kw_only=True)
class DivisionDerivation:
    """Quotient, top bit and residue tables of a mask."""

    item: Division
    parties: int

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(self.item.items, self.item.subjects)

    @cached_property
    def _carry_bits(self) -> int:
        """Bits of w, which is less than the number of nodes."""
        return (self.parties - 1).bit_length()

    @cached_property
    def _residue_bits(self) -> int:
        """Bits of a residue."""
        return (self.item.divisor - 1).bit_length()

    @cached_property
    def sum(self) -> SumBits:
        """Of the nodes' own numbers, with its carries."""
        bits = self.item.bits + self._carry_bits
        return SumBits(label=f"{self.item.label}.sum", numbers=self.parties, bits=bits, words=self._lanes.words)

    @cached_property
    def turns(self) -> tuple[BitTimesTable, ...]:
        """One for each bit of every residue but the first, and of w."""
        count = (self.parties - 1) * self._residue_bits + self._carry_bits
        return tuple(self._table(f"turn{i}") for i in range(count))

    @cached_property
    def top(self) -> BitTimesTable:
        """The top bit times the residue's table."""
        return self._table("top")

    @cached_property
    def integers(self) -> BitsToIntegers:
        """All bits that become integers: the top bit, tables A and B, w, and what went around."""
        items = (1 + 2 * self.item.divisor + self._carry_bits + len(self.turns)) * self.item.items
        return BitsToIntegers(label=f"{self.item.label}.integers", items=items, subjects=self.item.subjects, ring=64)

    def _table(self, name: str) -> BitTimesTable:
        return BitTimesTable(label=f"{self.item.label}.{name}", rows=self.item.divisor, words=self._lanes.words)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        tables = (part for table in (*self.turns, self.top) for part in table.parts)
        return (*self.sum.correlations, *tables, self.integers)

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[Arrays]:
        """Derive."""
        item, lanes = self.item, self._lanes
        own = low_bits(free["r"].view(np.uint64), item.bits)
        quotient, residue = np.divmod(own, np.uint64(item.divisor))
        numbers = np.zeros((self.parties, self.sum.bits, lanes.words), np.uint64)
        numbers[rank, : item.bits] = lanes.slice(own, item.bits)
        bits = yield from self.sum.run(party, numbers)
        top, carries = bits[item.bits - 1], bits[item.bits :]

        table, around = yield from self._turn(party, self._start(rank, residue), self._steps(rank, residue, carries))
        below = np.zeros_like(table)  # row v: the sum of the rows above it
        below[:-1] = np.bitwise_xor.accumulate(table[:0:-1], axis=0)[::-1]
        b = yield from self.top.run(party, top, below)

        rows = np.concatenate([top[None], b ^ below, b, carries, around])
        flat = lanes.unpack(rows).reshape(-1, item.subjects)
        integers = yield from self.integers.run(party, self.integers.lanes.pack(flat))
        t, a, b, w, times = np.split(
            integers.reshape(-1, item.items, item.subjects),
            np.cumsum([1, item.divisor, item.divisor, self._carry_bits]),
        )
        quotient += times.sum(axis=0, dtype=np.uint64)
        for j, carry in enumerate(w):
            quotient -= carry * np.uint64(-(-(1 << (item.bits + j)) // item.divisor) % (1 << 64))
        return {"t": t[0], "quotient": quotient, "A": a, "B": b}

    def _start(self, rank: Rank, residue: Words) -> Words:
        """Shares of the table of node 0's residue: it alone has one."""
        if rank:
            return np.zeros((self.item.divisor, self._lanes.words), np.uint64)
        places = np.arange(self.item.divisor, dtype=np.uint64)[:, None, None]
        return self._lanes.pack((residue == places).astype(np.uint8))

    def _steps(self, rank: Rank, residue: Words, carries: Words) -> Iterator[tuple[Words, int]]:
        """Shares of bits, and how far the table turns by each."""
        own = self._lanes.slice(residue, self._residue_bits)
        for node in range(1, self.parties):
            for place, bit in enumerate(own):
                yield bit if rank == node else np.zeros_like(bit), 1 << place
        for j, carry in enumerate(carries):
            yield carry, -(1 << (self.item.bits + j)) % self.item.divisor

    def _turn(self, party: Party, table: Words, steps: Iterator[tuple[Words, int]]) -> Protocol[tuple[Words, Words]]:
        """Turn a table step by step; also whether each step went around [steps, W]."""
        around: list[Words] = []
        for turn, (bit, step) in zip(self.turns, steps, strict=True):
            moved = yield from turn.run(party, bit, table)
            around.append(np.bitwise_xor.reduce(moved[self.item.divisor - step :], axis=0))
            table = table ^ moved ^ np.roll(moved, step, axis=0)
        return table, np.stack(around)
