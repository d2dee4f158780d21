"""What is said of a computation before it runs is what happens when it runs."""

import dataclasses

import pytest

from mpcnode.mpc import CHUNK_SUBJECTS, Dealer, prg
from mpcnode.scorecard import compile_batch, explain_model, lay_out
from mpcnode.types import AuditMode
from tests.support.chunks import Committee, cut_rows, draw_columns, shares_of
from tests.support.joint import seeds_for, session_id
from tests.support.models import credit_layout, earning_layout


@pytest.mark.parametrize(("nodes", "subjects"), [(2, 1), (3, 1), (3, 100), (5, 64), (2, CHUNK_SUBJECTS + 100)])
@pytest.mark.parametrize("earning", [(), (1, 3), (0, 1, 2, 3)])
def test_bytes_are_those_of_a_run(monkeypatch, nodes, subjects, earning):
    layout = earning_layout(*earning)
    drawn: dict[str, int] = {}
    draw = prg.Streams.draw

    def measured(self, label, size, chunk):
        drawn[label] = drawn.get(label, 0) + size
        return draw(self, label, size, chunk)

    batch = compile_batch(layout, nodes, subjects)
    rows = cut_rows(layout, batch, draw_columns(layout, subjects, seed=1))
    committee = Committee(batch, "explain", shares_of(batch, "explain", rows))
    explained = explain_model(layout, nodes, subjects)
    monkeypatch.setattr(prg.Streams, "draw", measured)
    committee.run()
    monkeypatch.undo()

    for node in committee.nodes:
        sent = [0] * len(explained.round_bytes)
        for (_, number), payload in node.sent.items():
            sent[number - 1] += len(payload)
        assert tuple(sent) == explained.round_bytes
    assert len({chunk for chunk, _ in committee.nodes[0].sent}) == explained.chunks
    # dealer and nodes draw: all of them the masks, all but the last what follows from them
    for item in explained.correlations:
        assert drawn[item.label] == 2 * (nodes * item.free_bytes + (nodes - 1) * item.corrected_bytes)
    assert [item.row_bytes for item in explained.panel] == [
        sum(len(of_chunk[seat] or b"") for of_chunk in rows) for seat in range(len(explained.panel))
    ]
    dealer = Dealer(batch, session_id("again"), seeds_for("again", nodes))
    corrections = [dealer.corrections(chunk) for chunk in range(batch.chunks)]
    assert explained.bytes_to_last_node == 32 + sum(map(len, corrections))
    assert len(committee.output) == subjects * explained.output_bytes


def test_what_is_not_computed_is_not_listed():
    explained = explain_model(earning_layout(0, 1, 2, 3), 3)
    assert [item.label for item in explained.correlations] == ["flags", "coverage", "grades", "gate", "output"]
    assert explained.ranges.value_bits == 0
    assert len(explained.round_bytes) == 4


def test_outcomes_are_counted():
    layout = credit_layout()
    model = layout.model
    assert (len(model.grades), model.minimum_coverage, model.coverage_bands) == (4, 2, (2, 3))
    assert explain_model(layout, 3).outcomes == 1 + 4 * 2
    wider = dataclasses.replace(model, coverage_bands=(3,))
    assert explain_model(lay_out(wider, layout.members), 3).outcomes == 1 + 4 * 2
    narrow = dataclasses.replace(model, coverage_bands=())
    assert explain_model(lay_out(narrow, layout.members), 3).outcomes == 1 + 4


def test_what_nobody_supplies_is_named():
    layout = credit_layout()
    assert explain_model(layout, 3).unsupplied == ()
    fewer = lay_out(layout.model, layout.members[1:])
    assert explain_model(fewer, 3).unsupplied == ("income", "overdraft_days")
    assert [item.values for item in explain_model(fewer, 3).panel] == [len(row) for row in fewer.rows]


def test_a_masked_output_corrects_nothing():
    layout = credit_layout()
    for audit, is_masked in ((AuditMode.BEFORE_RELEASE, True), (AuditMode.OFF, False)):
        model = dataclasses.replace(layout.model, audit=audit)
        output = explain_model(lay_out(model, layout.members), 3).correlations[-1]
        assert output.label == "output"
        assert (output.free_bytes > 0, output.corrected_bytes > 0) == (is_masked, not is_masked)
