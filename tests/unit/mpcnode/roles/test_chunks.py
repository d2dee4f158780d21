"""Sessions about thousands of subjects as the roles run them: chunk by chunk, with corrections pulled just in time."""

import asyncio
import gc
import threading
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from ledger.types import Digest
from mpcnode.mpc import CHUNK_SUBJECTS, Payload, Session
from mpcnode.query.blame import Deviation
from mpcnode.query.frames import check_frame, decode_shown, encode_shown
from mpcnode.query.statements import CorrectionsStatement, encode_corrections_statement
from mpcnode.roles.chunks import INLINE_BYTES_MAX
from mpcnode.roles.evidence import FRAME_BYTES, LEAF_BYTES
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.ports import DealtCorrections
from mpcnode.sealing.commitments import corrections_hash
from mpcnode.types import FailReason, bitmap
from tests.support.batch_run import SESSION, BatchWorld, every
from tests.support.consortium import NODES, REGULATOR, identity
from tests.support.fake_peers import PULLS, ROUNDS, Fault
from tests.support.virtual_time import run

SUBJECTS, CHUNK = 5_000, 1_024
"""Five chunks."""


async def honest(world: BatchWorld) -> None:
    """All end with the transcript of the replay, and their shares make the answers in clear."""
    known = await world.audited()
    assert await world.run() == dict.fromkeys(NODES, known.honest.transcript)
    assert world.unmasked(known) == known.clear
    assert len(known.clear) == world.batch.subjects * world.batch.output_bytes
    assert len(known.chunk_hashes) == world.batch.chunks


BORDERS = [2, 63, 64, 65, 127, 128, 129, 4_095, 4_096, 4_097, 8_191, 8_192, 8_193]
"""Where words and chunks begin and end."""


@pytest.mark.parametrize(
    ("subjects", "chunk_subjects"),
    [(1, 4_096), (SUBJECTS, CHUNK), (1_500, 64), *((subjects, CHUNK_SUBJECTS) for subjects in BORDERS)],
)
def test_every_subject_is_answered_as_in_clear(subjects, chunk_subjects):
    run(honest(BatchWorld(subjects, chunk_subjects=chunk_subjects)))


@pytest.mark.parametrize(("sender", "delay_ms"), [(0, 700), (1, 60), (2, 700)])
def test_a_session_may_last_as_long_as_its_chunks_go_on(sender, delay_ms):
    """Six rounds of 700 ms are within the time of one chunk; all chunks together take far longer than that."""

    async def scenario():
        world = BatchWorld(1_500, chunk_subjects=64, window=2)
        world.network.faults.append(Fault(kind=ROUNDS, sender=NODES[sender], delay_ms=delay_ms))
        await honest(world)
        assert asyncio.get_running_loop().time() > (20 if delay_ms > 500 else 2)

    run(scenario())


def test_nothing_is_dealt_or_read_before_the_window_has_room():
    async def scenario():
        world = BatchWorld(1_500, chunk_subjects=64)
        outputs, window = world.outputs, world.batch.window
        begun: dict[int, list[int]] = {node: [] for node in NODES}

        def seen(node: int, chunk: int) -> None:
            begun[node].append(chunk)
            done = len(outputs[NODES[NODES.index(node)]].share) // (64 * world.batch.output_bytes)
            assert chunk < done + window
            assert len(world.answers.asked) <= done + window + 1  # the next one is asked for already

        world.seen = seen
        await honest(world)
        assert begun == {node: list(range(world.batch.chunks)) for node in NODES}
        assert world.answers.asked == list(range(world.batch.chunks))

    run(scenario())


def peak_of(chunks: int) -> int:
    """Bytes that a whole session of so many chunks allocates at most, over what there was before."""
    world = BatchWorld(chunks * 512, chunk_subjects=512)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ends = run(world.run())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(ends.values())) == 1
    return peak - before


def test_what_is_held_does_not_grow_with_the_number_of_subjects():
    """But for evidence, a few KB for a chunk of each node."""
    few, many = peak_of(8), peak_of(32)
    evidence = len(NODES) * 24 * (3 * 6 + 2) * (FRAME_BYTES + LEAF_BYTES)
    assert few > 1_000_000
    assert many < 1.1 * few + evidence


# ------------------------------------------------------------------- who stalls


def failures(ends) -> dict[int, tuple[FailReason, int]]:
    assert all(isinstance(end, AttemptFailedError) for end in ends.values()), ends
    return {node: (end.reason, end.waited) for node, end in ends.items()}


