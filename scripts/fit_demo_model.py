"""Fit the demo's credit rating on configs/demo and write configs/demo/models/credit-rating.toml.

A points scorecard: every attribute is cut into bins, a bin's points are ten times its weight of evidence, an
attribute's weight is ten times its coefficient in a logistic regression on the weights of evidence. So 100 points of
score are one unit of log odds. A value that is missing never earns more than the average applicant, so hiding a value
does not pay. Plain integers in the model, no randomness: the same tables always give the same model.

    python scripts/fit_demo_model.py
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo"
MODEL = DEMO / "models" / "credit-rating.toml"

Vector = NDArray[np.float64]

POINTS_PER_EVIDENCE = 10
WEIGHT_PER_COEFFICIENT = 10
RIDGE = 1.0
FOLDS = 5
GRADES = (("A", 0.08), ("B", 0.18), ("C", 0.35), ("D", 0.60))
"""Grade and the probability of a bad loan that it stays below; E is the rest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An attribute of the model: where it comes from, its declared range and where its bins begin."""

    table: str
    name: str
    title: str
    unit: str
    minimum: int
    maximum: int
    starts: tuple[int, ...]


PLANS = (
    Plan("bank", "checking_account", "Balance of the checking account", "code", 0, 3, (1, 2, 3)),
    Plan("bank", "credit_history", "Course of earlier credits", "code", 0, 4, (2, 4)),
    Plan("bank", "duration", "Duration of the credit", "months", 1, 120, (9, 16, 36)),
    Plan("bank", "credit_amount", "Amount of the credit", "DM", 0, 30_000, (1400, 4000, 8000)),
    Plan("bank", "loan_purpose", "What the credit is for", "code", 0, 9, (1, 2, 3, 4, 7)),
    Plan("bank", "savings", "Savings and bonds", "code", 1, 4, (3,)),
    Plan("bank", "installment_rate", "Installment in relation to income", "code", 1, 4, (4,)),
    Plan("bank", "other_debtors", "Other debtors or guarantors", "code", 0, 2, (1, 2)),
    Plan("insurer", "property", "Most valuable property", "code", 1, 3, (3,)),
    Plan("insurer", "housing", "Housing", "code", 0, 2, (2,)),
    Plan("insurer", "other_plans", "Other installment plans", "code", 0, 2, (1,)),
    Plan("telecom", "employment", "Time in the present employment", "code", 0, 4, (2, 3)),
    Plan("telecom", "telephone", "Telephone in the subject's own name", "code", 0, 1, (1,)),
)
CLASSES = {"bank": "accounts", "insurer": "property", "telecom": "contracts"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Applicants that at least one company knows: bins by attribute (-1 = missing), and who defaulted."""

    bins: tuple[NDArray[np.int64], ...]
    bad: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> "Sample":
        """Return some of the applicants."""
        return Sample(tuple(column[rows] for column in self.bins), self.bad[rows])


@dataclass(frozen=True, slots=True)
class Card:
    """A fitted scorecard in the model's integers."""

    points: tuple[tuple[int, ...], ...]
    missing: tuple[int, ...]
    weights: tuple[int, ...]
    intercept: float
    """Log odds of a good loan at score 0."""

    def scores(self, sample: Sample) -> NDArray[np.int64]:
        """Score of every applicant."""
        parts = [
            weight * np.array((*points, missing))[column]
            for weight, points, missing, column in zip(
                self.weights, self.points, self.missing, sample.bins, strict=True
            )
        ]
        scores: NDArray[np.int64] = np.sum(parts, axis=0)
        return scores


def read_table(name: str) -> dict[str, dict[str, str]]:
    """Read a table by subject."""
    with (DEMO / f"{name}.csv").open(newline="") as file:
        return {row["subject"]: row for row in csv.DictReader(file)}


def read_sample() -> Sample:
    """Join the tables as a query would: what a company does not know is missing."""
    tables = {name: read_table(name) for name in CLASSES}
    outcomes = read_table("outcomes")
    subjects = sorted(subject for subject in outcomes if any(subject in table for table in tables.values()))
    columns = []
    for plan in PLANS:
        texts = [tables[plan.table].get(subject, {}).get(plan.name, "") for subject in subjects]
        columns.append(np.array([sum(int(text) >= start for start in plan.starts) if text else -1 for text in texts]))
    return Sample(tuple(columns), np.array([outcomes[subject]["bad"] == "1" for subject in subjects]))


def evidence(column: NDArray[np.int64], bad: NDArray[np.bool_], bins: int) -> tuple[Vector, float]:
    """Weight of evidence of every bin, and of a missing value (at most 0): ln of (share of goods / share of bads)."""
    goods = np.array([np.sum((column == index) & ~bad) for index in range(-1, bins)]) + 0.5
    bads = np.array([np.sum((column == index) & bad) for index in range(-1, bins)]) + 0.5
    found = np.log(goods / np.sum(~bad)) - np.log(bads / np.sum(bad))
    return found[1:], min(0.0, float(found[0]))


