"""Queries about many subjects, through all roles: the answers, what stops them, and what goes on after a break."""

import asyncio
import threading
from dataclasses import replace
from functools import partial

import pytest

from mpcnode.errors import ErrorCode, RequestError
from mpcnode.query.blobs import BlobKind
from mpcnode.roles import programs
from mpcnode.roles.chunks import RowStream
from mpcnode.scorecard import compile_batch
from mpcnode.types import AuditMode, AuditStage, EndReason, QueryState, Verdict
from tests.support.batches import ask_many, opened_many, prepare_many
from tests.support.consortium import ALICE, BANK, BOB, INSURER, NOBODY_KNOWS, NODES, OPERATOR, PANEL, REGULATOR
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


def test_pseudonyms_of_others_than_the_supervisors_are_found():
    """The panel would be asked about others than the supervisor is told: S binds both lists to one."""

    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await ask_many(flow, FEW, bound=[ALICE, BOB, NOBODY_KNOWS, BOB])
            view = await flow.settled(asked)
            assert view.state is QueryState.REFUSED
            assert view.refused == view.panel

    run(scenario())


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
            flow.records[index].poison = {name: 1 << 60}
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


@pytest.mark.parametrize(("sender", "receiver"), [(OPERATOR, BANK), (BANK, REGULATOR), (NODES[0], OPERATOR)])
def test_transfers_that_break_go_on(sender, receiver):
    async def scenario():
        async with Flow(AFTER) as flow:
            flow.network.faults.append(Fault(kind=BLOB, sender=sender, receiver=receiver, drop=True, times=3))
            asked = await ask_many(flow, FEW)
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)
            assert len(await opened_many(flow, asked)) == len(FEW)

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
