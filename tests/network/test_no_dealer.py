"""The main job over eight processes, none of which deals: the nodes make their correlations by oblivious transfers."""

import asyncio
import csv
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpcnode.client import Answer
from mpcnode.devnet import processes
from mpcnode.devnet.control import report
from mpcnode.types import CorrelationSource
from tests.support.devnet import MODEL, MPC, PURPOSE, Devnet, cli, wait_for

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

UNKNOWN = "DE-Q0000000"
STOCK = 16


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    net = Devnet(tmp_path_factory.mktemp("net") / "n", CorrelationSource.OT)
    try:
        cli("devnet", "up", str(net.layout.root))
        yield net
    finally:
        net.close()


def check(net: Devnet, subject: str, answer: Answer) -> None:
    expected = net.truth().expect(subject).outcome
    assert (answer.grade, answer.coverage_band) == (expected.grade, expected.coverage_band)
    assert (answer.audit, answer.correlations, answer.verdict) == ("after release", "ot", "MATCH")
    assert answer.attempt == 1


def in_stock(net: Devnet) -> set[int | None]:
    """Sessions that each MPC node has correlations for."""
    reports = {one.name: one.status for one in asyncio.run(report(net.layout))}
    return {
        None if status is None else status.counters.get("correlations_in_stock") for status in map(reports.get, MPC)
    }


def test_queries_draw_from_stock_and_a_restart_burns_it(devnet: Devnet) -> None:
    subject = devnet.truth().subjects()[0]
    check(devnet, subject, devnet.ask(subject, wait_audit=True))
    wait_for(lambda: in_stock(devnet) == {STOCK}, "stock at every node")
    check(devnet, subject, devnet.ask(subject, wait_audit=True))
    assert in_stock(devnet) == {STOCK - 1}
    devnet.kill(MPC[-1], signal.SIGTERM)
    wait_for(lambda: processes.running(devnet.layout.node(MPC[-1])) is None, "its end")
    devnet.start(MPC[-1])
    devnet.wait_ready()
    check(devnet, subject, devnet.ask(subject, wait_audit=True))
    wait_for(lambda: in_stock(devnet) == {STOCK}, "stock at every node again")
    check(devnet, UNKNOWN, devnet.ask(UNKNOWN, wait_audit=True))
    assert in_stock(devnet) == {STOCK - 1}


def test_answers_equal_the_clear_evaluation_one_by_one_and_at_once(devnet: Devnet) -> None:
    subjects = [*devnet.truth().subjects()[:3], UNKNOWN]

    async def ask_all() -> list[Answer]:
        return await asyncio.gather(*(asyncio.to_thread(devnet.ask, who, wait_audit=True) for who in subjects))

    check(devnet, subjects[0], devnet.ask(subjects[0], wait_audit=True))
    for subject, answer in zip(subjects, asyncio.run(ask_all()), strict=True):
        check(devnet, subject, answer)


def test_thousands_of_subjects_are_answered_as_in_clear(devnet: Devnet, tmp_path: Path) -> None:
    known = devnet.truth().subjects()
    subjects = [UNKNOWN if place % 10 == 0 else known[place % len(known)] for place in range(5_000)]  # two chunks
    asked, answers = tmp_path / "subjects.txt", tmp_path / "answers.csv"
    asked.write_text("\n".join(subjects) + "\n")
    profile = str(devnet.layout.profile)
    options = ("--profile", profile, "--model", MODEL, "--purpose", PURPOSE)
    cli("query", "batch", *options, "--subjects", str(asked), "--out", str(answers))
    clear = {subject: devnet.truth().expect(subject).outcome.grade for subject in set(subjects)}
    with answers.open(newline="") as file:
        found = [(row["subject"], row["answer"]) for row in csv.DictReader(file)]
    assert found == [(subject, clear[subject] or "insufficient") for subject in subjects]


def test_people_are_told_what_the_audit_compared(devnet: Devnet) -> None:
    answer = devnet.ask(UNKNOWN, wait_audit=True)
    shown = cli("query", "show", answer.query, "--profile", str(devnet.layout.profile), check=False).stdout
    assert "the outcome only, no messages: the nodes made their randomness themselves (ot)" in shown
    document = str(devnet.layout.consortium)
    proven = cli("receipt", "verify", str(devnet.receipt(answer.query)), "--consortium", document).stdout
    assert "audit after release of the outcome only (ot), verdict MATCH" in proven


def test_the_model_is_the_demos_but_for_its_audit(devnet: Devnet) -> None:
    text = (devnet.layout.models / f"{MODEL}.toml").read_text()
    assert 'audit = "after release"' in text
