"""Queries whose correlations the committee makes: from question to audited answer, and what goes wrong on the way."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mpcnode.mpc import CHUNK_SUBJECTS, providers
from mpcnode.mpc.paillier import accept
from mpcnode.mpc.providers import joint_provider
from mpcnode.query.messages import Kind
from mpcnode.roles import drawing, preparing, programs
from mpcnode.roles.preparing import PIECE_BYTES, Preparation, SilentPeersError, preparation_name
from mpcnode.scorecard import compile_batch
from mpcnode.types import (
    NOBODY,
    AuditMode,
    AuditStage,
    CorrelationSource,
    FailReason,
    MemberIndex,
    QueryState,
    Rank,
    SessionId,
    Verdict,
    members_of,
)
from tests.support.batches import ask_many, opened_many
from tests.support.consortium import ALICE, BOB, INSURER, NOBODY_KNOWS, NODES, PANEL, Setting
from tests.support.flow import ROUNDS, Fault, Flow
from tests.support.joint import session_id
from tests.support.lenders import Lenders
from tests.support.paillier import SHORT_BITS, key_of, seeded
from tests.support.talks import deviates
from tests.support.virtual_time import run
from tests.unit.mpcnode.mpc.test_providers import one_and

OT = Setting(correlations=CorrelationSource.OT)
WITH_SPARE = Setting(correlations=CorrelationSource.OT, spares=1)


async def answered(flow: Flow, subject: str = ALICE, attempt: int = 1) -> None:
    """A query is answered as in clear, and the audit agrees."""
    prepared = await flow.ask(subject, life_ms=600_000)
    view = await flow.settled(prepared, within_s=1_000)
    assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, attempt, Verdict.MATCH)
    assert await flow.opened(prepared) == flow.clear(subject)


def test_queries_by_oblivious_transfers_with_nobody_dealing():
    async def scenario():
        async with Flow(OT) as flow:
            async with asyncio.TaskGroup() as group:
                for subject in (ALICE, BOB, NOBODY_KNOWS):
                    group.create_task(answered(flow, subject))
            assert not flow.network.of(Kind.DEAL)

    run(scenario())


def with_short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paillier keys made beforehand, too short for any use but tests'; one after the other."""
    keys = itertools.cycle(range(6))
    monkeypatch.setattr(providers, "generate", lambda _: key_of(next(keys)))
    check = partial(accept, modulus_bits_min=SHORT_BITS)
    monkeypatch.setattr(providers, "paillier_provider", partial(providers.paillier_provider, check=check))


def test_a_query_by_paillier_encryption(monkeypatch):
    with_short_keys(monkeypatch)

    async def scenario():
        async with Flow(Setting(correlations=CorrelationSource.PAILLIER)) as flow:
            await answered(flow)

    run(scenario())


def test_a_value_out_of_range_is_rejected_without_a_deal_to_withhold():
    async def scenario():
        async with Flow(OT) as flow:
            flow.records[INSURER].poison["claims"] = 51
            prepared = await flow.ask(ALICE, life_ms=600_000)
            view = await flow.settled(prepared, within_s=1_000)
            assert (view.state, view.attempt) == (QueryState.ANSWERED, 2)
            assert await flow.opened(prepared) == flow.clear(ALICE, [who for who in PANEL if who != INSURER])

    run(scenario())


async def named_and_left_out(flow: Flow, tamper: Callable[[bytes], bytes]) -> None:
    """A node sends one message that no honest one sends: the ledger names it, and the next committee is without it."""
    prepared = await flow.ask(ALICE, life_ms=600_000)
    evil = flow.view(prepared).committee[1]
    flow.network.faults.append(Fault(kind=ROUNDS, sender=evil, tamper=tamper, times=1))
    view = await flow.settled(prepared, within_s=1_000)
    assert [(event.reason, set(members_of(event.waited))) for event in view.failures] == [(FailReason.ABORT, {evil})]
    assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 2, Verdict.MATCH)
    assert evil not in view.committee
    assert await flow.opened(prepared) == flow.clear(ALICE)


WRONG = {
    "short": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "a piece too long": lambda _: bytes(PIECE_BYTES + 1),
}


