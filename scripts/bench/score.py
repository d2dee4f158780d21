"""Joint evaluation in one process: `score` and `max`, bare and as models, and `scorecard`; one subject to a million.

All three nodes, the dealer and the participants' sharing share one core, and only the time that the processor gave
counts; nothing is sent anywhere. Every result is compared with the clear evaluation. Ratios are to what
`make bench-peers` measured here, three processes on all cores; they are left out where it has not run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mpcnode.mpc import kernels
from mpcnode.mpc.kernels import Choice
from scripts.bench.committee import Committee, Spent
from scripts.bench.registry import OUT, Measurement, Parameter, benchmark
from scripts.bench.transfers import transfers
from scripts.bench.works import make

NODES = 3
WORKS = ("score", "max", "score_model", "max_model", "scorecard")
RATIOS = (
    ("score_100000_mpyc_ratio", "score_100000", "score_10000_mpyc_subjects_per_s"),
    ("score_100000_spu_aby3_ratio", "score_100000", "score_100000_spu_aby3_subjects_per_s"),
    ("score_100000_spu_semi2k_ratio", "score_100000", "score_100000_spu_semi2k_subjects_per_s"),
    ("max_100000_mpyc_ratio", "max_100000", "max_10000_mpyc_subjects_per_s"),
    ("max_100000_spu_aby3_ratio", "max_100000", "max_100000_spu_aby3_subjects_per_s"),
    ("score_n1_mpyc_ratio", "score_1", "score_n1_mpyc_ms"),
    ("score_n1_spu_aby3_ratio", "score_1", "score_n1_spu_aby3_ms"),
)
"""Name, our work and number of subjects, a peer's figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    sizes: tuple[tuple[int, int], ...] = ((1, 101), (1000, 21), (100_000, 3), (1_000_000, 1))
    """Numbers of subjects, and runs of each: the median counts."""
    many: int = 100_000
    """One of the sizes: of it come bytes and the audit's part."""
    transfer_subjects: int = 8192


@benchmark("score")
def score() -> list[Measurement]:
    """Measure everything, with the kernels that a daemon would take."""
    chosen = kernels.choose(Choice.AUTO, str(OUT / "kernels"))
    try:
        return measure(Extent(), _peers(), chosen.kernels.name)
    finally:
        kernels.choose(Choice.NUMPY, "")


def measure(extent: Extent, peers: Mapping[str, float], kernels_name: str) -> list[Measurement]:
    """Measure to some extent; `peers` are other systems' figures by name."""
    figures: list[Measurement] = []
    seconds: dict[str, float] = {}
    for name in WORKS:
        for subjects, runs in extent.sizes:
            spent = _median(name, subjects, runs)
            seconds[f"{name}_{subjects}"] = spent.answering
            figures += _figures(name, subjects, runs, spent, kernels_name)
            if subjects == extent.many:
                figures += _of_many(name, subjects, spent)
    figures += _ratios(seconds, peers)
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
        yield Measurement(f"{name}_n1_ms", 1000 * spent.answering, "ms", of)
        return
    yield Measurement(f"{name}_{subjects}_subjects_per_s", subjects / spent.answering, "1/s", of)


def _of_many(name: str, subjects: int, spent: Spent) -> Iterator[Measurement]:
    """What hardly depends on the number of subjects, if there are many."""
    of: dict[str, Parameter] = {"nodes": NODES, "subjects": subjects}
    prefix = "" if name == "score" else f"{name}_"
    yield Measurement(f"{prefix}audit_to_compute_ratio", spent.replaying / spent.answering, "1", of)
    parts = {part: round(getattr(spent, f"{part}_bytes") / subjects, 1) for part in ("shared", "dealt", "exchanged")}
    yield Measurement(f"{name}_bytes_per_subject", spent.bytes_sent / subjects, "bytes", {**of, **parts})


def _ratios(seconds: Mapping[str, float], peers: Mapping[str, float]) -> Iterator[Measurement]:
    """How many times as fast as peers, for those that were measured."""
    for name, ours, theirs in RATIOS:
        if theirs not in peers or ours not in seconds:
            continue
        subjects = int(ours.rsplit("_", 1)[1])
        rate = subjects / seconds[ours]
        ratio = rate * peers[theirs] / 1000 if theirs.endswith("_ms") else rate / peers[theirs]
        yield Measurement(name, ratio, "1", {theirs: round(peers[theirs], 3)})


def _peers() -> dict[str, float]:
    """Figures of `make bench-peers` by name; none if it has not run."""
    path = OUT / "peers.json"
    if not path.exists():
        print("no ratios to other systems: make bench-peers has not run")
        return {}
    return {figure["name"]: figure["value"] for figure in json.loads(path.read_text(encoding="utf-8"))}
