"""Attempts that fail: who says so, whom they name, and that the next one starts afresh."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from ledger.types import Digest
from mpcnode.query.messages import Deal, decode_deal, decode_end, decode_shares, encode_deal, encode_end
from mpcnode.query.statements import decode_deal_statement, encode_deal_statement
from mpcnode.query.view import QueryView
from mpcnode.types import AuditMode, EndReason, FailReason, QueryState, Verdict, members_of
from tests.support.consortium import ALICE, BANK, NODES, REGULATOR, SPARE_MPC, Setting, identity
from tests.support.flow import PULLS, ROUNDS, Fault, Flow
from tests.support.virtual_time import run


def flipped(at: int) -> Callable[[bytes], bytes]:
    """Flip a bit at a place counted from the start, or from the end if negative."""

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return flip


def is_past(attempt: int, view: QueryView) -> bool:
    return view.attempt > attempt


async def answered_after_one_failure(flow: Flow, reason: FailReason, waited: set[int]) -> QueryView:
    asked = await flow.ask(ALICE)
    view = await flow.settled(asked)
    assert [(event.reason, set(members_of(event.waited))) for event in view.failures] == [(reason, waited)]
    assert (view.state, view.verdict, view.attempt) == (QueryState.ANSWERED, Verdict.MATCH, 2)
    assert await flow.opened(asked) == flow.clear(ALICE)
    return view


def first_attempt_only(fault: Fault, flow: Flow) -> None:
    """Let a fault last until the first attempt has failed."""
    hits = fault.hits
    fault.hits = lambda *what: not any(view.attempt > 1 for view in flow.watcher().link.view.open()) and hits(*what)  # type: ignore[method-assign]
    flow.network.faults.append(fault)


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_does_not_accept_is_named(node):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind="accept", sender=node, drop=True), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {node})

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_hangs_in_a_round_is_named(node):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=ROUNDS, sender=node, drop=True), flow)
            first_attempt_only(Fault(kind=ROUNDS, receiver=node, drop=True), flow)
            flow.network.faults.append(Fault(kind="abort", sender=node, drop=True))
            flow.chain.drop = lambda sender, method: sender == node and method == "fail_attempt"
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {node})

    run(scenario())


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (None, FailReason.TIMEOUT),
        ("started", FailReason.TIMEOUT),
        ("accepted", FailReason.ABORT),
        ("end", FailReason.TIMEOUT),
    ],
)
def test_a_node_of_a_pool_of_four_that_dies_is_named_and_the_next_attempt_answers(kept, reason, rank):
    """It dies before it accepts anything, when its session became durable, in the rounds, or with its end on its lips.

    The others wait for its accept in vain, see its stream break, or wait for its end.
    """

    async def scenario():
        async with Flow(Setting(audit=AuditMode.BEFORE_RELEASE, spares=1)) as flow:
            asked = await flow.ask(ALICE)
            dying = flow.view(asked).committee[rank]
            if kept is None:
                await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
                flow.kill(dying)
            elif kept == "accepted":
                while len(flow.network.of("accept", dying)) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.0001)
                flow.kill(dying)
            else:
                flow.kill_after(dying, kept)
            view = await flow.settled(asked)
            assert [(event.reason, event.waited) for event in view.failures] == [(reason, 1 << dying)]
            assert (view.attempt, view.state, view.verdict) == (2, QueryState.RELEASED, Verdict.MATCH)
            assert dying not in view.committee
            assert await flow.opened(asked) == flow.clear(ALICE)

    run(scenario())


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_node_whose_ends_get_lost_posts_the_result_itself(rank):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            alone = flow.view(asked).committee[rank]
            flow.network.faults.append(Fault(kind="end", sender=alone, drop=True))
            view = await flow.settled(asked)
            assert (view.failures, view.verdict) == ((), Verdict.MATCH)
            assert view.result is not None
            assert view.result.poster == alone
            assert view.result.at >= (view.computing_at or 0) + 3_000 * rank

    run(scenario())


@pytest.mark.parametrize("kind", ["deal", PULLS])
def test_a_dealer_that_goes_silent_is_named(kind):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=kind, drop=True), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {REGULATOR})

    run(scenario())


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(("kind", "sender"), [("shares", BANK), ("deal", REGULATOR)])
def test_who_waits_in_vain_says_so_before_its_peers_blame_it(kind, sender, node):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=kind, sender=sender, receiver=node, drop=True), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {sender})

    run(scenario())


def test_a_slow_notice_still_blames_nobody_else():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="abort", delay_ms=300))
            first_attempt_only(Fault(kind="shares", sender=BANK, receiver=NODES[0], drop=True), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {BANK})

    run(scenario())


@pytest.mark.parametrize("at", [40, -80], ids=["salt", "share"])
def test_a_share_that_does_not_open_its_commitment_fails_the_attempt(at):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind="shares", sender=BANK, receiver=NODES[1], tamper=flipped(at)), flow)
            await answered_after_one_failure(flow, FailReason.BAD_SHARE, {BANK})

    run(scenario())


@pytest.mark.parametrize(("kind", "at"), [("deal", -1), ("deal", 300), (PULLS, 0), (PULLS, -1)])
def test_a_deal_that_is_not_its_record_fails_the_attempt(kind, at):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            last = flow.view(asked).committee[-1]
            first_attempt_only(Fault(kind=kind, receiver=last, tamper=flipped(at)), flow)
            view = await flow.settled(asked)
            assert [(event.reason, event.waited) for event in view.failures] == [(FailReason.ABORT, 1 << REGULATOR)]
            assert view.verdict is Verdict.MATCH

    run(scenario())


def test_a_deal_with_a_forged_record_is_refused_and_missed():
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind="deal", receiver=NODES[0], tamper=flipped(100)), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {REGULATOR})
            assert [sent.kind for sent in flow.network.refused] == ["deal"]

    run(scenario())


@pytest.mark.parametrize("times", [1, 2])
def test_a_flipped_bit_in_a_round_names_its_sender(times):
    """The nodes cannot see it in the messages; their transcripts differ, and the supervisor asks why."""

    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=ROUNDS, sender=NODES[0], tamper=flipped(0), times=times), flow)
            view = await answered_after_one_failure(flow, FailReason.TRANSCRIPTS_DIFFER, {NODES[0]})
            assert view.failures[0].by == REGULATOR

    run(scenario())


@pytest.mark.parametrize("kind", ["differ", "recall"])
def test_a_supervisor_that_does_not_say_in_time_why_transcripts_differ_is_named(kind):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=kind, drop=True), flow)
            flow.chain.drop = lambda sender, method: sender == REGULATOR and method == "fail_attempt"
            first_attempt_only(Fault(kind=ROUNDS, sender=NODES[0], tamper=flipped(0), times=1), flow)
            await answered_after_one_failure(flow, FailReason.TRANSCRIPTS_DIFFER, {REGULATOR})

    run(scenario())


def test_frames_that_come_twice_end_the_session():
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind=ROUNDS, sender=NODES[0], receiver=NODES[1], copies=2), flow)
            await answered_after_one_failure(flow, FailReason.ABORT, {NODES[0]})

    run(scenario())


@pytest.mark.parametrize("kind", ["order", "shares", "deal", "accept", "end"])
def test_messages_may_come_twice(kind):
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind=kind, copies=2))
            view = await flow.settled(await flow.ask(ALICE))
            assert (view.verdict, view.failures) == (Verdict.MATCH, ())

    run(scenario())


@pytest.mark.parametrize("kind", ["order", "shares", "deal", "accept", "end", ROUNDS, PULLS])
def test_messages_may_be_late(kind):
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind=kind, sender=None, delay_ms=100))
            view = await flow.settled(await flow.ask(ALICE))
            assert (view.verdict, view.failures) == (Verdict.MATCH, ())

    run(scenario())


def dealt_otherwise(change: Callable[[Deal], Deal], **record: Any) -> Callable[[bytes], bytes]:
    """A deal that differs from what it should be, signed as such."""

    def tamper(payload: bytes) -> bytes:
        deal = change(decode_deal(payload))
        statement = encode_deal_statement(replace(decode_deal_statement(deal.statement), **record))
        return encode_deal(replace(deal, statement=statement, signature=identity(REGULATOR).sign(statement)))

    return tamper


def as_it_is(deal: Deal) -> Deal:
    return deal


WRONG_DEALS = {
    "a record of more chunks": dealt_otherwise(as_it_is, chunks=2),
    "a record of another correcting node": dealt_otherwise(as_it_is, correcting=BANK),
    "a record of other seeds": dealt_otherwise(as_it_is, seeds_hash=Digest(bytes(32))),
    "another seed than its hash": dealt_otherwise(lambda deal: replace(deal, seed=bytes(32))),
    "hashes of fewer nodes": dealt_otherwise(lambda deal: replace(deal, seed_hashes=deal.seed_hashes[:-1])),
}


@pytest.mark.parametrize("tamper", WRONG_DEALS.values(), ids=WRONG_DEALS)
def test_a_deal_that_is_not_its_record_is_the_dealers_fault(tamper):
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind="deal", tamper=tamper), flow)
            await answered_after_one_failure(flow, FailReason.ABORT, {REGULATOR})

    run(scenario())


@pytest.mark.parametrize("box", ["inquirer_box", "supervisor_box"])
def test_boxes_that_are_not_those_of_their_end_are_their_senders_fault(box):
    """The contract would refuse everybody's."""

    def tamper(payload: bytes) -> bytes:
        end = decode_end(payload)
        changed: Any = {box: flipped(-1)(getattr(end, box))}
        return encode_end(replace(end, **changed))

    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            liar = flow.view(asked).committee[-1]
            first_attempt_only(Fault(kind="end", sender=liar, tamper=tamper), flow)
            flow.chain.drop = lambda sender, method: sender == liar and method == "post_result"
            view = await flow.settled(asked)
            assert [(event.reason, event.waited) for event in view.failures] == [(FailReason.ABORT, 1 << liar)]

    run(scenario())


