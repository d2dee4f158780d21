"""What companies proposed, read from the real contracts' events and state."""

import asyncio
from collections.abc import Sequence

import pytest

from ledger.contract.proposals import encode_proposal
from ledger.ports import FoundLog
from ledger.types import Height, Log, Millis
from mpcnode.governance.proposals import Proposal, ProposalState, RawCall, read_proposals, votes_needed
from tests.support.contracts import World
from tests.support.council import DAY_MS, Council, assembly

SUSPEND, RESUME = (RawCall(*encode_proposal(f"members.{name}", 5)) for name in ("suspend", "resume"))


class Blocks:
    """A council whose receipts are kept, each as if in a block of its own, with empty blocks before it."""

    def __init__(self, gap: int = 1) -> None:
        self.world = World(genesis=assembly(6))
        self.council = Council(self.world)
        self.logs: dict[Height, Sequence[Log]] = {}
        self.searched: list[tuple[int, int]] = []
        self.gap, self.newest = gap, Height(0)

    def keep(self, receipt):
        assert receipt.ok, receipt.reason
        self.newest = Height(self.newest + self.gap)
        self.logs[self.newest] = receipt.logs

    async def view(self, method, *args):
        return self.world.view(method, *args)

    async def find_logs(self, first, last, address, topic):
        self.searched.append((first, last))
        return tuple(
            FoundLog(height=height, tx_index=0, log_index=index, log=log)
            for height, logs in self.logs.items()
            for index, log in enumerate(logs)
            if first <= height <= last and (log.address, log.topics[0]) == (address, topic)
        )

    def read(self, now: int | None = None, only: int | None = None) -> list[Proposal]:
        async def read():
            at = Millis(self.world.now if now is None else now)
            return [found async for found in read_proposals(self.view, self.find_logs, self.newest, at, only)]

        return asyncio.run(read())


@pytest.fixture
def blocks():
    return Blocks()


def test_a_chain_without_proposals_is_not_searched(blocks):
    blocks.newest = Height(1_000_000)
    assert blocks.read() == []
    assert blocks.searched == []


def test_proposals_come_in_order_with_calls_and_votes(blocks):
    blocks.keep(blocks.council.propose(2, "members.suspend", 5))
    blocks.keep(blocks.council.vote(0, 0))
    blocks.keep(blocks.council.vote(4, 0, approve=False))
    blocks.keep(blocks.council.propose(3, "members.resume", 5))
    first, second = blocks.read()
    assert (first.id, first.company, first.call, first.height) == (0, 2, SUSPEND, 1)
    assert (first.ballot.state, first.ballot.yes, first.ballot.no) == (ProposalState.OPEN, (0, 2), (4,))
    assert (second.id, second.company, second.call, second.height) == (1, 3, RESUME, 4)
    assert first.closes_ms == blocks.world.now + DAY_MS


def test_what_was_decided_says_so(blocks):
    blocks.keep(blocks.council.propose(0, "members.suspend", 5))
    for voter in (1, 2, 3, 4):
        blocks.keep(blocks.council.vote(voter, 0))
    blocks.keep(blocks.council.propose(0, "members.resume", 5))
    for voter in (1, 2):
        blocks.keep(blocks.council.vote(voter, 1, approve=False))
    assert [proposal.ballot.state for proposal in blocks.read()] == [ProposalState.APPROVED, ProposalState.REJECTED]


def test_an_open_proposal_is_closed_when_its_time_is_over(blocks):
    blocks.keep(blocks.council.propose(0, "members.suspend", 5))
    (proposal,) = blocks.read()
    for now, state in ((proposal.closes_ms, ProposalState.OPEN), (proposal.closes_ms + 1, ProposalState.CLOSED)):
        assert blocks.read(now)[0].ballot.state is state


def test_a_decided_proposal_is_not_closed_by_time(blocks):
    blocks.keep(blocks.council.propose(0, "members.suspend", 5))
    for voter in (1, 2, 3, 4):
        blocks.keep(blocks.council.vote(voter, 0))
    assert blocks.read(blocks.world.now + 2 * DAY_MS)[0].ballot.state is ProposalState.APPROVED


def test_one_proposal_is_read_alone():
    blocks = Blocks(gap=300)
    for _ in range(3):
        blocks.keep(blocks.council.propose(0, "members.suspend", 5))
    assert [proposal.id for proposal in blocks.read(only=1)] == [1]
    assert blocks.searched[-1][1] < blocks.newest  # later blocks are left alone
    assert blocks.read(only=3) == []


def test_a_long_chain_is_searched_piece_by_piece_and_whole():
    blocks = Blocks(gap=300)
    for _ in range(4):
        blocks.keep(blocks.council.propose(1, "members.suspend", 5))
    assert [proposal.height for proposal in blocks.read()] == [300, 600, 900, 1200]
    assert max(last - first for first, last in blocks.searched) < 256
    assert [first for first, _ in blocks.searched[1:]] == [last + 1 for _, last in blocks.searched[:-1]]


@pytest.mark.parametrize(("companies", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7)])
def test_more_than_two_thirds_are_needed(companies, needed):
    assert votes_needed(companies) == needed
    assert 3 * needed > 2 * companies >= 3 * (needed - 1)
