"""Output bits that are no answer: one subject's spoil no other's answer, and whoever asked learns what to do."""

import json

import pytest

from mpcnode.client.answers import AnswerState, Kept, pending
from mpcnode.errors import ResultError
from mpcnode.mpc import join_output
from mpcnode.types import QueryId
from tests.support.consortium import ALICE, NOBODY_KNOWS
from tests.support.flow import Flow
from tests.support.inquirers import client_of, files, subjects_in, unfinished
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

MANY = (ALICE, NOBODY_KNOWS, ALICE)


@pytest.fixture
def one_undecodable(monkeypatch):
    """Some node, or a participant's value, makes the second subject's output rise where it may only fall."""

    def joined(shares):
        return bytes(byte ^ (0b1000 if place == 1 else 0) for place, byte in enumerate(join_output(shares)))

    monkeypatch.setattr("mpcnode.client.opening.join_output", joined)


def test_one_undecodable_answer_spoils_no_others(tmp_path, one_undecodable):
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            out = tmp_path / "answers.csv"
            answer = await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out)
            assert (answer.state, answer.undecodable) == (AnswerState.ANSWERED, 1)
            clear = flow.clear(ALICE)
            right = f"{ALICE},{clear.grade},{clear.coverage_band}"
            assert out.read_text().splitlines()[1:] == [right, f"{NOBODY_KNOWS},undecodable,", right]
            assert unfinished(tmp_path) == []
            kept = files(tmp_path).load(answer.query)
            assert (kept.answer, kept.result_secret) == (answer, None)
            assert await inquirer.show(answer.query[:8]) == answer

    run(scenario())


def test_answers_of_an_earlier_release_are_read(tmp_path):
    path = tmp_path / "answers" / f"{'ab' * 32}.json"
    answer = pending(QueryId(b"\xab" * 32), model="m", subject="s", purpose="p", asked_ms=1, audit="off")
    files(tmp_path).keep(Kept(answer=answer, result_secret=None, consent_salt=b""))
    document = json.loads(path.read_text())
    del document["answer"]["undecodable"]
    path.write_text(json.dumps(document))
    assert files(tmp_path).load("ab" * 32).answer == answer


@pytest.mark.parametrize(
    ("wait_audit", "audited"), [(True, "the audit says MATCH"), (False, "no verdict of an audit yet")]
)
def test_an_answer_about_one_that_does_not_decode_says_what_to_do(wait_audit, audited, tmp_path, monkeypatch):
    monkeypatch.setattr("mpcnode.client.opening.join_output", lambda _: b"\x08")

    async def scenario():
        async with Flow() as flow:
            inquirer, _ = client_of(flow, tmp_path)
            with pytest.raises(ResultError, match=f"does not decode.*{audited}.*ask anew, and show") as raised:
                await inquirer.ask("credit-rating", ALICE, wait_audit=wait_audit)
            (receipt,) = (tmp_path / "answers").glob("*.receipt")
            assert str(receipt) in str(raised.value)
            assert ALICE not in str(raised.value)
            assert files(tmp_path).load(receipt.stem).result_secret is not None

    run(scenario())
