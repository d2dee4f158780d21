"""`make bench ONLY=score-core` in small: every figure comes out, every result is right."""

import math

import pytest

from mpcnode.mpc import CHUNK_SUBJECTS
from scripts.bench.committee import Committee, WrongResultError
from scripts.bench.peers.work import expected, thresholds, values
from scripts.bench.score_core import WORKS, Extent, measure
from scripts.bench.works import make

SMALL = Extent(sizes=((1, 2), (70, 1), (4200, 1)), many=4200, transfer_subjects=8)


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("subjects", [1, 5, 64, CHUNK_SUBJECTS + 3])
def test_committee_finds_what_the_clear_evaluation_finds(name, subjects):
    work = make(name, subjects)
    for parties in (2, 3):
        spent = Committee(work, work.batch(parties, subjects)).run()
        assert spent.answering > 0
        assert spent.replaying > 0


@pytest.mark.parametrize("name", WORKS)
def test_a_wrong_result_is_found(monkeypatch, name):
    work = make(name, 3)
    right = type(work).outputs

    def wrong(self, subjects):
        found = bytearray(right(self, subjects))
        found[-1] ^= 1
        return bytes(found)

    monkeypatch.setattr(type(work), "outputs", wrong)
    with pytest.raises(WrongResultError):
        Committee(work, work.batch(3, 3)).run()


@pytest.mark.parametrize("work", ["score", "max"])
def test_work_has_every_grade(work):
    """And is what it says it is, for a few subjects by hand."""
    known = values(5000)
    grades = expected(work, known)
    assert set(grades.tolist()) == set(range(7)) if work == "max" else len(set(grades.tolist())) >= 4  # sums are alike
    assert known.min() >= 0
    assert known.max() < 1 << 20
    for subject in range(0, 5000, 613):
        of = known[:, :, subject]
        weighted = sum(int(value) * 5 * (place + 1) for place, value in enumerate(of.reshape(-1)))
        number = weighted if work == "score" else int(max(of[:, 0]))
        assert grades[subject] == sum(number >= t for t in thresholds(work))


@pytest.mark.bench
def test_every_figure_is_measured():
    figures = {figure.name: figure for figure in measure(SMALL, "numpy")}
    wanted = {"ot_subject_attributes_per_s", "core_audit_to_compute_ratio"}
    for name in WORKS:
        wanted |= {f"core_{name}_n1_ms", f"core_{name}_70_subjects_per_s", f"core_{name}_4200_subjects_per_s"}
        wanted |= {f"core_{name}_bytes_per_subject"}
    wanted |= {f"core_{name}_audit_to_compute_ratio" for name in WORKS if name != "score"}
    assert set(figures) == wanted
    for figure in figures.values():
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure
