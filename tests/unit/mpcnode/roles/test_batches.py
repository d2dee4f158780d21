"""Queries about many subjects, through all roles: the answers, what stops them, and what goes on after a break."""

import asyncio
import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from ledger.types import Millis
from mpcnode.client.opening import open_outcomes, view_of_receipt
from mpcnode.errors import ErrorCode, NotAllowedError, RequestError, ResultError
from mpcnode.query.blobs import BlobKind, BlobLabel
from mpcnode.query.messages import decode_order, decode_shares
from mpcnode.roles import programs
from mpcnode.roles.auditing import check_subjects
from mpcnode.roles.chunks import RowStream
from mpcnode.scorecard import compile_batch
from mpcnode.types import AuditMode, AuditStage, EndReason, FailReason, QueryState, Verdict
from tests.support.batches import ask_many, opened_many, prepare_many
from tests.support.consortium import (
    ALICE,
    BANK,
    BOB,
    INSURER,
    LENDER,
    NOBODY_KNOWS,
    NODES,
    OPERATOR,
    PANEL,
    REGULATOR,
    identity,
)
from tests.support.fake_blobs import MemoryBlobs
from tests.support.flow import BLOB, Fault, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

FEW = [ALICE, BOB, NOBODY_KNOWS, ALICE]
THOUSANDS = [ALICE, BOB, NOBODY_KNOWS] * 1500
AFTER = Lenders(quota=1_000_000)
BEFORE = Lenders(quota=1_000_000, audit=AuditMode.BEFORE_RELEASE)


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """Thousands of subjects are several chunks."""
    programs._compiled.cache_clear()
    monkeypatch.setattr(programs, "compile_batch", partial(compile_batch, chunk_subjects=1024))
    yield
    programs._compiled.cache_clear()


@pytest.mark.parametrize("subjects", [FEW, THOUSANDS], ids=["few", "thousands"])
@pytest.mark.parametrize("setting", [AFTER, BEFORE], ids=["after release", "before release"])
def test_every_subject_gets_the_answer_in_clear(subjects, setting):
    async def scenario():
        async with Flow(setting) as flow:
            asked = await ask_many(flow, subjects)
            view = await flow.settled(asked)
            assert view.verdict is Verdict.MATCH
            assert view.state is (QueryState.RELEASED if setting is BEFORE else QueryState.ANSWERED)
            clear = {subject: flow.clear(subject) for subject in set(subjects)}
            assert await opened_many(flow, asked) == [clear[subject] for subject in subjects]

    run(scenario())


@pytest.mark.parametrize(("subjects", "is_read_ahead"), [(FEW, False), (THOUSANDS, True)], ids=["few", "thousands"])
def test_rows_are_read_ahead_only_by_the_thread_that_reads_them_later(subjects, is_read_ahead, monkeypatch):
    """Chunks of few subjects begin in the event loop: it and the worker thread must not read at once."""
    read, asked_by, read_ahead, rows = [], set(), RowStream.read_ahead, RowStream.rows

    def watched(self, chunks):
        read.append(threading.current_thread().name)
        read_ahead(self, chunks)

    def watched_rows(self, chunk):
        asked_by.add(threading.current_thread().name)
        return rows(self, chunk)

    monkeypatch.setattr(RowStream, "read_ahead", watched)
    monkeypatch.setattr(RowStream, "rows", watched_rows)

    async def scenario():
        async with Flow(AFTER) as flow:
            assert (await flow.settled(await ask_many(flow, subjects))).verdict is Verdict.MATCH

    run(scenario())
    assert len(read) == (len(NODES) if is_read_ahead else 0)
    assert not set(read) - asked_by


@pytest.mark.parametrize("cut", [lambda body: body[:-1], lambda body: body + body[:1], lambda _: b""])
@pytest.mark.parametrize("setting", [AFTER, BEFORE], ids=["after release", "before release"])
def test_answers_about_fewer_or_more_than_were_asked_about_are_none(setting, cut):
    """All nodes and the desk together cut every share alike: the answers would move to other subjects, or end early."""

    async def scenario():
        async with Flow(setting) as flow:
            asked = await ask_many(flow, FEW)
            await flow.settled(asked)
            view = view_of_receipt(await flow.desk.receipt(asked.request.query, LENDER.public), flow.consortium)
            supervisor, desk = identity(REGULATOR).public, flow.blobs[OPERATOR]

            def bodies(reference):
                return cut(b"".join(desk.read(reference)))

            with pytest.raises(ResultError, match="bytes of output"):
                open_outcomes(view, flow.setting.model, asked.result_key, supervisor, bodies)

    run(scenario())


def test_pseudonyms_of_others_than_the_supervisors_are_found():
    """The panel would be asked about others than the supervisor is told: S binds both lists to one."""

    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await ask_many(flow, FEW, bound=[ALICE, BOB, NOBODY_KNOWS, BOB])
            view = await flow.settled(asked)
            assert view.state is QueryState.REFUSED
            assert view.refused == view.panel

    run(scenario())


