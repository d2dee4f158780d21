"""Transcripts that differ: the supervisor asks the committee for what arrived, and says because of whom."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from mpcnode.client.asking import Prepared
from mpcnode.errors import NodeError
from mpcnode.mpc import Payload
from mpcnode.query.messages import Differ, Kind, encode_differ
from mpcnode.query.statements import EndStatement, encode_end_statement
from mpcnode.query.view import QueryView
from mpcnode.roles import evidence
from mpcnode.roles.arbiter import Arbiter
from mpcnode.types import (
    AuditMode,
    Commitment,
    CorrelationSource,
    FailReason,
    MemberIndex,
    QueryState,
    Verdict,
    members_of,
)
from tests.support.batch_run import SESSION, BatchWorld
from tests.support.consortium import ALICE, NODES, REGULATOR, Setting, identity
from tests.support.deviant_words import Ends, digest, ending
from tests.support.deviation import without
from tests.support.fake_peers import Fault
from tests.support.flow import Flow
from tests.support.virtual_time import run

EVIL = NODES[1]
OT = Setting(correlations=CorrelationSource.OT, spares=1)

Meddle = Callable[[int, Payload], Payload]
"""(receiver, what EVIL sends in a round of the session itself) -> what arrives there"""


def meddled(flow: Flow, change: Meddle) -> None:
    """Let EVIL send something else in the first attempt's rounds; not while correlations are made."""
    send = flow.network.frame

    def frame(me, to, session, payload):
        views = flow.watcher(REGULATOR).link.view.open()
        is_meant = me == EVIL and any(view.session == session and view.attempt == 1 for view in views)
        send(me, to, session, change(to, payload) if is_meant else payload)

    flow.network.frame = frame  # type: ignore[method-assign]


def flipped(payload: Payload) -> Payload:
    """All values of a round, each with another lowest bit."""
    return replace(payload, data=bytes(byte ^ 1 for byte in payload.data))


def in_round(number: int, *, to: Callable[[int], bool] = lambda _: True) -> Meddle:
    return lambda receiver, payload: flipped(payload) if payload.round == number and to(receiver) else payload


async def first_attempt(flow: Flow) -> tuple[QueryView, tuple[MemberIndex, ...]]:
    """A query whose first committee seats EVIL, when nothing more happens to it; and that committee."""
    while True:
        asked = flow.prepare(ALICE, life_ms=600_000)
        await flow.desk.ask(asked.sealed)
        committee = flow.view(asked).committee
        view = await flow.settled(asked, within_s=1_000)
        if EVIL in committee:
            assert await flow.opened(asked) == flow.clear(ALICE)
            return view, committee


async def named(flow: Flow) -> set[MemberIndex]:
    """Whom the supervisor names for the one attempt that failed."""
    view, _ = await first_attempt(flow)
    (failure,) = view.failures
    assert (failure.by, failure.reason, view.attempt) == (REGULATOR, FailReason.TRANSCRIPTS_DIFFER, 2)
    assert view.verdict in {Verdict.MATCH, None}
    assert flow.view(view.query).committee
    return set(members_of(failure.waited))


@pytest.mark.parametrize("audit", [AuditMode.OFF, AuditMode.AFTER_RELEASE, AuditMode.BEFORE_RELEASE])
def test_whatever_the_audit_the_sender_of_a_wrong_frame_is_named(audit):
    async def scenario():
        async with Flow(Setting(audit=audit, spares=1)) as flow:
            meddled(flow, in_round(1))
            assert await named(flow) == {EVIL}

    run(scenario())


# ------------------------------------------------------------------- correlations that the committee made

JOINT: dict[str, Meddle] = {
    "a wrong frame for everybody": in_round(2),
    "a wrong frame for everybody in the last round": in_round(6),
    "different frames for two nodes": in_round(2, to=lambda receiver: receiver == NODES[0]),
    "different frames in the first round": in_round(1, to=lambda receiver: receiver == NODES[2]),
}


