"""`mpcnode query` without an operator: what is refused before anything is sent, its code and its exit code."""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from mpcnode.cli.main import main
from mpcnode.client.answers import AnswerState, pending
from mpcnode.errors import Exit
from mpcnode.types import QueryId

SUBJECT = "DE-PLANTED-4711"


@pytest.fixture
def mpcnode(own_network, monkeypatch, capfd):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mpcnode", *words])
        monkeypatch.setenv("MPCNODE_PROFILE", str(own_network.profile))
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr().err

    return run


def ask(*words, subject=SUBJECT, model="credit-rating"):
    return ("query", "ask", "--model", model, "--subject", subject, *words)


REFUSED = {
    "an unknown model": (ask(model="no-such-model"), Exit.QUERY_OUTDATED, "UNKNOWN_MODEL"),
    "a purpose that is not allowed": (ask("--purpose", "curiosity"), Exit.QUERY_NOT_ALLOWED, "PURPOSE_NOT_ALLOWED"),
    "no subject": (ask(subject=""), Exit.QUERY_REFUSED, "MALFORMED_ID"),
    "a subject too long": (ask(subject=SUBJECT * 5), Exit.QUERY_REFUSED, "MALFORMED_ID"),
    "a subject with a line break": (ask(subject=SUBJECT + "\n2"), Exit.QUERY_REFUSED, "MALFORMED_ID"),
    "nobody to ask": (ask(), Exit.UNAVAILABLE, "UNAVAILABLE"),
    "an answer that was never asked": (("query", "show", "ab" * 32), Exit.QUERY_UNKNOWN, "UNKNOWN_QUERY"),
    "an id that is none": (("query", "show", "../../etc/passwd"), Exit.QUERY_UNKNOWN, "UNKNOWN_QUERY"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_with_its_code_and_tells_no_subject(mpcnode, own_network, case):
    words, code, name = REFUSED[case]
    exit_code, err = mpcnode(*words)
    assert (exit_code, err.split(": ")[:2]) == (code, ["mpcnode", name])
    assert err.count("\n") == 1
    assert SUBJECT not in err
    answers = list((own_network.inquirer / "answers").iterdir())
    assert len(answers) == (1 if case == "nobody to ask" else 0)


@pytest.mark.parametrize(
    "other", [("--model", "credit-rating"), ("--subjects", __file__), ("--purpose", "x"), ("--consent", "y")]
)
def test_what_is_resumed_is_what_was_asked(mpcnode, other, tmp_path):
    out = ("--out", str(tmp_path / "answers.csv"))
    code, err = mpcnode("query", "batch", "--resume", "ab" * 32, *other, *out)
    assert code == Exit.USAGE
    assert "--resume goes on with what was asked" in err
    code, err = mpcnode("query", "batch", "--resume", "ab" * 32, *out)
    assert (code, err.split(": ")[1]) == (Exit.QUERY_UNKNOWN, "UNKNOWN_QUERY")


class Answering:
    """An inquirer to whom nothing is left but to show what it found."""

    def __init__(self, answer):
        self.answer = answer

    def open(self, _profile):
        return nullcontext(self)

    async def resume_many(self, _query, _out, on_step):
        on_step("fetching answers", 1, 1)
        return self.answer


ANSWERED = replace(
    pending(QueryId(b"q" * 32), model="m", subject="9 subjects", purpose="p", asked_ms=1, audit="after release"),
    state=AnswerState.ANSWERED,
    verdict="MATCH",
)


@pytest.mark.parametrize(("undecodable", "code"), [(0, Exit.OK), (2, Exit.QUERY_MISMATCH)])
def test_some_answers_that_do_not_decode_are_counted_and_an_exit_code(own_network, run, monkeypatch, undecodable, code):
    monkeypatch.setenv("MPCNODE_PROFILE", str(own_network.profile))
    monkeypatch.setattr("mpcnode.client.Inquirer", Answering(replace(ANSWERED, undecodable=undecodable)))
    resumed = ("query", "batch", "--resume", "71", "--out", "answers.csv")
    ended, out, _ = run(*resumed)
    assert ended == code
    assert ["written", "to", "answers.csv"] in [line.split() for line in out.splitlines()]
    assert ("undecodable  2 of them: no answer" in out) is bool(undecodable)
    ended, out, _ = run(*resumed, "--json")
    assert (ended, json.loads(out)["undecodable"]) == (code, undecodable)


def test_a_query_that_has_no_answer_yet_has_written_none(own_network, run, monkeypatch):
    monkeypatch.setenv("MPCNODE_PROFILE", str(own_network.profile))
    monkeypatch.setattr("mpcnode.client.Inquirer", Answering(replace(ANSWERED, state=AnswerState.PENDING)))
    ended, out, _ = run("query", "batch", "--resume", "71", "--out", "answers.csv")
    assert (ended, "written" in out) == (Exit.QUERY_NOT_READY, False)


def test_a_key_that_the_consortium_does_not_list_is_refused(mpcnode, own_network):
    """An inquirer that is not registered: its key is another than the document's."""
    other = own_network.node("operator").keys / "identity.key"
    (own_network.inquirer / "inquirer.key").write_bytes(other.read_bytes())
    assert mpcnode(*ask())[0] == Exit.KEYS


@pytest.mark.parametrize(("verdict", "code"), [("MATCH", Exit.OK), (None, Exit.OK), ("MISMATCH", Exit.QUERY_MISMATCH)])
def test_an_answer_that_failed_its_audit_is_not_to_be_used(own_network, run, monkeypatch, verdict, code):
    """Under audit after release it was there before its verdict."""
    monkeypatch.setenv("MPCNODE_PROFILE", str(own_network.profile))
    monkeypatch.setattr("mpcnode.client.Inquirer", Answering(replace(ANSWERED, verdict=verdict)))
    resumed = ("query", "batch", "--resume", "71", "--out", "answers.csv")
    ended, out, _ = run(*resumed)
    assert (ended, "do not use this answer" in out) == (code, verdict == "MISMATCH")
    ended, out, _ = run(*resumed, "--json")
    assert (ended, json.loads(out)["verdict"]) == (code, verdict)
