"""A query from the request to the attested answer."""

import asyncio

import pytest

from mpcnode.roles.compute import Compute
from mpcnode.types import AuditMode, QueryState, Verdict
from tests.support.consortium import ALICE, BOB, NOBODY_KNOWS, NODES, PANEL, RECORDS, Setting
from tests.support.flow import Flow
from tests.support.virtual_time import run

TOO_LONG = "as when a test takes too long"

LOGGED = {
    "session.began": 3,
    "session.outputs_formed": 3,
    "inputs.checked": 1,
    "audit.recomputed": 1,
    "audit.judged": 1,
}
"""Lines about one query, by event."""

STEPS = ["register", "commit_input", "commit_input", "commit_input", "post_result", "attest"]


@pytest.mark.parametrize("subject", [ALICE, BOB, NOBODY_KNOWS])
def test_a_query_is_answered_and_attested(subject):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(subject)
            view = await flow.settled(asked)
            assert (view.state, view.verdict, view.attempt) == (QueryState.ANSWERED, Verdict.MATCH, 1)
            outcome = await flow.opened(asked)
            assert outcome == flow.clear(subject)
            assert outcome.sufficient is (subject != NOBODY_KNOWS)
            assert [method for method, reason in flow.chain.methods() if not reason] == STEPS

    run(scenario())


def test_the_log_tells_when_nodes_began_and_had_their_outputs():
    async def scenario():
        async with Flow() as flow:
            view = await flow.settled(await flow.ask(ALICE))
            session = view.session
            lines = {event: [line for line in flow.logs if line["event"] == event] for event in LOGGED}
            assert {event: len(of) for event, of in lines.items()} == LOGGED
            assert {line["session"] for of in lines.values() for line in of} == {session}
            formed = lines["session.outputs_formed"][0]
            assert (formed["subjects"], formed["chunks"]) == (1, 1)
            assert formed["seconds"] >= formed["rounds_s"] >= 0

    run(scenario())


@pytest.mark.parametrize(
    ("audit", "state", "verdict"),
    [
        (AuditMode.BEFORE_RELEASE, QueryState.RELEASED, Verdict.MATCH),
        (AuditMode.AFTER_RELEASE, QueryState.ANSWERED, Verdict.MATCH),
        (AuditMode.OFF, QueryState.ANSWERED, None),
    ],
)
def test_every_audit_mode_comes_to_its_end(audit, state, verdict):
    async def scenario():
        async with Flow(Setting(audit=audit)) as flow:
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (state, verdict)
            assert await flow.opened(asked) == flow.clear(ALICE)
            assert all(not reason for _, reason in flow.chain.methods())

    run(scenario())


def test_many_queries_at_once_do_not_mix():
    async def scenario():
        async with Flow() as flow:
            subjects = [ALICE, BOB, NOBODY_KNOWS] * 3
            asked = await asyncio.gather(*(flow.ask(subject) for subject in subjects))
            for subject, query in zip(subjects, asked, strict=True):
                view = await flow.settled(query)
                assert view.verdict is Verdict.MATCH
                assert await flow.opened(query) == flow.clear(subject)

    run(scenario())


def test_nothing_waits_and_no_secret_lingers_after_the_end():
    async def scenario():
        async with Flow() as flow:
            tasks = len(asyncio.all_tasks())
            for subject in (ALICE, BOB):
                await flow.settled(await flow.ask(subject))
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) == tasks
            for daemon in flow.daemons.values():
                assert not daemon.link._waiting
                assert not daemon.replica.awaited
            for node in NODES:
                role = flow.daemons[node].role
                assert isinstance(role, Compute)
                box = role._mailbox
                for inbox in (box.shares, box.deals, box.accepts, box.ends, box.aborts):
                    assert not any(place.kept or place.waiting for place in inbox._senders.values())

    run(scenario())


def test_a_hit_and_a_miss_look_alike():
    """Same transactions of the same sizes at the same times, same messages of the same sizes."""

    async def seen(subject):
        async with Flow() as flow:
            await flow.settled(await flow.ask(subject))
            start = flow.chain.blocks[1].header.timestamp_ms
            blocks = [
                (block.header.timestamp_ms - start, tx.method, len(tx.args), receipt.gas // 1_000)
                for block in flow.chain.blocks[1:]
                for tx, receipt in zip(block.txs, block.receipts, strict=True)
            ]
            messages = sorted((s.kind, s.sender, s.receiver, len(s.payload)) for s in flow.network.sent)
            return blocks, messages

    assert BOB not in RECORDS[PANEL[2]]
    (hit_blocks, hit_messages), (miss_blocks, miss_messages) = run(seen(ALICE)), run(seen(NOBODY_KNOWS))
    assert hit_messages == miss_messages
    assert [block[:3] for block in hit_blocks] == [block[:3] for block in miss_blocks]
    assert all(abs(hit[3] - miss[3]) <= 2 for hit, miss in zip(hit_blocks, miss_blocks, strict=True))


def test_the_same_seed_gives_the_same_run():
    async def trace():
        async with Flow() as flow:
            await flow.settled(await flow.ask(ALICE))
            return [block.block_hash for block in flow.chain.blocks]

    assert run(trace()) == run(trace())


@pytest.mark.parametrize("lag_ms", [30, 300])
def test_replicas_may_lag_each_differently(lag_ms):
    async def scenario():
        async with Flow(silent=[*NODES, *PANEL]) as flow:
            for place, index in enumerate((*NODES, *PANEL)):
                flow.start(index, lag_ms * (place % 3))
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert (view.verdict, view.failures) == (Verdict.MATCH, ())

    run(scenario())


def test_a_test_that_takes_too_long_ends_at_once_whichever_daemon_was_at_work():
    """What ends it is raised in any task; no daemon is said to have died of it."""

    def end(_kind: str) -> None:
        pytest.fail(TOO_LONG)

    async def scenario():
        async with Flow() as flow:
            flow.journals[NODES[0]].after_put = end
            await flow.ask(ALICE)
            await asyncio.Event().wait()

    with pytest.raises(pytest.fail.Exception, match=TOO_LONG):
        run(scenario())
