"""The joint computation over eight daemons with mutual TLS: `score`, `max` and `scorecard`, one subject to a million.

The clock runs from when the first node of the committee saw the block that commits the last input until every node of
it had formed its output share, as their logs say: dealing, the signatures of messages and flushes, and whatever else
the daemons do on the same cores are in it. Beside it: from asking to the opened answer, as the client sees it. Every
answer is compared with the one in clear. Ratios are to what `make bench-peers` measured here, three bare processes on
the same cores; they are left out where it has not run. One subject has a floor, too (`scripts.bench.floor`).
"""

import asyncio
import csv
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcnode.client import AnswerState, Inquirer
from mpcnode.devnet.control import report
from mpcnode.devnet.plan import Layout
from mpcnode.mpc import Batch, corrections_size
from scripts.bench import batch, floor, paillier, score_core
from scripts.bench.companies import AUDITS, PURPOSE, Companies
from scripts.bench.network import network
from scripts.bench.registry import OUT, Measurement, Parameter, benchmark
from scripts.bench.timeline import Timeline, timeline
from scripts.bench.transfers import transfers
from scripts.bench.works import ModelWork

ROOT = Path("build/bench/score")
NODES = 3
WORKS = ("score", "max", "scorecard")
DEFAULT = "before release"
"""The audit mode of the figures that name none; it is in their parameters."""

MILLION = 1_000_000
ENCRYPTION_RATIO = "paillier_encrypt_3072_phe_ratio"

RATIOS = (
    ("score_100000_mpyc_ratio", "score_100000_subjects_per_s", "score_10000_mpyc_subjects_per_s"),
    ("score_100000_spu_aby3_ratio", "score_100000_subjects_per_s", "score_100000_spu_aby3_subjects_per_s"),
    ("score_100000_spu_semi2k_ratio", "score_100000_subjects_per_s", "score_100000_spu_semi2k_subjects_per_s"),
    ("max_100000_mpyc_ratio", "max_100000_subjects_per_s", "max_10000_mpyc_subjects_per_s"),
    ("max_100000_spu_aby3_ratio", "max_100000_subjects_per_s", "max_100000_spu_aby3_subjects_per_s"),
    ("score_n1_mpyc_ratio", "score_n1_ms", "score_n1_mpyc_ms"),
    ("score_n1_spu_aby3_ratio", "score_n1_ms", "score_n1_spu_aby3_ms"),
)
"""Name, our figure, a peer's figure: how many times its rate; of one subject, which part of its time."""


class WrongAnswerError(Exception):
    """An answer is not the one in clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    works: tuple[str, ...] = WORKS
    sizes: tuple[tuple[int, int], ...] = ((1, 21), (1000, 7), (100_000, 5), (1_000_000, 1))
    """Numbers of subjects, and queries about each, after one to warm up if it is more than one: the median counts."""
    many: int = 100_000
    """One of the sizes: of it come bytes and the audit's part."""
    default_only: int = 1_000_000
    """From so many subjects on, other audit modes than the default are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query."""

    ask_s: float
    """From asking to the opened answer."""
    computed: Timeline
    cpu_s: Mapping[str, float]
    """Processor time of each daemon from asking to the opened answer."""
    loopback_bytes: int
    """What the machine sent to itself meanwhile, whoever it was."""


@benchmark("score")
def score() -> list[Measurement]:
    """Measure everything, compare with peers, and add what other benchmarks say of the joint computation."""
    figures = measure(Extent(), ROOT)
    one = next(figure for figure in figures if figure.name == "score_n1_ms")
    least = floor.measure(floor.Extent(), floor.ROOT, one)
    return [*figures, *least, *ratios(figures, _peers()), *_of_others()]


