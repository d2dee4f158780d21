"""The table of gadgets in docs/computation.md is what the code sends and deals."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpcnode.mpc import (
    AllBits,
    AndBits,
    BitsToIntegers,
    BitTimesValue,
    Comparison,
    Correlation,
    Division,
    Equality,
    Extreme,
    Lookup,
    Material,
    MeanComparison,
    OutputMask,
    Party,
    Product,
    Protocol,
    RatioComparison,
    TopSet,
    Words,
    ZeroIntegers,
    ZeroShares,
    interval_bits,
    linear,
)
from mpcnode.mpc.correlations import stream_size
from mpcnode.mpc.openings import run_alone

PAGE = Path(__file__).parents[4] / "docs" / "computation.md"
HEAD = ("| gadget | rounds | to each other node | from the dealer |", "|---|--:|--:|--:|")
SUBJECTS = 64  # a word of bits: no padding
FOUR = 4  # a mean's values


def values(count: int) -> Words:
    return np.zeros((count, SUBJECTS), np.uint64)


def bits(count: int) -> Words:
    return np.zeros(count, np.uint64)


def row(name: str, items: Sequence[Correlation], run: Callable[[Party], Protocol[object]]) -> str:
    """Run a gadget and write down what it costs, in bytes for a subject."""
    fields = {item.label: (*item.free, *item.corrected) for item in items}
    material = Material({label: {f.name: np.zeros(f.shape, f.dtype) for f in of} for label, of in fields.items()})
    rounds: list[int] = []
    run_alone(
        run(Party(is_first=True, material=material)),
        lambda openings: rounds.append(sum(opening.width.size for opening in openings)),
    )
    sent, dealt = sum(rounds), sum(stream_size(item.corrected) for item in items)
    return f"| {name} | {len(rounds)} | {sent / SUBJECTS:,g} | {dealt / SUBJECTS:,g} |"


def local(run: Callable[[Party], object]) -> Callable[[Party], Protocol[object]]:
    """Something that opens nothing."""

    def protocol(party: Party) -> Protocol[object]:
        yield from ()
        return run(party)

    return protocol


def linear_rows() -> list[str]:
    lanes = Comparison(label="c", bits=8, values=1, of=(0,), thresholds=(0,), subjects=SUBJECTS).lanes_out
    return [
        row("linear form", (), local(lambda party: linear(party, (1, 2), values(2)))),
        row(
            "interval between two compared thresholds", (), local(lambda p: interval_bits(p, lanes, bits(1), [(0, 0)]))
        ),
    ]


def comparison_row(bits_: int, leaf: int = 4, fan: int = 4) -> str:
    item = Comparison(
        label="c",
        bits=bits_,
        values=1,
        of=(0,) * 6,
        thresholds=tuple(range(6)),
        subjects=SUBJECTS,
        leaf=leaf,
        fan=fan,
    )
    shape = f"S({leaf};{','.join(str(layer.fan) for layer in item.layers)})"
    return row(f"comparison with 6 thresholds, k = {bits_}, {shape}", (item,), lambda p: item.run(p, values(1)))


def equality_row(k: int) -> str:
    item = Equality(label="e", bits=k, values=1, of=(0,), targets=(5,), subjects=SUBJECTS)
    return row(f"equality with a public number, k = {k}", item.correlations, lambda p: item.run(p, values(1)))


def bit_rows() -> list[str]:
    both = AndBits(label="a", words=1)
    eight = AllBits(label="a", inputs=8, words=1)
    narrow = BitsToIntegers(label="b", items=1, subjects=SUBJECTS, ring=16)
    wide = BitsToIntegers(label="b", items=1, subjects=SUBJECTS, ring=64)
    count = BitsToIntegers(label="b", items=8, subjects=SUBJECTS, ring=16)
    return [
        row("AND of two bits", (both,), lambda p: both.run(p, bits(1), bits(1))),
        row("all, or any, of 8 bits", (eight,), lambda p: eight.all(p, bits(8)[:, None])),
        row("bit to integer mod 2^16", (narrow,), lambda p: narrow.run(p, bits(1))),
        row("bit to integer mod 2^64", (wide,), lambda p: wide.run(p, bits(1))),
        row("count of 8 bits", (count,), lambda p: count.count(p, bits(8))),
    ]


def product_rows() -> list[str]:
    product = Product(label="p", items=1, subjects=SUBJECTS)
    select = BitTimesValue(label="s", items=1, subjects=SUBJECTS)
    return [
        row("product, k = 64", (product,), lambda p: product.run(p, values(1), values(1))),
        row("bit times value, k = 64", (select,), lambda p: select.run(p, bits(1), values(1))),
    ]


def extreme_row(items: int) -> str:
    item = Extreme(label="m", items=items, subjects=SUBJECTS, bits=32)
    return row(f"largest or least of {items}, k = 32", item.correlations, lambda p: item.run(p, values(items)))


def ratio_rows() -> list[str]:
    ratio = RatioComparison(label="r", thresholds=(Fraction(1, 3),), subjects=SUBJECTS, bits=32)
    mean = MeanComparison(label="m", weights=(1,) * FOUR, thresholds=(Fraction(9),), subjects=SUBJECTS, bits=32)
    return [
        row(
            "ratio against a threshold, k = 32", ratio.correlations, lambda p: ratio.run(p, values(1)[0], values(1)[0])
        ),
        row(
            "mean of 4, some absent, against a threshold, k = 32",
            mean.correlations,
            lambda p: mean.run(p, bits(FOUR), values(FOUR)),
        ),
    ]


def division_row(divisor: int) -> str:
    item = Division(label="d", items=1, subjects=SUBJECTS, divisor=divisor)
    return row(f"division by {divisor}, k = 64", (item,), lambda p: item.run(p, values(1)))


def lookup_row(b: int) -> str:
    item = Lookup(label="l", items=1, subjects=SUBJECTS, table=(0,) * (1 << b), ring=16)
    return row(f"look-up in {1 << b} entries mod 2^16", (item,), lambda p: item.run(p, values(1)))


def top_row(items: int, top: int) -> str:
    item = TopSet(label="t", items=items, top=top, subjects=SUBJECTS, bits=32)
    return row(f"the {top} largest of {items}, k = 32", item.correlations, lambda p: item.run(p, values(items)))


def zero_rows() -> list[str]:
    words = ZeroShares(label="z", words=1)
    integers = ZeroIntegers(label="z", items=1, subjects=SUBJECTS)
    rho = OutputMask(label="rho", words=1)
    return [
        row("zero share of a bit", (words,), local(lambda p: words.mask(p, bits(1)))),
        row("zero share mod 2^64", (integers,), local(lambda p: integers.mask(p, values(1)))),
        row("output mask of a bit", (rho,), local(lambda p: rho.mask(p, bits(1)))),
    ]


def table() -> list[str]:
    return [
        *HEAD,
        *linear_rows(),
        *(comparison_row(k) for k in (16, 32, 64)),
        *(comparison_row(32, leaf, fan) for leaf, fan in ((1, 2), (2, 4), (4, 8))),
        *(equality_row(k) for k in (16, 32)),
        *bit_rows(),
        *product_rows(),
        *(extreme_row(items) for items in (2, 3, 8)),
        *ratio_rows(),
        *(division_row(divisor) for divisor in (12, 100)),
        *(lookup_row(b) for b in (4, 8)),
        top_row(8, 3),
        *zero_rows(),
    ]


def test_page_has_what_gadgets_cost() -> None:
    expected = "\n".join(table())
    assert expected in PAGE.read_text("utf-8"), f"expected this table in {PAGE.name}:\n{expected}"


def test_table_has_the_costs_that_the_protocols_promise() -> None:
    """By hand, from the docstrings: for the first 4 bytes and 6 · (2 · 8 + 3) bits, and so on."""
    costs = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in table()[2:]}
    assert costs["comparison with 6 thresholds, k = 32, S(4;4,2)"][:2] == ["3", "18.25"]
    assert costs["comparison with 6 thresholds, k = 16, S(4;4)"][:2] == ["2", "7.25"]
    assert costs["equality with a public number, k = 32"][:2] == ["3", f"{4 + (8 + 2) / 8:g}"]
    assert costs["product, k = 64"] == ["1", "16", "8 |"]
    assert costs["division by 12, k = 64"] == ["1", "8", f"{16 * 12 + 16} |"]
    assert costs["look-up in 16 entries mod 2^16"] == ["1", "1", "32 |"]
