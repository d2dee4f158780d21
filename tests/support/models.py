"""A small model document that tests share, and a way to change one place of it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mpcnode.mpc import Row, RowShape
from mpcnode.query.contribution import encode_contribution
from mpcnode.scorecard import Columns, Contribution, Layout, Model, PanelMember, lay_out, parse, row_shapes
from mpcnode.types import MemberIndex

CREDIT = """
[model]
name = "credit-rating"
title = "Joint credit rating"
version = 1
minimum_coverage = 2
audit = "after release"
purposes = ["loan-origination", "limit-review"]
grades = [                       # best first; the last one has no `from`
    { grade = "A", from = 60 },
    { grade = "B", from = 35 },
    { grade = "C", from = 10 },
    { grade = "D" },
]
coverage_bands = [2, 3]

[[attribute]]
name = "income"
title = "Regular monthly income"
class = "accounts"
unit = "EUR"
scale = 2
min = 0
max = 10_000_000
weight = 2
missing = 3
bins = [{ points = 0 }, { from = 150_000, points = 8 }, { from = 300_000, points = 20 }]

[[attribute]]
name = "overdraft_days"
title = "Days overdrawn in the last year"
class = "accounts"
unit = "days"
scale = 0
min = 0
max = 366
weight = 1
missing = 0
bins = [{ points = 15 }, { from = 10, points = 5 }, { from = 60, points = -10 }]

[[attribute]]
name = "claims"
title = "Claims in the last three years"
class = "insurance"
unit = "claims"
scale = 0
min = 0
max = 50
weight = 1
missing = 2
bins = [{ points = 10 }, { from = 1, points = 6 }, { from = 4, points = -5 }]

[[attribute]]
name = "balance_change"
title = "Change of savings over a year"
class = "savings"
unit = "EUR"
scale = 2
min = -5_000_000
max = 5_000_000
weight = 1
missing = -1
bins = [{ points = -8 }, { from = -100_000, points = 0 }, { from = 0, points = 4 }, { from = 200_000, points = 12 }]
"""

BANK, INSURER, SAVINGS = MemberIndex(3), MemberIndex(5), MemberIndex(9)


def credit() -> Model:
    return parse(CREDIT.encode())


def credit_earning_values(*places: int) -> Model:
    """The model with attributes at these places that earn their values, and nothing if they are missing."""
    model = credit()
    changed = (
        replace(attribute, bins=(), missing=0) if place in places else attribute
        for place, attribute in enumerate(model.attributes)
    )
    return replace(model, attributes=tuple(changed))


def credit_with(old: str, new: str) -> bytes:
    """The document with one place changed."""
    assert CREDIT.count(old) == 1, f"{old!r} must be in the document once, is {CREDIT.count(old)} times"
    return CREDIT.replace(old, new).encode()


def credit_layout(*, savings_counted: bool = True) -> Layout:
    return lay_out(
        credit(),
        [
            PanelMember(member=SAVINGS, classes=frozenset({"savings"}), counted=savings_counted),
            PanelMember(member=BANK, classes=frozenset({"accounts"})),
            PanelMember(member=INSURER, classes=frozenset({"insurance", "vehicles"})),
        ],
    )


def earning_layout(*places: int) -> Layout:
    """The panel of `credit_layout`, and attributes at these places that earn their values."""
    return lay_out(credit_earning_values(*places), credit_layout().members)


def credit_rows(layout: Layout, contributions: Mapping[MemberIndex, Contribution]) -> list[bytes | None]:
    """Rows in clear, in panel order; None for a participant without a contribution."""
    return [
        encode_contribution(contributions[seated.member], shape.ring) if seated.member in contributions else None
        for seated, shape in zip(layout.members, row_shapes(layout), strict=True)
    ]


def encode_columns(columns: Columns, ring: int) -> bytes:
    """A row of N subjects."""
    values = np.where(columns.present, columns.values, 0)
    bits = np.concatenate([columns.known[None], columns.present]).astype(np.uint8)
    count, subjects = values.shape
    return RowShape(count, subjects, ring).encode(Row(values.view(np.uint64), bits))
