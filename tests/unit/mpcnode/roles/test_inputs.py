"""The supervisor opens and checks each contribution as its commitment becomes final, once in each attempt."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from mpcnode.query.blobs import BlobKind
from mpcnode.roles import auditing, inputs, programs
from mpcnode.scorecard import compile_batch
from mpcnode.types import FailReason, QueryState, Verdict, bitmap
from tests.support.batches import ask_many, opened_many
from tests.support.consortium import ALICE, BANK, BOB, INSURER, NODES, REGULATOR, SAVINGS, Setting
from tests.support.fake_blobs import MemoryBlobs
from tests.support.flow import Flow
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
def watch(monkeypatch):
    programs._compiled.cache_clear()
    monkeypatch.setattr(programs, "compile_batch", partial(compile_batch, chunk_subjects=CHUNK))

    def begin() -> Seen:
        seen = Seen()
        monkeypatch.setattr(inputs, "open_input", partial(seen.open, auditing.open_input))
        monkeypatch.setattr(inputs, "check_chunks", partial(seen.check, auditing.check_chunks))
        return seen

    yield begin
    programs._compiled.cache_clear()


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
