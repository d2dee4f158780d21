"""Sessions of many chunks: they compute what is computed in clear, hold a window, refuse what no honest node sends."""

import itertools
from collections.abc import Callable

import pytest

from ledger.encoding import digest
from ledger.types import Digest
from mpcnode.errors import CorrelationReuseError, SessionError, ShareError
from mpcnode.mpc import (
    Batch,
    ChunkTranscript,
    Expander,
    Material,
    Payload,
    Replay,
    Transcript,
    join_replays,
    rehearse_chunks,
    replay,
    replay_chunks,
)
from mpcnode.scorecard import compile_batch, encode_output, evaluate_many
from mpcnode.types import Rank
from tests.support.chunks import Committee, cut_rows, draw_columns, shares_of
from tests.support.joint import seed, seeds_for, session_id
from tests.support.models import INSURER, credit_layout

LAYOUT = credit_layout()
SUBJECTS = 11
"""Two chunks of 4 and one of 3."""


def batch_of(subjects: int = SUBJECTS, *, parties: int = 3, chunk_subjects: int = 4, window: int = 2) -> Batch:
    return compile_batch(LAYOUT, parties, subjects, chunk_subjects=chunk_subjects, window=window)


def rows_of(batch: Batch) -> list:
    return cut_rows(LAYOUT, batch, draw_columns(LAYOUT, batch.subjects, 7))


def committee(batch: Batch, interleaving: int = 0, name: str = "chunks") -> Committee:
    return Committee(batch, name, shares_of(batch, name, rows_of(batch)), interleaving)


def ran(batch: Batch, interleaving: int = 0) -> Committee:
    running = committee(batch, interleaving)
    running.run()
    return running


def replayed(batch: Batch) -> Replay:
    session = session_id("chunks")
    return join_replays(session, replay_chunks(batch, session, seeds_for("chunks", batch.parties), rows_of(batch)))


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize(
    ("subjects", "chunk_subjects"), [(1, 4), (4, 4), (5, 4), (8, 4), (11, 4), (3, 1), (200, 64), (70, 128)]
)
def test_joint_computation_is_the_one_in_clear(subjects: int, chunk_subjects: int, parties: int) -> None:
    columns = draw_columns(LAYOUT, subjects, subjects)
    outcomes = evaluate_many(LAYOUT, columns, subjects)
    expected = b"".join(encode_output(LAYOUT.model, outcomes.at(LAYOUT.model, n)) for n in range(subjects))
    for window in (1, 2, 3, 4):
        batch = batch_of(subjects, parties=parties, chunk_subjects=chunk_subjects, window=window)
        running = Committee(batch, "clear", shares_of(batch, "clear", cut_rows(LAYOUT, batch, columns)), window)
        running.run()
        assert running.output == expected
        assert len(running.transcripts) == 1


def test_participant_that_is_absent_is_absent_of_every_chunk() -> None:
    batch = batch_of()
    columns = draw_columns(LAYOUT, SUBJECTS, 3)
    del columns[INSURER]
    outcomes = evaluate_many(LAYOUT, columns, SUBJECTS)
    running = Committee(batch, "absent", shares_of(batch, "absent", cut_rows(LAYOUT, batch, columns)))
    running.run()
    assert running.output == b"".join(
        encode_output(LAYOUT.model, outcomes.at(LAYOUT.model, n)) for n in range(SUBJECTS)
    )


@pytest.mark.parametrize("window", [1, 2, 3, 4])
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_neither_transcript_nor_shares_depend_on_who_was_faster(parties: int, window: int) -> None:
    honest = replayed(batch_of(21, parties=parties))
    shares = set()
    for interleaving in range(8):
        running = ran(batch_of(21, parties=parties, window=window), interleaving)
        assert running.transcripts == {honest.transcript}
        assert running.output == honest.output
        shares.add(tuple(b"".join(node.outputs) for node in running.nodes))
    assert len(shares) == 1