@pytest.mark.parametrize("rank", range(3))
def test_who_falls_silent_in_a_chunk_is_named_with_it(rank):
    async def scenario():
        world = BatchWorld(SUBJECTS, chunk_subjects=CHUNK, window=1)
        every(world.network, lambda me, sent: None if (me, sent.chunk) == (NODES[rank], 3) else sent)
        ends = await world.run()
        named = failures(ends)
        for node in NODES:
            if node != NODES[rank]:
                assert named[node] == (FailReason.TIMEOUT, bitmap([NODES[rank]]))
                assert "after round 0 of chunk 3" in str(ends[node])

    run(scenario())


def test_a_dealer_that_falls_silent_is_named_before_the_node_that_waits_for_it():
    async def scenario():
        world = BatchWorld(SUBJECTS, chunk_subjects=CHUNK, window=1)
        world.answers.change = lambda chunk, dealt: dealt if chunk < 3 else None
        said: list[int] = []

        async def node(member):
            try:
                return await world.node(member)
            finally:
                said.append(member)

        with world.deals.running(world.dealt) as passed:
            passed(world.batch.chunks)
            ends = await asyncio.gather(*map(node, NODES), return_exceptions=True)
        assert said[0] == NODES[-1]
        last = ends[-1]
        assert isinstance(last, AttemptFailedError)
        assert (last.reason, last.waited) == (FailReason.TIMEOUT, bitmap([REGULATOR]))
        assert "chunk 3: no corrections from member" in str(last)

    run(scenario())


@pytest.mark.parametrize("part", ["data", "round", "chunk"])
def test_a_frame_that_no_honest_node_sends_is_named_with_its_place(part):
    async def scenario():
        world = BatchWorld(SUBJECTS, chunk_subjects=CHUNK)
        bad: Any = {"data": b"", "round": 9, "chunk": 5}[part]
        where = {"data": "chunk 3, round 2", "round": "chunk 3, round 9", "chunk": "chunk 5, round 2"}[part]

        def change(me: int, sent: Payload) -> Payload:
            return replace(sent, **{part: bad}) if (me, sent.chunk, sent.round) == (NODES[1], 3, 2) else sent

        every(world.network, change)
        ends = await world.run()
        for node in (NODES[0], NODES[2]):
            end = ends[node]
            assert isinstance(end, AttemptFailedError)
            assert (end.reason, end.waited) == (FailReason.ABORT, bitmap([NODES[1]]))
            assert f"member {NODES[1]}: node 1, {where}" in str(end)

    run(scenario())


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-1] + b"\1"])
def test_corrections_of_a_later_chunk_that_the_dealer_did_not_sign_are_refused(change):
    async def scenario():
        world = BatchWorld(SUBJECTS, chunk_subjects=CHUNK)
        world.answers.change = lambda chunk, dealt: replace(dealt, data=change(dealt.data)) if chunk == 2 else dealt
        ends = await world.run()
        assert "corrections" in str(ends[NODES[-1]])

    run(scenario())


@pytest.mark.parametrize("kind", [ROUNDS, PULLS])
def test_a_session_of_many_chunks_bears_delays(kind):
    async def scenario():
        world = BatchWorld(1_500, chunk_subjects=64)
        world.network.faults += [Fault(kind=kind, delay_ms=40 * n, times=7) for n in range(12)]
        await honest(world)

    run(scenario())


# ------------------------------------------------------------------- who deviates


def with_cheat(monkeypatch, rank: int, chunk: int, number: int) -> None:
    """One node opens something else, and goes on as if it were right: all transcripts agree."""

    class Cheat(Session):
        def _payload(self) -> Payload:
            if (self._rank, self._chunk, self._round + 1) == (rank, chunk, number):
                first = self._mine[0]
                share = first.share.copy()
                share.reshape(-1)[7] ^= 1
                self._mine = (replace(first, share=share), *self._mine[1:])
            return super()._payload()

    monkeypatch.setattr("mpcnode.mpc.chunked.Session", Cheat)


async def signed_by_all(world: BatchWorld) -> Digest:
    ends = set((await world.run()).values())
    (transcript,) = ends
    assert isinstance(transcript, bytes)
    return transcript


