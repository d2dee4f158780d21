"""`make bench ONLY=batch` in small: every figure comes out, every answer is right, and a wrong one is found."""

import math

import pytest

from scripts.bench import batch

pytestmark = [pytest.mark.bench, pytest.mark.timeout(240)]

SIZES = (30, 20_000)


def test_every_figure_is_measured(tmp_path):
    figures = batch.measure(SIZES, tmp_path / "net")
    assert [figure.name for figure in figures] == [
        f"batch_{size}_{what}" for size in SIZES for what in ("s", "peak_rss_mb")
    ]
    for figure in figures:
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure


def test_a_wrong_answer_is_found(tmp_path, monkeypatch):
    def ask(layout, subjects, root):
        rows = [f"{subject},never,\n" for subject in subjects]
        (root / "answers.csv").write_text("subject,answer,coverage_band\n" + "".join(rows))
        return 1.0

    monkeypatch.setattr(batch, "_ask", ask)
    with pytest.raises(batch.WrongAnswerError, match="never"):
        batch.measure((3,), tmp_path / "net")