@pytest.mark.parametrize("tamper", WRONG.values(), ids=WRONG)
def test_a_node_that_sends_what_no_honest_one_does_is_named_and_left_out(tamper: Callable[[bytes], bytes]):
    async def scenario():
        async with Flow(WITH_SPARE) as flow:
            await named_and_left_out(flow, tamper)

    run(scenario())


def test_a_node_whose_paillier_key_does_not_check_is_named_and_left_out(monkeypatch):
    with_short_keys(monkeypatch)

    async def scenario():
        async with Flow(Setting(correlations=CorrelationSource.PAILLIER, spares=1)) as flow:
            await named_and_left_out(flow, lambda data: data[:-1] + b"\7")

    run(scenario())


def test_a_node_that_falls_silent_is_named_and_left_out():
    async def scenario():
        async with Flow(WITH_SPARE) as flow:
            flow.network.faults.append(Fault(kind=ROUNDS, sender=NODES[2], drop=True))
            prepared = await flow.ask(ALICE, life_ms=600_000)
            view = await flow.until(prepared, lambda now: now.attempt == 2 or now.is_over)
            if NODES[2] not in view.committee and not view.failures:
                pytest.skip("the rule chose a committee without it")
            assert [(event.reason, set(members_of(event.waited))) for event in view.failures] == [
                (FailReason.TIMEOUT, {NODES[2]})
            ]
            settled = await flow.settled(prepared, within_s=1_000)
            assert settled.state is QueryState.ANSWERED
            assert NODES[2] not in settled.committee

    run(scenario())


def test_a_node_that_dies_while_correlations_are_made_never_makes_them_again():
    async def scenario():
        async with Flow(OT) as flow:
            prepared = await flow.ask(ALICE, life_ms=600_000)
            flow.kill_after(NODES[0], "started")
            await flow.until(prepared, lambda now: now.attempt == 2, at=NODES[1])
            first = {name for name, _ in flow.network.taken}
            flow.start(NODES[0])
            view = await flow.settled(prepared, within_s=1_000)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            assert view.session is not None
            assert preparation_name(view.session) not in first

    run(scenario())


def test_a_wrong_answer_is_found_by_the_outcome_and_nobody_is_named(monkeypatch):
    """A node that spoils the correlations: no message is wrong that others could check, but the answer is."""
    made = drawing.JointMaterial.take

    async def spoiled(self, chunk):
        material = await made(self, chunk)
        if self._view.committee.index(self._context.me.index) == 1:
            material._left["output"]["zero"][0] ^= np.uint64(1)
        return material

    monkeypatch.setattr(drawing.JointMaterial, "take", spoiled)

    async def scenario():
        async with Flow(OT) as flow:
            prepared = await flow.ask(ALICE, life_ms=600_000)
            view = await flow.settled(prepared, within_s=1_000)
            assert view.attestation is not None
            assert (view.verdict, view.attestation.member, view.attestation.stage) == (
                Verdict.MISMATCH,
                NOBODY,
                AuditStage.OUTPUT,
            )

    run(scenario())


def test_no_mask_is_made_that_nobody_could_release():
    async def scenario():
        async with Flow(Setting(correlations=CorrelationSource.OT, audit=AuditMode.BEFORE_RELEASE)) as flow:
            prepared = await flow.ask(ALICE, life_ms=600_000)
            view = await flow.settled(prepared, within_s=1_000)
            assert view.state is QueryState.ABORTED
            assert any("expected correlations that a dealer deals" in str(entry.get("why")) for entry in flow.logs)

    run(scenario())


MANY = Lenders(quota=1_000_000, correlations=CorrelationSource.OT)


def test_a_value_out_of_range_is_rejected_among_many_subjects():
    subjects = [ALICE, BOB, ALICE]

    async def scenario():
        async with Flow(MANY) as flow:
            flow.records[INSURER].poison["claims"] = 51
            flow.records[INSURER].poisoned = BOB
            asked = await ask_many(flow, subjects, life_ms=600_000)
            view = await flow.settled(asked, within_s=1_000)
            assert (view.attempt, view.refused, view.verdict) == (2, 1 << INSURER, Verdict.MATCH)
            rest = [who for who in PANEL if who != INSURER]
            assert await opened_many(flow, asked) == [flow.clear(subject, rest) for subject in subjects]

    run(scenario())


