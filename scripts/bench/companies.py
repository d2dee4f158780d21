"""A consortium for the works of `make bench ONLY=score`: models, companies' records, and what every answer must be."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mpcnode.devnet.plan import CLASSES, MEMBERS
from mpcnode.scorecard import Columns, Model, PanelMember, evaluate_many, lay_out, parse
from mpcnode.types import MemberIndex
from scripts.bench.peers.work import WORKS, Integers, expected, values

MODELS = Path(__file__).parent / "models"
PURPOSE = "benchmark"
KNOWN = 10_000
"""Subjects whom all companies know; a query about more names them again."""

AUDITS = {"before release": "", "off": "-off"}
"""Audit modes that works are measured under, and the endings of their models' names."""


@dataclass(frozen=True)
class Companies:
    """The companies of a devnet, each of which supplies one class."""

    works: tuple[str, ...]
    """Names of model files."""
    known: int = KNOWN

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Identifiers of whom all know."""
        return tuple(f"S{number:07}" for number in range(self.known))

    @cached_property
    def _values(self) -> Integers:
        return values(self.known)

    @cached_property
    def _models(self) -> Mapping[str, Model]:
        return {work: parse((MODELS / f"{work}.toml").read_bytes()) for work in self.works}

    def write(self, demo: Path) -> None:
        """Write what a devnet is made of: every model under every audit mode, every company's records."""
        (demo / "models").mkdir(parents=True)
        for work in self.works:
            text = (MODELS / f"{work}.toml").read_text(encoding="utf-8")
            for audit, ending in AUDITS.items():
                varied = re.sub(r'(?m)^name = "[^"]+"', f'name = "{work}{ending}"', text, count=1)
                varied = re.sub(r'(?m)^audit = "[^"]+"', f'audit = "{audit}"', varied, count=1)
                (demo / "models" / f"{work}{ending}.toml").write_text(varied, encoding="utf-8")
        for member in MEMBERS:
            if member.data:
                self._write_records(demo / member.data, CLASSES.index(member.classes[0]))

    def _write_records(self, path: Path, owner: int) -> None:
        columns: dict[str, int] = {}
        for model in self._models.values():
            columns |= {name: slot for slot, name in enumerate(_of_class(model, owner))}
        told = self._values[owner, list(columns.values())].T.tolist()
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("subject", *columns))
            writer.writerows((subject, *row) for subject, row in zip(self.subjects, told, strict=True))

    @cached_property
    def answers(self) -> Mapping[str, Sequence[str]]:
        """By work: the grade of each subject, computed in clear; where peers do the work, by what they compute."""
        return {work: self._grades(work, model) for work, model in self._models.items()}

    def _grades(self, work: str, model: Model) -> Sequence[str]:
        if work in WORKS:
            reached = expected(work, self._values)
            places = len(model.cuts) - reached
        else:
            seats = [PanelMember(member=MemberIndex(i), classes=frozenset((name,))) for i, name in enumerate(CLASSES)]
            layout = lay_out(model, seats)
            columns = {
                seated.member: Columns(
                    known=np.ones(self.known, bool),
                    present=np.ones((len(row), self.known), bool),
                    values=self._values[owner, : len(row)],
                )
                for owner, (seated, row) in enumerate(zip(layout.members, layout.rows, strict=True))
            }
            places = evaluate_many(layout, columns, self.known).grade_index
        return [model.grades[place].name for place in places.tolist()]


def _of_class(model: Model, owner: int) -> list[str]:
    """Names of the attributes that a company supplies, in the model's order."""
    return [attribute.name for attribute in model.attributes if attribute.data_class == CLASSES[owner]]
