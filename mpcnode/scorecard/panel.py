"""Who supplies which attribute of a model, and what a participant says of one subject."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mpcnode.errors import ModelError
from mpcnode.scorecard.model import Model
from mpcnode.types import MemberIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelMember:
    """A participant that a query asks."""

    member: MemberIndex
    classes: frozenset[str]
    """Data classes that it supplies; those that the model does not need are ignored."""
    counted: bool = True
    """Whether it counts for coverage: False for the inquirer's own company."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an attribute comes from."""

    seat: int
    """Place of its supplier in the panel."""
    slot: int
    """Place of its value in the supplier's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What a participant says of one subject."""

    known: bool
    """Whether it knows the subject at all."""
    values: tuple[int | None, ...] = field(repr=False)
    """In the order of its row (`Model.row_layout`); None where it has no value, all None where not `known`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model and the panel that is asked, in ascending order of member index."""

    model: Model
    members: tuple[PanelMember, ...]
    rows: tuple[tuple[int, ...], ...]
    """For each member of the panel, the attributes of its row."""
    sources: tuple[Source | None, ...]
    """For each attribute its supplier; None if the panel has none, and the attribute is missing for everybody."""


def lay_out(model: Model, members: Iterable[PanelMember]) -> Layout:
    """Find every attribute's supplier.

    Raises:
        ModelError: two participants supply one class (the model has no rule to combine them), none supplies any,
            a participant appears twice, or nobody counts for coverage.
    """
    panel = tuple(sorted(members, key=lambda seated: seated.member))
    if len({seated.member for seated in panel}) != len(panel):
        raise ModelError(f"panel: expected distinct participants, got {[seated.member for seated in panel]}")
    if not any(seated.counted for seated in panel):
        raise ModelError("panel: expected a participant of another company than the inquirer's, got none")
    for data_class in model.classes:
        suppliers = [seated.member for seated in panel if data_class in seated.classes]
        if len(suppliers) > 1:
            raise ModelError(
                f"class {data_class}: expected at most one supplier, got members {suppliers}; rules that combine "
                "several are not part of this version"
            )
    rows = tuple(model.row_layout(seated.classes) for seated in panel)
    found = {attribute: Source(seat, slot) for seat, row in enumerate(rows) for slot, attribute in enumerate(row)}
    if not found:
        raise ModelError(f"panel: expected a supplier of one of {', '.join(model.classes)}, got none")
    return Layout(
        model=model,
        members=panel,
        rows=rows,
        sources=tuple(found.get(i) for i in range(len(model.attributes))),
    )
