"""The supervisor: bad contributions are rejected before anything is dealt, bad results are named."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.types import Digest
from mpcnode.client.asking import Prepared
from mpcnode.errors import ConfigError
from mpcnode.mpc import RowShape
from mpcnode.query.contribution import AuditRecord, decode_audit_record, encode_audit_record
from mpcnode.query.request import encode_request
from mpcnode.roles.contributing import Contributor
from mpcnode.roles.session import Computed, SessionRunner
from mpcnode.sealing import envelopes
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES
from mpcnode.sealing.pseudonyms import normalise, seal_supervisor_copy
from mpcnode.types import (
    NOBODY,
    AuditMode,
    AuditStage,
    EndReason,
    EpochKeys,
    FailReason,
    MemberIndex,
    QueryState,
    Verdict,
    bitmap,
)
from tests.support.consortium import (
    ALICE,
    BANK,
    BOB,
    INSURER,
    LENDER,
    NODES,
    REGULATOR,
    SAVINGS,
    Setting,
    build_role,
    seed,
    stream,
)
from tests.support.flow import Flow
from tests.support.virtual_time import run


async def rejected_and_answered(flow: Flow, culprit: MemberIndex) -> None:
    asked = await flow.ask(ALICE)
    view = await flow.settled(asked)
    assert [(event.by, event.reason) for event in view.failures] == [(REGULATOR, FailReason.INPUT_REJECTED)]
    assert (view.state, view.verdict, view.refused) == (QueryState.ANSWERED, Verdict.MATCH, bitmap((culprit,)))
    others = tuple(member for member in (BANK, INSURER, SAVINGS) if member != culprit)
    assert await flow.opened(asked) == flow.clear(ALICE, others)
    dealt_to = {sent.receiver for sent in flow.network.of("deal")}
    assert dealt_to == set(NODES)
    assert len(flow.network.of("deal")) == len(NODES)


@pytest.mark.parametrize("claims", [51, -1, 2**31 - 1, -(2**31)])
def test_a_value_out_of_range_is_rejected_and_the_next_attempt_goes_without_it(claims):
    async def scenario():
        async with Flow() as flow:
            flow.records[INSURER].poison["claims"] = claims
            await rejected_and_answered(flow, INSURER)

    run(scenario())


RECORDS_THAT_LIE: list[Callable[[AuditRecord], AuditRecord]] = [
    lambda record: replace(record, seeds=(seed("another"), *record.seeds[1:])),
    lambda record: replace(record, salts=(seed("another"), *record.salts[1:])),
    lambda record: replace(record, request_hash=Digest(bytes(32))),
    lambda record: replace(record, participant=SAVINGS),
]


@pytest.mark.parametrize("lie", RECORDS_THAT_LIE, ids=["seed", "salt", "request", "participant"])
def test_an_envelope_that_does_not_say_what_was_shared_is_rejected(lie, monkeypatch):
    seal = envelopes.seal_envelope

    def lying(plaintext: bytes, keys: EpochKeys, secret: bytes) -> bytes:
        if plaintext[33] == INSURER:  # after query and attempt
            plaintext = encode_audit_record(lie(decode_audit_record(plaintext, RowShape(1, ring=32), len(NODES))))
        return seal(plaintext, keys, secret)

    monkeypatch.setattr("mpcnode.roles.contributing.seal_envelope", lying)

    async def scenario():
        async with Flow() as flow:
            await rejected_and_answered(flow, INSURER)

    run(scenario())


def test_an_envelope_that_does_not_open_is_rejected(monkeypatch):
    prepared = Contributor.prepare

    async def spoilt(self, view, token):
        made = await prepared(self, view, token)
        return replace(made, envelope=bytes(len(made.envelope))) if self._context.me.index == INSURER else made

    monkeypatch.setattr(Contributor, "prepare", spoilt)

    async def scenario():
        async with Flow() as flow:
            await rejected_and_answered(flow, INSURER)

    run(scenario())


def with_copy_of(asked: Prepared, flow: Flow, subject: str) -> Prepared:
    """The same request with a supervisor copy of somebody else, signed again."""
    secret = stream("another copy")(ENVELOPE_SECRET_BYTES)
    copy = seal_supervisor_copy(normalise(subject), seed("nonce"), flow.consortium.epoch, secret)
    request = replace(asked.request, copy_hash=Digest(hashlib.sha256(copy).digest()))
    stated = encode_request(request)
    sealed = replace(asked.sealed, statement=stated, signature=LENDER.sign(stated), supervisor_copy=copy)
    return replace(asked, request=request, sealed=sealed)


def test_a_copy_of_another_subject_ends_the_query_soon_and_blames_no_participant():
    async def scenario():
        async with Flow() as flow:
            asked = with_copy_of(flow.prepare(ALICE), flow, BOB)
            await flow.desk.ask(asked.sealed)
            view = await flow.settled(asked)
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert {(event.by, event.reason, event.waited) for event in view.failures} == {
                (REGULATOR, FailReason.ABORT, 0)
            }
            assert view.refused == 0
            assert (view.ended_at or 0) - view.registered_at < 3_000
            assert not flow.network.of("deal")
            assert {(e["member"], e["stage"]) for e in flow.logs if e["event"] == "input.rejected"} == {
                (NOBODY, "SUBJECT")
            }

    run(scenario())


def with_computed(monkeypatch, change: Callable[[MemberIndex, Computed], Computed]) -> None:
    seal = SessionRunner._seal

    def changed(self, plan, computed):
        return seal(self, plan, change(self._context.me.index, computed))

    monkeypatch.setattr(SessionRunner, "_seal", changed)


@pytest.mark.parametrize("audit", [AuditMode.AFTER_RELEASE, AuditMode.BEFORE_RELEASE])
@pytest.mark.parametrize("bit", [0, 1, 3])
def test_a_changed_output_share_is_a_mismatch(bit, audit, monkeypatch):
    """The node seals and signs another share than it computed: only the recomputation shows it."""

    def change(node: MemberIndex, computed: Computed) -> Computed:
        share = bytes((computed.share[0] ^ 1 << bit, *computed.share[1:]))
        return replace(computed, share=share) if node == NODES[1] else computed

    with_computed(monkeypatch, change)

    async def scenario():
        async with Flow(Setting(audit=audit)) as flow:
            view = await flow.settled(await flow.ask(ALICE))
            state = QueryState.ANSWERED if audit is AuditMode.AFTER_RELEASE else QueryState.ABORTED
            assert (view.state, view.verdict) == (state, Verdict.MISMATCH)
            assert view.attestation is not None
            assert (view.attestation.member, view.attestation.stage) == (NODES[1], AuditStage.OUTPUT)

    run(scenario())


def test_a_transcript_that_all_agreed_on_and_nobody_had_is_a_mismatch(monkeypatch):
    with_computed(monkeypatch, lambda _, computed: replace(computed, transcript=Digest(bytes(32))))

    async def scenario():
        async with Flow() as flow:
            view = await flow.settled(await flow.ask(ALICE))
            assert view.verdict is Verdict.MISMATCH
            assert view.attestation is not None
            assert view.attestation.stage == AuditStage.TRANSCRIPT

    run(scenario())


def test_a_transcript_that_one_had_alone_fails_the_attempt(monkeypatch):
    def change(node: MemberIndex, computed: Computed) -> Computed:
        return replace(computed, transcript=Digest(bytes(32))) if node == NODES[1] else computed

    with_computed(monkeypatch, change)

    async def scenario():
        async with Flow() as flow:
            view = await flow.settled(await flow.ask(ALICE, life_ms=60_000))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            said = {(event.by, event.reason, event.waited) for event in view.failures}
            assert said == {(REGULATOR, FailReason.TRANSCRIPTS_DIFFER, 1 << NODES[1])}

    run(scenario())


def test_an_accept_is_kept_for_running_sessions_only():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            await flow.settled(asked)
            assert flow.journals[REGULATOR].count("accept") == len(NODES)
            late = flow.network.of("accept", NODES[0])[0]
            flow.journals[REGULATOR].entries.clear()
            handler = flow.daemons[REGULATOR].role.handlers["accept"]  # type: ignore[index]
            with pytest.raises(Exception, match="running session"):
                await handler(NODES[0], late.payload)
            assert flow.journals[REGULATOR].count("accept") == 0
            await asyncio.sleep(0)

    run(scenario())


def test_a_second_auditor_does_not_start():
    async def scenario():
        async with Flow() as flow:
            context = replace(flow.daemons[REGULATOR].context, dealer=NODES[0])
            with pytest.raises(ConfigError, match=f"expected the supervisor that deals, which is member {NODES[0]}"):
                build_role(context, None)

    run(scenario())
