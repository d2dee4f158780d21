"""Every gadget against its definition in clear, at edges and for random inputs; and what all have in common."""

import itertools
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import Extreme, Lookup, MeanComparison, Party, Program, compile_body, deal, replay
from tests.support.gadgets import (
    Gadget,
    OpenedGadget,
    comparison_gadget,
    division_gadget,
    equality_gadget,
    every_gadget,
    extreme_gadget,
    product_gadget,
    random_inputs,
    select_gadget,
    top_gadget,
)
from tests.support.joint import (
    Gadgets,
    dealt,
    run_gadgets,
    run_joint,
    run_protocols,
    seeds_for,
    session_id,
    share_bits,
    share_integers,
    share_rows,
)

COUNT = len(every_gadget(1))
NAMES = [f"{i}-{gadget.name}" for i, gadget in enumerate(every_gadget(1))]
each = pytest.mark.parametrize("which", range(COUNT), ids=NAMES)


def check(gadget: Gadget, parties: int, seed: int) -> None:
    values, bits = random_inputs(gadget, seed)
    of_values = share_integers(values.view(np.uint64), parties, f"{seed}")
    of_bits = share_bits(bits.astype(np.uint64), parties, f"{seed}")
    results = run_all(gadget, parties, f"{seed}", of_values, [share.astype(np.uint8) & 1 for share in of_bits])
    assert gadget.same(gadget.join(results), gadget.clear(values, bits))


def run_all(gadget, count, name, values, bits):
    if gadget.silent:
        materials = dealt(Program(parties=count, body=Gadgets(correlations=gadget.correlations), rounds=()), name)
        parties = [Party(is_first=i == 0, material=material) for i, material in enumerate(materials)]
        return [run_silent(gadget, party, values[i], bits[i]) for i, party in enumerate(parties)]
    return run_gadgets(count, name, gadget.correlations, lambda party, i: gadget.run(party, values[i], bits[i]))[0]


def run_silent(gadget, party, values, bits):
    with pytest.raises(StopIteration) as stop:
        next(gadget.run(party, values, bits))
    return stop.value.value


@each
@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("subjects", [1, 63, 64, 200])
def test_gadget_is_its_definition(which: int, subjects: int, parties: int) -> None:
    check(every_gadget(subjects)[which], parties, 100 * subjects + parties)


@given(
    which=st.integers(0, COUNT - 1),
    parties=st.integers(2, 5),
    subjects=st.integers(1, 130),
    seed=st.integers(0, (1 << 32) - 1),
)
def test_gadget_is_its_definition_whatever_the_inputs(which: int, parties: int, subjects: int, seed: int) -> None:
    check(every_gadget(subjects)[which], parties, seed)


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("bits", range(2, 65))
def test_gadget_is_its_definition_in_rings_of_every_width(bits: int, parties: int) -> None:
    for gadget in (
        comparison_gadget(40, bits),
        equality_gadget(40, bits),
        product_gadget(40, bits),
        select_gadget(40, bits),
        division_gadget(40, 10, bits),
        extreme_gadget(40, 3, least=bool(bits % 2), bits=bits),
        top_gadget(40, 3, 2, bits=bits),
    ):
        check(gadget, parties, bits)


@each
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_replay_opens_what_the_nodes_open(which: int, parties: int) -> None:
    """One party with everything has the transcript of all nodes, result included."""
    gadget = every_gadget(70)[which]
    program = compile_body(OpenedGadget(gadget=gadget, name=gadget.name), parties)
    values, bits = random_inputs(gadget, which)
    shape = program.body.rows[0]
    row = shape.zero()
    row.values[: len(values)], row.bits[: len(bits)] = values.view(np.uint64), bits
    real = run_joint(program, "replay", share_rows(program, "replay", [shape.encode(row)]))
    again = replay(program, session_id("replay"), seeds_for("replay", parties), [shape.encode(row)])
    assert set(real.transcripts) == {again.transcript}
    assert [len(sent[0]) for sent in real.sent] == list(program.round_bytes)
    other = replay(program, session_id("replay"), seeds_for("replay", parties), [shape.encode(shape.zero())])
    assert other.transcript != again.transcript