@pytest.mark.parametrize("case", JOINT)
def test_without_a_dealer_what_was_signed_names_the_sender_of_a_wrong_frame(case):
    async def scenario():
        async with Flow(OT) as flow:
            meddled(flow, JOINT[case])
            assert await named(flow) == {EVIL}

    run(scenario())


@pytest.mark.parametrize("is_silent", [False, True])
def test_without_a_dealer_who_signs_another_transcript_is_named_whatever_it_shows(is_silent):
    async def scenario():
        flow = Flow(OT)
        lie = Ends(ending(transcript_hash=digest("other")))
        flow.outfit(EVIL, without(Kind.FRAMES, lie) if is_silent else lie)
        async with flow:
            assert await named(flow) == {EVIL}

    run(scenario())


def test_without_a_dealer_and_without_data_two_that_cannot_both_be_right_are_named(monkeypatch):
    """A session that is too large for it: everybody shows the same frames, and two different transcripts."""
    monkeypatch.setattr(evidence, "DATA_BYTES_MAX", 0)

    async def scenario():
        async with Flow(OT) as flow:
            meddled(flow, in_round(2))
            pair = await named(flow)
            assert EVIL in pair
            assert len(pair) == 2

    run(scenario())


# ------------------------------------------------------------------- many chunks


async def judged(world: BatchWorld, *, silent: tuple[int, ...] = ()) -> tuple[tuple[MemberIndex, ...], int]:
    """Whom two ends of a session name, and how many pages of evidence were asked for."""
    known = await world.audited()
    ends = await world.run()
    transcripts = {node: end for node, end in ends.items() if not isinstance(end, Exception)}
    one, other = NODES[0], next(node for node in NODES if transcripts[node] != transcripts[NODES[0]])
    arbiter = Arbiter(world.contexts[REGULATOR], world.tracer)
    view = SimpleNamespace(
        **vars(world.view(known.honest.transcript)), session=SESSION, terms=SimpleNamespace(subjects=2_560)
    )
    world.network.faults += [Fault(kind="frames", sender=node, drop=True) for node in silent]
    pair = {node: transcripts[node] for node in (one, other)}
    found = await arbiter.judge_dealt(cast("QueryView", view), pair, known)
    return found, len({sent.payload for sent in world.network.of("recall")})


def misleads(world: BatchWorld, chunk: int, number: int, to: int) -> None:
    """EVIL sends one node something else."""
    send = world.network.frame

    def frame(me, receiver, session, payload):
        is_meant = (me, receiver, payload.chunk, payload.round) == (EVIL, to, chunk, number)
        send(me, receiver, session, flipped(payload) if is_meant else payload)

    world.network.frame = frame  # type: ignore[method-assign]


@pytest.mark.parametrize(("chunk", "number", "pages"), [(0, 1, 1), (31, 6, 1), (33, 2, 2), (39, 1, 2)])
@pytest.mark.parametrize("silent", [(), (EVIL,)])
def test_the_chunk_in_question_is_found_and_who_misled_another_there(chunk, number, pages, silent):
    async def scenario():
        world = BatchWorld(2_560, chunk_subjects=64)
        misleads(world, chunk, number, NODES[2 * (chunk % 2)])
        assert await judged(world, silent=silent) == ((EVIL,), pages)

    run(scenario())


def test_a_member_that_was_misled_and_shows_nothing_in_time_is_named():
    """It could have said by what."""

    async def scenario():
        world = BatchWorld(2_560, chunk_subjects=64)
        misleads(world, 33, 1, NODES[0])
        assert (await judged(world, silent=(NODES[0],)))[0] == (NODES[0],)

    run(scenario())


# ------------------------------------------------------------------- what is no word of two ends


