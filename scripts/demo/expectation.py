"""What every answer must be: the model evaluated in clear over the companies' files, which only the demo may join."""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcnode.config.consortium import Consortium
from mpcnode.config.models import load_model
from mpcnode.scorecard import Contribution, Layout, Model, Outcome, PanelMember, evaluate, lay_out
from mpcnode.types import MemberIndex, Role

Book = Mapping[str, Mapping[str, str]]
"""A company's rows by subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One subject, joined."""

    subject: str
    known_to: tuple[str, ...]
    outcome: Outcome


class Truth:
    """The demo's view of everything; no daemon has it."""

    def __init__(self, consortium: Consortium, model: str, inquirer_company: int, data: Mapping[str, Path]) -> None:
        """Take each participant's file by member name."""
        self._model: Model = load_model(consortium, consortium.model(model))
        self._books: dict[MemberIndex, Book] = {}
        self._names: dict[MemberIndex, str] = {}
        seats = []
        for member in consortium.with_role(Role.PARTICIPANT):
            classes = frozenset(name for bit, name in enumerate(consortium.classes) if member.classes >> bit & 1)
            counted = member.company != inquirer_company
            seats.append(PanelMember(member=member.index, classes=classes, counted=counted))
            self._books[member.index] = _read(data[member.name])
            self._names[member.index] = member.name
        self._layout: Layout = lay_out(self._model, seats)

    def subjects(self) -> Sequence[str]:
        """Everybody whom somebody knows, in order."""
        return sorted({subject for book in self._books.values() for subject in book})

    def expect(self, subject: str, silent: Collection[str] = ()) -> Expectation:
        """Evaluate one subject in clear, without the contributions of the participants that are named as silent."""
        contributions: dict[MemberIndex, Contribution] = {}
        for seated, row in zip(self._layout.members, self._layout.rows, strict=True):
            found = self._books[seated.member].get(subject)
            names = [self._model.attributes[place].name for place in row]
            values = tuple(int(found[name]) if found and found[name] else None for name in names)
            contributions[seated.member] = Contribution(known=found is not None, values=values)
        contributions = {member: given for member, given in contributions.items() if self._names[member] not in silent}
        known = tuple(self._names[member] for member, given in contributions.items() if given.known)
        return Expectation(subject=subject, known_to=known, outcome=evaluate(self._layout, contributions))


def _read(path: Path) -> Book:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["subject"]: row for row in csv.DictReader(file)}
