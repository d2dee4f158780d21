import itertools
from dataclasses import replace

import numpy as np
import pytest

from mpcnode.errors import MalformedMessageError
from mpcnode.scorecard import (
    INSUFFICIENT,
    Model,
    Outcome,
    Outcomes,
    decode_output,
    decode_outputs,
    encode_outcomes,
    encode_output,
    output_size,
)
from tests.support.models import credit


def every_outcome() -> list[Outcome]:
    model = credit()
    return [INSUFFICIENT] + [
        Outcome(sufficient=True, grade=grade.name, grade_index=i, coverage_band=band)
        for (i, grade), band in itertools.product(enumerate(model.grades), range(3))
    ]


def test_layout_is_the_protocols() -> None:
    """Bit 0 sufficient, bits 1-3 the cuts 10, 35, 60, bits 4-5 the bands 2, 3."""
    model = credit()
    assert output_size(model) == 1
    assert encode_output(model, INSUFFICIENT) == b"\x00"
    b = Outcome(sufficient=True, grade="B", grade_index=1, coverage_band=1)
    assert encode_output(model, b) == bytes([0b01_011_1])


def test_every_outcome_comes_back_and_no_other_byte_is_one() -> None:
    model = credit()
    encoded = {encode_output(model, outcome): outcome for outcome in every_outcome()}
    assert len(encoded) == 13
    for byte in range(256):
        data = bytes([byte])
        if data in encoded:
            assert decode_output(model, data) == encoded[data]
        else:
            with pytest.raises(MalformedMessageError):
                decode_output(model, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected 1 bytes, got 0"),
        (b"\x00\x00", "expected 1 bytes, got 2"),
        (bytes([0b00_101_1]), "grade bits that only fall, got some that rise"),
        (bytes([0b10_001_1]), "coverage bits that only fall, got some that rise"),
        (bytes([0b01_000_0]), "zeros where nothing is said"),
        (bytes([0b1_00_000_1]), "zeros where nothing is said"),
    ],
)
def test_what_no_honest_committee_computes(data: bytes, message: str) -> None:
    with pytest.raises(MalformedMessageError, match=message):
        decode_output(credit(), data)


def many_outcomes(model: Model, count: int = 300) -> Outcomes:
    places = np.arange(count)
    return Outcomes(
        sufficient=places % 7 != 0,
        grade_index=places % len(model.grades),
        coverage_band=places % (len(model.coverage_bands) + 1),
        score=places,
    )


def test_many_are_encoded_as_one_by_one_and_come_back() -> None:
    outcomes = many_outcomes(credit())
    one_by_one = [outcomes.at(credit(), place) for place in range(300)]
    data = encode_outcomes(credit(), outcomes)
    assert data == b"".join(encode_output(credit(), outcome) for outcome in one_by_one)
    found, places = decode_outputs(credit(), data)
    assert [found[place] for place in places] == one_by_one
    assert len(found) <= len(credit().grades) * (len(credit().coverage_bands) + 1) + 1


@pytest.mark.parametrize("wrong", [b"\xfe", b"\x09", b"\x40"])
def test_one_impossible_output_among_many_spoils_no_other(wrong: bytes) -> None:
    data = encode_outcomes(credit(), many_outcomes(credit()))
    found, places = decode_outputs(credit(), data[:17] + wrong + data[18:])
    one_by_one: list[Outcome | None] = [many_outcomes(credit()).at(credit(), place) for place in range(300)]
    one_by_one[17] = None
    assert [found[place] for place in places] == one_by_one


def test_of_many_exactly_those_bytes_decode_that_do_of_one() -> None:
    found, places = decode_outputs(credit(), bytes(range(256)))
    for byte, place in enumerate(places):
        try:
            assert found[place] == decode_output(credit(), bytes([byte]))
        except MalformedMessageError:
            assert found[place] is None


@pytest.mark.parametrize("data", [b"", bytes(3)])
def test_a_part_of_a_subjects_output_is_none(data: bytes) -> None:
    model = replace(credit(), coverage_bands=tuple(range(2, 9)))
    assert output_size(model) == 2
    with pytest.raises(MalformedMessageError):
        decode_outputs(model, data)