def stated(view: QueryView, **words: object) -> bytes:
    assert view.session is not None
    end = EndStatement(
        chain=CHAIN,
        query=view.query,
        attempt=view.attempt,
        session=view.session,
        deal_hash=digest("deal"),
        transcript_hash=digest("transcript"),
        output_commitment=Commitment(digest("output")),
        inquirer_box_hash=digest("box"),
        supervisor_box_hash=digest("envelope"),
    )
    return encode_end_statement(replace(end, **words))  # type: ignore[arg-type]


CHAIN = Setting().consortium().chain
STRANGER = REGULATOR
OTHER = {"transcript_hash": digest("another")}

NO_WORD: dict[str, tuple[MemberIndex, dict, MemberIndex, dict, str]] = {
    "one transcript": (NODES[0], {}, NODES[1], {}, "expected two transcripts of one session"),
    "two sessions": (NODES[0], {}, NODES[1], {"session": digest("s")}, "expected two transcripts of one session"),
    "an unknown session": (NODES[0], {"session": digest("s")}, NODES[1], OTHER, "of a session that is being computed"),
    "its own end twice": (NODES[0], {}, NODES[0], OTHER, "expected ends of two of"),
    "a stranger's end": (NODES[0], {}, STRANGER, OTHER, "expected ends of two of"),
    "a stranger's word": (STRANGER, {}, NODES[0], OTHER, "expected ends of two of"),
}


def word(sender: MemberIndex, own: bytes, member: MemberIndex, other: bytes, *, signer: MemberIndex) -> bytes:
    return encode_differ(
        Differ(
            own=own,
            own_signature=identity(sender).sign(own),
            member=member,
            other=other,
            other_signature=identity(signer).sign(other),
        )
    )


async def running(flow: Flow) -> tuple[Prepared, QueryView]:
    """A query that is being computed, slowly; the supervisor has dealt to it."""
    flow.network.faults.append(Fault(kind="rounds", delay_ms=200))
    asked = await flow.ask(ALICE)
    view = await flow.until(asked, lambda view: view.state is QueryState.COMPUTING, at=REGULATOR)
    await asyncio.sleep(0.1)
    return asked, view


@pytest.mark.parametrize("case", NO_WORD)
def test_what_is_no_word_of_two_ends_is_refused_and_ends_nothing(case):
    sender, own, member, other, said = NO_WORD[case]

    async def scenario():
        async with Flow() as flow:
            asked, view = await running(flow)
            hear = flow.daemons[REGULATOR].role.handlers[Kind.DIFFER]
            payload = word(sender, stated(view, **own), member, stated(view, **other), signer=member)
            with pytest.raises(NodeError, match=said):
                await hear(sender, payload)
            assert (await flow.settled(asked)).failures == ()

    run(scenario())


@pytest.mark.parametrize("forged", ["own", "other"])
def test_ends_that_were_not_signed_are_refused(forged):
    async def scenario():
        async with Flow() as flow:
            _, view = await running(flow)
            hear = flow.daemons[REGULATOR].role.handlers[Kind.DIFFER]
            payload = word(EVIL, stated(view), NODES[0], stated(view, **OTHER), signer=EVIL)
            sender = EVIL if forged == "other" else NODES[2]
            with pytest.raises(NodeError, match=f"differ: {forged} end"):
                await hear(sender, payload)

    run(scenario())


def test_two_signed_ends_are_enough_though_nobody_has_computed_them():
    """Who signed them is at fault, both; the third still computes, ends its session, and shows nothing wrong."""

    async def scenario():
        async with Flow(Setting(spares=2)) as flow:
            asked, view = await running(flow)
            first, second, third = view.committee
            hear = flow.daemons[REGULATOR].role.handlers[Kind.DIFFER]
            await hear(first, word(first, stated(view), second, stated(view, **OTHER), signer=second))
            view = await flow.settled(asked)
            assert [(event.by, set(members_of(event.waited))) for event in view.failures] == [
                (REGULATOR, {first, second})
            ]
            assert third not in {first, second}

    run(scenario())