@pytest.mark.parametrize("told", [[ALICE, BOB, NOBODY_KNOWS, BOB], [BOB, ALICE, NOBODY_KNOWS, ALICE]])
def test_a_supervisor_that_is_told_of_others_deals_to_no_attempt(told):
    """Whom the panel was asked about, and in which order, must be whom the supervisor may look up later."""

    async def scenario():
        async with Flow(AFTER) as flow:
            view = await flow.settled(await ask_many(flow, FEW, told=told))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert [(event.reason, event.by, event.waited) for event in view.failures] == [
                (FailReason.ABORT, REGULATOR, 0)
            ] * 3
            assert not flow.network.of("deal")

    run(scenario())


def test_no_node_ends_a_session_about_others_than_the_supervisor_was_told_of(monkeypatch):
    """Also where the supervisor is slow, and finds out when nodes have computed all chunks but the last."""
    checked = []

    def slow(*arguments):
        time.sleep(0.5)
        checked.append(arguments)
        check_subjects(*arguments)

    monkeypatch.setattr("mpcnode.roles.supervisor.check_subjects", slow)

    async def scenario():
        async with Flow(AFTER) as flow:
            view = await flow.settled(await ask_many(flow, THOUSANDS, told=[BOB, *THOUSANDS[1:]]))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert [(event.reason, event.by) for event in view.failures] == [(FailReason.ABORT, REGULATOR)] * 3
            assert not [line for line in flow.logs if line["event"] == "session.outputs_formed"]

    run(scenario())
    assert len(checked) == 1  # for all attempts


def test_a_request_waits_for_what_it_is_about():
    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await prepare_many(flow, FEW)
            for blob in (asked.request.pseudonyms, asked.request.identifiers):
                kept = flow.blobs[OPERATOR].chunks.pop(blob)
                flow.blobs[OPERATOR].chunks[blob] = []
                with pytest.raises(RequestError, match="expected it whole") as refused:
                    await flow.desk.ask(asked.sealed)
                assert refused.value.code is ErrorCode.NOT_READY
                flow.blobs[OPERATOR].chunks[blob] = kept
            await flow.desk.ask(asked.sealed)
            assert (await flow.settled(asked)).verdict is Verdict.MATCH

    run(scenario())


@pytest.mark.parametrize("poisoned", [None, BOB], ids=["every chunk", "the last chunk"])
@pytest.mark.parametrize("index", [BANK, INSURER], ids=["bank", "insurer"])
@pytest.mark.parametrize("setting", [AFTER, replace(AFTER, audit=AuditMode.OFF)], ids=["audited", "not audited"])
def test_a_contribution_outside_its_range_is_rejected_and_the_others_answer(index, poisoned, setting):
    """Also where nodes have computed other chunks by then: nobody ends a session on it."""
    subjects = [*THOUSANDS, NOBODY_KNOWS] if poisoned is None else [*[ALICE] * 4000, BOB]

    async def scenario():
        async with Flow(setting) as flow:
            name = {BANK: "income", INSURER: "claims"}[index]
            flow.records[index].poison = {name: 1 << 30}
            flow.records[index].poisoned = poisoned
            asked = await ask_many(flow, subjects)
            view = await flow.settled(asked)
            verdict = None if setting.audit is AuditMode.OFF else Verdict.MATCH
            assert (view.attempt, view.refused, view.verdict) == (2, 1 << index, verdict)
            formed = [line for line in flow.logs if line["event"] == "session.outputs_formed"]
            assert {line["session"] for line in formed} == {view.session}
            rest = [member for member in PANEL if member != index]
            clear = {subject: flow.clear(subject, rest) for subject in set(subjects)}
            assert await opened_many(flow, asked) == [clear[subject] for subject in subjects]

    run(scenario())


@pytest.mark.parametrize(
    ("restarted", "kind"),
    [(BANK, "contribution"), (REGULATOR, "accept"), *((node, kind) for node in NODES for kind in ("started", "end"))],
)
def test_a_daemon_that_dies_and_comes_back_costs_an_attempt_at_most(restarted, kind):
    async def scenario():
        async with Flow(AFTER) as flow:
            flow.kill_after(restarted, kind)
            asked = await ask_many(flow, THOUSANDS)
            while restarted in flow.daemons:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            flow.start(restarted)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            clear = {subject: flow.clear(subject) for subject in set(THOUSANDS)}
            assert view.committed == view.panel
            assert view.attempt <= 2
            assert await opened_many(flow, asked) == [clear[subject] for subject in THOUSANDS]

    run(scenario())


@pytest.mark.parametrize(
    ("sender", "receiver"), [(OPERATOR, BANK), (OPERATOR, REGULATOR), (BANK, REGULATOR), (NODES[0], OPERATOR)]
)
def test_transfers_that_break_go_on(sender, receiver):
    async def scenario():
        async with Flow(AFTER) as flow:
            flow.network.faults.append(Fault(kind=BLOB, sender=sender, receiver=receiver, drop=True, times=3))
            asked = await ask_many(flow, FEW)
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)
            assert len(await opened_many(flow, asked)) == len(FEW)

    run(scenario())


