"""The demo's tables and model: what README.md of configs/demo says of them holds."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from mpcnode.scorecard import Contribution, Layout, Model, Outcome, PanelMember, evaluate, lay_out, parse
from mpcnode.types import MemberIndex
from scripts.fit_demo_model import MODEL, area, document, fit, read_sample

DEMO = Path(__file__).resolve().parents[3] / "configs" / "demo"
CLASSES = {"bank": "accounts", "insurer": "property", "telecom": "contracts"}
Table = dict[str, dict[str, str]]


def read(name: str) -> Table:
    with (DEMO / f"{name}.csv").open(newline="") as file:
        return {row.pop("subject"): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: read(name) for name in CLASSES}


@pytest.fixture(scope="module")
def outcomes() -> Table:
    return read("outcomes")


@pytest.fixture(scope="module")
def model() -> Model:
    return parse(MODEL.read_bytes())


def ask(layout: Layout, tables: dict[str, Table], subject: str) -> Outcome:
    given = {}
    for member, (name, row_layout) in enumerate(zip(CLASSES, layout.rows, strict=True)):
        row = tables[name].get(subject)
        texts = ["" if row is None else row[layout.model.attributes[i].name] for i in row_layout]
        values = tuple(int(text) if text else None for text in texts)
        given[MemberIndex(member)] = Contribution(known=row is not None, values=values)
    return evaluate(layout, given)


@pytest.fixture(scope="module")
def answers(model: Model, tables: dict[str, Table], outcomes: Table) -> dict[str, Outcome]:
    panel = [
        PanelMember(member=MemberIndex(index), classes=frozenset({held})) for index, held in enumerate(CLASSES.values())
    ]
    layout = lay_out(model, panel)
    return {subject: ask(layout, tables, subject) for subject in outcomes}


def test_every_value_is_in_the_range_that_the_model_declares(model: Model, tables: dict[str, Table]) -> None:
    supplier = {held: name for name, held in CLASSES.items()}
    for attribute in model.attributes:
        texts = [row[attribute.name] for row in tables[supplier[attribute.data_class]].values()]
        values = [int(text) for text in texts if text]
        assert values
        assert attribute.minimum <= min(values)
        assert max(values) <= attribute.maximum
        earned = {attribute.points_of(value) for value in values}
        assert earned == {item.points for item in attribute.bins}, f"{attribute.name}: a bin that nobody reaches"


def test_subjects_are_invented_and_some_are_unknown(tables: dict[str, Table], outcomes: Table) -> None:
    assert len(outcomes) == 1000
    assert all(re.fullmatch(r"DE-Q[0-9C-Z]{7}", subject) for subject in outcomes)
    for name, table in tables.items():
        assert table.keys() <= outcomes.keys()
        assert 0.06 < 1 - len(table) / 1000 < 0.10, name
        assert list(table) == sorted(table), f"{name}: the order of rows would tell who is who"
    assert 10 <= len(outcomes.keys() - set().union(*tables.values())) <= 20


def test_no_column_holds_sex_age_or_origin_and_none_the_outcome(tables: dict[str, Table]) -> None:
    columns = {column for table in tables.values() for row in table.values() for column in row}
    assert not [column for column in columns if re.search("sex|age|status|foreign|bad", column)]
    assert len(columns) == 17


def test_model_is_what_the_fit_writes() -> None:
    assert MODEL.read_text() == document(fit(read_sample()))


def test_clear_evaluation_ranks_the_applicants(answers: dict[str, Outcome], outcomes: Table) -> None:
    rated = [subject for subject, answer in answers.items() if answer.sufficient]
    scores = np.array([answers[subject].score for subject in rated], np.int64)
    bad = np.array([outcomes[subject]["bad"] == "1" for subject in rated])
    assert len(rated) == 985
    assert 0.81 < area(scores, bad) < 0.82
    found = [bad[[answers[subject].grade == grade for subject in rated]] for grade in "ABCDE"]
    assert all(len(group) >= 100 for group in found)
    rates = [float(np.mean(group)) for group in found]
    assert rates == sorted(rates)
    assert rates[0] < 0.05
    assert rates[-1] > 0.6


def test_answers_show_misses(answers: dict[str, Outcome]) -> None:
    bands = [answer.coverage_band for answer in answers.values() if answer.sufficient]
    assert {band: bands.count(band) > 0 for band in (0, 1, 2)} == {0: True, 1: True, 2: True}
    assert sum(not answer.sufficient for answer in answers.values()) == 15
