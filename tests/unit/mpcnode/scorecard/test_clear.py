import numpy as np
import pytest

from mpcnode.errors import ModelError
from mpcnode.scorecard import INSUFFICIENT, Columns, Contribution, PanelMember, evaluate, evaluate_many, lay_out
from mpcnode.types import MemberIndex
from tests.support.models import BANK, INSURER, SAVINGS, credit, credit_layout

GOOD = {
    BANK: Contribution(known=True, values=(300_000, 9)),
    INSURER: Contribution(known=True, values=(0,)),
    SAVINGS: Contribution(known=True, values=(0,)),
}
NOTHING = Contribution(known=False, values=(None,))


def test_good_subject() -> None:
    outcome = evaluate(credit_layout(), GOOD)
    assert outcome.score == 40 + 15 + 10 + 4
    assert (outcome.grade, outcome.grade_index, outcome.coverage_band) == ("A", 0, 2)


def test_missing_value_earns_its_own_points() -> None:
    bank = Contribution(known=True, values=(None, 60))
    outcome = evaluate(credit_layout(), {**GOOD, BANK: bank})
    assert outcome.score == 6 - 10 + 10 + 4
    assert outcome.grade == "C"


def test_absent_and_unknowing_participants_are_alike() -> None:
    absent = evaluate(credit_layout(), {BANK: GOOD[BANK], INSURER: GOOD[INSURER]})
    unknowing = evaluate(credit_layout(), {**GOOD, SAVINGS: NOTHING})
    assert absent == unknowing
    assert absent.score == unknowing.score == 40 + 15 + 10 - 1
    assert absent.coverage_band == 1


def test_too_few_say_nothing_else() -> None:
    outcome = evaluate(credit_layout(), {**GOOD, SAVINGS: NOTHING, INSURER: None})
    assert outcome == INSUFFICIENT
    assert outcome.grade is None
    assert outcome.coverage_band is None


def test_inquirers_own_company_is_not_counted() -> None:
    outcome = evaluate(credit_layout(savings_counted=False), GOOD)
    assert (outcome.score, outcome.coverage_band) == (69, 1)
    assert evaluate(credit_layout(savings_counted=False), {**GOOD, INSURER: NOTHING}) == INSUFFICIENT


def test_columns_agree_with_single_subjects() -> None:
    layout = credit_layout()
    rng = np.random.default_rng(5)
    count, columns = 300, {}
    for seated, row in zip(layout.members, layout.rows, strict=True):
        known = rng.random(count) < 0.7
        present = (rng.random((len(row), count)) < 0.8) & known
        low = [layout.model.attributes[i].minimum for i in row]
        high = [layout.model.attributes[i].maximum for i in row]
        values = rng.integers(np.array(low)[:, None], np.array(high)[:, None], (len(row), count), endpoint=True)
        columns[seated.member] = Columns(known=known, present=present, values=np.where(present, values, 0))
    many = evaluate_many(layout, columns, count)
    for n in range(count):
        single = {
            member: Contribution(
                known=bool(column.known[n]),
                values=tuple(
                    int(v) if p else None for v, p in zip(column.values[:, n], column.present[:, n], strict=True)
                ),
            )
            for member, column in columns.items()
        }
        expected = evaluate(layout, single)
        assert many.at(layout.model, n) == expected
        assert many.score[n] == expected.score


def test_layout_of_a_panel() -> None:
    layout = credit_layout()
    assert [seated.member for seated in layout.members] == [BANK, INSURER, SAVINGS]
    assert layout.rows == ((0, 1), (2,), (3,))
    partly = lay_out(credit(), [PanelMember(member=BANK, classes=frozenset({"accounts"}))])
    assert partly.sources[2] is partly.sources[3] is None
    with pytest.raises(ModelError, match=r"class accounts: expected at most one supplier, got members \[3, 4\]"):
        lay_out(credit(), [PanelMember(member=MemberIndex(i), classes=frozenset({"accounts"})) for i in (3, 4)])
    with pytest.raises(ModelError, match="expected a participant of another company"):
        lay_out(credit(), [PanelMember(member=BANK, classes=frozenset({"accounts"}), counted=False)])
    with pytest.raises(ModelError, match="expected a supplier of one of accounts, insurance, savings"):
        lay_out(credit(), [PanelMember(member=BANK, classes=frozenset({"boats"}))])
    with pytest.raises(ModelError, match="expected distinct participants"):
        lay_out(credit(), [PanelMember(member=BANK, classes=frozenset({c})) for c in ("accounts", "savings")])
