"""Queries about many subjects over eight daemons: `mpcnode query batch`, from the file of subjects to that of answers.

Every answer is compared with the evaluation in clear.
"""

import asyncio
import csv
import itertools
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from mpcnode.config.node import load_node
from mpcnode.config.profile import load_profile
from mpcnode.devnet.control import report
from mpcnode.devnet.plan import Layout
from scripts.bench.network import MODEL, PURPOSE, mpcnode, network
from scripts.bench.registry import Measurement, Parameter, benchmark
from scripts.demo.expectation import Truth

ROOT = Path("build/bench/batch")
SIZES = (1_000, 100_000, 1_000_000)


class WrongAnswerError(Exception):
    """An answer is not the one in clear."""


@benchmark("batch")
def batch() -> list[Measurement]:
    """Measure time of the whole command, and the most memory that a daemon took so far."""
    return measure(SIZES, ROOT)


def measure(sizes: Sequence[int], root: Path) -> list[Measurement]:
    """Ask once about each number of subjects, in ascending order."""
    figures = []
    with network(root) as layout:
        truth = _truth(layout)
        for size in sizes:
            known = itertools.cycle(truth.subjects())
            subjects = list(itertools.islice(known, size))
            seconds = _ask(layout, subjects, root)
            _check(truth, subjects, root / "answers.csv")
            params: dict[str, Parameter] = {"daemons": 8, "cores": os.cpu_count() or 0, "audit": "before release"}
            figures += [
                Measurement(f"batch_{size}_s", seconds, "s", params),
                Measurement(f"batch_{size}_peak_rss_mb", _peak_mb(layout), "MB", params),
            ]
    return figures


def _truth(layout: Layout) -> Truth:
    profile = load_profile(layout.profile)
    files = {}
    for member in profile.consortium.members:
        records = load_node(layout.node(member.name).config).records
        if records is not None:
            files[member.name] = records.file
    return Truth(profile.consortium, MODEL, profile.inquirer.company, files)


def _ask(layout: Layout, subjects: Sequence[str], root: Path) -> float:
    """Run the command; return how long it took, s."""
    asked, answers = root / "subjects", root / "answers.csv"
    asked.write_text("\n".join(subjects), encoding="utf-8")
    began = time.perf_counter()
    paths = ("--profile", str(layout.profile), "--subjects", str(asked), "--out", str(answers))
    mpcnode("query", "batch", "--model", MODEL, "--purpose", PURPOSE, *paths)
    return time.perf_counter() - began


def _check(truth: Truth, subjects: Sequence[str], answers: Path) -> None:
    clear = {subject: truth.expect(subject).outcome.grade or "insufficient" for subject in set(subjects)}
    with answers.open(encoding="utf-8", newline="") as file:
        for subject, row in zip(subjects, csv.DictReader(file), strict=True):
            if (row["subject"], row["answer"]) != (subject, clear[subject]):
                raise WrongAnswerError(f"{subject}: expected {clear[subject]}, got {row['answer']} of {row['subject']}")


def _peak_mb(layout: Layout) -> float:
    """The most that any daemon held so far, MB."""
    pids = [item.process.pid for item in asyncio.run(report(layout)) if item.process is not None]
    stated = [Path(f"/proc/{pid}/status").read_text(encoding="ascii") for pid in pids]
    return max(int(found.group(1)) for text in stated if (found := re.search(r"VmHWM:\s+(\d+) kB", text))) * 1024 / 1e6
