"""What is kept for an audit: hashes within a bound in bytes, the oldest sessions go first."""

import gc
import tracemalloc
from typing import Any, cast

import pytest

from ledger.types import Digest, Signature
from mpcnode.query.frames import DATA_BYTES_MAX, ArrivedFrame, Flush, SignedCorrections
from mpcnode.roles.evidence import FRAME_BYTES, LEAF_BYTES, SESSION_BYTES, Evidence, EvidenceShelf, keeps_data
from mpcnode.scorecard import compile_batch
from mpcnode.types import MemberIndex, QueryId, SessionId
from tests.support.batch_run import LAYOUT

FIRST = 1_000
QUERY = QueryId(b"q" * 32)


class Kept:
    """A channel, or corrections, of which this was kept."""

    def __init__(self, kept: list[Any]) -> None:
        self.kept = kept

    def evidence(self) -> list[Any]:
        return self.kept


def session(number: int) -> SessionId:
    return SessionId(number.to_bytes(32, "big"))


def digest(*number: int) -> Digest:
    return Digest(bytes(28) + sum(n << 8 * place for place, n in enumerate(number)).to_bytes(4, "big"))


def frame(chunk: int, number: int) -> ArrivedFrame:
    """Alone in its flush: as dear as a frame can be."""
    flush = Flush(1_000_000 + chunk, (digest(chunk, number),), Signature(bytes(60) + chunk.to_bytes(4, "big")))
    return ArrivedFrame(flush, 0, MemberIndex(1), FIRST + chunk, number, digest(number, chunk))


def evidence(frames: int, chunks: int = 0) -> Evidence:
    corrections = [
        SignedCorrections(chunk, digest(chunk), Signature(bytes(60) + chunk.to_bytes(4, "big")))
        for chunk in range(chunks)
    ]
    return Evidence(
        QUERY,
        cast("Any", Kept([frame(place // 8, place % 8) for place in range(frames)])),
        cast("Any", Kept(corrections)),
        [tuple(digest(chunk, number) for number in range(1, 7)) for chunk in range(chunks)],
    )


@pytest.mark.parametrize(("frames", "chunks", "data"), [(4_000, 0, 0), (0, 2_000, 0), (3_000, 250, 0), (600, 0, 600)])
def test_what_is_counted_is_no_less_than_what_is_taken(frames, chunks, data):
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = evidence(frames, chunks)
        kept.data.extend(bytes([number % 256]) * 300 for number in range(data))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.3 * kept.size() < after - before <= kept.size()


def test_the_oldest_go_when_all_together_are_too_many():
    shelf = EvidenceShelf(bytes_max=10 * (SESSION_BYTES + 5 * (FRAME_BYTES + LEAF_BYTES)))
    for number in range(25):
        shelf.keep(session(number), evidence(5))
        assert len(shelf.shown(session(number), FIRST).frames) == 5, "what runs is shown already"
        shelf.settle(session(number))
    assert [number for number in range(25) if shelf.shown(session(number), FIRST).frames] == list(range(15, 25))
    assert len(shelf._kept) == 10


def test_a_flush_is_counted_with_all_its_frames_once():
    crowded = Flush(7, tuple(digest(place) for place in range(256)), Signature(bytes(64)))
    frames = [ArrivedFrame(crowded, place, MemberIndex(1), 0, place, digest(place)) for place in range(3)]
    kept = Evidence(QUERY, cast("Any", Kept(frames)), cast("Any", Kept([])))
    assert kept.size() == SESSION_BYTES + 3 * FRAME_BYTES + 256 * LEAF_BYTES


def test_what_runs_stays_though_it_is_the_oldest():
    shelf = EvidenceShelf(bytes_max=2 * SESSION_BYTES)
    shelf.keep(session(0), evidence(5))
    for number in range(1, 9):
        shelf.keep(session(number), evidence(0, 1))
        shelf.settle(session(number))
    assert len(shelf.shown(session(0), FIRST).frames) == 5
    shelf.settle(session(0))
    assert len(shelf.shown(session(0), FIRST).frames) == 5, "and the newest, however large"
    assert len(shelf._kept) == 1


def test_of_a_session_that_is_not_kept_nothing_is_shown():
    shown = EvidenceShelf().shown(session(1), 32)
    assert (shown.session, shown.first) == (session(1), 32)
    assert (shown.frames, shown.corrections, shown.opened, shown.chunk_hashes) == ((), (), (), ())


def test_the_data_of_small_sessions_only_is_kept():
    one, some, many = (compile_batch(LAYOUT, 3, subjects) for subjects in (1, 100, 20_000))
    assert keeps_data(one)
    assert keeps_data(some) is (sum(some.whole.round_bytes) <= DATA_BYTES_MAX)
    assert not keeps_data(many)
    assert not keeps_data(compile_batch(LAYOUT, 3, 4, chunk_subjects=2))
