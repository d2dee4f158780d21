"""`make bench ONLY=score` in small: every figure comes out, every answer is right, and a wrong one is found."""

import math

import pytest

from scripts.bench.companies import Companies
from scripts.bench.registry import Measurement
from scripts.bench.score import RATIOS, WORKS, Extent, WrongAnswerError, measure, ratios
from scripts.bench.timeline import MissingLinesError, read_timeline

DAY = "2026-01-01T00:00:"


def began(second: str) -> dict[str, object]:
    return {"event": "session.began", "time": f"{DAY}{second}Z"}


def formed(second: str, rounds_s: float) -> dict[str, object]:
    about = {"chunks": 2, "rounds": 6, "seconds": 1.0, "deal_s": 0.25, "rounds_s": rounds_s}
    return {"event": "session.outputs_formed", "time": f"{DAY}{second}Z", **about}


def test_the_clock_runs_from_the_first_beginning_to_the_last_output():
    audit = [{"event": "audit.recomputed", "seconds": 0.5}, {"event": "audit.judged", "seconds": 0.125}]
    lines = [began("01.250000"), began("01.000125"), formed("03.000000", 0.5), formed("02.500000", 0.75), *audit]
    found = read_timeline(lines, 2)
    assert found.seconds == pytest.approx(1.999875, abs=1e-6)
    assert found.stages == {"deal_s": 0.25, "rounds_s": 0.75}
    assert (found.chunks, found.rounds, found.audit_s) == (2, 6, 0.625)


@pytest.mark.parametrize(
    "lines", [[began("01"), formed("02", 1.0)], [began("01"), began("02"), began("03"), formed("04", 1.0)]]
)
def test_a_query_that_was_tried_twice_or_lacks_a_node_is_not_measured(lines):
    with pytest.raises(MissingLinesError):
        read_timeline(lines, 2)


def test_ratios_are_the_right_way_round():
    peers = {theirs: 20.0 for _, _, theirs in RATIOS}
    mine = [
        Measurement("score_n1_ms", 5.0, "ms", {"audit": "off"}),
        Measurement("score_100000_subjects_per_s", 60.0, "1/s", {"audit": "off"}),
    ]
    found = {figure.name: figure.value for figure in ratios(mine, peers)}
    assert found["score_n1_mpyc_ratio"] == pytest.approx(0.25)
    assert found["score_100000_spu_aby3_ratio"] == pytest.approx(3.0)
    assert "max_100000_mpyc_ratio" not in found


@pytest.mark.bench
@pytest.mark.timeout(240)
def test_every_figure_is_measured(tmp_path):
    extent = Extent(sizes=((1, 2), (5000, 1)), many=5000, default_only=5000)
    figures = {figure.name: figure for figure in measure(extent, tmp_path / "net")}
    wanted = set()
    for work in WORKS:
        wanted.add("audit_to_compute_ratio" if work == "score" else f"{work}_audit_to_compute_ratio")
        wanted |= {f"{work}_n1_ms", f"{work}_5000_subjects_per_s", f"{work}_off_n1_ms", f"{work}_bytes_per_subject"}
        wanted |= {f"ask_{work}_n1_ms", f"ask_{work}_5000_s", f"ask_{work}_off_n1_ms"}
        wanted |= {f"ask_{work}_bytes_per_subject"}
    assert set(figures) == wanted
    for figure in figures.values():
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure


@pytest.mark.bench
@pytest.mark.timeout(240)
def test_a_wrong_answer_is_found(tmp_path, monkeypatch):
    work = WORKS[-1]
    right = Companies((work,)).answers[work]
    monkeypatch.setattr(Companies, "answers", {work: ["never", *right[1:]]})
    with pytest.raises(WrongAnswerError, match="never"):
        measure(Extent(works=(work,), sizes=((1, 1),)), tmp_path / "net")