def test_a_blob_of_rows_that_was_not_committed_to_is_found_before_anything_begins():
    """The last node has it in place of the one that the share names."""

    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await prepare_many(flow, FEW)
            label = BlobLabel(query=asked.request.query, attempt=1, kind=BlobKind.ROWS, author=BANK)
            for node in NODES:
                await flow.blobs.setdefault(node, MemoryBlobs()).create(label, bytes(32), (b"others",), Millis(1 << 47))
            await flow.desk.ask(asked.sealed)
            view = await flow.until(asked, lambda now: now.attempt == 2)
            assert not any(flow.network.taken.values())  # no frame has left
            assert [(event.reason, event.waited) for event in view.failures] == [(FailReason.BAD_SHARE, 1 << BANK)]
            assert (await flow.settled(asked)).verdict is Verdict.MATCH

    run(scenario())


def refuse(flow: Flow, holder: int, kind: BlobKind) -> None:
    """Let a daemon never take a kind of blob."""
    keeper = flow.daemons[holder].keeper
    admit = keeper.admit

    def refusing(sender, offer):
        if offer.label.kind is kind:
            raise NotAllowedError("none of these")
        return admit(sender, offer)

    keeper.admit = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize("holder", [OPERATOR, REGULATOR])
def test_no_result_is_posted_whose_outputs_nobody_took(holder):
    async def scenario():
        async with Flow(AFTER) as flow:
            refuse(flow, holder, BlobKind.OUTPUT)
            view = await flow.settled(await ask_many(flow, FEW))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert view.result is None
            assert {failure.reason for failure in view.failures} == {FailReason.ABORT}

    run(scenario())


def test_nobody_commits_to_rows_that_the_supervisor_does_not_take():
    """Else it rejects them: it is its word that it holds them which a participant waits for."""

    async def scenario():
        async with Flow(AFTER) as flow:
            refuse(flow, REGULATOR, BlobKind.ROWS)
            view = await flow.settled(await ask_many(flow, FEW))
            assert (view.state, view.committed, view.failures) == (QueryState.REFUSED, 0, ())

    run(scenario())


def test_a_contribution_is_made_once_and_not_at_all_if_its_blob_was_lost():
    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await ask_many(flow, FEW)
            view = await flow.until(asked, lambda now: now.state is QueryState.COMPUTING)
            participant: Any = flow.daemons[BANK].role
            order = decode_order(await flow.journals[BANK].get("order", asked.request.query) or b"")
            token = participant._open_token(order, asked.request)
            made = await participant._contributor.prepare(view, token)
            assert (made.commitments, made.envelope) == (view.commitments[BANK], view.envelopes[BANK])
            flow.blobs[BANK].chunks[made.rows] = []
            with pytest.raises(RequestError, match="is gone"):
                await participant._contributor.prepare(view, token)

    run(scenario())


def test_no_mask_is_released_that_the_desk_did_not_take():
    async def scenario():
        async with Flow(BEFORE) as flow:
            refuse(flow, OPERATOR, BlobKind.MASK)
            view = await flow.settled(await ask_many(flow, FEW), within_s=200)
            assert (view.state, view.waited) == (QueryState.EXPIRED, 1 << REGULATOR)
            assert view.attestation is None

    run(scenario())


def test_a_node_whose_output_is_another_than_it_computed_is_named():
    async def scenario():
        async with Flow(BEFORE) as flow:
            create = flow.blobs.setdefault(NODES[1], MemoryBlobs()).create

            async def changed(label, key, pieces, until):
                body = b"".join(pieces)
                if label.kind is BlobKind.OUTPUT:
                    body = bytes((body[0] ^ 1, *body[1:]))
                return await create(label, key, (body,), until)

            flow.blobs[NODES[1]].create = changed  # type: ignore[method-assign]
            asked = await ask_many(flow, THOUSANDS)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ABORTED, Verdict.MISMATCH)
            assert view.attestation is not None
            assert (view.attestation.member, view.attestation.stage) == (NODES[1], AuditStage.OUTPUT)

    run(scenario())


def test_a_node_that_names_another_blob_as_its_output_is_named():
    """The last one has the references of everybody's rows, which open, and are longer than any output."""

    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = await ask_many(flow, FEW)
            last = flow.view(asked).committee[-1]
            node: Any = flow.daemons[last].role

            async def lying(_plan, computed, _by):
                rows = [sent for sent in flow.network.of("shares", BANK) if sent.receiver == last]
                return replace(computed, share=decode_shares(rows[0].payload).sent)

            node._runner._hand_over = lying
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ABORTED, Verdict.MISMATCH)
            assert view.attestation is not None
            assert (view.attestation.member, view.attestation.stage) == (last, AuditStage.OUTPUT)

    run(scenario())


def test_corrections_that_are_not_those_of_the_record_are_the_dealers_fault():
    async def scenario():
        async with Flow(AFTER) as flow:
            flow.network.faults.append(
                Fault(kind="corrections", tamper=lambda data: data[:-1] + bytes((data[-1] ^ 1,)))
            )
            view = await flow.settled(await ask_many(flow, THOUSANDS))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert {failure.waited for failure in view.failures} == {1 << REGULATOR}

    run(scenario())
