"""The joint evaluation of a random model equals the clear one, bit for bit, on random and extreme data."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcnode.errors import ModelError
from mpcnode.mpc import join_output, replay
from mpcnode.mpc.ot import Links
from mpcnode.query.contribution import encode_contribution
from mpcnode.scorecard import (
    Attribute,
    Bin,
    Columns,
    Contribution,
    Grade,
    Layout,
    Model,
    PanelMember,
    analyse,
    compile_model,
    decode_output,
    encode_output,
    evaluate,
    evaluate_many,
    lay_out,
    output_size,
    row_shapes,
)
from mpcnode.types import AuditMode, MemberIndex
from tests.support.joint import run_joint, seeds_for, session_id, share_rows
from tests.support.models import encode_columns
from tests.support.talks import link_up, provided

CLASSES = ("a", "b", "c", "d")


class Kind(Enum):
    """What the attributes of a model earn."""

    POINTS = auto()
    VALUES = auto()
    MIXED = auto()


@st.composite
def attributes(draw: st.DrawFn, index: int, kind: Kind) -> Attribute:
    earns_value = kind is Kind.VALUES or (kind is Kind.MIXED and draw(st.booleans()))
    width = draw(st.sampled_from([1, 3, 7, 8, 16, 31, 32, 40, 53 if earns_value else 61]))
    low = draw(st.integers(-(1 << width), (1 << width) - 2))
    high = draw(st.integers(low + 1, 1 << width))
    starts = set() if earns_value else draw(starts_between(low, high))
    points = st.integers(-(1 << draw(st.sampled_from([2, 6, 20]))), 1 << draw(st.sampled_from([2, 6, 20])))
    bins = () if earns_value else (Bin(start=None, points=draw(points)),)
    return Attribute(
        name=f"a{index}",
        title="t",
        data_class=draw(st.sampled_from(CLASSES)),
        unit="u",
        scale=0,
        minimum=low,
        maximum=high,
        weight=draw(st.integers(1, 9)) * (draw(st.sampled_from([1, -1])) if earns_value else 1),
        missing=draw(st.just(0) | points if earns_value else points),
        bins=(*bins, *(Bin(start=s, points=draw(points)) for s in sorted(starts))),
    )


def starts_between(low: int, high: int) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(low + 1, high), min_size=1, max_size=min(5, high - low))


@st.composite
def models(draw: st.DrawFn) -> Model:
    kind = draw(st.sampled_from(Kind))
    items = tuple(draw(attributes(i, kind)) for i in range(draw(st.integers(1, 6))))
    scores = _reachable(items)
    cuts = draw(st.sets(st.integers(min(scores) - 3, max(scores) + 3), min_size=1, max_size=6))
    minimum = draw(st.integers(1, 4))
    bands = draw(st.sets(st.integers(minimum, 5), max_size=3))
    grades = [Grade(name=f"g{i}", start=cut) for i, cut in enumerate(sorted(cuts, reverse=True))]
    return Model(
        name="m",
        title="t",
        version=1,
        minimum_coverage=minimum,
        audit=draw(st.sampled_from([AuditMode.OFF, AuditMode.BEFORE_RELEASE])),
        purposes=("p",),
        grades=(*grades, Grade(name="last", start=None)),
        coverage_bands=tuple(sorted(bands)),
        attributes=items,
    )


def _reachable(items: tuple[Attribute, ...]) -> tuple[int, int]:
    earned = [[a.minimum, a.maximum] if a.earns_value else [item.points for item in a.bins] for a in items]
    every = [[a.weight * p for p in (a.missing, *points)] for a, points in zip(items, earned, strict=True)]
    return sum(min(points) for points in every), sum(max(points) for points in every)


@st.composite
def layouts(draw: st.DrawFn, model: Model) -> Layout:
    """Every class has at most one supplier; some have none, some participants supply nothing of use."""
    owners = {c: draw(st.integers(0, 4)) for c in CLASSES}  # 4: nobody
    size = draw(st.integers(1, 4))
    first = model.attributes[0].data_class
    owners[first] = min(owners[first], size - 1)
    counted = [draw(st.booleans()) for _ in range(size)]
    counted[draw(st.integers(0, size - 1))] = True
    return lay_out(
        model,
        [
            PanelMember(
                member=MemberIndex(10 * i + 1),
                classes=frozenset(c for c, owner in owners.items() if owner == i),
                counted=counted[i],
            )
            for i in range(size)
        ],
    )


@st.composite
def contributions(draw: st.DrawFn, model: Model, row: tuple[int, ...]) -> Contribution | None:
    kind = draw(st.sampled_from(["known", "known", "known", "unknown", "absent"]))
    if kind == "absent":
        return None
    if kind == "unknown":
        return Contribution(known=False, values=(None,) * len(row))
    return Contribution(known=True, values=tuple(draw(values(model.attributes[i])) for i in row))


def values(attribute: Attribute) -> st.SearchStrategy[int | None]:
    edges = {attribute.minimum, attribute.maximum, *attribute.thresholds, *(t - 1 for t in attribute.thresholds)}
    inside = sorted(v for v in edges | {0} if attribute.minimum <= v <= attribute.maximum)
    return st.one_of(st.none(), st.sampled_from(inside), st.integers(attribute.minimum, attribute.maximum))


@dataclass(frozen=True)
class Case:
    layout: Layout
    parties: int
    subjects: tuple[tuple[Contribution | None, ...], ...]


@st.composite
def cases(draw: st.DrawFn, subjects: int) -> Case:
    model = draw(models())
    layout = draw(layouts(model))
    return Case(
        layout=layout,
        parties=draw(st.integers(2, 4)),
        subjects=tuple(tuple(draw(contributions(model, row)) for row in layout.rows) for _ in range(subjects)),
    )


def rows_of_one(layout: Layout, given_rows: Sequence[Contribution | None]) -> list[bytes | None]:
    shapes = row_shapes(layout)
    return [None if c is None else encode_contribution(c, s.ring) for c, s in zip(given_rows, shapes, strict=True)]


def rows_of(layout: Layout, columns: Mapping[MemberIndex, Columns]) -> list[bytes]:
    (ring,) = {shape.ring for shape in row_shapes(layout)}
    return [encode_columns(columns[seated.member], ring) for seated in layout.members]


@settings(max_examples=250)
@given(cases(subjects=1))
def test_one_subject(case: Case) -> None:
    layout, (given_rows,) = case.layout, case.subjects
    program = compile_model(layout, case.parties)
    rows = rows_of_one(layout, given_rows)
    expected = evaluate(layout, {s.member: c for s, c in zip(layout.members, given_rows, strict=True)})
    real = run_joint(program, "p", share_rows(program, "p", rows))
    again = replay(program, session_id("p"), seeds_for("p", case.parties), rows)
    opened = join_output((real.output, again.mask))
    assert opened == encode_output(layout.model, expected)
    assert decode_output(layout.model, opened) == expected
    assert again.output == real.output
    assert set(real.transcripts) == {again.transcript}


@settings(max_examples=30)
@given(cases(subjects=3), st.integers(1, 200))
def test_many_subjects(case: Case, count: int) -> None:
    """Three drawn subjects, repeated; a participant is absent for all or none of a batch."""
    layout, model = case.layout, case.layout.model
    chosen = [case.subjects[i % 3] for i in range(count)]
    columns = {
        seated.member: _columns([subject[seat] for subject in chosen], len(row))
        for seat, (seated, row) in enumerate(zip(layout.members, layout.rows, strict=True))
    }
    program = compile_model(layout, case.parties, count)
    rows = rows_of(layout, columns)
    mask = replay(program, session_id("m"), seeds_for("m", case.parties), rows).mask
    output = join_output((run_joint(program, "m", share_rows(program, "m", rows)).output, mask))
    outcomes = evaluate_many(layout, columns, count)
    size = output_size(model)
    for n, subject in enumerate(chosen):
        expected = evaluate(layout, {s.member: c for s, c in zip(layout.members, subject, strict=True)})
        assert decode_output(model, output[n * size : (n + 1) * size]) == expected == outcomes.at(model, n)
        assert outcomes.score[n] == expected.score


@settings(max_examples=1000)
@given(st.data(), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_a_thousand_models(data: st.DataObject, parties: int, seed: int) -> None:
    """A thousand subjects of each that have nothing in common."""
    model = data.draw(models())
    layout, count = data.draw(layouts(model)), 1000
    random = np.random.default_rng(seed)
    columns = {
        seated.member: _random_columns(random, [model.attributes[i] for i in row], count)
        for seated, row in zip(layout.members, layout.rows, strict=True)
    }
    program = compile_model(layout, parties, count)
    rows = rows_of(layout, columns)
    mask = replay(program, session_id("t"), seeds_for("t", parties), rows).mask
    output = join_output((run_joint(program, "t", share_rows(program, "t", rows)).output, mask))
    clear = evaluate_many(layout, columns, count)
    assert output == b"".join(encode_output(model, clear.at(model, n)) for n in range(count))


def _random_columns(random: np.random.Generator, of: Sequence[Attribute], count: int) -> Columns:
    """Known and present more often than not; half of the values at an edge."""
    known = random.random(count) < 0.8
    present = (random.random((len(of), count)) < 0.8) & known
    values = np.zeros((len(of), count), np.int64)
    for line, attribute in zip(values, of, strict=True):
        near = {attribute.minimum, attribute.maximum, 0, *attribute.thresholds, *(t - 1 for t in attribute.thresholds)}
        edges = np.array([v for v in sorted(near) if attribute.minimum <= v <= attribute.maximum], np.int64)
        anywhere = random.integers(attribute.minimum, attribute.maximum, count, np.int64, endpoint=True)
        line[:] = np.where(random.random(count) < 0.5, random.choice(edges, count), anywhere)
    return Columns(known=known, present=present, values=np.where(present, values, 0))


@cache
def links(parties: int) -> list[Links]:
    return link_up(parties, f"property {parties}")


NUMBERS = itertools.count()


@settings(max_examples=20)
@given(cases(subjects=1))
def test_without_a_dealer(case: Case) -> None:
    # a mask that no node knows needs a dealer
    model = replace(case.layout.model, audit=AuditMode.OFF)
    layout, (given_rows,) = replace(case.layout, model=model), case.subjects
    program, name = compile_model(layout, case.parties), f"no dealer {next(NUMBERS)}"
    rows = rows_of_one(layout, given_rows)
    expected = evaluate(layout, {s.member: c for s, c in zip(layout.members, given_rows, strict=True)})
    materials = provided(program, name, links(case.parties))
    real = run_joint(program, name, share_rows(program, name, rows), materials=materials)
    assert real.output == encode_output(layout.model, expected)
    assert len(set(real.transcripts)) == 1


def _columns(column: list[Contribution | None], width: int) -> Columns:
    filled = [c or Contribution(known=False, values=(None,) * width) for c in column]
    table = [[c.values[i] for c in filled] for i in range(width)]
    return Columns(
        known=np.array([c.known for c in filled], np.bool_),
        present=np.array([[v is not None for v in line] for line in table], np.bool_).reshape(width, len(filled)),
        values=np.array([[v or 0 for v in line] for line in table], np.int64).reshape(width, len(filled)),
    )


@settings(max_examples=100)
@given(models())
def test_ranges_hold_every_score(model: Model) -> None:
    try:
        found = analyse(model)
    except ModelError:
        return
    least, most = _reachable(model.attributes)
    assert found.score_min <= least <= most <= found.score_max
    if all(attribute.bins for attribute in model.attributes):
        assert most - found.insufficient_offset < model.cuts[0]