@pytest.mark.parametrize("silent", [(), (0,), (1,), (0, 1), (1, 2)])
@pytest.mark.parametrize(("chunk", "number"), [(0, 1), (3, 2), (33, 5), (39, 6)])
def test_a_wrong_opening_names_member_chunk_and_round(chunk, number, silent, monkeypatch):
    """As long as one of the others shows what it received."""
    with_cheat(monkeypatch, 1, chunk, number)

    async def scenario():
        world = BatchWorld(2_560, chunk_subjects=64)
        known = await world.audited()
        transcript = await signed_by_all(world)
        assert transcript != known.honest.transcript
        world.network.faults += [Fault(kind="frames", sender=NODES[rank], drop=True) for rank in silent]
        assert await world.traced(transcript, known) == Deviation(NODES[1], chunk, number)

    run(scenario())


def test_without_the_hashes_of_what_was_opened_each_ones_own_evidence_counts(monkeypatch):
    with_cheat(monkeypatch, 1, 33, 2)

    async def scenario():
        world = BatchWorld(2_560, chunk_subjects=64)
        known = await world.audited()
        transcript = await signed_by_all(world)
        for shelf in world.shelves.values():
            shelf._kept[SESSION].opened.clear()
        assert await world.traced(transcript, known) == Deviation(NODES[1], 33, 2)

    run(scenario())


def test_a_dealer_that_signs_other_corrections_is_named_with_the_chunk():
    async def scenario():
        world = BatchWorld(2_560, chunk_subjects=64)

        def other(chunk: int, dealt: DealtCorrections) -> DealtCorrections:
            if chunk != 35:
                return dealt
            data = bytes(len(dealt.data))
            stated = CorrectionsStatement(
                chain=world.consortium.chain, session=SESSION, chunk=chunk, corrections_hash=corrections_hash(data)
            )
            return DealtCorrections(data, identity(REGULATOR).sign(encode_corrections_statement(stated)))

        world.answers.change = other
        known = await world.audited()
        transcript = await signed_by_all(world)
        assert transcript != known.honest.transcript
        assert await world.traced(transcript, known) == Deviation(None, 35)

    run(scenario())


def test_signatures_of_evidence_are_checked_beside_the_event_loop(monkeypatch):
    with_cheat(monkeypatch, 1, 3, 2)
    threads: set[str] = set()

    def seen(*shown):
        threads.add(threading.current_thread().name.split("_")[0])
        check_frame(*shown)

    monkeypatch.setattr("mpcnode.roles.tracing.check_frame", seen)

    async def scenario():
        world = BatchWorld(1_024, chunk_subjects=64)
        known = await world.audited()
        assert await world.traced(await signed_by_all(world), known) == Deviation(NODES[1], 3, 2)
        assert threads == {"mpcnode-worker"}

    asyncio.run(scenario())


@pytest.mark.parametrize("forged", ["corrections", "frames"])
def test_nobody_lays_what_it_did_at_anothers_door(forged, monkeypatch):
    """The last node shows corrections, or frames of the first one, that it was never sent."""
    with_cheat(monkeypatch, 2, 3, 2)

    def forge(payload: bytes) -> bytes:
        shown = decode_shown(payload)
        made_up = Digest(bytes(32))
        return encode_shown(
            replace(shown, corrections=tuple(replace(dealt, data_hash=made_up) for dealt in shown.corrections))
            if forged == "corrections"
            else replace(shown, frames=tuple(replace(frame, data_hash=made_up) for frame in shown.frames))
        )

    async def scenario():
        world = BatchWorld(1_024, chunk_subjects=64)
        known = await world.audited()
        transcript = await signed_by_all(world)
        world.network.faults.append(Fault(kind="frames", sender=NODES[2], tamper=forge))
        assert await world.traced(transcript, known) == Deviation(NODES[2], 3, 2)

    run(scenario())


# ------------------------------------------------------------------- where the work is done


@pytest.mark.parametrize(("subjects", "thread"), [(1, "MainThread"), (SUBJECTS, "mpcnode-worker")])
def test_what_takes_long_is_done_beside_the_event_loop(subjects, thread):
    world = BatchWorld(subjects, chunk_subjects=CHUNK)
    assert (sum(world.batch.whole.round_bytes) > INLINE_BYTES_MAX) is (subjects > 1)
    names: set[str] = set()
    world.seen = lambda _node, _chunk: names.add(threading.current_thread().name.split("_")[0])
    asyncio.run(honest(world))
    assert names == {thread}
