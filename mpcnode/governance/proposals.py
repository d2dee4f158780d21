"""What companies propose and how they voted: read from the ledger, whoever can read its events and its state."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum

from ledger.contract.abi import decode_log, event_topic
from ledger.contract.artefacts import ADDRESSES
from ledger.ports import FoundLog
from ledger.types import Address, Height, Millis, TxId
from mpcnode.governance.standing import View, number_of
from mpcnode.types import CompanyIndex, members_of

FindLogs = Callable[[Height, Height, Address, bytes], Awaitable[tuple[FoundLog, ...]]]
"""Finds events: of blocks from a height to a height, of a contract, with a first topic."""

_STRIDE = 256
"""Blocks that are searched at once; a replica goes on in between."""


class ProposalState(IntEnum):
    """Where a proposal is; the numbers up to 3 are the contract's."""

    OPEN = 1
    APPROVED = 2
    REJECTED = 3
    CLOSED = 4
    """Its time is over, and it was not decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """How companies voted on a proposal, and what came of it."""

    state: ProposalState
    yes: tuple[CompanyIndex, ...]
    no: tuple[CompanyIndex, ...]


@dataclass(frozen=True, slots=True)
class RawCall:
    """The bytes of a call, which companies vote on; `ledger.contract.proposals` reads them."""

    target: int
    """Number of the contract."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One call that a company proposed."""

    id: int
    company: CompanyIndex
    call: RawCall
    closes_ms: Millis
    height: Height
    """Of the block with the proposal."""
    ballot: Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A proposal or vote of ours that is final."""

    id: int
    """Of the proposal."""
    height: Height
    tx_id: TxId
    ballot: Ballot
    """As of the newest block, this vote included."""


def votes_needed(companies: int) -> int:
    """Return how many companies must say yes, of those that have a voice."""
    return 2 * companies // 3 + 1


async def read_proposals(
    view: View, find_logs: FindLogs, newest: Height, now: Millis, only: int | None = None
) -> AsyncIterator[Proposal]:
    """Read proposals, the oldest first.

    Args:
        view: reads the contracts' newest state.
        find_logs: reads events of final blocks.
        newest: height of the newest block.
        now: whether an open proposal's time is over.
        only: the id of the one that is wanted; nothing comes if there is none.
    """
    (count,) = await view("governance.proposal_count")
    left = number_of(count)
    if only is not None and only >= left:
        return
    address, topic = ADDRESSES["governance"], event_topic("governance", "Proposed")
    for first in range(0, newest + 1, _STRIDE):
        if not left:
            return
        for found in await find_logs(Height(first), Height(min(first + _STRIDE - 1, newest)), address, topic):
            values = decode_log(found.log).values
            number, data = number_of(values["id"]), values["data"]
            if not isinstance(data, bytes):
                raise TypeError(f"expected bytes of the contract, got {type(data).__name__}")
            left -= 1
            if only in {None, number}:
                yield Proposal(
                    id=number,
                    company=CompanyIndex(number_of(values["company"])),
                    call=RawCall(number_of(values["target"]), data),
                    closes_ms=Millis(number_of(values["closes_at"])),
                    height=found.height,
                    ballot=await read_ballot(view, number, now),
                )
            if only == number:
                return


async def read_ballot(view: View, number: int, now: Millis) -> Ballot:
    """Read how companies voted on a proposal that there is."""
    state, _, _, _, yes, no, closes_at = await view("governance.proposal", number)
    found = ProposalState(number_of(state))
    is_over = found is ProposalState.OPEN and number_of(closes_at) < now
    return Ballot(state=ProposalState.CLOSED if is_over else found, yes=_companies(yes), no=_companies(no))


def _companies(bitmap: object) -> tuple[CompanyIndex, ...]:
    return tuple(CompanyIndex(index) for index in members_of(number_of(bitmap)))
