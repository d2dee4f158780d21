"""The examples of docs/models.md are what the code says."""

from pathlib import Path

from mpcnode.scorecard import INSUFFICIENT, Contribution, Layout, PanelMember, evaluate, lay_out, parse
from mpcnode.types import MemberIndex

PAGE = Path(__file__).parents[4] / "docs" / "models.md"


BANK, INSURER = MemberIndex(0), MemberIndex(1)
CLAIMS = Contribution(known=True, values=(0,))


def layout_of(examples: int) -> Layout:
    """The model that the first examples of the page make."""
    blocks = PAGE.read_text("utf-8").split("```toml\n")[1 : 1 + examples]
    return lay_out(
        parse("\n".join(block.split("```")[0] for block in blocks).encode()),
        [
            PanelMember(member=BANK, classes=frozenset({"accounts"})),
            PanelMember(member=INSURER, classes=frozenset({"insurance"})),
        ],
    )


def test_worked_example() -> None:
    layout, row = layout_of(1), Contribution(known=True, values=(210_000, 12))
    answered = evaluate(layout, {BANK: row, INSURER: CLAIMS})
    assert (answered.score, answered.grade, answered.coverage_band) == (31, "C", 1)
    unknown = evaluate(layout, {BANK: row, INSURER: Contribution(known=False, values=(None,))})
    assert unknown == INSUFFICIENT
    assert unknown.score == 23


def test_example_of_a_value_that_is_earned() -> None:
    layout = layout_of(2)
    for late, score in ((3, 31 - 12), (0, 31), (None, 31 - 4)):
        row = Contribution(known=True, values=(210_000, 12, late))
        answered = evaluate(layout, {BANK: row, INSURER: CLAIMS})
        assert (answered.score, answered.grade) == (score, "C")
