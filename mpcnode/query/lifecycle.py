"""The life cycle of a query as data (docs/protocol.md 6.4). The contract owns it; views and documents follow it.

`MOVES` is all there is: a state that no row leaves is an end, and an event that no row names changes no state.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mpcnode.errors import LocalError
from mpcnode.types import AuditMode, QueryState, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One row: in which states which calls may lead where."""

    start: tuple[QueryState, ...]
    """Empty: the query does not exist yet."""
    by: tuple[str, ...]
    """Functions of the contract."""
    to: tuple[QueryState, ...]
    """States after it."""
    modes: tuple[AuditMode, ...] = tuple(AuditMode)
    verdicts: tuple[Verdict, ...] = ()
    """For attest only."""
    note: str = ""


_BEFORE, _AFTER = (AuditMode.BEFORE_RELEASE,), (AuditMode.AFTER_RELEASE,)
_S = QueryState

MOVES: tuple[Move, ...] = (
    Move(start=(), by=("register",), to=(_S.REGISTERED,)),
    Move(
        start=(_S.REGISTERED,),
        by=("commit_input", "refuse"),
        to=(_S.REGISTERED, _S.COMPUTING, _S.REFUSED),
        note="the last of the panel moves on; REFUSED: insufficient contributors",
    ),
    Move(
        start=(_S.REGISTERED,),
        by=("close_inputs",),
        to=(_S.COMPUTING, _S.REFUSED),
        note="REFUSED: insufficient contributors",
    ),
    Move(
        start=(_S.COMPUTING,),
        by=("fail_attempt", "reject_input"),
        to=(_S.REGISTERED, _S.ABORTED),
        note="REGISTERED: the next attempt",
    ),
    Move(start=(_S.COMPUTING,), by=("post_result",), to=(_S.ANSWERED,)),
    Move(start=(_S.ANSWERED,), by=("attest",), to=(_S.RELEASED,), modes=_BEFORE, verdicts=(Verdict.MATCH,)),
    Move(start=(_S.ANSWERED,), by=("attest",), to=(_S.ABORTED,), modes=_BEFORE, verdicts=(Verdict.MISMATCH,)),
    Move(
        start=(_S.ANSWERED,),
        by=("attest",),
        to=(_S.ANSWERED,),
        modes=_BEFORE,
        verdicts=(Verdict.INCOMPLETE,),
        note="may be replaced once",
    ),
    Move(
        start=(_S.ANSWERED,),
        by=("attest",),
        to=(_S.ANSWERED,),
        modes=_AFTER,
        verdicts=tuple(Verdict),
        note="once; INCOMPLETE may be replaced once",
    ),
    Move(start=(_S.REGISTERED, _S.COMPUTING), by=("expire",), to=(_S.EXPIRED,)),
    Move(start=(_S.ANSWERED,), by=("expire",), to=(_S.EXPIRED,), modes=_BEFORE),
)

ENDS = (QueryState.RELEASED, QueryState.REFUSED, QueryState.ABORTED, QueryState.EXPIRED)
"""Ends under every mode; ANSWERED is one unless the answer waits for the audit."""


def is_end(state: QueryState, mode: AuditMode) -> bool:
    """Whether the ledger asks nothing more of anybody: a verdict may still follow an answer."""
    return state in ENDS or (state is QueryState.ANSWERED and mode is not AuditMode.BEFORE_RELEASE)


def reachable(states: Iterable[QueryState], mode: AuditMode, by: str | None = None) -> frozenset[QueryState]:
    """Return the states that one move leads to from any of these under a mode, by one function or by any."""
    given = frozenset(states)
    return frozenset(
        state
        for move in MOVES
        if mode in move.modes and given.intersection(move.start) and by in (None, *move.by)
        for state in move.to
    )


def check_move(start: QueryState, to: QueryState, mode: AuditMode, by: str | None = None) -> QueryState:
    """Return the new state if a row of the table leads to it.

    Raises:
        LocalError: none does; this program and the contract disagree.
    """
    if to not in reachable((start,), mode, by):
        raise LocalError(f"life cycle: expected a move from {start.name} under {mode.name}, got {to.name}")
    return to


def markdown() -> str:
    """Return the table as docs/protocol.md shows it."""
    return "\n".join(("| from | by | verdict | mode | to |", "|---|---|---|---|---|", *map(_row, MOVES))) + "\n"


def _row(move: Move) -> str:
    cells = (
        ", ".join(state.name for state in move.start) or "–",
        ", ".join(move.by),
        ", ".join(verdict.name for verdict in move.verdicts) or "–",
        "any" if move.modes == tuple(AuditMode) else ", ".join(_words(mode) for mode in move.modes),
        ", ".join(state.name for state in move.to) + (f" ({move.note})" if move.note else ""),
    )
    return f"| {' | '.join(cells)} |"


def _words(mode: AuditMode) -> str:
    return mode.name.lower().replace("_", " ")