@pytest.mark.parametrize("count", [3, 10_000], ids=["few", "thousands"])
def test_many_subjects_get_the_answers_in_clear(monkeypatch, count):
    """Ten thousand are three chunks: one set-up, and correlations chunk by chunk."""
    subjects = ([ALICE, BOB, NOBODY_KNOWS] * count)[:count]
    setups: list[bytes] = []
    live: list[int] = []

    def counted(source, rank, parties, context, random):
        setups.append(context)
        return joint_provider(source, rank, parties, context, random)

    async def watched(self, chunk):
        material = await take(self, chunk)
        live.append(chunk)
        return material

    take = drawing.JointMaterial.take
    monkeypatch.setattr(drawing.JointMaterial, "take", watched)
    monkeypatch.setattr(drawing, "joint_provider", counted)

    async def scenario():
        async with Flow(MANY) as flow:
            asked = await ask_many(flow, subjects, life_ms=600_000)
            view = await flow.settled(asked, within_s=1_000)
            assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, 1, Verdict.MATCH)
            clear = {subject: flow.clear(subject) for subject in set(subjects)}
            assert await opened_many(flow, asked) == [clear[subject] for subject in subjects]
            assert setups == [view.session] * 3
            assert sorted(live) == sorted([*range(-(-count // CHUNK_SUBJECTS))] * 3)
            assert not flow.network.of(Kind.DEAL)
            assert not flow.network.of(Kind.DRAW)

    run(scenario())


@pytest.mark.parametrize(("chunk", "stops"), [(0, "rounds"), (1, "correlations"), (2, "rounds")])
def test_a_node_that_falls_silent_in_the_middle_of_many_subjects_is_named(monkeypatch, chunk, stops):
    """While correlations of a chunk are made, or in the rounds of one: whoever waits gives each its own time."""
    take = drawing.JointMaterial.take
    subjects = [ALICE, BOB, NOBODY_KNOWS] * 4

    async def scenario():
        async with Flow(replace(MANY, spares=1)) as flow:

            async def watched(self, at):
                is_silent = at == chunk and self._context.me.index == self._view.committee[1]
                silence = Fault(kind=ROUNDS, sender=self._context.me.index, drop=True)
                if is_silent and stops == "correlations":
                    flow.network.faults.append(silence)
                material = await take(self, at)
                if is_silent and stops == "rounds":
                    flow.network.faults.append(silence)
                return material

            monkeypatch.setattr(drawing.JointMaterial, "take", watched)
            monkeypatch.setattr(programs, "compile_batch", partial(compile_batch, chunk_subjects=4))
            programs._compiled.cache_clear()
            asked = await ask_many(flow, subjects, life_ms=900_000)
            view = await flow.until(asked, lambda now: bool(now.failures))
            (failure,) = view.failures
            committee = flow.view(asked).committee if view.attempt == 1 else None
            assert failure.reason is FailReason.TIMEOUT
            (silent,) = {fault.sender for fault in flow.network.faults}
            assert set(members_of(failure.waited)) == {silent}
            assert committee is None or silent in committee
            monkeypatch.setattr(drawing.JointMaterial, "take", take)
            settled = await flow.settled(asked, within_s=2_000)
            assert settled.state is QueryState.ANSWERED
            assert silent not in settled.committee

    try:
        run(scenario())
    finally:
        programs._compiled.cache_clear()


class Channels:
    """Frames of a few nodes without a network: what is sent arrives at once, as it is told to."""

    def __init__(self, committee: tuple[MemberIndex, ...]) -> None:
        self.queues: dict[int, asyncio.Queue[tuple[int, int, int, bytes]]] = {who: asyncio.Queue() for who in committee}
        self.frames: list[tuple[int, int, int, int]] = []

    def of(self, me: MemberIndex) -> "Channel":
        return Channel(self, me)


class Channel:
    def __init__(self, channels: Channels, me: MemberIndex) -> None:
        self._channels, self._me = channels, me

    def broadcast(self, chunk, number, data):
        raise AssertionError("expected messages to one node each")

    def send(self, to, chunk, number, data):
        self._channels.frames.append((self._me, to, number, len(data)))
        self._channels.queues[to].put_nowait((self._me, chunk, number, data))

    async def receive(self):
        return await self._channels.queues[self._me].get()

    def evidence(self):
        return ()


COMMITTEE = (MemberIndex(9), MemberIndex(4))


def alone(program, name, rank, random):
    """One node's side of a set-up and of one session's correlations."""
    session = session_id(name)
    provider = yield from joint_provider(CorrelationSource.OT, rank, program.parties, session, random)
    return (yield from provider.provide(program, session))


@pytest.mark.parametrize("piece", [1 << 18, 32, 1000])
def test_messages_are_cut_into_pieces_and_put_together_again(monkeypatch, piece):
    """A set-up's message has 12,320 bytes: a multiple of 32, after which an empty piece says that it is whole."""
    monkeypatch.setattr(preparing, "PIECE_BYTES", piece)

    async def scenario():
        channels = Channels(COMMITTEE)
        nodes = [Preparation(channels.of(member), COMMITTEE, Rank(rank)) for rank, member in enumerate(COMMITTEE)]
        made = await asyncio.gather(
            *(node.hold(alone(one_and(), "pieces", Rank(i), seeded(i)), 1e9) for i, node in enumerate(nodes))
        )
        assert [repr(material) for material in made] == ["Material(1 left)"] * 2
        first = [size for sender, _, _, size in channels.frames if sender == COMMITTEE[0]][: 12_320 // piece + 1]
        assert first == [piece] * (12_320 // piece) + [12_320 % piece]
        numbers = [number for sender, _, number, _ in channels.frames if sender == COMMITTEE[1]]
        assert numbers == list(range(1, len(numbers) + 1))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([(2, b"a")], "member 4: expected piece 1 of up to 8 bytes, got piece 2 of 1 of chunk 0"),
        ([(1, bytes(9))], "member 4: expected piece 1 of up to 8 bytes, got piece 1 of 9 of chunk 0"),
        ([(1, bytes(8)), (2, bytes(8)), (3, bytes(8))], "member 4: expected one message a round of up to 20 bytes"),
    ],
)
def test_pieces_that_no_honest_node_sends_end_it(monkeypatch, frames, said):
    monkeypatch.setattr(preparing, "PIECE_BYTES", 8)
    monkeypatch.setattr(preparing, "MESSAGE_BYTES_MAX", 20)

    async def scenario():
        channels = Channels(COMMITTEE)
        node = Preparation(channels.of(COMMITTEE[0]), COMMITTEE, Rank(0))
        for number, data in frames:
            channels.of(COMMITTEE[1]).send(COMMITTEE[0], 0, number, data)
        with deviates(1, said):
            await node.hold(alone(one_and(), "wrong", Rank(0), bytes), 1e9)

    asyncio.run(scenario())


def test_a_peer_is_a_message_ahead_at_most():
    async def scenario():
        committee = (*COMMITTEE, MemberIndex(2))
        channels = Channels(committee)
        node = Preparation(channels.of(COMMITTEE[0]), committee, Rank(0))
        for number in (1, 2, 3):
            channels.of(COMMITTEE[1]).send(COMMITTEE[0], 0, number, b"early")
        with deviates(1, "member 4: expected one message a round"):
            await node.hold(alone(one_and(3), "ahead", Rank(0), bytes), 1e9)

    asyncio.run(scenario())


def test_who_sends_nothing_in_time_is_named():
    async def scenario():
        committee = (*COMMITTEE, MemberIndex(2))
        channels = Channels(committee)
        node = Preparation(channels.of(COMMITTEE[0]), committee, Rank(0))
        channels.of(COMMITTEE[1]).send(COMMITTEE[0], 0, 1, b"in time")
        with pytest.raises(SilentPeersError, match=r"no word from members \[2\]") as silent:
            await node.hold(alone(one_and(3), "silent", Rank(0), bytes), 0.0)
        assert silent.value.members == (2,)

    asyncio.run(scenario())


def test_what_a_dealer_deals_is_not_made():
    with pytest.raises(ValueError, match="expected correlations that nodes make, got a dealer's"):
        next(joint_provider(CorrelationSource.DEALER, Rank(0), 2, bytes(32), bytes))


def test_preparations_have_names_of_their_own():
    names = {preparation_name(SessionId(bytes([i]) * 32)) for i in range(3)}
    assert len(names | {SessionId(bytes([i]) * 32) for i in range(3)}) == 6
