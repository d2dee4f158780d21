"""The worked example of docs/models.md is what the code says."""

from pathlib import Path

from mpcnode.scorecard import INSUFFICIENT, Contribution, PanelMember, evaluate, lay_out, parse
from mpcnode.types import MemberIndex

PAGE = Path(__file__).parents[4] / "docs" / "models.md"


def test_worked_example() -> None:
    document = PAGE.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    bank, insurer = MemberIndex(0), MemberIndex(1)
    layout = lay_out(
        parse(document.encode()),
        [
            PanelMember(member=bank, classes=frozenset({"accounts"})),
            PanelMember(member=insurer, classes=frozenset({"insurance"})),
        ],
    )
    bank_row = Contribution(known=True, values=(210_000, 12))
    answered = evaluate(layout, {bank: bank_row, insurer: Contribution(known=True, values=(0,))})
    assert (answered.score, answered.grade, answered.coverage_band) == (31, "C", 1)
    unknown = evaluate(layout, {bank: bank_row, insurer: Contribution(known=False, values=(None,))})
    assert unknown == INSUFFICIENT
    assert unknown.score == 23
