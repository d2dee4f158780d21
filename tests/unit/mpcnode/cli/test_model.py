"""`model explain`: figures for people and for programs, of a file or of a consortium's model."""

from pathlib import Path

import pytest

from mpcnode.config.models import read_model
from mpcnode.scorecard import PanelMember, explain_model, lay_out, model_hash
from mpcnode.types import MemberIndex

ROOT = Path(__file__).parents[4]
DEMO = ROOT / "configs" / "demo" / "models" / "credit-rating.toml"
SCORE = ROOT / "scripts" / "bench" / "models" / "score.toml"


@pytest.fixture(scope="module")
def document():
    return read_model(DEMO)


def explained(document, nodes, subjects):
    seats = [PanelMember(member=MemberIndex(i), classes=frozenset((name,))) for i, name in enumerate(document.classes)]
    return explain_model(lay_out(document, seats), nodes, subjects)


def test_a_program_reads_every_figure(shown, document):
    expected = explained(document, 5, 40_000)
    found = shown("model", "explain", DEMO, "--nodes", 5, "--subjects", 40_000)
    assert (found["model"], found["hash"]) == (document.name, model_hash(document).hex())
    assert (found["nodes"], found["subjects"], found["chunks"]) == (5, 40_000, 3)
    assert found["round_bytes"] == list(expected.round_bytes)
    assert found["bytes_to_each_node"] == sum(expected.round_bytes)
    assert found["bytes_to_last_node"] == expected.bytes_to_last_node
    assert found["correlations"] == [
        {"label": item.label, "free_bytes": item.free_bytes, "corrected_bytes": item.corrected_bytes}
        for item in expected.correlations
    ]
    assert found["ranges"]["value_bits"] == expected.ranges.value_bits
    assert found["ranges"]["ring_bits"] == expected.ranges.ring_bits
    assert found["ranges"]["row_bits"] == expected.ranges.row_bits == 32
    assert [item["row_bytes"] for item in found["panel"]] == [item.row_bytes for item in expected.panel]
    assert found["grades"] == [grade.name for grade in document.grades]
    assert (found["minimum_coverage"], found["audit"]) == (document.minimum_coverage, "before release")
    assert found["kernels"] in {"numpy", "numba"}


def test_people_read_them_too(run, document):
    expected = explained(document, 3, 1)
    code, out, err = run("model", "explain", DEMO)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    for place, size in enumerate(expected.round_bytes, 1):
        assert [str(place), f"{size:,}"] in lines
    assert ["all", f"{expected.bytes_to_each_node:,}"] in lines
    for item in expected.correlations:
        assert [item.label, f"{item.free_bytes:,}", f"{item.corrected_bytes:,}"] in lines
    assert "coverage      at least 1 of 3 know the subject, else no grade" in out.splitlines()


def test_values_that_are_earned_are_told_apart(run):
    code, out, err = run("model", "explain", SCORE)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "panel         participants: 3; values: 12, 12 of them earned as they are" in lines
    assert "rings         no value is compared; score 30 bits, coverage 8 bits" in lines
    assert "rows          51 bytes to each node, from all participants" in lines
    assert "  values      32 bits each" in lines
    labels = [line.split()[0] for line in lines[lines.index("") :] if line]
    assert labels[-6:] == ["flags", "coverage", "grades", "gate", "output", "all"]


def test_a_consortium_has_its_own_panel(shown, network):
    found = shown("model", "explain", "credit-rating", "--consortium", network.consortium)
    assert [(item["values"], item["counted"]) for item in found["panel"]] == [(8, True), (3, True), (2, True)]
    assert found["unsupplied"] == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("no-such-file.toml",), 30, "expected a readable file"),
        ((DEMO, "--nodes", "1"), 2, "Invalid value for '--nodes'"),
        ((DEMO, "--subjects", "0"), 2, "Invalid value for '--subjects'"),
    ],
)
def test_mistakes_are_named(run, words, code, told):
    found, out, err = run("model", "explain", *words)
    assert (found, out) == (code, "")
    assert told in err


def test_a_wrong_document_is_named_with_its_file(run, tmp_path):
    path = tmp_path / "model.toml"
    path.write_text(DEMO.read_text().replace("weight = ", "weight = -", 1))
    code, _, err = run("model", "explain", path)
    assert code != 0
    assert f"{path}: attribute[0].weight: expected" in err


def test_a_name_that_the_consortium_does_not_list(run, network):
    code, _, err = run("model", "explain", "other", "--consortium", network.consortium)
    assert code == 30
    assert "other" in err
