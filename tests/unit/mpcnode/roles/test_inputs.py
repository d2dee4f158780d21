"""The supervisor opens and checks each contribution as its commitment becomes final, once in each attempt."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from mpcnode.query.blobs import BlobKind
from mpcnode.roles import auditing, inputs, programs
from mpcnode.roles.supervisor import Supervisor
from mpcnode.scorecard import compile_batch
from mpcnode.types import NOBODY, AuditStage, CorrelationSource, FailReason, QueryState, Verdict, bitmap
from tests.support.batches import ask_many, opened_many
from tests.support.consortium import ALICE, BANK, BOB, INSURER, NODES, REGULATOR, SAVINGS, Setting
from tests.support.fake_blobs import MemoryBlobs
from tests.support.flow import Fault, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

CHUNK = 1024
SUBJECTS = [ALICE, BOB] * CHUNK
CHUNKS = 2


class Seen:
    """How often what was opened, and how many chunks of it were checked, by attempt and participant."""

    def __init__(self) -> None:
        self.opened: Counter[tuple[int, int]] = Counter()
        self.chunks: Counter[tuple[int, int]] = Counter()

    def open(self, honest, keys, view, layout, participant):
        key = (view.attempt, participant)
        self.opened[key] += 1
        return honest(keys, view, layout, participant)

    def check(self, honest, view, layout, given, **options):
        for passed in honest(view, layout, given, **options):
            self.chunks[view.attempt, given.record.participant] += 1
            yield passed


@pytest.fixture
def several(monkeypatch):
    """Many subjects are several chunks."""
    programs._compiled.cache_clear()
    monkeypatch.setattr(programs, "compile_batch", partial(compile_batch, chunk_subjects=CHUNK))
    yield
    programs._compiled.cache_clear()


@pytest.fixture
def watch(monkeypatch, several):
    def begin() -> Seen:
        seen = Seen()
        monkeypatch.setattr(inputs, "open_input", partial(seen.open, auditing.open_input))
        monkeypatch.setattr(inputs, "check_chunks", partial(seen.check, auditing.check_chunks))
        return seen

    return begin


def tasks_left() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("input of")]


def test_what_is_final_is_opened_while_others_are_waited_for(watch):
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            seen = watch()
            asked = await flow.ask(ALICE)
            await asyncio.sleep(1)
            assert flow.view(asked).state is QueryState.REGISTERED
            assert seen.opened == {(1, BANK): 1, (1, INSURER): 1}
            view = await flow.settled(asked)
            assert view.verdict is Verdict.MATCH
            assert seen.opened == {(1, BANK): 1, (1, INSURER): 1}

    run(scenario())


def test_rows_of_many_are_checked_to_their_end_while_others_are_waited_for(watch):
    async def scenario():
        async with Flow(Lenders(quota=1_000_000), silent=[SAVINGS]) as flow:
            seen = watch()
            asked = await ask_many(flow, SUBJECTS)
            while sum(seen.chunks.values()) < 2 * CHUNKS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert flow.view(asked).state is QueryState.REGISTERED
            assert (await flow.settled(asked)).verdict is Verdict.MATCH
            assert seen.chunks == {(1, BANK): CHUNKS, (1, INSURER): CHUNKS}
            assert len(await opened_many(flow, asked)) == len(SUBJECTS)

    run(scenario())


def test_the_next_attempt_opens_what_is_committed_to_it_and_nothing_else(watch):
    async def scenario():
        async with Flow(Setting(spares=1)) as flow:
            seen = watch()
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            flow.kill(flow.view(asked).committee[0])
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert seen.opened == {(attempt, who): 1 for attempt in (1, 2) for who in (BANK, INSURER, SAVINGS)}

    run(scenario())


@pytest.mark.parametrize("when", [QueryState.REGISTERED, QueryState.ANSWERED])
def test_a_restarted_supervisor_opens_what_is_committed_again(watch, when):
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            seen = watch()
            asked = await flow.ask(ALICE)
            if when is QueryState.ANSWERED:
                flow.chain.drop = lambda sender, method: (sender, method) == (REGULATOR, "attest")
            await flow.until(asked, lambda view: view.state is when)
            await asyncio.sleep(1)
            await flow.restart(REGULATOR)
            flow.chain.drop = lambda _sender, _method: False
            assert (await flow.settled(asked)).verdict is Verdict.MATCH
            assert seen.opened == {(1, BANK): 2, (1, INSURER): 2}

    run(scenario())


def test_a_blob_that_does_not_come_is_rejected_in_time_and_waited_for_no_more(watch, monkeypatch):
    honest, lacking = MemoryBlobs.whole, list[MemoryBlobs]()

    async def whole(self, label):
        if self in lacking and (label.kind, label.author, label.attempt) == (BlobKind.ROWS, BANK, 1):
            await asyncio.Event().wait()
        return await honest(self, label)

    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            seen = watch()
            lacking.append(flow.blobs[REGULATOR])
            monkeypatch.setattr(MemoryBlobs, "whole", whole)
            asked = await ask_many(flow, SUBJECTS)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.1)
            assert tasks_left() == [f"input of {BANK}"]
            view = await flow.settled(asked)
            assert [(event.by, event.reason) for event in view.failures] == [(REGULATOR, FailReason.INPUT_REJECTED)]
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((BANK,)), Verdict.MATCH)
            assert (1, BANK) not in seen.opened
            assert not tasks_left()

    run(scenario())


def test_nothing_is_opened_any_more_when_the_query_ends(watch, monkeypatch):
    async def never(_self, _label):
        await asyncio.Event().wait()

    async def scenario():
        async with Flow(Lenders(quota=1_000_000), silent=NODES) as flow:
            seen = watch()
            asked = await ask_many(flow, SUBJECTS)
            await flow.until(asked, lambda view: bool(view.commitments))
            monkeypatch.setattr(type(flow.blobs[REGULATOR]), "whole", never)
            await flow.until(asked, lambda view: view.is_over)
            await asyncio.sleep(0.1)
            assert not tasks_left()
            assert seen.opened.total() <= 3

    run(scenario())


def test_rows_in_another_blob_than_the_one_kept_for_them_are_rejected(watch, monkeypatch):
    """It may be kept for less long than the audit needs it, for instance as that of an earlier query."""
    honest, cheated = MemoryBlobs.whole, list[MemoryBlobs]()

    async def whole(self, label):
        manifest = await honest(self, label)
        is_cheated = self in cheated and (label.kind, label.author, label.attempt) == (BlobKind.ROWS, BANK, 1)
        return replace(manifest, chunks=manifest.chunks[::-1] * 2) if is_cheated else manifest

    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            seen = watch()
            cheated.append(flow.blobs[REGULATOR])
            monkeypatch.setattr(MemoryBlobs, "whole", whole)
            view = await flow.settled(await ask_many(flow, SUBJECTS))
            assert [(event.by, event.reason) for event in view.failures] == [(REGULATOR, FailReason.INPUT_REJECTED)]
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((BANK,)), Verdict.MATCH)
            assert (1, BANK) not in seen.chunks

    run(scenario())


def test_after_a_rejection_nothing_more_of_the_attempt_is_checked(watch):
    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            flow.records[BANK].poison = {"income": 1 << 30}
            seen = watch()
            view = await flow.settled(await ask_many(flow, SUBJECTS * 4))
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((BANK,)), Verdict.MATCH)
            assert seen.opened[1, BANK] == 1
            assert max(seen.chunks[1, INSURER], seen.chunks[1, SAVINGS]) < 4 * CHUNKS
            assert seen.chunks[2, INSURER] == seen.chunks[2, SAVINGS] == 4 * CHUNKS

    run(scenario())


def test_what_an_attempt_that_failed_would_have_led_to_is_worked_out_no_more():
    async def scenario():
        async with Flow(Setting(spares=1)) as flow:
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            flow.network.faults.append(Fault(kind="end", drop=True))
            await asyncio.sleep(0.2)
            assert [task for task in asyncio.all_tasks() if task.get_name() == "recomputing"]
            flow.network.faults.clear()
            await flow.fail_by_hand(flow.view(asked))
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            await asyncio.sleep(0.1)
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "recomputing"]

    run(scenario())


def test_what_goes_wrong_with_one_querys_inputs_ends_no_other_query_and_is_said(watch, monkeypatch):
    async def scenario():
        async with Flow() as flow:
            seen = watch()
            broken = await flow.ask(BOB, window_ms=5_000)
            honest = partial(seen.open, auditing.open_input)

            def failing(keys, view, layout, participant):
                if view.query == broken.request.query:
                    raise OSError("no such device")
                return honest(keys, view, layout, participant)

            monkeypatch.setattr(inputs, "open_input", failing)
            asked = await flow.ask(ALICE)
            assert (await flow.settled(asked)).verdict is Verdict.MATCH
            assert seen.opened == {(1, who): 1 for who in (BANK, INSURER, SAVINGS)}
            await flow.until(broken, lambda view: view.is_over)
            assert {line["event"] for line in flow.errors()} == {"query.failed"}
            assert not tasks_left()
            flow.logs.clear()

    run(scenario())


def slow(flow: Flow, member: int, seconds: float) -> list[tuple[str, int]]:
    """Let the supervisor's thread take long for a member's envelope and each chunk of its rows; note what is done."""
    supervisor: Any = flow.daemons[REGULATOR].role
    worker: Any = flow.daemons[REGULATOR].context.worker
    deals, done = supervisor.deals, list[tuple[str, int]]()
    work, deal = worker.run, deals.corrections

    async def run_late(job):
        who, what = job.args[-1], "opened"
        if job.func is next and getattr(job.args[0], "__name__", "") == "check_chunks":
            who, what = job.args[0].gi_frame.f_locals["given"].record.participant, "checked"
        elif job.func is not auditing.open_input:
            return await work(job)
        if who == member:
            await asyncio.sleep(seconds)
        result = await work(job)
        if result is not None:
            done.append((what, who))
        return result

    async def noted(node, session, chunk):
        dealt = await deal(node, session, chunk)
        done.append(("dealt", chunk))
        return dealt

    worker.run, deals.corrections = run_late, noted
    return done


@pytest.mark.parametrize("member", [BANK, INSURER, SAVINGS])
@pytest.mark.parametrize("subjects", [None, SUBJECTS], ids=["one", "many"])
def test_nothing_is_dealt_before_every_envelope_is_open(several, member, subjects):
    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            slow(flow, member, 1)
            asked = await flow.ask(ALICE) if subjects is None else await ask_many(flow, subjects)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.5)
            assert not flow.network.of("deal")
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)

    run(scenario())


@pytest.mark.parametrize("member", [BANK, INSURER, SAVINGS])
def test_a_chunk_is_dealt_when_everybodys_rows_of_it_have_passed_and_no_later(several, member):
    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            done = slow(flow, member, 0.3)
            view = await flow.settled(await ask_many(flow, SUBJECTS * 2))
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)
            chunks = 2 * CHUNKS
            for chunk in range(chunks):
                before = Counter(done[: done.index(("dealt", chunk))])
                assert min(before["checked", who] for who in (BANK, INSURER, SAVINGS)) == chunk + 1
                assert max(before["checked", who] for who in (BANK, INSURER, SAVINGS)) == chunks

    run(scenario())


@pytest.mark.parametrize("subjects", [None, SUBJECTS], ids=["one", "many"])
def test_who_waits_for_checks_is_told_of_a_rejection(several, subjects):
    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            flow.records[BANK].poison = {"income": 1 << 30}
            slow(flow, BANK, 1)
            asked = await flow.ask(ALICE) if subjects is None else await ask_many(flow, subjects)
            view = await flow.settled(asked)
            assert [(event.by, event.reason) for event in view.failures] == [(REGULATOR, FailReason.INPUT_REJECTED)]
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((BANK,)), Verdict.MATCH)

    run(scenario())


@pytest.mark.parametrize("told", [SUBJECTS * 2, [BOB, *SUBJECTS[1:], *SUBJECTS]], ids=["right", "wrong"])
def test_the_last_chunk_waits_for_the_check_of_the_subjects_and_no_other_does(several, told, monkeypatch):
    check = Supervisor._wrong_subjects

    async def scenario():
        async with Flow(Lenders(quota=1_000_000)) as flow:
            done = slow(flow, NOBODY, 0)

            async def late(self, view):
                wrong = await check(self, view)
                await asyncio.sleep(1)
                done.append(("subjects", 0 if wrong is None else 1))
                return wrong

            monkeypatch.setattr(Supervisor, "_wrong_subjects", late)
            view = await flow.settled(await ask_many(flow, SUBJECTS * 2, told=told))
            last = 2 * CHUNKS - 1
            dealt = [what for what in done if what[0] in ("dealt", "subjects")]
            assert dealt[:last] == [("dealt", chunk) for chunk in range(last)]
            if told == SUBJECTS * 2:
                assert dealt[last:] == [("subjects", 0), ("dealt", last)]
                assert (view.attempt, view.verdict) == (1, Verdict.MATCH)
            else:
                assert dealt[last:] == [("subjects", 1)]
                assert view.state is QueryState.ABORTED

    run(scenario())


def test_no_outcome_is_attested_before_all_rows_are_checked(several):
    """Where nobody deals, nodes may be done long before."""

    async def scenario():
        async with Flow(Lenders(quota=1_000_000, correlations=CorrelationSource.OT)) as flow:
            flow.records[BANK].poison = {"income": 1 << 30}
            slow(flow, BANK, 3)
            view = await flow.settled(await ask_many(flow, [ALICE, BOB]))
            assert (view.attempt, view.verdict) == (1, Verdict.MISMATCH)
            assert view.attestation is not None
            assert (view.attestation.member, view.attestation.stage) == (BANK, AuditStage.INPUT)

    run(scenario())


def test_no_outcome_is_attested_before_the_subjects_are_checked(several, monkeypatch):
    check = Supervisor._wrong_subjects

    async def late(self, view):
        wrong = await check(self, view)
        await asyncio.sleep(3)
        return wrong

    monkeypatch.setattr(Supervisor, "_wrong_subjects", late)

    async def scenario():
        async with Flow(Lenders(quota=1_000_000, correlations=CorrelationSource.OT)) as flow:
            view = await flow.settled(await ask_many(flow, [ALICE, BOB], told=[BOB, BOB]))
            assert (view.attempt, view.verdict) == (1, Verdict.MISMATCH)
            assert view.attestation is not None
            assert (view.attestation.member, view.attestation.stage) == (NOBODY, AuditStage.SUBJECT)

    run(scenario())


def test_in_the_next_attempt_too_what_is_final_is_opened_while_others_are_waited_for(watch):
    async def scenario():
        async with Flow(Setting(spares=1)) as flow:
            seen = watch()
            asked = await flow.ask(ALICE)
            view = await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            flow.kill(SAVINGS)
            await flow.fail_by_hand(view)
            await flow.until(asked, lambda view: view.attempt == 2)
            while flow.view(asked).committed != bitmap((BANK, INSURER)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert flow.view(asked).state is QueryState.REGISTERED
            assert seen.opened[2, BANK] == seen.opened[2, INSURER] == 1
            assert (await flow.settled(asked)).verdict is Verdict.MATCH

    run(scenario())


def test_one_subjects_input_takes_one_turn_of_the_thread(watch):
    """Others may have much to do there."""

    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            watch()
            worker, jobs = flow.daemons[REGULATOR].context.worker, []
            honest = worker.run

            async def counted(job):
                jobs.append(job)
                return await honest(job)

            worker.run = counted  # type: ignore[method-assign]
            await flow.ask(ALICE)
            await asyncio.sleep(1)
            assert len(jobs) == 2

    run(scenario())
