"""The main job over eight processes, none of which deals: the nodes make their correlations by oblivious transfers."""

import asyncio
from collections.abc import Iterator

import pytest

from mpcnode.client import Answer
from mpcnode.types import CorrelationSource
from tests.support.devnet import MODEL, Devnet, cli

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

UNKNOWN = "DE-Q0000000"


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


def test_answers_equal_the_clear_evaluation_one_by_one_and_at_once(devnet: Devnet) -> None:
    subjects = [*devnet.truth().subjects()[:3], UNKNOWN]

    async def ask_all() -> list[Answer]:
        return await asyncio.gather(*(asyncio.to_thread(devnet.ask, who, wait_audit=True) for who in subjects))

    check(devnet, subjects[0], devnet.ask(subjects[0], wait_audit=True))
    for subject, answer in zip(subjects, asyncio.run(ask_all()), strict=True):
        check(devnet, subject, answer)


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
