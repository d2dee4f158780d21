import dataclasses

import pytest

from mpcnode.errors import ModelError
from mpcnode.scorecard import Model, analyse, parse, ranges
from mpcnode.scorecard.ranges import comparison_bits, envelope_bytes
from tests.support.models import credit, credit_earning_values, credit_with


def test_narrowest_rings_are_picked() -> None:
    found = analyse(credit())
    assert found.value_bits == 25  # 10,000,000 - 150,000 needs 24 bits and a sign
    assert found.coverage_bits == 8  # at most 126 from a threshold
    assert (found.score_min, found.score_max) == (0 - 25 - 13 - 13, 2 * 23 + 15 + 10 + 12)
    assert found.insufficient_offset == found.score_max - 10 + 1
    assert found.ring_bits == 16


@pytest.mark.parametrize(
    ("distance", "bits"), [(0, 8), (127, 8), (128, 9), (2**31 - 1, 32), (2**31, 33), (2**63 - 1, 64)]
)
def test_comparison_bits(distance: int, bits: int) -> None:
    assert comparison_bits(distance) == bits


def test_extreme_range_is_allowed_up_to_64_bits_and_named_beyond() -> None:
    fits = parse(credit_with("min = 0\nmax = 50", "min = 0\nmax = 9223372036854775807"))
    assert analyse(fits).value_bits == 64
    with pytest.raises(ModelError, match=r"attribute\[2\]: expected every value"):
        parse(credit_with("min = 0\nmax = 50", "min = -9223372036854775808\nmax = 50"))


def test_values_add_their_declared_range_and_what_is_earned_without() -> None:
    model = credit_earning_values(0, 3)
    negative = dataclasses.replace(model.attributes[3], weight=-3, missing=7_000_000)
    model = dataclasses.replace(model, attributes=(*model.attributes[:3], negative))
    found = analyse(model)
    assert (found.score_min, found.score_max) == (0 - 25 - 13 - 21_000_000, 20_000_000 + 15 + 10 + 15_000_000)
    assert found.value_bits == 10  # the widest of those that are compared: 0 days from the 366 that no bin begins at
    assert found.insufficient_offset == 0
    assert found.score_bits == 27


def test_nothing_is_compared_if_all_attributes_earn_their_values() -> None:
    found = analyse(credit_earning_values(0, 1, 2, 3))
    assert (found.value_bits, found.insufficient_offset) == (0, 0)
    assert (found.score_min, found.score_max) == (-5_000_000, 20_000_000 + 366 + 50 + 5_000_000)
    assert found.ring_bits == 32


@pytest.mark.parametrize("weight", [1, -1])
def test_values_are_allowed_up_to_scores_of_60_bits_and_named_beyond(weight: int) -> None:
    def widest(least: int, most: int, missing: int = 0) -> Model:
        attribute = dataclasses.replace(
            credit().attributes[0], bins=(), weight=weight, minimum=least, maximum=most, missing=missing
        )
        return dataclasses.replace(credit(), attributes=(attribute,))

    top = (1 << 60) - 1
    found = analyse(widest(-top, top))
    assert (found.score_min, found.score_max) == (-top, top)
    assert found.score_bits == 62
    refused = r"attribute\[0\]: expected scores of less than 2\^60 .* lower its weight or range"
    for model in (widest(-top - 1, 0), widest(0, top + 1), widest(-(1 << 63), (1 << 63) - 1), widest(0, 1, top + 1)):
        with pytest.raises(ModelError, match=refused):
            analyse(model)


def test_overflowing_score_is_named() -> None:
    with pytest.raises(ModelError, match=r"attribute\[1\]: expected scores of less than 2\^60"):
        parse(credit_with("max = 366\nweight = 1", f"max = 366\nweight = {1 << 57}"))


def test_unreachable_cut_is_named() -> None:
    with pytest.raises(ModelError, match=r"model.grades\[0\].from: expected grade A within 2\^63"):
        parse(credit_with('"A", from = 60', f'"A", from = {2**63 - 1}'))


def test_zero_counts_as_a_value_where_the_declared_range_has_none() -> None:
    attribute = dataclasses.replace(credit().attributes[0], minimum=1 << 40, maximum=(1 << 40) + 10)
    bins = (attribute.bins[0], dataclasses.replace(attribute.bins[1], start=(1 << 40) + 5))
    model = dataclasses.replace(credit(), attributes=(dataclasses.replace(attribute, bins=bins),))
    assert analyse(model).value_bits == 42


def test_largest_model_fits_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    assert envelope_bytes(64, 8) == 216 + 98 + 521 + 512
    monkeypatch.setattr(ranges, "ENVELOPE_BYTES_MAX", 800)
    with pytest.raises(ModelError, match="audit envelopes of at most 800 bytes, got 859"):
        analyse(credit())
