"""Fourteen ways to lie, and a few of their kin: each is found. By whom, at which stage, and who is named, stands here.

Under audit before release: whatever the lie, the inquirer opens no wrong answer. What nobody can find is not here: a
participant that lies about its own records within the ranges that the model allows (README.md, "Own machine").
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import pytest

from ledger import merkle
from ledger.types import Digest, Height
from mpcnode.client.asking import Prepared
from mpcnode.errors import NodeError
from mpcnode.mpc import RowShape
from mpcnode.query.contribution import AuditRecord, decode_audit_record, encode_audit_record
from mpcnode.query.messages import Kind, decode_shares, encode_shares
from mpcnode.query.request import encode_request
from mpcnode.query.statements import CorrectionsStatement, encode_corrections_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.ports import Call, DealtCorrections
from mpcnode.sealing.commitments import corrections_hash
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, open_by_audit, seal_envelope
from mpcnode.sealing.pseudonyms import SubjectToken, make_pseudonym, normalise, open_token, seal_token
from mpcnode.types import (
    AuditMode,
    AuditStage,
    EpochKeys,
    FailReason,
    MemberIndex,
    QueryId,
    QueryState,
    RefusalCode,
    SessionId,
    Verdict,
    bitmap,
)
from tests.support.consortium import (
    ALICE,
    AUDIT,
    BOB,
    INSURER,
    LENDER,
    NODES,
    PANEL,
    REGULATOR,
    SUBJECT_KEY,
    Setting,
    identity,
    sealing,
    seed,
)
from tests.support.deviant_rounds import Silent, WrongOpening
from tests.support.deviant_words import Ends, PostsInAnotherOrder, another_share, another_share_for_the_inquirer
from tests.support.deviation import Deviation, Node
from tests.support.flow import Flow
from tests.support.virtual_time import run

BEFORE = Setting(audit=AuditMode.BEFORE_RELEASE)
LIAR = NODES[1]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Who finds a lie, where, and whom that names; as the ledger shows it, or as the inquirer's client says it."""

    by: str
    stage: str
    named: MemberIndex | None


# ------------------------------------------------------------------- lies of participants and inquirers


class Commits(Deviation):
    """A participant commits something else than it shares."""

    def __init__(
        self, change: Callable[[AuditRecord], AuditRecord] | None = None, *, commitments: bool = False
    ) -> None:
        super().__init__()
        self.change, self.commitments = change, commitments

    async def submit(self, node: Node, call: Call) -> Height:
        if call.method == "queries.commit_input":
            query, attempt, commitments, envelope = call.values
            assert isinstance(commitments, tuple)
            assert isinstance(envelope, bytes)
            if self.change is not None:
                view = node.context.ledger.view.get(cast("QueryId", query))
                assert view is not None
                envelope = self._sealed(node, envelope, node.context.epoch_of(view))
            if self.commitments:
                commitments = (commitments[0], *commitments[:1], *commitments[2:])
            call = replace(call, values=(query, attempt, commitments, envelope))
        return await node.context.ledger.submit(call)

    def _sealed(self, node: Node, envelope: bytes, epoch: EpochKeys) -> bytes:
        record = decode_audit_record(
            open_by_audit(envelope, epoch.epoch, AUDIT).plaintext, RowShape(1, ring=32), len(NODES)
        )
        assert self.change is not None
        return seal_envelope(
            encode_audit_record(self.change(record)), epoch, node.context.random(ENVELOPE_SECRET_BYTES)
        )