def test_every_attempt_draws_everything_afresh():
    async def scenario():
        async with Flow() as flow:
            first_attempt_only(Fault(kind="accept", sender=NODES[0], drop=True), flow)
            await answered_after_one_failure(flow, FailReason.TIMEOUT, {NODES[0]})
            sent = [(sent.receiver, decode_shares(sent.payload)) for sent in flow.network.of("shares", BANK)]
            seeds = [decode_deal(sent.payload).seed for sent in flow.network.of("deal")]
            assert {shares.attempt for _, shares in sent} == {1, 2}
            assert len({shares.sent for _, shares in sent}) == len({shares.salt for _, shares in sent}) == 6
            assert len(set(seeds)) == 6
            assert len({key for node in NODES for kind, key in flow.journals[node].entries if kind == "started"}) <= 2

    run(scenario())


def test_three_attempts_and_no_more():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="accept", sender=NODES[0], drop=True))
            view = await flow.settled(await flow.ask(ALICE, life_ms=60_000))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.ATTEMPTS_EXHAUSTED)
            assert [event.attempt for event in view.failures] == [1, 2, 3]
            assert {event.waited for event in view.failures} == {1 << NODES[0]}

    run(scenario())


def test_no_attempt_begins_for_which_there_is_no_time():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="accept", sender=NODES[0], drop=True))
            view = await flow.settled(await flow.ask(ALICE, window_ms=2_000, life_ms=8_000))
            assert (view.state, view.end_reason) == (QueryState.ABORTED, EndReason.NO_TIME_LEFT)

    run(scenario())


