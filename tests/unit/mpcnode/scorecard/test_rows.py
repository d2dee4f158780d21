import numpy as np
import pytest

from mpcnode.errors import InputError, RecordsError
from mpcnode.mpc import Row, RowShape
from mpcnode.scorecard import Columns, Contribution, decode_contribution, encode_columns, encode_contribution
from tests.support.models import credit

ROW = (0, 3)  # income, balance_change


@pytest.mark.parametrize(
    "contribution",
    [
        Contribution(known=True, values=(10_000_000, -5_000_000)),
        Contribution(known=True, values=(None, 0)),
        Contribution(known=False, values=(None, None)),
    ],
)
def test_contribution_comes_back(contribution: Contribution) -> None:
    data = encode_contribution(credit(), ROW, contribution)
    assert len(data) == 17
    assert decode_contribution(credit(), ROW, data) == contribution


def test_participant_does_not_send_what_breaks_the_model() -> None:
    with pytest.raises(RecordsError, match="attribute income: expected a value in its declared range, got one outside"):
        encode_contribution(credit(), ROW, Contribution(known=True, values=(10_000_001, 0)))
    with pytest.raises(RecordsError, match="attribute balance_change: expected no value of a subject"):
        encode_contribution(credit(), ROW, Contribution(known=False, values=(None, 0)))
    with pytest.raises(RecordsError, match="expected 2 values, got 1"):
        encode_contribution(credit(), ROW, Contribution(known=True, values=(0,)))


def row(values: list[int], bits: list[int]) -> bytes:
    return RowShape(2).encode(
        Row(np.array(values, np.int64).view(np.uint64)[:, None], np.array(bits, np.uint8)[:, None])
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (row([-1, 0], [1, 1, 0]), "attribute income: expected a value in its declared range"),
        (row([5, 0], [1, 0, 1]), "attribute income: expected 0 for a missing value"),
        (row([0, 0], [0, 0, 1]), "attribute balance_change: expected no value of a subject that is not known"),
        (row([0, 0], [1, 1, 1])[:-1] + b"\x0f", "padding bits of 0"),
        (row([0, 0], [1, 1, 1])[1:], "expected 17 bytes, got 16"),
    ],
)
def test_auditor_finds_what_breaks_the_model(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_contribution(credit(), ROW, data)


def test_columns_of_one_subject_are_its_row() -> None:
    columns = Columns(known=np.array([True]), present=np.array([[True], [False]]), values=np.array([[7], [9]]))
    single = Contribution(known=True, values=(7, None))
    assert encode_columns(columns) == encode_contribution(credit(), ROW, single)