class OtherShare(Deviation):
    """A participant sends one node another share than the one that it committed to."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.SHARES and to == LIAR:
            shares = decode_shares(payload)
            payload = encode_shares(replace(shares, sent=bytes(len(shares.sent))))
        await node.deliver(to, kind, payload)


def another_row(record: AuditRecord) -> AuditRecord:
    """One claim more than it shared."""
    return replace(record, row=bytes([record.row[0] + 1]) + record.row[1:])


async def honest(flow: Flow) -> Prepared:
    return flow.prepare(ALICE, life_ms=60_000)


def with_token(asked: Prepared, token: bytes) -> Prepared:
    """The same request with another token for the insurer, signed again."""
    seat = PANEL.index(INSURER)
    tokens = (*asked.sealed.tokens[:seat], token, *asked.sealed.tokens[seat + 1 :])
    request = replace(asked.request, tokens_root=Digest(merkle.root(tokens)))
    stated = encode_request(request)
    sealed = replace(asked.sealed, statement=stated, signature=LENDER.sign(stated), tokens=tokens)
    return replace(asked, request=request, sealed=sealed)


async def two_subjects(flow: Flow) -> Prepared:
    """The insurer is to look up Bob, the others Alice: in one query, under one binding."""
    asked = await honest(flow)
    right = open_token(asked.sealed.tokens[PANEL.index(INSURER)], sealing(INSURER))
    wrong = replace(right, pseudonym=make_pseudonym(SUBJECT_KEY, normalise(BOB)))
    return with_token(asked, sealed_to_insurer(wrong))


def sealed_to_insurer(token: SubjectToken) -> bytes:
    return seal_token(token, sealing(INSURER).public, seed("ephemeral"))


async def token_of_an_older_query(flow: Flow) -> Prepared:
    """A token that the insurer has answered before, for the same subject and inquirer."""
    before = await honest(flow)
    await flow.desk.ask(before.sealed)
    await flow.settled(before)
    return with_token(await honest(flow), before.sealed.tokens[PANEL.index(INSURER)])


async def token_of_another_participant(flow: Flow) -> Prepared:
    asked = await honest(flow)
    return with_token(asked, asked.sealed.tokens[0])


# ------------------------------------------------------------------- lies of the dealer


class Deals(Deviation):
    """The dealer's corrections are not those that follow from its seeds; its signature may say so or not."""

    def __init__(self, *, signed: bool) -> None:
        super().__init__()
        self.signed = signed

    def dealt(self, node: Node, session: SessionId, chunk: int, right: DealtCorrections) -> DealtCorrections:
        wrong = bytes(len(right.data))
        stated = CorrectionsStatement(
            chain=node.context.chain, session=session, chunk=chunk, corrections_hash=corrections_hash(wrong)
        )
        signature = identity(REGULATOR).sign(encode_corrections_statement(stated)) if self.signed else right.signature
        return DealtCorrections(wrong, signature)


# ------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Lie:
    """Who lies, how, and how it comes out."""

    found: Found
    who: MemberIndex | None = None
    how: Callable[[], Deviation] = Deviation
    asked: Callable[[Flow], Awaitable[Prepared]] = honest
    poison: Mapping[str, int] = field(default_factory=dict)


def rejected(stage: AuditStage) -> Found:
    """The supervisor rejects the contribution before it deals; the next attempt goes on without it."""
    return Found(by="supervisor", stage=stage.name, named=INSURER)


def attested(stage: AuditStage, number: int = 0, named: MemberIndex = LIAR) -> Found:
    """The supervisor's verdict; nothing is released."""
    return Found(by="auditor", stage=f"{stage.name} {number}", named=named)


def failed(reason: FailReason, named: MemberIndex) -> Found:
    """A node of the committee fails the attempt; the next one begins."""
    return Found(by="committee", stage=reason.name, named=named)


REFUSED = Found(by="participant", stage="token", named=None)
"""Who asked is on the ledger; the participant refuses, and the others answer without it."""


def opening(number: int, place: int = 0) -> Lie:
    return Lie(attested(AuditStage.TRANSCRIPT, number), LIAR, partial(WrongOpening, number, place))