def test_a_node_that_was_waited_for_is_left_out_of_the_next_committee():
    async def scenario():
        async with Flow(Setting(spares=1)) as flow:
            asked = await flow.ask(ALICE)
            gone = flow.view(asked).committee[1]
            flow.network.faults.append(Fault(kind="accept", sender=gone, drop=True))
            view = await flow.settled(asked)
            assert (view.verdict, view.attempt) == (Verdict.MATCH, 2)
            assert gone not in view.committee

    run(scenario())


def test_a_node_may_be_out_of_one_committee_and_in_the_next():
    """Its work must not have ended with its first attempt."""

    async def scenario():
        async with Flow(Setting(spares=2)) as flow:
            for _ in range(40):
                asked = await flow.ask(ALICE)
                query = asked.request.query
                seats = [flow.view(asked).committee]
                while flow.view(query).attempt < 3:
                    attempt = flow.view(query).attempt
                    view = await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
                    await flow.fail_by_hand(view)
                    await flow.until(asked, partial(is_past, attempt))
                    seats.append(flow.view(asked).committee)
                view = await flow.settled(asked)
                assert (view.verdict, view.attempt) == (Verdict.MATCH, 3), seats
                if any(node in seats[0] and node not in seats[1] and node in seats[2] for node in (*NODES, SPARE_MPC)):
                    return
            pytest.fail("expected a node that leaves and comes back among 40 queries")

    run(scenario())


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("number", [1, 2, 6])
@pytest.mark.parametrize("behind_ms", [0, 300])
def test_who_lets_one_node_wait_does_not_have_it_blamed_by_another(order, number, behind_ms):
    """It keeps a round from one node, as from no other; the others then wait for that node."""

    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            evil, starved, other = (flow.view(asked).committee[rank] for rank in order)
            first_attempt_only(Fault(kind="abort", sender=starved, delay_ms=behind_ms), flow)
            flow.network.faults.append(Fault(kind="abort", sender=evil, drop=True))
            flow.chain.drop = lambda sender, method: sender == evil and method == "fail_attempt"
            send = flow.network.frame

            def frame(me, to, session, payload):
                views = flow.watcher(REGULATOR).link.view.open()
                is_first = any(view.session == session and view.attempt == 1 for view in views)
                if not (is_first and (me, to, payload.round) == (evil, starved, number)):
                    send(me, to, session, payload)

            flow.network.frame = frame  # type: ignore[method-assign]
            view = await flow.settled(asked)
            (failure,) = view.failures
            assert failure.by in {starved, other}
            assert set(members_of(failure.waited)) == {evil}

    run(scenario())