def test_interleavings_differ() -> None:
    """What the test above says would be empty if chunks ran one after another, or no payload came early."""
    orders, early = set(), 0
    for interleaving in range(8):
        running = ran(batch_of(21), interleaving)
        orders.add(tuple(running.nodes[0].sent))
        early += running.nodes[0].early_max
    assert len(orders) == 8
    assert early


@pytest.mark.parametrize("window", [1, 2, 4])
def test_what_is_held_does_not_grow_with_the_subjects(window: int) -> None:
    for subjects in (40, 160):
        batch = batch_of(subjects, parties=3, window=window)
        running = ran(batch, subjects)
        assert batch.chunks == subjects / 4
        for node in running.nodes:
            assert node.live_max == window
            assert 0 < node.early_max <= 2 * window
            assert (node.session.live, node.session.early) == (0, 0)
        assert running.materials_max <= 3 * window + 1  # one more while it is made
        assert not running.materials


def test_transcript_is_the_documented_chain() -> None:
    batch, link = batch_of(), Digest(session_id("chunks"))
    for chunk in range(3):
        number = chunk.to_bytes(4, "big")
        rows = rows_of(batch)[chunk]
        found = replay(batch.program(chunk), session_id("chunks"), seeds_for("chunks", 3), rows, chunk=chunk)
        link = digest("mpcnode/transcript/1", link, number, found.transcript)
    assert ran(batch).transcripts == {link}
    begun = ChunkTranscript(session_id("chunks"), 258)
    assert begun.hash == digest("mpcnode/chunk/1", session_id("chunks"), bytes([0, 0, 1, 2]))
    assert Transcript(session_id("chunks")).hash == Digest(session_id("chunks"))


def test_chunks_share_no_randomness() -> None:
    """The same subjects in every chunk: nothing that is sent is sent again."""
    batch = batch_of(12)
    rows = [rows_of(batch)[0]] * 3
    running = Committee(batch, "alike", shares_of(batch, "alike", rows))
    running.run()
    assert running.output[:4] == running.output[4:8] == running.output[8:]
    for node in running.nodes:
        long = {place: data for place, data in node.sent.items() if len(data) > 16}
        assert len(long) > 6
        assert len(set(long.values())) == len(long)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_replay_and_rehearsal_find_what_was_sent(parties: int) -> None:
    batch, session, seeds = batch_of(parties=parties), session_id("chunks"), seeds_for("chunks", parties)
    running = ran(batch, 5)
    parts = list(rehearse_chunks(batch, session, seeds, shares_of(batch, "chunks", rows_of(batch))))
    for rank, node in enumerate(running.nodes):
        assert node.outputs == [of[rank].output for of in parts]
        assert node.sent == {
            (chunk, number): data
            for chunk, of in enumerate(parts)
            for number, data in enumerate(of[rank].payloads, start=1)
        }
    whole = replayed(batch)
    assert (running.transcripts, running.output) == ({whole.transcript}, whole.output)


def test_replay_wants_rows_of_every_chunk() -> None:
    batch, session, seeds = batch_of(), session_id("chunks"), seeds_for("chunks", 3)
    for rows in (rows_of(batch)[:2], rows_of(batch) * 2):
        with pytest.raises(ValueError, match="zip"):
            list(replay_chunks(batch, session, seeds, rows))


@pytest.mark.parametrize("chunk", [0, 1, 2])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_flipped_opening_of_any_chunk_changes_the_transcript(chunk: int, number: int) -> None:
    batch = batch_of()
    running = committee(batch)

    def flip(sender: int, receiver: int, payload: Payload) -> None:
        if (sender, payload.chunk, payload.round) == (1, chunk, number):
            payload = Payload(number, bytes([payload.data[0] ^ 1]) + payload.data[1:], chunk)
        Committee.deliver(running, sender, receiver, payload)

    running.deliver = flip  # type: ignore[method-assign]  # every frame passes here
    running.run()
    found = [node.transcript for node in running.nodes]
    assert found[0] == found[2] != replayed(batch).transcript


