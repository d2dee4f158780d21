"""One node of the committee says anything that it can sign: the others end the attempt, with the right reason.

What it sends is signed with its own key, so only its contents are wrong. The first attempt fails; in the second the
node behaves, and the answer is right. No daemon ends.
"""

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.types import ChainId, Digest, Signature
from mpcnode.errors import MalformedMessageError, NodeError
from mpcnode.mpc import Payload
from mpcnode.query.messages import (
    Abort,
    Accept,
    Kind,
    Shares,
    decode_accept,
    decode_end,
    encode_abort,
    encode_accept,
    encode_end,
    encode_shares,
)
from mpcnode.query.statements import (
    decode_accept_statement,
    decode_end_statement,
    encode_accept_statement,
    encode_end_statement,
)
from mpcnode.roles.compute import Compute
from mpcnode.roles.inbox import KEPT_MAX, Inbox
from mpcnode.types import Commitment, FailReason, MemberIndex, QueryState, SessionId, Verdict, members_of
from tests.support.consortium import ALICE, BANK, INSURER, NODES, REGULATOR, identity
from tests.support.flow import ROUNDS, Fault, Flow
from tests.support.virtual_time import run

EVIL = NODES[1]


def digest(name):
    return Digest(hashlib.sha256(name.encode()).digest())


def accepting(**changes):
    """The accept with some words changed, signed again."""

    def tamper(payload):
        stated = dataclasses.replace(decode_accept_statement(decode_accept(payload).statement), **changes)
        statement = encode_accept_statement(stated)
        return encode_accept(Accept(statement=statement, signature=identity(EVIL).sign(statement)))

    return tamper


def ending(inquirer_box=None, supervisor_box=None, *, honest_hashes=True, **changes):
    """The end with other boxes or words, signed again; its hashes are those of the boxes unless told otherwise."""

    def tamper(payload):
        end = decode_end(payload)
        boxes = (inquirer_box(end.inquirer_box) if inquirer_box else end.inquirer_box,
                 supervisor_box(end.supervisor_box) if supervisor_box else end.supervisor_box)  # fmt: skip
        stated = dataclasses.replace(decode_end_statement(end.statement), **changes)
        if honest_hashes:
            hashes = [Digest(hashlib.sha256(box).digest()) for box in boxes]
            stated = dataclasses.replace(stated, inquirer_box_hash=hashes[0], supervisor_box_hash=hashes[1])
        statement = encode_end_statement(stated)
        signature = identity(EVIL).sign(statement)
        return encode_end(
            dataclasses.replace(
                end, statement=statement, signature=signature, inquirer_box=boxes[0], supervisor_box=boxes[1]
            )
        )

    return tamper


def until_it_failed(flow, fault):
    """Let a fault last until the first attempt has failed."""
    hits = fault.hits
    fault.hits = lambda *what: not any(view.attempt > 1 for view in flow.watcher().link.view.open()) and hits(*what)
    flow.network.faults.append(fault)


def failed_with(*faults):
    """Ask once; return the reason of the one failed attempt, whom it named, and the query after its right answer."""

    async def scenario():
        async with Flow() as flow:
            for fault in faults:
                until_it_failed(flow, fault)
            # its own end is as it should be: it would post the right result itself when its turn comes
            flow.chain.drop = lambda sender, method: sender == EVIL and method == "post_result"
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 2, Verdict.MATCH), view
            assert await flow.opened(asked) == flow.clear(ALICE)
            (failure,) = view.failures
            assert not any(daemon.task.done() for daemon in flow.daemons.values())
            return failure.reason, tuple(members_of(failure.waited))

    return run(scenario())


CASES: dict[str, tuple[str, Callable[[bytes], bytes], FailReason]] = {
    "a frame too short": (ROUNDS, lambda data: data[:-1], FailReason.ABORT),
    "a frame too long": (ROUNDS, lambda data: data + b"\0", FailReason.ABORT),
    "an empty frame": (ROUNDS, lambda _: b"", FailReason.ABORT),
    "another deal accepted": ("accept", accepting(deal_hash=digest("deal")), FailReason.ABORT),
    "another transcript": ("end", ending(transcript_hash=digest("other")), FailReason.TRANSCRIPTS_DIFFER),
    "the end of another deal": ("end", ending(deal_hash=digest("deal")), FailReason.ABORT),
    "the end of another attempt": ("end", ending(attempt=3), FailReason.ABORT),
    "the end of another query": ("end", ending(query=digest("query")), FailReason.ABORT),
    "the end on another chain": ("end", ending(chain=ChainId(digest("chain"))), FailReason.ABORT),
    "another box than signed": ("end", ending(lambda box: box[:-1] + b"x", honest_hashes=False), FailReason.ABORT),
    "a wider box": ("end", ending(lambda box: box + b"x"), FailReason.ABORT),
    "no box": ("end", ending(lambda _: b""), FailReason.ABORT),
    "a narrower box for the supervisor": ("end", ending(None, lambda box: box[:-1]), FailReason.ABORT),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_evil_node_signs_fails_the_attempt(case):
    """Who received it says so and names the sender; the dealer too, whose deal it may have been; after transcripts that
    differ the supervisor says so."""
    kind, tamper, reason = CASES[case]
    named = {"another deal accepted": (EVIL, REGULATOR)}.get(case, (EVIL,))
    assert failed_with(Fault(kind=kind, sender=EVIL, tamper=tamper)) == (reason, named)


@pytest.mark.parametrize("jump", [-1, 1, 2, 1_000_000, 2**32 - 1])
@pytest.mark.parametrize("part", ["round", "chunk"])
def test_a_frame_of_another_round_or_chunk_fails_the_attempt(part, jump, monkeypatch):
    """The round before, one ahead too many, and numbers that no program has."""

    def spoilt(payload: Payload) -> dict[str, int]:
        return {part: (getattr(payload, part) + jump) % 2**32}

    async def scenario():
        async with Flow() as flow:
            sent = flow.network.frame

            def frame(me, to, session, payload):
                is_first = not any(view.attempt > 1 for view in flow.watcher().link.view.open())
                if me == EVIL and payload.round == 2 and is_first:
                    payload = replace(payload, **spoilt(payload))
                sent(me, to, session, payload)

            monkeypatch.setattr(flow.network, "frame", frame)
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 2, Verdict.MATCH)
            return view.failures[0].reason

    assert run(scenario()) in {FailReason.ABORT, FailReason.TIMEOUT}


