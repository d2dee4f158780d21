"""What nodes derive together is what a dealer would deal, whoever makes the elementary correlations."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import (
    AllBits,
    AndBits,
    Arrays,
    BitsToIntegers,
    Comparison,
    Correlation,
    Division,
    Equality,
    Field,
    Lookup,
    Material,
    Opening,
    Party,
    Program,
    Protocol,
    Words,
)
from mpcnode.mpc.joint import BitTimesBits, Plan, broadcast, derivation
from mpcnode.mpc.joint.circuits import BitProducts, SumBits
from mpcnode.types import Rank
from tests.support.gadgets import Gadget, every_gadget
from tests.support.joint import Gadgets, run_gadgets, share_bits, share_integers
from tests.support.talks import OpenMaker, check_items, deviates, provided_openly, run_talks, talks_of

DERIVED = [item for item in every_gadget(70) if item.correlations]

MULTIPLICATIONS = (AndBits, BitTimesBits)


def program(parties: int, *items: Correlation) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=items), rounds=())


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("gadget", DERIVED, ids=lambda gadget: gadget.name)
def test_every_gadget(gadget: Gadget, parties: int) -> None:
    compiled = program(parties, *gadget.correlations)
    check_items(compiled, provided_openly(compiled, gadget.name))


def comparisons(label: str) -> st.SearchStrategy[Comparison]:
    return st.builds(
        Comparison,
        label=st.just(label),
        bits=st.integers(2, 64),
        values=st.just(2),
        of=st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple),
        thresholds=st.just((1, 2, 3, 4)),
        subjects=st.integers(1, 130),
        leaf=st.integers(1, 5),
        fan=st.integers(2, 5),
    ).map(lambda item: Comparison(**{**vars(item), "thresholds": item.thresholds[: len(item.of)]}))


@settings(max_examples=60)
@given(st.integers(2, 140), st.integers(2, 64), st.integers(1, 70), st.integers(2, 5))
def test_random_divisions(divisor: int, bits: int, subjects: int, parties: int) -> None:
    compiled = program(parties, Division(label="d", items=2, subjects=subjects, divisor=divisor, bits=bits))
    check_items(compiled, provided_openly(compiled, f"{divisor}"))


@settings(max_examples=60)
@given(comparisons("a"), comparisons("b"), st.integers(2, 4))
def test_random_programs(first: Comparison, second: Comparison, parties: int) -> None:
    compiled = program(parties, first, BitsToIntegers(label="c", items=2, subjects=first.subjects, ring=32), second)
    check_items(compiled, provided_openly(compiled, "random"))


@pytest.mark.parametrize(("numbers", "bits"), [(2, 1), (2, 2), (2, 64), (3, 1), (3, 2), (3, 17), (5, 2), (5, 64)])
def test_bits_of_sums(numbers: int, bits: int) -> None:
    circuit = SumBits(label="s", numbers=numbers, bits=bits, words=1)
    mask = (1 << bits) - 1
    # rows of 64 numbers with carries all the way, none, and as it comes
    values = [
        [(mask * (lane % 2) + i * lane * 0x9E3779B97F4A7C15) & mask for lane in range(64)] for i in range(numbers)
    ]
    rows = np.array(
        [
            [[sum((value >> bit & 1) << lane for lane, value in enumerate(row))] for bit in range(bits)]
            for row in values
        ],
        np.uint64,
    )
    shares = share_bits(rows, 3, "s")
    found, rounds = run_gadgets(3, "s", circuit.correlations, lambda party, i: _after(circuit.run(party, shares[i])))
    total = np.bitwise_xor.reduce(found)[:, 0].tolist()
    sums = [sum(row[lane] for row in values) & mask for lane in range(64)]
    assert total == [sum((value >> bit & 1) << lane for lane, value in enumerate(sums)) for bit in range(bits)]
    ands = max(0, (numbers - 1) * (bits - 1) - (numbers > 2))
    assert sum(item.words for item in (*circuit.saves, *circuit.carries.values())) == ands
    assert len(rounds) == 1 + (numbers - 2 + bits - 1 - (numbers > 2) if bits > 1 else 0)


def test_products_of_every_set_cost_one_multiple_triple_for_each_bit_but_one() -> None:
    circuit = BitProducts(label="p", groups=2, members=4, words=1)
    assert [(item.rows, item.words) for item in circuit.triples] == [(1, 2), (3, 2), (7, 2)]


def test_a_comparison_takes_the_documented_multiplications() -> None:
    """docs/computation.md 6; 64 subjects, so a word for each value and six for its thresholds."""
    item = Comparison(label="c", bits=32, values=1, of=(0,) * 6, thresholds=tuple(range(6)), subjects=64)
    found = {item.label: item.words for item in Plan(program(3, item)).elementary if isinstance(item, MULTIPLICATIONS)}
    parts = ("c.sum", "c.leaf", "c.layer")
    assert [sum(words for label, words in found.items() if label.startswith(part)) for part in parts] == [
        61,
        24,
        6 * 13,
    ]


def _after(protocol: Protocol[Words]) -> Protocol[Words]:
    """A round, so that even what needs none can be run; then the protocol."""
    yield (Opening(np.zeros(1, np.uint64)),)
    result = yield from protocol
    return result


@dataclass(frozen=True)
class Unknown:
    """A correlation that nobody has taught the nodes to derive."""

    label: str
    free: tuple[Field, ...] = ()
    corrected: tuple[Field, ...] = ()

    def derive(self, free: Arrays) -> Arrays:
        return free


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Unknown("u"), "correlation u, for 3 nodes: Unknown has no joint derivation; have it"),
        (
            Comparison(label="c", bits=32, values=1, of=(0,), thresholds=(1,), subjects=1, leaf=9),
            "correlation c.leaf.8: expected 1 to 128 bits times one, got 255",
        ),
        (Lookup(label="l", items=1, subjects=1, table=(0,) * 512), "correlation l.leaf.8: expected 1 to 128 bits"),
    ],
)
def test_what_cannot_be_derived_says_so(item: Correlation, message: str) -> None:
    compiled = program(3, AndBits(label="z", words=1), item)
    with pytest.raises(ValueError, match=message):
        next(talks_of(compiled, "x", [OpenMaker(Rank(0), 3)])[0])


def test_plans_hold_the_elementary_of_the_program_and_of_its_derivations() -> None:
    every = AllBits(label="all", inputs=4, words=1)
    plan = Plan(
        program(
            2,
            AndBits(label="z", words=1),
            every,
            Equality(label="e", bits=2, values=1, of=(0,), targets=(1,), subjects=1, leaf=2),
        )
    )
    assert [item.label for item in plan.elementary] == [
        "z",
        "all.layer0.1",
        "all.layer0.2",
        "all.layer0.3",
        "e.sum.carry0",
        "e.leaf.1",
    ]
    assert [*plan.derivations] == ["all", "e"]


def test_a_label_below_another_is_not_drawn_twice() -> None:
    every = AllBits(label="all", inputs=2, words=1)
    compiled = program(2, every, AndBits(label="all.layer0.1", words=1))
    with pytest.raises(CorrelationReuseError, match=r"stream all\.layer0\.1, chunk 0: expected to be drawn once"):
        provided_openly(compiled, "twice")


def test_shares_of_another_length_name_the_node() -> None:
    compiled = program(3, AllBits(label="all", inputs=4, words=1))
    talks = talks_of(compiled, "x", [OpenMaker(Rank(i), 3) for i in range(3)])

    def meddle(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        return message[:-1] if (number, sender, receiver) == (2, 1, 2) else message

    with deviates(1, "node 1: expected 32 bytes of shares to open, got 31"):
        run_talks(talks, meddle)


def test_a_multiple_triple_multiplies_one_with_several() -> None:
    gadget = BitTimesBits(label="m", rows=3, words=2)
    bit, several = (
        share_bits(np.array([5, 1 << 63], np.uint64), 3, "bit"),
        share_bits(np.arange(6, dtype=np.uint64).reshape(3, 2) * np.uint64(0x9E3779B97F4A7C15), 3, "several"),
    )
    found, rounds = run_gadgets(3, "m", (gadget,), lambda party, i: gadget.run(party, bit[i], several[i]))
    assert (np.bitwise_xor.reduce(found) == np.bitwise_xor.reduce(bit) & np.bitwise_xor.reduce(several)).all()
    assert [[words.size for words in opened] for opened in rounds] == [[2, 6]]


def test_broadcast_opens_what_all_shares_make() -> None:
    def opening(party: Party) -> Protocol[Words]:
        (opened,) = yield (Opening(np.array([3, 250], np.uint64), 8),)
        return opened

    results, _ = run_talks(
        [broadcast(opening(None), [Rank(j) for j in range(3) if j != i]) for i in range(3)]  # type: ignore[arg-type]
    )
    assert [found.tolist() for found in results] == [[9, 750 % 256]] * 3


SAMPLES = 4096
COIN_LIMIT = 49.0  # 7 deviations: 3e-12, for some 2e4 coins


def worst_coin(spoil: Callable[[list[Material]], None] | None) -> float:
    """What nodes 0 and 1 of three see while a mask that is the same in every sample is cut into bits and multiplied.

    All that is opened, and their shares of the mask: every opened row must be a fair coin, alone and XORed with every
    other row. Returns the deviations squared of the least fair.
    """
    item = Comparison(label="c", bits=9, values=1, of=(0,), thresholds=(1,), subjects=SAMPLES)
    found = derivation(item, 3)
    r = share_integers(np.full((1, SAMPLES), 0x155, np.uint64), 3, "r")
    shares = {field.name: share_bits(np.zeros(field.shape, np.uint64), 3, field.name) for field in item.free[1:]}
    free = [{"r": r[i], **{name: parts[i] for name, parts in shares.items()}} for i in range(3)]
    _, rounds = run_gadgets(3, "views", found.correlations, lambda party, i: found.run(party, Rank(i), free[i]), spoil)
    words = SAMPLES // 64
    opened = np.concatenate([row.reshape(-1, words) for opened in rounds for row in opened])
    own = np.concatenate([item.lanes_in.slice(r[i], 9) for i in (0, 1)])
    view = np.unpackbits(np.concatenate([opened, own]).view(np.uint8), axis=1).astype(np.float64) * 2 - 1
    seen = view[: len(opened)]
    pairs = seen @ view.T - SAMPLES * np.eye(len(seen), len(view))  # a row with itself is no coin
    return float(max((pairs**2).max(), (seen.sum(axis=1) ** 2).max()) / SAMPLES)


def test_what_derivations_open_says_nothing() -> None:
    assert worst_coin(None) < COIN_LIMIT


@pytest.mark.parametrize("label", ["c.sum.save0", "c.sum.carry3", "c.leaf.1", "c.layer0.a0"])
def test_a_mask_that_is_missing_is_found(label: str) -> None:
    def spoil(materials: list[Material]) -> None:
        for material in materials:
            material._left[label]["a"][...] = 0

    assert worst_coin(spoil) > COIN_LIMIT


def test_a_triple_that_is_used_twice_is_found() -> None:
    def spoil(materials: list[Material]) -> None:
        for material in materials:
            material._left["c.sum.carry4"] = material._left["c.sum.carry3"]

    assert worst_coin(spoil) > COIN_LIMIT