def _of_others() -> Iterator[Measurement]:
    """The command about a million subjects, correlations by `ot`, encryption for those by `paillier`."""
    yield from batch.measure((MILLION,), batch.ROOT)
    yield transfers(score_core.Extent().transfer_subjects)
    yield from (one for one in paillier.measure(paillier.Extent()) if one.name == ENCRYPTION_RATIO)


def measure(extent: Extent, root: Path) -> list[Measurement]:
    """Measure to some extent, in a network of its own."""
    companies, demo = Companies(extent.works), root.with_name(f"{root.name}-companies")
    shutil.rmtree(demo, ignore_errors=True)
    companies.write(demo)
    figures: list[Measurement] = []
    with network(root, demo) as layout:
        for work in extent.works:
            for (subjects, runs), audit in itertools.product(extent.sizes, AUDITS):
                if audit != DEFAULT and subjects >= extent.default_only:
                    continue
                asked = asyncio.run(_Asking(companies, layout, work, audit).median(subjects, runs))
                figures += _figures(work, audit, subjects, runs, asked)
                if subjects == extent.many and audit == DEFAULT:
                    figures += _of_many(work, subjects, asked)
    return figures


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks one model."""

    companies: Companies
    layout: Layout
    work: str
    audit: str

    async def median(self, subjects: int, runs: int) -> Asked:
        """The query whose computation took the median time."""
        async with Inquirer.open(self.layout.profile) as inquirer:
            if runs > 1:
                await self._ask(inquirer, subjects, 0)
            asked = [await self._ask(inquirer, subjects, run) for run in range(runs)]
        return sorted(asked, key=lambda one: one.computed.seconds)[len(asked) // 2]

    async def _ask(self, inquirer: Inquirer, subjects: int, run: int) -> Asked:
        model, known = self.work + AUDITS[self.audit], self.companies.subjects
        asked = list(itertools.islice(itertools.cycle(known), run, run + subjects))
        before, sent_before = await _cpu_s(self.layout), _loopback_bytes()
        if subjects == 1:
            began = time.perf_counter()
            answer = await inquirer.ask(model, asked[0], purpose=PURPOSE)
            seconds = time.perf_counter() - began
            grades = [(asked[0], answer.grade)]
        else:
            listed, out = self.layout.root / "asked", self.layout.root / "answers.csv"
            listed.write_text("\n".join(asked), encoding="utf-8")
            began = time.perf_counter()
            answer = await inquirer.ask_many(model, listed, out, purpose=PURPOSE)
            seconds = time.perf_counter() - began
            grades = _read(out) if answer.state is AnswerState.ANSWERED else []
        sent, after = _loopback_bytes() - sent_before, await _cpu_s(self.layout)
        if answer.state is not AnswerState.ANSWERED:
            raise WrongAnswerError(f"{model}: expected an answer, the query was {answer.state} ({answer.reason})")
        self._check(asked, grades)
        return Asked(
            ask_s=seconds,
            computed=timeline(self.layout, answer.query, NODES),
            cpu_s={name: after[name] - before[name] for name in after},
            loopback_bytes=sent,
        )

    def _check(self, asked: Sequence[str], grades: Sequence[tuple[str, str | None]]) -> None:
        right = dict(zip(self.companies.subjects, self.companies.answers[self.work], strict=True))
        for subject, (told, grade) in zip(asked, grades, strict=True):
            if (told, grade) != (subject, right[subject]):
                raise WrongAnswerError(f"{self.work}, {subject}: expected {right[subject]}, got {grade} of {told}")


def _figures(work: str, audit: str, subjects: int, runs: int, asked: Asked) -> Iterator[Measurement]:
    computed = asked.computed
    of: dict[str, Parameter] = {
        "daemons": len(asked.cpu_s),
        "nodes": NODES,
        "cores": os.cpu_count() or 0,
        "audit": audit,
        "subjects": subjects,
        "runs": runs,
    }
    cpu: dict[str, Parameter] = {f"cpu_s_{name}": round(seconds, 3) for name, seconds in asked.cpu_s.items()}
    stages: dict[str, Parameter] = {"chunks": computed.chunks, "rounds": computed.rounds, **computed.stages}
    name = work if audit == DEFAULT else f"{work}_{audit}"
    if subjects == 1:
        yield Measurement(f"{name}_n1_ms", 1000 * computed.seconds, "ms", {**of, **stages})
        yield Measurement(f"ask_{name}_n1_ms", 1000 * asked.ask_s, "ms", {**of, **cpu})
        return
    yield Measurement(f"{name}_{subjects}_subjects_per_s", subjects / computed.seconds, "1/s", {**of, **stages})
    yield Measurement(f"ask_{name}_{subjects}_s", asked.ask_s, "s", {**of, **cpu})


def _of_many(work: str, subjects: int, asked: Asked) -> Iterator[Measurement]:
    """What hardly depends on the number of subjects, if there are many."""
    of: dict[str, Parameter] = {"nodes": NODES, "subjects": subjects, "audit": DEFAULT}
    prefix = "" if work == "score" else f"{work}_"
    ratio = asked.computed.audit_s / asked.computed.seconds
    yield Measurement(f"{prefix}audit_to_compute_ratio", ratio, "1", {**of, "audit_s": asked.computed.audit_s})
    parts = _bytes(ModelWork(work, subjects).batch(NODES, subjects))
    each: dict[str, Parameter] = {part: round(size / subjects, 1) for part, size in parts.items()}
    yield Measurement(f"{work}_bytes_per_subject", sum(parts.values()) / subjects, "bytes", {**of, **each})
    yield Measurement(f"ask_{work}_bytes_per_subject", asked.loopback_bytes / subjects, "bytes", of)


def _bytes(batch: Batch) -> Mapping[str, int]:
    """What is sent for a computation, all to all: of any other size daemons take nothing."""
    programs = [batch.program(chunk) for chunk in range(batch.chunks)]
    return {
        "shared": sum(shape.size for program in programs for shape in program.body.rows),
        "dealt": sum(corrections_size(program) for program in programs),
        "exchanged": NODES * (NODES - 1) * sum(size for program in programs for size in program.round_bytes),
    }


def ratios(figures: Sequence[Measurement], peers: Mapping[str, float]) -> Iterator[Measurement]:
    """Say our figures in terms of peers', for those that were measured."""
    ours = {figure.name: figure for figure in figures}
    for name, mine, theirs in RATIOS:
        if theirs not in peers or mine not in ours:
            continue
        figure = ours[mine]
        ratio = figure.value / peers[theirs]
        audit = figure.params["audit"]
        yield Measurement(
            name, ratio, "1", {mine: round(figure.value, 3), theirs: round(peers[theirs], 3), "audit": audit}
        )


def _peers() -> dict[str, float]:
    """Figures of `make bench-peers` by name; none if it has not run."""
    path = OUT / "peers.json"
    if not path.exists():
        print("no ratios to other systems: make bench-peers has not run")
        return {}
    return {figure["name"]: figure["value"] for figure in json.loads(path.read_text(encoding="utf-8"))}


def _read(answers: Path) -> list[tuple[str, str | None]]:
    with answers.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1]) for row in itertools.islice(csv.reader(file), 1, None)]


async def _cpu_s(layout: Layout) -> dict[str, float]:
    """Processor time that each daemon has used."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = {}
    for daemon in await report(layout):
        if daemon.process is not None:
            used[daemon.name] = _ticks(daemon.process.pid) / ticks
    return used


def _ticks(pid: int) -> int:
    """Clock ticks that a process has used (proc(5), stat, fields 14 and 15)."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return int(stat[11]) + int(stat[12])


def _loopback_bytes() -> int:
    """Bytes that the machine sent to itself so far, with TCP's and IP's headers."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii")
    found = re.search(r"\blo:\s*(\d+)", lines)
    return int(found.group(1)) if found else 0
