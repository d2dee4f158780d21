"""Queries about thousands of subjects over eight processes: right answers, private files, going on after a break."""

import csv
import itertools
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnet import MODEL, PURPOSE, Devnet, cli
from tests.support.tools import ROOT

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

SUBJECTS = 36_000
"""Two chunks and a part of one."""


@pytest.fixture(scope="module")
def net(devnet: Devnet) -> Iterator[Devnet]:
    cli("devnet", "up", str(devnet.layout.root))
    yield devnet
    cli("devnet", "down", str(devnet.layout.root))


@pytest.fixture(scope="module")
def subjects(net: Devnet) -> list[str]:
    """Known and unknown ones, many of them more than once."""
    known = itertools.cycle(net.truth().subjects())
    return [f"DE-Q{place:07d}" if place % 10 == 0 else next(known) for place in range(SUBJECTS)]


def batch(net: Devnet, *arguments: str, step: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; with `step`, kill it when it says that it begins with that."""
    command = [
        sys.executable,
        "-m",
        "mpcnode",
        "query",
        "batch",
        "--profile",
        str(net.layout.inquirer / "profile.toml"),
    ]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stderr is not None
        told = []
        for line in child.stderr:
            told.append(line.strip())
            if told[-1] == step:
                child.send_signal(signal.SIGKILL)
        output = child.stdout.read() if child.stdout is not None else ""
    return subprocess.CompletedProcess(command, child.returncode, output, "\n".join(told))


def check_answers(net: Devnet, path: Path, subjects: list[str]) -> None:
    """Every answer is the clear evaluation's, in the order of the questions."""
    truth = net.truth()
    clear = {subject: truth.expect(subject).outcome for subject in set(subjects)}
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["subject"] for row in found] == subjects
    for row in found:
        outcome = clear[row["subject"]]
        assert row["answer"] == (outcome.grade or "insufficient")
        assert row["coverage_band"] == ("" if outcome.coverage_band is None else str(outcome.coverage_band))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def asked(
    net: Devnet, tmp_path: Path, subjects: list[str], step: str | None = None
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "subjects").write_text("\n".join(subjects))
    paths = ("--subjects", str(tmp_path / "subjects"), "--out", str(tmp_path / "answers.csv"))
    return batch(net, "--model", MODEL, "--purpose", PURPOSE, *paths, step=step)


def test_every_answer_is_the_clear_evaluations(net: Devnet, tmp_path: Path, subjects: list[str]) -> None:
    done = asked(net, tmp_path, subjects)
    assert done.returncode == 0, done.stderr
    assert "MATCH" in done.stdout
    check_answers(net, tmp_path / "answers.csv", subjects)
    left = {path.suffix for path in (net.layout.inquirer / "answers").iterdir()}
    assert ".batch" not in left
    assert not list((net.layout.inquirer / "answers" / "blobs").iterdir())
    (query,) = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("query")]
    receipt = net.layout.inquirer / "answers" / f"{query}.receipt"
    cli("receipt", "verify", str(receipt), "--consortium", str(net.layout.root / "consortium.toml"))


@pytest.mark.parametrize("step", ["sending pseudonyms", "waiting", "computing", "fetching answers"])
def test_a_client_that_was_killed_goes_on(net: Devnet, tmp_path: Path, subjects: list[str], step: str) -> None:
    killed = asked(net, tmp_path, subjects, step)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "answers.csv").exists()
    query = killed.stderr.splitlines()[1]
    done = batch(net, "--resume", query, "--out", str(tmp_path / "answers.csv"))
    assert done.returncode == 0, done.stderr
    assert query in done.stdout
    check_answers(net, tmp_path / "answers.csv", subjects)


def test_nothing_of_a_subject_is_in_clear_at_a_daemon(net: Devnet, subjects: list[str]) -> None:
    """Of those that no company knows: what is asked about them stays sealed wherever it lies."""
    unknown = subjects[0].encode()
    for name in net.names:
        for path in (net.layout.nodes / name / "data").rglob("*"):
            if path.is_file():
                assert unknown not in path.read_bytes(), path
