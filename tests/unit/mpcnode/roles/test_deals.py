"""What a dealer answers to those who pull corrections."""

import asyncio

import pytest

from mpcnode.errors import NotAllowedError
from mpcnode.roles.deals import ASKED_MAX
from mpcnode.roles.ports import DealtCorrections
from mpcnode.types import SUBJECTS_MAX, SessionId
from tests.support.batch_run import SESSION, BatchWorld
from tests.support.consortium import NODES, REGULATOR, identity
from tests.support.virtual_time import run

LAST = NODES[-1]


def world() -> BatchWorld:
    return BatchWorld(10, chunk_subjects=4)


async def pull(of: BatchWorld, session: SessionId, chunk: int) -> DealtCorrections | None:
    return await of.deals.corrections(LAST, session, chunk) if await of.deals.ready(session, chunk) else None


def test_each_chunk_is_dealt_as_often_as_streams_may_break_and_always_alike():
    async def scenario():
        of = world()
        with of.deals.running(of.dealt) as passed:
            passed(of.batch.chunks)
            for chunk in (2, 0, 1):
                right = of.dealt.corrections(chunk, identity(REGULATOR))
                for _ in range(ASKED_MAX):
                    assert await of.deals.corrections(LAST, SESSION, chunk) == right
                with pytest.raises(NotAllowedError, match=f"chunk {chunk}: expected to be asked 8 times at most"):
                    await of.deals.corrections(LAST, SESSION, chunk)

    run(scenario())


def test_only_the_last_node_is_dealt_corrections_and_only_of_its_chunks():
    async def scenario():
        of = world()
        with of.deals.running(of.dealt) as passed:
            passed(of.batch.chunks)
            for node in NODES[:-1]:
                for _ in range(ASKED_MAX + 1):
                    with pytest.raises(NotAllowedError, match=f"expected its last node, member {LAST}"):
                        await of.deals.corrections(node, SESSION, 0)
            with pytest.raises(NotAllowedError, match="chunk 3: expected one of 3 chunks"):
                await of.deals.corrections(LAST, SESSION, 3)
            assert await of.deals.corrections(LAST, SESSION, 0) is not None  # nobody used up what is its own

    run(scenario())


def test_who_asks_before_the_deal_is_answered_when_it_is_made():
    async def scenario():
        of = world()
        asking = [asyncio.ensure_future(pull(of, SESSION, chunk)) for chunk in (0, 1)]
        await asyncio.sleep(1)
        assert not any(asked.done() for asked in asking)
        with of.deals.running(of.dealt) as passed:
            passed(of.batch.chunks)
            for chunk, asked in enumerate(asking):
                assert await asked == of.dealt.corrections(chunk, identity(REGULATOR))
        assert not of.deals._waiting

    run(scenario())


def test_a_chunk_is_dealt_once_its_rows_have_passed_their_check():
    async def scenario():
        of = world()
        with of.deals.running(of.dealt) as passed:
            asking = [asyncio.ensure_future(pull(of, SESSION, chunk)) for chunk in (0, 1, 2)]
            for count in range(3):
                await asyncio.sleep(0.1)
                assert [asked.done() for asked in asking] == [chunk < count for chunk in range(3)]
                assert await of.deals.corrections(LAST, SESSION, count) is None
                if count < 2:
                    passed(count + 1)
            assert [await asked for asked in asking[:2]] == [
                of.dealt.corrections(chunk, identity(REGULATOR)) for chunk in (0, 1)
            ]
        assert await asking[2] is None  # the session is over, and its rows never passed
        assert asyncio.get_running_loop().time() < 1
        assert not of.deals._waiting

    run(scenario())


@pytest.mark.parametrize("session", [SESSION, SessionId(bytes(32))])
def test_who_asks_for_what_is_not_dealt_gets_nothing_and_leaves_nothing(session):
    async def scenario():
        of = world()
        with of.deals.running(of.dealt):
            pass  # it is over
        assert await of.deals.corrections(LAST, session, 0) is None
        assert asyncio.get_running_loop().time() == 0  # who deals does not wait
        assert await pull(of, session, 0) is None
        patience = of.contexts[REGULATOR].timing.of(SUBJECTS_MAX).preparation / 1000
        assert asyncio.get_running_loop().time() == pytest.approx(patience)  # as long as nodes may wait
        given_up = asyncio.ensure_future(pull(of, session, 0))
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.sleep(0.1)
        assert not of.deals._waiting

    run(scenario())
