import hashlib
from functools import reduce
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpcnode.errors import CorrelationReuseError, DealError
from mpcnode.mpc import (
    AndBits,
    BitsToIntegers,
    Comparison,
    Material,
    OutputMask,
    Program,
    ZeroShares,
    compile_body,
    corrections_size,
    deal,
    expand,
    total,
)
from mpcnode.types import Rank
from tests.support.joint import Gadgets, dealt, seeds_for, session_id

ITEMS = (
    Comparison(label="x", bits=21, values=3, of=(0, 0, 2, 1), thresholds=(1, 2, 3, 4), subjects=5),
    BitsToIntegers(label="y", items=3, subjects=70, ring=16),
    AndBits(label="z", words=2),
    ZeroShares(label="0", words=3),
    OutputMask(label="rho", words=3),
)


def program(parties: int) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=ITEMS), rounds=())


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_shares_of_all_nodes_make_the_total(parties: int) -> None:
    materials = dealt(program(parties), "deal")
    whole = Material(total(program(parties), session_id("deal"), seeds_for("deal", parties)))
    for item in ITEMS:
        shares = [material.take(item.label) for material in materials]
        expected = whole.take(item.label)
        for field in (*item.free, *item.corrected):
            parts: list[Any] = [share[field.name] for share in shares]
            joined = np.add.reduce(parts, dtype=field.dtype) if field.ring else np.bitwise_xor.reduce(parts)
            assert joined.dtype == np.dtype(field.dtype)
            assert np.array_equal(joined, expected[field.name]), field.name


def test_derived_values_are_what_they_say() -> None:
    whole = Material(total(program(2), session_id("d"), seeds_for("d", 2)))
    z, y, zero = whole.take("z"), whole.take("y"), whole.take("0")["zero"]
    assert (z["ab"] == z["a"] & z["b"]).all()
    assert (y["integers"] == ITEMS[1].lanes.unpack(y["d"].view(np.uint64))).all()
    assert y["integers"].any()
    assert not zero.any()


def test_only_the_last_node_gets_corrections_and_no_share_is_plain() -> None:
    seeds = seeds_for("c", 3)
    corrections = deal(program(3), session_id("c"), seeds)
    assert len(corrections) == corrections_size(program(3))
    for rank in (0, 2):
        material = expand(program(3), session_id("c"), Rank(rank), seeds[rank], corrections if rank == 2 else None)
        assert material.take("0")["zero"].all()  # random, though the total is 0
    with pytest.raises(DealError, match="for node 2 only, got rank 1"):
        expand(program(3), session_id("c"), Rank(1), seeds[1], corrections)
    with pytest.raises(DealError, match="for node 2 only, got rank 2"):
        expand(program(3), session_id("c"), Rank(2), seeds[2], None)
    with pytest.raises(DealError, match=f"of {len(corrections)} bytes, got {len(corrections) - 1}"):
        expand(program(3), session_id("c"), Rank(2), seeds[2], corrections[1:])
    with pytest.raises(DealError, match="a seed for each of 3 nodes, got 2"):
        deal(program(3), session_id("c"), seeds[:2])


def test_material_is_used_once() -> None:
    material = dealt(program(2), "once")[0]
    material.take("x")
    with pytest.raises(CorrelationReuseError, match="correlation x: expected to be taken once"):
        material.take("x")


def test_programs_have_two_parties_and_distinct_labels() -> None:
    with pytest.raises(ValueError, match="two nodes or more, got 1"):
        compile_body(Gadgets(correlations=ITEMS), 1)
    with pytest.raises(ValueError, match="labels of their own"):
        compile_body(Gadgets(correlations=(ITEMS[0], ITEMS[0])), 2)


class PlainStreams:
    """docs/computation.md section 4, read literally: integers and lists, one subject."""

    def __init__(self, seeds: list[bytes], session: bytes, label: str) -> None:
        keys = [
            hashlib.blake2b(session + bytes(4) + label.encode(), digest_size=32, key=s, person=b"mpc-prg")
            for s in seeds
        ]
        self.streams = [
            Cipher(algorithms.AES256(key.digest()), modes.CTR(bytes(16))).encryptor().update(bytes(1 << 16))
            for key in keys
        ]
        self.at = 0

    def free(self, count: int, *, xor: bool) -> list[int]:
        taken = [self._words(stream, count) for stream in self.streams]
        self.at += 8 * count
        if xor:
            return [reduce(lambda x, y: x ^ y, column) for column in zip(*taken, strict=True)]
        return [sum(column) % (1 << 64) for column in zip(*taken, strict=True)]

    def corrected(self, values: list[int]) -> bytes:
        for stream in self.streams[:-1]:
            values = [v ^ w for v, w in zip(values, self._words(stream, len(values)), strict=True)]
        self.at += 8 * len(values)
        return b"".join(value.to_bytes(8, "little") for value in values)

    def _words(self, stream: bytes, count: int) -> list[int]:
        return [int.from_bytes(stream[self.at + 8 * i :][:8], "little") for i in range(count)]


def product(rows: list[int], members: int) -> int:
    return reduce(lambda x, y: x & y, (row for i, row in enumerate(rows) if members >> i & 1))


def test_corrections_of_a_comparison_are_the_documented_bytes() -> None:
    """Two values with three thresholds in 23 bits: 6 blocks, so layers of 4 and 2, padded to 8 blocks."""
    gadget = Comparison(label="doc", bits=23, values=2, of=(0, 1, 1), thresholds=(5, 6, 7), subjects=1)
    seeds = seeds_for("doc", 3)
    plain = PlainStreams(seeds, session_id("doc"), "doc")
    r = plain.free(2, xor=False)
    layers = [(2, 4, 4), (1, 2, 1)]  # groups, wires, b's
    wires = [(plain.free(g * f, xor=True), plain.free(g * e, xor=True)) for g, f, e in layers]
    bits = [(r[0] >> i & 1) | (r[1] >> i & 1) << 1 for i in range(23)]
    expected = plain.corrected(bits)
    blocks = [(bits[:22] + [0] * 10)[4 * b :][:4] for b in range(8)]
    several = [members for members in range(16) if members.bit_count() > 1]
    expected += plain.corrected([product(block, members) for block in blocks for members in several])
    for (groups, fan, e), (a, b) in zip(layers, wires, strict=True):
        of_b = [b[e * g :][:e] for g in range(groups)]
        of_a = [a[fan * g :][:fan] for g in range(groups)]
        sets = [members for members in range(1 << e) if members.bit_count() > 1]
        expected += plain.corrected([product(group, members) for group in of_b for members in sets])
        above = [[([0] * (fan - e) + group)[i + 1 :] for i in range(fan)] for group in of_b]
        expected += plain.corrected(
            [
                of_a[g][i] & product(above[g][i], members)
                for g in range(groups)
                for i in range(fan)
                for members in range(1, 1 << (fan - 1 - i))
            ]
        )
    program = Program(parties=3, body=Gadgets(correlations=(gadget,)), rounds=())
    assert deal(program, session_id("doc"), seeds) == expected