@each
def test_items_follow_from_the_program_and_are_used_once(which: int) -> None:
    one, other = (
        Program(parties=3, body=Gadgets(correlations=every_gadget(9)[which].correlations), rounds=()) for _ in range(2)
    )
    assert one == other
    assert deal(one, session_id("i"), seeds_for("i", 3)) == deal(other, session_id("i"), seeds_for("i", 3))
    gadget = every_gadget(9)[which]
    values, bits = np.ones((gadget.values, 9), np.uint64), np.ones((gadget.bits, 9), np.uint8)
    materials = dealt(one, "i")

    def sides():
        return [gadget.run(Party(is_first=i == 0, material=m), values, bits) for i, m in enumerate(materials)]

    if gadget.silent:
        [run_silent(gadget, Party(is_first=False, material=material), values, bits) for material in materials]
    else:
        run_protocols(sides())
    assert [repr(material) for material in materials] == ["Material(0 left)"] * 3
    if not gadget.correlations:
        return
    with pytest.raises(CorrelationReuseError, match="expected to be taken once"):
        next(sides()[0])


@pytest.mark.parametrize(
    ("least", "expected"),
    [(False, [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]), (True, [[0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]])],
)
def test_the_first_of_equal_values_wins_and_no_other(least: bool, expected: list[list[int]]) -> None:
    values = np.array([[5, 5, -9, 0], [5, 7, -9, 1], [4, 7, -9, 0]], np.int64).view(np.uint64)
    shares = share_integers(values, 3, "w")
    gadget = Extreme(label="m", items=3, subjects=4, bits=8, least=least)
    results, _ = run_gadgets(3, "w", gadget.correlations, lambda party, i: gadget.run(party, shares[i]))
    winner = reduce(np.bitwise_xor, [found for _, found in results])
    assert gadget.choice.lanes.unpack(winner).tolist() == expected


def test_a_table_has_a_power_of_two_of_entries() -> None:
    with pytest.raises(ValueError, match="table l: expected a power of two of entries, got 3"):
        Lookup(label="l", items=1, subjects=1, table=(1, 2, 3))


def test_a_mean_of_nothing_reaches_every_threshold() -> None:
    """As documented: whoever uses it gates it by a count."""
    gadget = MeanComparison(label="m", weights=(1, 2), thresholds=(Fraction(9),), subjects=2, bits=32)
    values = share_integers(np.array([[3, 8], [4, 9]], np.uint64), 2, "m")
    flags = share_bits(gadget.present.lanes.pack(np.array([[0, 1], [0, 1]], np.uint8)), 2, "m")
    results, _ = run_gadgets(2, "m", gadget.correlations, lambda party, i: gadget.run(party, flags[i], values[i]))
    found = gadget.ratio.comparison.lanes_out.unpack(reduce(np.bitwise_xor, results))
    assert found.tolist() == [[1, 0]]


@pytest.mark.parametrize("make", [product_gadget, select_gadget])
def test_shares_of_a_product_say_nothing_beyond_its_ring(make) -> None:
    gadget = make(40, 31)
    values, bits = (share_integers(np.ones((n, 40), np.uint64), 3, "b") for n in (gadget.values, gadget.bits))
    flags = [share.astype(np.uint8) & 1 for share in bits]
    for shares in run_all(gadget, 3, "b", values, flags):
        assert (shares[-2:] >> np.uint64(31) == 0).all()


def test_labels_of_a_gadgets_parts_differ() -> None:
    for gadget in every_gadget(1):
        labels = [item.label for item in gadget.correlations]
        assert len(set(labels)) == len(labels), gadget.name


def test_random_inputs_meet_every_edge() -> None:
    """A test of gadgets that never saw an edge, an equal pair or all bits would prove little."""
    gadget = comparison_gadget(200, 8)
    values, _ = random_inputs(gadget, 1)
    assert {gadget.low, gadget.high, 0} <= set(values.reshape(-1).tolist())
    assert (values[0] == values[1]).any()
    assert any(a != b for a, b in itertools.pairwise(values[0]))