def material_of(batch: Batch, chunk: int, rank: int = 0) -> Material:
    return Expander(batch, session_id("chunks"), Rank(rank), seeds_for("chunks", batch.parties)[rank]).expand(
        chunk, None
    )


def test_a_chunk_begins_once_and_in_turn() -> None:
    running = committee(batch_of())
    node, rows = running.nodes[0].session, running.shares[0][0]
    with pytest.raises(ValueError, match="chunk 1: expected chunk 0 to begin next"):
        node.begin(1, rows, material_of(running.batch, 1))
    running.begin(0)
    with pytest.raises(CorrelationReuseError, match="chunk 0: expected to be begun once, got a second begin"):
        node.begin(0, rows, material_of(running.batch, 0))
    running.begin(0)
    with pytest.raises(ValueError, match="chunk 2: expected chunk None to begin next"):  # the window is full
        node.begin(2, rows, material_of(running.batch, 2))


def test_material_of_a_chunk_is_not_used_for_another() -> None:
    running = committee(batch_of())
    node, material = running.nodes[0].session, material_of(running.batch, 0)
    node.begin(0, running.shares[0][0], material)
    with pytest.raises(CorrelationReuseError, match="correlation values: expected to be taken once"):
        node.begin(1, running.shares[1][0], material)


def test_row_of_another_length_is_refused() -> None:
    running = committee(batch_of())
    with pytest.raises(ShareError, match="row: expected 34 bytes, got 8"):
        running.nodes[0].session.begin(0, [bytes(8), None, None], material_of(running.batch, 0))


def begun(window: int = 2, chunks: int = 1) -> tuple[Committee, Committee]:
    """A node that has begun some chunks, and the same session as it ran."""
    running, real = committee(batch_of(40, window=window)), ran(batch_of(40, window=window))
    for _ in range(chunks):
        running.begin(0)
    return running, real


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("rank", "chunk", "number", "change", "message"),
    [
        (0, 0, 1, None, "node 0, chunk 0, round 1: expected another node of 3, got rank 0"),
        (3, 0, 1, None, "node 3, chunk 0, round 1: expected another node of 3, got rank 3"),
        (-1, 0, 1, None, "node -1, chunk 0, round 1: expected another node of 3, got rank -1"),
        (1, 10, 1, None, "node 1, chunk 10, round 1: expected one of 10 chunks"),
        (1, -1, 1, None, "node 1, chunk -1, round 1: expected one of 10 chunks"),
        (1, 3, 1, None, "node 1, chunk 3, round 1: expected a chunk below 3, a window ahead"),
        (1, 9, 1, None, "node 1, chunk 9, round 1: expected a chunk below 3, a window ahead"),
        (1, 0, 3, None, "node 1, chunk 0, round 3: expected round 1 or the next of 6"),
        (1, 0, 0, None, "node 1, chunk 0, round 0: expected round 1 or the next of 6"),
        (1, 0, 1, lambda data: data[1:], r"node 1, chunk 0, round 1: expected \d+ bytes, got \d+"),
        (2, 0, 2, lambda data: data + b"x", r"node 2, chunk 0, round 2: expected \d+ bytes, got \d+"),
        (1, 1, 2, None, "node 1, chunk 1, round 2: expected round 1 of a chunk that has not begun here"),
        (1, 2, 0, None, "node 1, chunk 2, round 0: expected round 1 of a chunk that has not begun here"),
        (1, 2, 1, lambda data: data[1:], r"node 1, chunk 2, round 1: expected \d+ bytes, got \d+"),
        (2, 1, 1, lambda data: data + b"x", r"node 2, chunk 1, round 1: expected \d+ bytes, got \d+"),
    ],
)
def test_payload_that_no_honest_node_sends(
    rank: int, chunk: int, number: int, change: Change | None, message: str
) -> None:
    running, real = begun()
    data = real.nodes[1].sent.get((chunk, number), bytes(8))
    with pytest.raises(SessionError, match=message):
        running.nodes[0].session.receive(Rank(rank), chunk, number, change(data) if change else data)