def logistic(evidences: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[float, Vector]:
    """Fit intercept and coefficients by Newton's method with a small ridge on the coefficients."""
    design = np.column_stack((np.ones(len(good)), evidences))
    penalty = np.diag([0.0, *([RIDGE] * evidences.shape[1])])
    found = np.zeros(design.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (good - chance) - penalty @ found
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        found = found + np.linalg.solve(curvature, gradient)
    return float(found[0]), found[1:]


def fit(sample: Sample) -> Card:
    """Fit a scorecard; every weight is at least 1."""
    points, missing, columns = [], [], []
    for plan, column in zip(PLANS, sample.bins, strict=True):
        found, without = evidence(column, sample.bad, len(plan.starts) + 1)
        points.append(tuple(round(POINTS_PER_EVIDENCE * float(value)) for value in found))
        missing.append(round(POINTS_PER_EVIDENCE * without))
        columns.append(np.array((*points[-1], missing[-1]))[column] / POINTS_PER_EVIDENCE)
    _, coefficients = logistic(np.column_stack(columns), ~sample.bad)
    weights = tuple(max(1, round(WEIGHT_PER_COEFFICIENT * float(value))) for value in coefficients)
    card = Card(tuple(points), tuple(missing), weights, 0.0)
    scale = POINTS_PER_EVIDENCE * WEIGHT_PER_COEFFICIENT
    offset = card.scores(sample) / scale
    intercept = math.log(np.sum(~sample.bad) / np.sum(sample.bad))
    for _ in range(25):  # the rounded card keeps the observed number of bad loans
        chance = 1 / (1 + np.exp(-(offset + intercept)))
        intercept += float(np.sum(~sample.bad - chance) / np.sum(chance * (1 - chance)))
    return Card(card.points, card.missing, card.weights, intercept)


def area(scores: NDArray[np.int64], bad: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: chance that a good applicant outscores a bad one, ties count half."""
    good, worse = scores[~bad], scores[bad]
    order = np.sort(worse)
    below = np.searchsorted(order, good, side="left") + np.searchsorted(order, good, side="right")
    return float(np.sum(below)) / 2 / (len(good) * len(worse))


def cuts(card: Card) -> tuple[int, ...]:
    """Smallest score of every grade but the last, rounded to 5."""
    scale = POINTS_PER_EVIDENCE * WEIGHT_PER_COEFFICIENT
    return tuple(5 * round(scale * (math.log((1 - chance) / chance) - card.intercept) / 5) for _, chance in GRADES)


def document(card: Card) -> str:
    """Write the model document."""
    grades = [f'    {{ grade = "{name}", from = {cut} }},' for (name, _), cut in zip(GRADES, cuts(card), strict=True)]
    lines = [
        "# Credit rating of the demo, fitted by scripts/fit_demo_model.py on configs/demo; docs/models.md explains",
        "# the format, configs/demo/README.md the codes. 100 points are one unit of log odds. Not for real lending.",
        "[model]",
        'name = "credit-rating"',
        'title = "Credit rating"',
        "version = 1",
        "minimum_coverage = 1",
        'audit = "before release"',
        'purposes = ["credit-application", "limit-review"]',
        "grades = [",
        *grades,
        '    { grade = "E" },',
        "]",
        "coverage_bands = [2, 3]",
    ]
    for plan, points, missing, weight in zip(PLANS, card.points, card.missing, card.weights, strict=True):
        bins = [f"{{ points = {points[0]} }}"]
        bins += [
            f"{{ from = {start}, points = {earned} }}" for start, earned in zip(plan.starts, points[1:], strict=True)
        ]
        lines += [
            "",
            "[[attribute]]",
            f'name = "{plan.name}"',
            f'title = "{plan.title}"',
            f'class = "{CLASSES[plan.table]}"',
            f'unit = "{plan.unit}"',
            "scale = 0",
            f"min = {plan.minimum}",
            f"max = {plan.maximum}",
            f"weight = {weight}",
            f"missing = {missing}",
            "bins = [",
            *(f"    {entry}," for entry in bins),
            "]",
        ]
    return "\n".join(lines) + "\n"


def report(sample: Sample, card: Card) -> Sequence[str]:
    """Say how good the card is: on its own data, and on folds that it has not seen."""
    scores = card.scores(sample)
    folds = np.arange(len(sample.bad)) % FOLDS
    unseen = [
        area(fit(sample.take(folds != fold)).scores(sample.take(folds == fold)), sample.bad[folds == fold])
        for fold in range(FOLDS)
    ]
    lines = [
        f"{len(sample.bad)} applicants, {np.mean(sample.bad):.1%} bad, scores {scores.min()} to {scores.max()}",
        f"AUC {area(scores, sample.bad):.3f}; mean of {FOLDS} folds not seen in fitting {np.mean(unseen):.3f}",
    ]
    grade = np.searchsorted(-np.array(cuts(card)), -scores, side="left")
    for index, name in enumerate((*(name for name, _ in GRADES), "E")):
        held = grade == index
        lines.append(f"{name}: {np.sum(held):4d} applicants, {np.mean(sample.bad[held]):6.1%} bad")
    return lines


def main() -> None:
    """Fit, write, report."""
    sample = read_sample()
    card = fit(sample)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    MODEL.write_text(document(card))
    print("\n".join(report(sample, card)))


if __name__ == "__main__":
    main()