def test_an_end_of_another_session_is_none_of_this_one():
    """It is kept for a session that never comes; this one times out and names who did not end it."""
    reason, waited = failed_with(Fault(kind="end", sender=EVIL, tamper=ending(session=SessionId(digest("other")))))
    assert (reason, waited) == (FailReason.TIMEOUT, (EVIL,))


BOXES_OF_NOBODY: dict[str, Callable[[bytes], bytes]] = {
    "a box that nobody can open": ending(lambda box: bytes(len(box))),
    "a commitment to something else": ending(output_commitment=Commitment(digest("share"))),
}


@pytest.mark.parametrize("case", BOXES_OF_NOBODY)
def test_a_result_that_only_recipients_can_judge_is_never_shown(case):
    """The committee cannot see it, the ledger takes it; the inquirer's client and the supervisor do."""

    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="end", sender=EVIL, tamper=BOXES_OF_NOBODY[case]))
            flow.chain.drop = lambda sender, method: sender == EVIL and method == "post_result"
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert view.state is QueryState.ANSWERED
            assert view.verdict is not Verdict.MATCH or case == "a box that nobody can open"
            with pytest.raises(NodeError) as caught:
                await flow.opened(asked)
            return caught.value

    assert run(scenario()).code == "RESULT_MISMATCH"


# --------------------------------------------------------------------------- floods


def compute(flow, node):
    role = flow.daemons[node].role
    assert isinstance(role, Compute)
    return role


def test_a_flood_of_one_participant_does_not_push_out_anothers_shares():
    """Each peer has its own room; a node that forgot a share once computed without it and gave a wrong answer."""

    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="shares", sender=BANK, receiver=NODES[0], delay_ms=300))
            node = compute(flow, NODES[0])
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.session is not None)
            await asyncio.sleep(0.1)  # the node waits for the shares by now
            for number in range(3_000):
                shares = Shares(
                    query=digest(f"flood {number}"),
                    attempt=1,
                    salt=bytes(32),
                    sent=bytes(32),
                    signature=Signature(bytes(64)),
                )
                await node.handlers[Kind.SHARES](INSURER, encode_shares(shares))
            view = await flow.settled(asked)
            assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 1, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)
            assert len(node._mailbox.shares._senders[INSURER].kept) <= KEPT_MAX

    run(scenario())


def test_an_inbox_forgets_the_oldest_of_the_same_sender_only_and_nothing_that_is_waited_for():
    async def scenario():
        inbox: Inbox[int] = Inbox(2)
        one, two = MemberIndex(1), MemberIndex(2)
        inbox.put(two, b"a", 0)
        waiting = asyncio.ensure_future(inbox.take(one, b"late"))
        await asyncio.sleep(0)
        for number in range(10):
            inbox.put(one, bytes([number]), number)
        assert not waiting.done()
        inbox.put(one, b"late", 99)
        assert await waiting == 99
        assert await inbox.take(two, b"a") == 0
        assert await inbox.take(one, bytes([9])) == 9
        forgotten = asyncio.ensure_future(inbox.take(one, bytes([0])))
        await asyncio.sleep(0)
        assert not forgotten.done()
        forgotten.cancel()
        inbox.put(two, b"a", 0)
        with pytest.raises(MalformedMessageError):
            inbox.put(two, b"a", 1)

    run(scenario())


def test_aborts_of_strangers_and_of_other_sessions_end_nothing():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            hear = compute(flow, NODES[0]).handlers[Kind.ABORT]
            await hear(EVIL, encode_abort(Abort(session=digest("other"), reason=255)))
            view = await flow.until(asked, lambda now: now.session is not None)
            assert view.session is not None
            await hear(MemberIndex(9), encode_abort(Abort(session=view.session, reason=1)))
            view = await flow.settled(asked)
            assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 1, Verdict.MATCH)

    run(scenario())
