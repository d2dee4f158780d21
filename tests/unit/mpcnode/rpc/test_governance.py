"""Proposals and votes over the control socket: what arrives, and what is said when no answer does."""

import asyncio
import os
from dataclasses import replace

import pytest

from ledger.types import Height, Millis, TxId
from mpcnode.config.node import load_node
from mpcnode.errors import CallerError, ErrorCode, RevertedError, UnavailableError
from mpcnode.governance.models import Approval, Fees, RegisteredModel
from mpcnode.governance.proposals import Ballot, Proposal, ProposalState, RawCall, Submitted
from mpcnode.rpc import governance
from mpcnode.rpc.governance import Voice
from mpcnode.types import AuditMode, CompanyIndex, MemberIndex, ModelHash
from tests.support.control import serving

BALLOT = Ballot(state=ProposalState.REJECTED, yes=(CompanyIndex(0), CompanyIndex(9)), no=(CompanyIndex(127),))
DONE = Submitted(id=7, height=Height(1 << 40), tx_id=TxId(bytes(32)), ballot=BALLOT)
CALL = RawCall(3, os.urandom(2048))
LAST_CLOSING_MS = Millis((1 << 48) - 1)


def proposal(number, state=ProposalState.OPEN):
    return Proposal(
        id=number,
        company=CompanyIndex(5),
        call=CALL,
        closes_ms=LAST_CLOSING_MS,
        height=Height(1),
        ballot=Ballot(state=state, yes=(), no=()),
    )


def model(number):
    return RegisteredModel(
        model=ModelHash(number.to_bytes(32, "big")),
        classes=(1 << 128) - 1,
        minimum=128,
        audit=AuditMode.OFF,
        purposes=("p" * 32,) * 16,
        retired=bool(number & 1),
        suppliers=tuple(map(MemberIndex, range(128))),
        approved=(MemberIndex(0), MemberIndex(127)),
        reach=255,
        share=1000,
        fees=Fees(since_ms=LAST_CLOSING_MS, asked=(1 << 64) - 1, contributed=0, computed=1),
    )


APPROVAL = Approval(
    height=Height(1 << 40), tx_id=TxId(bytes(32)), model=replace(model(1), suppliers=(), purposes=(), fees=None)
)


class FakeVoice(Voice):
    """Answers as told, and keeps what it was asked."""

    def __init__(self, count=0):
        self.asked = []
        self.count = count
        self.refuses = None
        self.never = False

    async def members(self):
        raise AssertionError("expected nobody to ask for members")

    async def sign_rejoin(self, rejoin):
        raise AssertionError(f"expected nobody to sign, got {rejoin}")

    async def proposals(self, only):
        for number in range(self.count) if only is None else [only]:
            yield proposal(number, ProposalState(number % 4 + 1))

    async def propose(self, *asked):
        return await self._answer(*asked)

    async def vote(self, *asked):
        return await self._answer(*asked)

    async def models(self):
        for number in range(self.count):
            yield model(number)

    async def approve_model(self, *asked):
        await self._answer(*asked)
        return APPROVAL

    async def _answer(self, *asked):
        self.asked.append(asked)
        if self.refuses is not None:
            raise self.refuses
        if self.never:
            await asyncio.Event().wait()
        return DONE


@pytest.fixture
def node(own_network):
    return load_node(own_network.node("bank-mpc").config)


def test_what_is_asked_and_answered_arrives_whole(node):
    voice = FakeVoice()
    with serving(node, voice):
        assert asyncio.run(governance.propose(node.control, CALL, LAST_CLOSING_MS, "alice")) == DONE
        assert asyncio.run(governance.vote(node.control, proposal(7), True, "bob")) == DONE
        assert asyncio.run(governance.vote(node.control, proposal(0), False, "")) == DONE
    assert voice.asked == [(CALL, LAST_CLOSING_MS, "alice"), (7, True, CALL, "bob"), (0, False, CALL, "")]


def test_more_proposals_than_a_message_holds_arrive_in_order(node):
    count = 3_000  # of 2 KB each; a message has 4 MB at most
    with serving(node, FakeVoice(count)):
        found = asyncio.run(governance.fetch_proposals(node.control))
    assert [item.id for item in found] == list(range(count))
    assert found[6] == proposal(6, ProposalState.REJECTED)


def test_proposal_zero_is_not_all_of_them(node):
    with serving(node, FakeVoice(3)):
        assert [item.id for item in asyncio.run(governance.fetch_proposals(node.control, 0))] == [0]
        assert len(asyncio.run(governance.fetch_proposals(node.control))) == 3


def test_models_and_approvals_arrive_whole(node):
    count = 10_000  # of 0.9 KB each; a message has 4 MB at most
    voice = FakeVoice(count)
    with serving(node, voice):
        assert asyncio.run(governance.fetch_models(node.control)) == tuple(map(model, range(count)))
        for approved in (True, False):
            assert asyncio.run(governance.approve_model(node.control, model(7).model, approved, "eve")) == APPROVAL
    assert voice.asked == [(model(7).model, True, "eve"), (model(7).model, False, "eve")]


def test_a_refusal_keeps_its_code_and_words(node):
    voice = FakeVoice()
    voice.refuses = RevertedError("in these words", ErrorCode.OTHER_CALL)
    with serving(node, voice), pytest.raises(CallerError, match=r"^in these words$") as caught:
        asyncio.run(governance.vote(node.control, proposal(1), True, ""))
    assert caught.value.code is ErrorCode.OTHER_CALL


@pytest.mark.parametrize(
    ("ask", "shown_by"),
    [
        (lambda path: governance.propose(path, CALL, LAST_CLOSING_MS, "", timeout_s=0.2), "proposals"),
        (lambda path: governance.vote(path, proposal(1), True, "", timeout_s=0.2), "proposals"),
        (lambda path: governance.approve_model(path, model(1).model, True, "", timeout_s=0.2), "models"),
    ],
)
def test_an_answer_that_never_comes_leaves_the_end_open(node, ask, shown_by):
    voice = FakeVoice()
    voice.never = True
    with serving(node, voice), pytest.raises(UnavailableError) as caught:
        asyncio.run(ask(node.control))
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert f"that may still become final: look with mpcnode ledger {shown_by}" in str(caught.value)
