"""How subjects are cut into chunks, and what is dealt to each."""

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.errors import CorrelationReuseError, DealError
from mpcnode.mpc import (
    CHUNK_SUBJECTS,
    WINDOW,
    Batch,
    Dealer,
    Expander,
    corrections_size,
    cut_batch,
    deal,
    expand,
    total,
)
from mpcnode.mpc.program import Program
from mpcnode.scorecard import compile_batch, compile_model
from mpcnode.types import Rank
from tests.support.joint import seeds_for, session_id
from tests.support.models import credit_layout

LAYOUT = credit_layout()
SMALL = compile_model(LAYOUT, 3)


def batch_of(subjects: int, chunk_subjects: int = 4) -> Batch:
    return compile_batch(LAYOUT, 3, subjects, chunk_subjects=chunk_subjects)


@pytest.mark.parametrize(
    ("subjects", "sizes"),
    [(1, [1]), (3, [3]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (11, [4, 4, 3])],
)
def test_subjects_are_cut_in_order(subjects: int, sizes: list[int]) -> None:
    batch = batch_of(subjects)
    ranges = [batch.subjects_of(chunk) for chunk in range(batch.chunks)]
    assert [len(found) for found in ranges] == sizes
    assert [place for found in ranges for place in found] == list(range(subjects))
    assert [batch.program(chunk) for chunk in range(batch.chunks)] == [compile_model(LAYOUT, 3, n) for n in sizes]


def test_chunks_of_one_size_share_their_program() -> None:
    batch = batch_of(11)
    assert batch.program(0) is batch.program(1)
    assert batch.program(2) is not batch.program(0)
    even = batch_of(8)
    assert even.program(0) is even.program(1)


def test_one_subject_is_one_chunk() -> None:
    batch = compile_batch(LAYOUT, 3)
    assert (batch.subjects, batch.chunks, batch.parties, batch.output_bytes) == (1, 1, 3, 1)
    assert batch.program(0) == compile_model(LAYOUT, 3)
    assert batch.window == WINDOW


@pytest.mark.parametrize(
    ("subjects", "most", "sizes"),
    [
        (128, 64, [64, 64]),
        (129, 64, [64, 64, 1]),
        (200, 128, [128, 72]),
        (300, 128, [128, 128, 44]),
        (1_000, 512, [512, 488]),
        (1_030, 512, [384, 384, 262]),
        (4_096, 4_096, [4_096]),
        (4_097, 4_096, [2_112, 1_985]),
        (6_200, 4_096, [3_136, 3_064]),
        (8_192, 4_096, [4_096, 4_096]),
        (8_193, 4_096, [2_752, 2_752, 2_689]),
    ],
)
def test_chunks_are_even_and_no_more_than_need_be(subjects: int, most: int, sizes: list[int]) -> None:
    batch = batch_of(subjects, most)
    assert [len(batch.subjects_of(chunk)) for chunk in range(batch.chunks)] == sizes
    assert batch.program(0) == compile_model(LAYOUT, 3, sizes[0])
    assert batch.program(batch.chunks - 1) == compile_model(LAYOUT, 3, sizes[-1])


@given(st.integers(1, 1_000_000), st.sampled_from([1, 2, 32, 64, 128, 4_096, CHUNK_SUBJECTS]))
def test_every_cut_is_even(subjects: int, most: int) -> None:
    def compiled(size: int) -> Program:
        return cast("Program", SimpleNamespace(round_bytes=(size,), body=SMALL.body))

    batch = cut_batch(compiled, subjects, chunk_subjects=most)
    assert batch.chunks <= -(-subjects // most)
    assert batch.chunk_subjects <= most
    assert batch.chunk_subjects % min(64, most) == 0
    # no smaller size of whole words makes as few chunks
    smaller = batch.chunk_subjects - min(64, most)
    assert not smaller or -(-subjects // smaller) > batch.chunks
    assert batch.whole.round_bytes == (min(subjects, batch.chunk_subjects),)
    assert batch.rest.round_bytes == (len(batch.subjects_of(batch.chunks - 1)),)


@pytest.mark.parametrize(("most", "limit"), [(77_824, 4_096), (77_823, 2_048), (40_000, 2_048), (20_000, 1_024)])
def test_chunks_are_halved_until_every_payload_fits_a_message(most: int, limit: int, monkeypatch) -> None:
    monkeypatch.setattr("mpcnode.mpc.batch.PAYLOAD_BYTES_MAX", most)
    batch = compile_batch(LAYOUT, 3, 10_000)
    assert batch.chunks == -(-10_000 // limit)
    assert batch.chunk_subjects <= limit
    assert max(batch.whole.round_bytes) <= most
    assert sum(len(batch.subjects_of(chunk)) for chunk in range(batch.chunks)) == 10_000
    assert max(compile_model(LAYOUT, 3, 2 * limit).round_bytes) > most


def test_chunks_are_halved_until_corrections_are_not_too_large(monkeypatch) -> None:
    most = corrections_size(compile_model(LAYOUT, 3, 2_048))
    monkeypatch.setattr("mpcnode.mpc.batch.CORRECTIONS_BYTES_MAX", most)
    assert compile_batch(LAYOUT, 3, 10_000).chunks == 5
    monkeypatch.setattr("mpcnode.mpc.batch.CORRECTIONS_BYTES_MAX", most - 1)
    assert compile_batch(LAYOUT, 3, 10_000).chunks == 10


def test_batches_are_equal_wherever_they_are_cut() -> None:
    assert batch_of(11) == batch_of(11)
    assert batch_of(11) != batch_of(12)
    assert batch_of(11) != batch_of(11, 8)


@pytest.mark.parametrize("chunk", [-1, 3])
def test_there_is_no_such_chunk(chunk: int) -> None:
    for ask in (batch_of(11).program, batch_of(11).subjects_of):
        with pytest.raises(ValueError, match=f"expected one of 3 chunks, got chunk {chunk}"):
            ask(chunk)


@pytest.mark.parametrize(
    ("subjects", "chunk_subjects", "window", "message"),
    [
        (0, 4, 1, "one subject or more, got 0"),
        (5, 0, 1, "a power of two subjects, got 0"),
        (5, 6, 1, "a power of two subjects, got 6"),
        (5, 4, 0, "a window of one chunk or more, got 0"),
        ((1 << 32) + 1, 1, 1, "at most 4294967296 chunks, got 4294967297"),
    ],
)
def test_numbers_out_of_range(subjects: int, chunk_subjects: int, window: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_batch(LAYOUT, 3, subjects, chunk_subjects=chunk_subjects, window=window)


def test_each_chunk_is_dealt_by_itself() -> None:
    batch, session, seeds = batch_of(11), session_id("deal"), seeds_for("deal", 3)
    dealer = Dealer(batch, session, seeds)
    dealt = [dealer.corrections(chunk) for chunk in range(3)]
    assert dealt == [deal(batch.program(chunk), session, seeds, chunk=chunk) for chunk in range(3)]
    assert dealt[0] != dealt[1]
    summing = Dealer(batch, session, seeds)
    for rank in range(3):
        expander = Expander(batch, session, Rank(rank), seeds[rank])
        for chunk in range(3):
            corrections = dealt[chunk] if rank == 2 else None
            material = expander.expand(chunk, corrections)
            alone = expand(batch.program(chunk), session, Rank(rank), seeds[rank], corrections, chunk=chunk)
            for item in batch.program(chunk).body.correlations:
                one, other = material.take(item.label), alone.take(item.label)
                assert {name: array.tobytes() for name, array in one.items()} == {
                    name: array.tobytes() for name, array in other.items()
                }
    for chunk in range(3):
        whole = total(batch.program(chunk), session, seeds, chunk=chunk)
        found = summing.total(chunk)
        assert all((found[label][name] == whole[label][name]).all() for label in whole for name in whole[label])


def test_no_chunk_is_dealt_or_expanded_twice() -> None:
    batch, session, seeds = batch_of(11), session_id("twice"), seeds_for("twice", 3)
    dealer, expander = Dealer(batch, session, seeds), Expander(batch, session, Rank(0), seeds[0])
    dealer.corrections(1)
    expander.expand(1, None)
    for again in (dealer.corrections, dealer.total, lambda chunk: expander.expand(chunk, None)):
        with pytest.raises(CorrelationReuseError, match="stream values, chunk 1: expected to be drawn once"):
            again(1)
        with pytest.raises(CorrelationReuseError, match="stream values, chunk 0: expected chunk 1 or later"):
            again(0)


def test_what_is_wrong_with_corrections_is_said_of_their_chunk() -> None:
    batch, session, seeds = batch_of(11), session_id("wrong"), seeds_for("wrong", 3)
    short = Dealer(batch, session, seeds).corrections(2)
    with pytest.raises(DealError, match=r"chunk 1: expected corrections of \d+ bytes, got"):
        Expander(batch, session, Rank(2), seeds[2]).expand(1, short)
    with pytest.raises(DealError, match="chunk 1: expected corrections for node 2 only, got rank 0"):
        Expander(batch, session, Rank(0), seeds[0]).expand(1, short)
    with pytest.raises(DealError, match="a seed for each of 3 nodes, got 2"):
        Dealer(batch, session, seeds[:2])