@pytest.mark.parametrize(("chunk", "number"), [(0, 1), (0, 2), (1, 1), (2, 1)])
def test_second_payload_is_refused(chunk: int, number: int) -> None:
    running, real = begun()
    node, data = running.nodes[0].session, real.nodes[1].sent[chunk, number]
    assert node.receive(Rank(1), chunk, number, data) == ()
    with pytest.raises(SessionError, match=f"node 1, chunk {chunk}, round {number}: expected one payload, got another"):
        node.receive(Rank(1), chunk, number, data)


def run_chunk(running: Committee, real: Committee, chunk: int) -> None:
    for number, rank in itertools.product(range(1, 7), (1, 2)):
        running.deliver(rank, 0, Payload(number, real.nodes[rank].sent[chunk, number], chunk))


def test_payload_of_a_chunk_that_is_over_is_refused_whether_or_not_its_output_was_given() -> None:
    running, real = begun(chunks=2)
    run_chunk(running, real, 1)
    assert running.nodes[0].outputs == []
    with pytest.raises(SessionError, match="node 2, chunk 1, round 6: expected a payload of a running chunk"):
        running.deliver(2, 0, Payload(6, real.nodes[2].sent[1, 6], 1))
    run_chunk(running, real, 0)
    assert running.nodes[0].outputs == real.nodes[0].outputs[:2]
    with pytest.raises(SessionError, match="node 2, chunk 0, round 6: expected a payload of a running chunk"):
        running.deliver(2, 0, Payload(6, real.nodes[2].sent[0, 6], 0))


def test_nothing_is_taken_after_the_end() -> None:
    running = ran(batch_of())
    for chunk in range(3):
        with pytest.raises(SessionError, match=f"node 1, chunk {chunk}, round 1: expected a payload of a running"):
            running.deliver(1, 0, Payload(1, running.nodes[1].sent[chunk, 1], chunk))


def test_a_finished_chunk_waits_for_the_one_before_it_and_holds_its_place() -> None:
    running, real = begun(window=2, chunks=2)
    run_chunk(running, real, 1)
    node = running.nodes[0]
    assert (node.session.next_chunk, node.session.live, node.outputs) == (None, 2, [])
    run_chunk(running, real, 0)
    assert (node.session.next_chunk, node.session.live) == (2, 0)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_peer_that_floods_makes_a_node_hold_a_windows_first_payloads(window: int) -> None:
    running, real = begun(window, chunks=0)
    node = running.nodes[0].session
    taken = 0
    for (chunk, number), data in sorted(real.nodes[1].sent.items()):
        try:
            node.receive(Rank(1), chunk, number, data)
            taken += 1
        except SessionError:
            continue
    assert taken == node.early == window
    assert node.live == 0


def test_others_first_payloads_may_wait_for_a_slow_node() -> None:
    running, real = begun(chunks=0)
    node = running.nodes[0].session
    for rank, chunk in itertools.product((1, 2), (0, 1)):
        assert node.receive(Rank(rank), chunk, 1, real.nodes[rank].sent[chunk, 1]) == ()
    running.begin(0)
    assert [payload.round for _, to, payload in running.flying if to == 1] == [1, 2]
    assert node.early == 2


def test_a_session_says_nothing_of_what_it_holds() -> None:
    running, _ = begun()
    assert repr(running.nodes[0].session) == "ChunkedSession(chunks 0 to 0 of 10 in work)"
    assert seed("chunks dealer 0").hex() not in repr(vars(running.nodes[0].session))
