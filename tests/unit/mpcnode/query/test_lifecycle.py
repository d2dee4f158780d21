"""The table is the documents' table, and it says what it should."""

from pathlib import Path

import pytest

from mpcnode.errors import LocalError
from mpcnode.query.lifecycle import ENDS, MOVES, check_move, is_end, markdown, reachable
from mpcnode.types import AuditMode, QueryState, Verdict

S = QueryState
BEFORE, AFTER, OFF = AuditMode
DOCS = Path(__file__).resolve().parents[4] / "docs" / "protocol.md"


def test_the_documents_show_this_table():
    assert markdown() in DOCS.read_text(encoding="utf-8")


def test_ends_are_the_states_that_nothing_leaves_but_a_verdict():
    for mode in AuditMode:
        for state in QueryState:
            leaves = reachable([state], mode) - {state}
            assert is_end(state, mode) == (not leaves), (state, mode)
    assert set(ENDS) == {S.RELEASED, S.REFUSED, S.ABORTED, S.EXPIRED}


def test_every_state_is_reachable_under_some_mode():
    for mode in AuditMode:
        found = {S.REGISTERED}
        while grown := reachable(found, mode) - found:
            found |= grown
        unreached = set(QueryState) - found
        assert unreached == (set() if mode is BEFORE else {S.RELEASED})


@pytest.mark.parametrize(
    ("start", "to", "modes"),
    [
        (S.REGISTERED, S.COMPUTING, (BEFORE, AFTER, OFF)),
        (S.COMPUTING, S.REGISTERED, (BEFORE, AFTER, OFF)),
        (S.ANSWERED, S.RELEASED, (BEFORE,)),
        (S.ANSWERED, S.EXPIRED, (BEFORE,)),
        (S.ANSWERED, S.REGISTERED, ()),
        (S.REGISTERED, S.ANSWERED, ()),
        (S.REGISTERED, S.RELEASED, ()),
        (S.EXPIRED, S.REGISTERED, ()),
    ],
)
def test_moves(start, to, modes):
    for mode in AuditMode:
        if mode in modes:
            assert check_move(start, to, mode) is to
        else:
            with pytest.raises(LocalError, match=f"got {to.name}"):
                check_move(start, to, mode)


def test_only_an_attestation_depends_on_a_verdict_and_each_verdict_leads_somewhere():
    assert {move.by for move in MOVES if move.verdicts} == {("attest",)}
    for mode in (BEFORE, AFTER):
        said = [verdict for move in MOVES if mode in move.modes for verdict in move.verdicts]
        assert sorted(said) == sorted(Verdict)
    assert not [move for move in MOVES if OFF in move.modes and move.verdicts]
