"""Joint evaluation in one process: `score` and `max`, bare and as models, and `scorecard`; one subject to a million.

All three nodes, the dealer and the participants' sharing share one core, and only the time that the processor gave
counts; nothing is sent anywhere: what the core takes of `make bench ONLY=score`, which runs daemons. Every result is
compared with the clear evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mpcnode.mpc import kernels
from mpcnode.mpc.kernels import Choice
from scripts.bench.committee import Committee, Spent
from scripts.bench.registry import OUT, Measurement, Parameter, benchmark
from scripts.bench.transfers import transfers
from scripts.bench.works import make

NODES = 3
WORKS = ("score", "max", "score_model", "max_model", "scorecard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    sizes: tuple[tuple[int, int], ...] = ((1, 101), (1000, 21), (100_000, 3), (1_000_000, 1))
    """Numbers of subjects, and runs of each: the median counts."""
    many: int = 100_000
    """One of the sizes: of it come bytes and the audit's part."""
    transfer_subjects: int = 8192


@benchmark("score-core")
def score_core() -> list[Measurement]:
    """Measure everything, with the kernels that a daemon would take."""
    chosen = kernels.choose(Choice.AUTO, str(OUT / "kernels"))
    try:
        return measure(Extent(), chosen.kernels.name)
    finally:
        kernels.choose(Choice.NUMPY, "")


def measure(extent: Extent, kernels_name: str) -> list[Measurement]:
    """Measure to some extent."""
    figures: list[Measurement] = []
    for name in WORKS:
        for subjects, runs in extent.sizes:
            spent = _median(name, subjects, runs)
            figures += _figures(name, subjects, runs, spent, kernels_name)
            if subjects == extent.many:
                figures += _of_many(name, subjects, spent)
    return [*figures, transfers(extent.transfer_subjects)]


def _median(name: str, subjects: int, runs: int) -> Spent:
    """The run of median time, of some after one to warm up."""
    work = make(name, subjects)
    batch = work.batch(NODES, subjects)
    if runs > 1:
        Committee(work, batch).run()
    spent = sorted((Committee(work, batch).run() for _ in range(runs)), key=lambda run: run.answering)
    return spent[len(spent) // 2]


def _figures(name: str, subjects: int, runs: int, spent: Spent, kernels_name: str) -> Iterator[Measurement]:
    of: dict[str, Parameter] = {"nodes": NODES, "subjects": subjects, "runs": runs, "kernels": kernels_name}
    for part in ("sharing", "dealing", "expanding", "computing"):
        of[part] = round(getattr(spent, part) / spent.answering, 3)
    if subjects == 1:
        yield Measurement(f"core_{name}_n1_ms", 1000 * spent.answering, "ms", of)
        return
    yield Measurement(f"core_{name}_{subjects}_subjects_per_s", subjects / spent.answering, "1/s", of)


def _of_many(name: str, subjects: int, spent: Spent) -> Iterator[Measurement]:
    """What hardly depends on the number of subjects, if there are many."""
    of: dict[str, Parameter] = {"nodes": NODES, "subjects": subjects}
    prefix = "" if name == "score" else f"{name}_"
    yield Measurement(f"core_{prefix}audit_to_compute_ratio", spent.replaying / spent.answering, "1", of)
    parts = {part: round(getattr(spent, f"{part}_bytes") / subjects, 1) for part in ("shared", "dealt", "exchanged")}
    yield Measurement(f"core_{name}_bytes_per_subject", spent.bytes_sent / subjects, "bytes", {**of, **parts})