LIES: Mapping[str, Lie] = {
    "participant: another input in the envelope than in the shares": Lie(
        rejected(AuditStage.COMMITMENT), INSURER, partial(Commits, another_row)
    ),
    "participant: a commitment to something else": Lie(
        rejected(AuditStage.COMMITMENT), INSURER, partial(Commits, commitments=True)
    ),
    "participant: an input out of its range": Lie(rejected(AuditStage.INPUT), INSURER, poison={"claims": 51}),
    "participant: another share than committed": Lie(failed(FailReason.BAD_SHARE, INSURER), INSURER, OtherShare),
    "inquirer: tokens of two subjects in one query": Lie(REFUSED, asked=two_subjects),
    "inquirer: a token of an older query": Lie(REFUSED, asked=token_of_an_older_query),
    "inquirer: a token of another participant": Lie(REFUSED, asked=token_of_another_participant),
    "node: another share than it was given": opening(1),
    "node: a wrong opening": opening(5),
    "node: a wrong bit of a wire": opening(2),
    "node: a wrong bit e": opening(4),
    "node: another output share": Lie(attested(AuditStage.OUTPUT), LIAR, partial(Ends, another_share)),
    "node: another share in the inquirer's box": Lie(
        Found(by="client", stage="opening", named=LIAR), LIAR, partial(Ends, another_share_for_the_inquirer)
    ),
    "node: ends in another order": Lie(
        Found(by="ledger", stage="COMMITTEE_SIGNATURES", named=LIAR), LIAR, PostsInAnotherOrder
    ),
    "node: no signature of its end": Lie(failed(FailReason.TIMEOUT, LIAR), LIAR, partial(Silent, {Kind.END}, 99)),
    "dealer: another correction than signed": Lie(
        failed(FailReason.ABORT, REGULATOR), REGULATOR, partial(Deals, signed=False)
    ),
    "dealer: a correction that does not follow from the seeds": Lie(
        attested(AuditStage.SESSION, named=REGULATOR), REGULATOR, partial(Deals, signed=True)
    ),
}


async def what_was_found(flow: Flow, asked: Prepared, view: QueryView) -> Found:
    """What the ledger and the client tell of a query, the first thing first."""
    for sender, method, reason in transactions(flow):
        if (method, reason) == ("post_result", "COMMITTEE_SIGNATURES"):
            return Found(by="ledger", stage=reason, named=sender)
    if view.refusals:
        (refusal,) = view.refusals
        assert (refusal.participant, refusal.code) == (INSURER, RefusalCode.POLICY)
        return REFUSED
    if view.failures:
        first = view.failures[0]
        if first.reason is FailReason.INPUT_REJECTED:
            assert first.by == REGULATOR
            (entry,) = (entry for entry in flow.logs if entry["event"] == "input.rejected")
            assert view.refused == bitmap((entry["member"],))
            return Found(by="supervisor", stage=entry["stage"], named=entry["member"])
        assert first.by in NODES
        return Found(by="committee", stage=first.reason.name, named=only(first.waited))
    if view.verdict is Verdict.MISMATCH:
        said = view.attestation
        assert said is not None
        stage = f"{AuditStage(said.stage).name} {said.round}"
        return Found(by="auditor", stage=stage, named=MemberIndex(said.member))
    try:
        await flow.opened(asked)
    except NodeError as error:
        named = next(node for node in NODES if f"member {node}" in str(error))
        return Found(by="client", stage="opening", named=named)
    raise AssertionError("expected the lie to be found")


def transactions(flow: Flow) -> Sequence[tuple[MemberIndex, str, str]]:
    """Final transactions: sender, method, why it was refused."""
    index = {m.identity: m.index for m in flow.consortium.members}
    return [
        (index[tx.sender], tx.method.removeprefix("queries."), receipt.reason)
        for block in flow.chain.blocks
        for tx, receipt in zip(block.txs, block.receipts, strict=True)
    ]


def only(waited: int) -> MemberIndex:
    """The one member of a bitmap."""
    assert waited.bit_count() == 1
    return MemberIndex(waited.bit_length() - 1)


async def no_wrong_answer(flow: Flow, asked: Prepared, view: QueryView) -> None:
    """Whatever opens is right for those that contributed; nothing opens without a match."""
    contributed = [member for member in PANEL if not view.refused >> member & 1]
    try:
        outcome = await flow.opened(asked)
    except NodeError:
        return
    assert (view.state, view.verdict) == (QueryState.RELEASED, Verdict.MATCH)
    assert outcome == flow.clear(ALICE, contributed)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(name):
    lie = LIES[name]

    async def scenario():
        flow = Flow(BEFORE)
        if lie.who is not None:
            flow.outfit(lie.who, lie.how())
        async with flow:
            flow.records[INSURER].poison |= lie.poison
            while True:
                asked = await lie.asked(flow)
                await flow.desk.ask(asked.sealed)
                view = await flow.settled(asked)
                await no_wrong_answer(flow, asked, view)
                if lie.found.by != "ledger" or view.committee[0] == LIAR:
                    break
            assert await what_was_found(flow, asked, view) == lie.found

    run(scenario())


def test_there_are_fourteen_lies_or_more():
    assert len(LIES) >= 14
