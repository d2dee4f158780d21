"""Frames as evidence, and whom they name."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import pytest

from ledger.errors import DecodeError
from ledger.types import Digest
from mpcnode.errors import WrongSignatureError
from mpcnode.mpc import chunk_hash, session_hash
from mpcnode.query.blame import (
    Deviation,
    ExpectedChunk,
    Trace,
    admitted_chunks,
    differing_chunks,
    first_admitted,
    first_sent,
)
from mpcnode.query.frames import (
    ArrivedFrame,
    Flush,
    Shown,
    SignedCorrections,
    SignedFrame,
    check_corrections,
    check_frame,
    decode_shown,
    encode_shown,
    show,
)
from mpcnode.query.statements import (
    CorrectionsStatement,
    FlushStatement,
    data_hash,
    encode_corrections_statement,
    encode_flush_statement,
    frame_digest,
    frames_root,
)
from mpcnode.types import MemberIndex, SessionId
from scripts.vector_query import CHAIN, IDENTITIES
from tests.support.queries import SESSION, some_digest

A, B, C = NODES = tuple(MemberIndex(index) for index in (1, 2, 3))
"""In rank order: C receives corrections."""
DEALER = MemberIndex(6)
ROUNDS = 4
EXPECTED = {node: tuple(bytes((node, number)) for number in range(1, ROUNDS + 1)) for node in NODES}
DEALT = b"corrections"
WRONG = b"\xff\xff"


def arrived(sender: MemberIndex, receiver: MemberIndex, number: int, data: bytes, chunk: int = 0) -> ArrivedFrame:
    """In the middle of a flush of three."""
    other = SessionId(some_digest("other session"))
    frames = [(other, 0, 1, b"x"), (SESSION, chunk, number, data), (other, 0, 2, b"y")]
    stated = FlushStatement(
        chain=CHAIN, sender=sender, receiver=receiver, number=number, frames_root=frames_root(frames)
    )
    leaves = tuple(frame_digest(session, part, round_, data_hash(of)) for session, part, round_, of in frames)
    flush = Flush(number, leaves, IDENTITIES[sender].sign(encode_flush_statement(stated)))
    return ArrivedFrame(flush, 1, sender, chunk, number, data_hash(data))


def frame(sender: MemberIndex, receiver: MemberIndex, number: int, data: bytes, chunk: int = 0) -> SignedFrame:
    return arrived(sender, receiver, number, data, chunk).signed()


def dealt(data: bytes = DEALT, chunk: int = 0) -> SignedCorrections:
    stated = CorrectionsStatement(chain=CHAIN, session=SESSION, chunk=chunk, corrections_hash=data_hash(data))
    return SignedCorrections(chunk, data_hash(data), IDENTITIES[DEALER].sign(encode_corrections_statement(stated)))


def frames_of(
    changes: Mapping[tuple[MemberIndex, MemberIndex, int], bytes], silent: tuple[int, ...] = (), chunk: int = 0
) -> dict[MemberIndex, list[SignedFrame]]:
    """What everybody received, by receiver; changes are by sender, receiver and round."""
    return {
        receiver: [
            frame(
                sender, receiver, number, changes.get((sender, receiver, number), EXPECTED[sender][number - 1]), chunk
            )
            for sender, number in itertools.product(NODES, range(1, ROUNDS + 1))
            if sender != receiver
        ]
        for receiver in NODES
        if receiver not in silent
    }


def first_deviation(
    frames: Mapping[MemberIndex, Sequence[SignedFrame]],
    corrections: Sequence[SignedCorrections] | None = None,
    chunks=1,
) -> tuple[int | None, int, int] | None:
    """Member, chunk and round; all chunks should have had the same payloads."""
    corrections = [dealt(chunk=chunk) for chunk in range(chunks)] if corrections is None else corrections
    shown = {
        member: Shown(session=SESSION, first=0, frames=tuple(of), corrections=tuple(corrections) if member == C else ())
        for member, of in frames.items()
    }
    trace = Trace(NODES)
    for chunk in range(chunks):
        payloads = {node: [data_hash(data) for data in of] for node, of in EXPECTED.items()}
        found = trace.add(ExpectedChunk(chunk=chunk, corrections=data_hash(DEALT), payloads=payloads, opened=()), shown)
        if found is not None:
            break
    else:
        found = trace.liar()
    return None if found is None else (found.member, found.chunk, found.round)


def test_what_is_shown_survives_its_bytes():
    shown = Shown(
        session=SESSION,
        first=32,
        chunk_hashes=(some_digest("chunk"),) * 3,
        opened=((some_digest("round 1"), some_digest("round 2")), ()),
        frames=tuple(frames_of({})[A]),
        corrections=(dealt(), dealt(chunk=1)),
        data=(b"one", b"", b"other"),
    )
    data = encode_shown(shown)
    assert decode_shown(data) == shown
    with pytest.raises(DecodeError):
        decode_shown(data + b"\0")
    for size in range(0, len(data), 101):
        with pytest.raises(DecodeError):
            decode_shown(data[:size])


def test_a_page_shows_its_chunks_only():
    kept = [arrived(A, B, 1, b"data", chunk) for chunk in range(70)]
    words = [dealt(chunk=chunk) for chunk in range(70)]
    opened = [(some_digest(f"opened {chunk}"),) for chunk in range(70)]
    for first, chunks in ((0, range(32)), (32, range(32, 64)), (64, range(64, 70)), (96, range(0))):
        page = show(SESSION, first, opened, words, kept, data=[b"data"])
        assert page.data == ((b"data",) if first == 0 else ())
        assert page.opened == tuple(opened[chunk] for chunk in chunks)
        assert page.chunk_hashes == tuple(chunk_hash(SESSION, chunk, opened[chunk]) for chunk in range(70))
        assert [of.chunk for of in page.frames] == [of.chunk for of in page.corrections] == list(chunks)


def test_a_frame_proves_its_sender_its_receiver_its_session_and_its_chunk():
    good = frame(A, B, 2, b"data")
    check_frame(good, CHAIN, SESSION, B, IDENTITIES[A].public)
    for changes in (
        {"data_hash": data_hash(b"other")},
        {"chunk": 1},
        {"round": 3},
        {"flush": 9},
        {"place": 0},
        {"size": 2},
        {"root": Digest(bytes(32))},
        {"path": good.path[:-1]},
        {"sender": C},
    ):
        with pytest.raises(WrongSignatureError):
            check_frame(dataclasses.replace(good, **changes), CHAIN, SESSION, B, IDENTITIES[A].public)
    for session, receiver, key in (
        (SessionId(some_digest("x")), B, A),
        (SESSION, C, A),
        (SESSION, B, C),
    ):
        with pytest.raises(WrongSignatureError):
            check_frame(good, CHAIN, session, receiver, IDENTITIES[key].public)


def test_corrections_prove_their_dealer_their_session_and_their_chunk():
    good = dealt()
    key = IDENTITIES[DEALER].public
    check_corrections(good, CHAIN, SESSION, DEALER, key)
    for bad in (dataclasses.replace(good, chunk=1), dataclasses.replace(good, data_hash=data_hash(b"other"))):
        with pytest.raises(WrongSignatureError, match="corrections of member 6"):
            check_corrections(bad, CHAIN, SESSION, DEALER, key)
    for session, other in ((SessionId(some_digest("x")), key), (SESSION, IDENTITIES[A].public)):
        with pytest.raises(WrongSignatureError):
            check_corrections(good, CHAIN, session, DEALER, other)


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
@pytest.mark.parametrize("sender", NODES)
def test_the_first_wrong_frame_names_its_sender_and_round(sender, number):
    receiver = next(node for node in NODES if node != sender)
    changes = {(sender, receiver, number): WRONG}
    # and everybody else is misled from then on
    later = itertools.product(NODES, NODES, range(number + 1, ROUNDS + 1))
    changes |= {(one, other, after): b"\xee\xee" for one, other, after in later if one != other}
    assert first_deviation(frames_of(changes)) == (sender, 0, number)


def test_who_was_misled_is_not_named_even_if_its_evidence_is_missing():
    changes = {(A, B, 1): WRONG, (B, A, 2): b"\xee\xee", (B, C, 2): b"\xee\xee"}
    assert first_deviation(frames_of(changes, silent=(B,))) is None
    assert first_deviation(frames_of(changes)) == (A, 0, 1)


def test_in_the_first_round_nobody_can_have_been_misled():
    assert first_deviation(frames_of({(A, B, 1): WRONG}, silent=(A,))) == (A, 0, 1)


def test_who_shows_nothing_cannot_be_named_later():
    assert first_deviation(frames_of({(A, B, 2): WRONG}, silent=(A, C))) is None


def test_who_saw_an_honest_session_and_signed_another_is_named():
    assert first_deviation(frames_of({})) == (A, 0, 0)
    assert first_deviation(frames_of({}, silent=(A,))) == (B, 0, 0)
    assert first_deviation(frames_of({}, silent=NODES)) is None


def test_an_incomplete_showing_excuses_and_accuses_nobody():
    cut = {node: frames[:-1] for node, frames in frames_of({}).items()}
    assert first_deviation(cut) is None


def twice(sender: MemberIndex, receiver: MemberIndex, number: int) -> list[SignedFrame]:
    """A wrong frame, on which the receiver went on, and the right one after it."""
    return [frame(sender, receiver, number, data) for data in (WRONG, EXPECTED[sender][number - 1])]


@pytest.mark.parametrize("number", range(2, ROUNDS + 1))
def test_who_was_misled_and_then_sent_the_right_frame_too_is_not_named(number):
    """A cheat that shows nothing itself sends a second, right frame, so that its victim seems to know better."""
    misled = {(B, to, after): b"\xee\xee" for to in (A, C) for after in range(number + 1, ROUNDS + 1)}
    frames = frames_of(misled, silent=(A, C))
    frames[B] = [item for item in frames[B] if (item.sender, item.round) != (A, number)] + twice(A, B, number)
    assert first_deviation(frames) == (A, 0, number)
    frames[B] = [
        item for item in frames[B] if (item.sender, item.round, item.data_hash) != (A, number, data_hash(WRONG))
    ]
    frames[B].append(frame(A, B, number, WRONG))  # in whatever order
    assert first_deviation(frames) == (A, 0, number)


def test_who_signed_two_frames_for_one_round_is_named_though_it_shows_nothing():
    changes = {(A, B, 3): WRONG}
    assert first_deviation(frames_of(changes, silent=(A,))) == (A, 0, 3)
    assert first_deviation(frames_of(changes, silent=(A, C))) is None  # one frame alone: A may have been misled


def of_chunks(*changes: Mapping[tuple[MemberIndex, MemberIndex, int], bytes]) -> dict[MemberIndex, list[SignedFrame]]:
    """What everybody received in several chunks, in the order of the rounds, as chunks run side by side."""
    by_chunk = [frames_of(of, chunk=chunk) for chunk, of in enumerate(changes)]
    return {node: sorted((f for of in by_chunk for f in of[node]), key=lambda f: f.round) for node in NODES}


def test_the_first_chunk_with_a_wrong_frame_names_member_chunk_and_round():
    frames = of_chunks({}, {(B, A, 2): WRONG, (B, C, 2): WRONG}, {(A, B, 1): WRONG})
    assert first_deviation(frames, chunks=3) == (B, 1, 2)


def test_what_went_wrong_in_one_chunk_excuses_nothing_in_another():
    """B was misled in chunk 0 by a frame that C signed twice; in chunk 1 it is wrong by itself."""
    frames = of_chunks({}, {(B, A, 3): WRONG})
    assert first_deviation(frames, chunks=2) == (B, 1, 3)
    without = {node: [f for f in of if f.chunk] for node, of in frames.items()}
    assert first_deviation(without, chunks=2) == (B, 1, 3)


def test_who_did_not_show_all_chunks_cannot_be_the_liar():
    frames = of_chunks({}, {})
    assert first_deviation(frames, chunks=2) == (A, 0, 0)
    frames[A] = [f for f in frames[A] if f.chunk == 0]
    assert first_deviation(frames, chunks=2) == (B, 0, 0)


def test_a_dealer_that_signed_other_corrections_is_named_before_any_node():
    misled = {(C, A, 2): WRONG, (C, B, 2): WRONG}
    words = [dealt(), dealt(b"other", chunk=1)]
    assert first_deviation(of_chunks({}, misled), words, chunks=2) == (None, 1, 0)


def test_corrections_that_the_last_node_does_not_show_excuse_nobody():
    """Who audits has dealt them."""
    for number in range(1, ROUNDS + 1):
        frames = frames_of({(C, A, number): WRONG, (C, B, number): WRONG})
        assert first_deviation(frames, []) == first_deviation(frames) == (C, 0, number)


def admission(
    frames: Mapping[MemberIndex, Sequence[SignedFrame]], opened: Sequence[bytes], corrections=(), chunk: int = 0
) -> tuple[int | None, int, int] | None:
    """Member, chunk and round by what all have signed, if this was opened and every receiver shows it."""
    rounds = tuple(data_hash(of) for of in opened)
    admitted = [chunk_hash(SESSION, earlier, ()) for earlier in range(chunk)] + [chunk_hash(SESSION, chunk, rounds)]
    shown = {
        member: Shown(
            session=SESSION,
            first=chunk,
            chunk_hashes=tuple(admitted),
            opened=(rounds,),
            frames=tuple(of),
            corrections=tuple(corrections) if member == C else (),
        )
        for member, of in frames.items()
    }
    chunks = admitted_chunks(SESSION, session_hash(SESSION, admitted), shown)
    assert chunks == (tuple(admitted) if shown else None)
    assert admitted_chunks(SESSION, Digest(bytes(32)), shown) is None
    payloads = {node: [data_hash(data) for data in of] for node, of in EXPECTED.items()}
    expected = ExpectedChunk(
        chunk=chunk,
        corrections=data_hash(DEALT),
        payloads=payloads,
        opened=[data_hash(of) for of in OPENED],
    )
    found = first_admitted(expected, SESSION, admitted[chunk], shown)
    assert first_admitted(expected, SESSION, Digest(bytes(32)), shown) in (None, Deviation(None, chunk))
    return None if found is None else (found.member, found.chunk, found.round)


OPENED = [bytes((number,)) for number in range(1, ROUNDS + 1)]


def opened_wrong(number: int) -> list[bytes]:
    return OPENED[: number - 1] + [WRONG] * (ROUNDS - number + 1)


@pytest.mark.parametrize("chunk", [0, 40])
def test_by_what_all_signed_the_first_wrong_frame_names_its_sender_that_shows_nothing(chunk):
    def of(changes):
        return {B: frames_of(changes, chunk=chunk)[B]}

    later = {(one, B, 4): b"\xee\xee" for one in (A, C)}
    for sender, number in itertools.product((A, C), (1, 2, 3)):
        received = of({(sender, B, number): WRONG, **later})
        assert admission(received, opened_wrong(number), chunk=chunk) == (sender, chunk, number)
    assert admission(of(later), opened_wrong(4), chunk=chunk) == (A, chunk, 4)  # in rank order
    assert admission(of(later), opened_wrong(3), chunk=chunk) is None  # who opened it wrong is not shown
    assert admission(of({}), opened_wrong(1), chunk=chunk) is None
    assert admission({}, opened_wrong(1), chunk=chunk) is None


def test_a_frame_after_the_first_wrong_opening_accuses_nobody_by_what_all_signed():
    """C answers what A misled it with."""
    received = {B: frames_of({(A, B, 2): WRONG, (C, B, 3): WRONG})[B]}
    assert admission(received, opened_wrong(2)) == (A, 0, 2)
    received = {B: frames_of({(C, B, 3): WRONG})[B]}
    assert admission(received, opened_wrong(2)) is None


def test_by_what_all_signed_a_dealer_that_signed_other_corrections_is_named_first():
    received = frames_of({(C, A, 2): WRONG, (C, B, 2): WRONG})
    assert admission(received, opened_wrong(2), [dealt(b"other")]) == (None, 0, 0)
    assert admission(received, opened_wrong(2), [dealt()]) == (C, 0, 2)


# ------------------------------------------------------------------- transcripts that differ


def first_wrong(
    frames: Mapping[MemberIndex, Sequence[SignedFrame]], corrections: Sequence[SignedCorrections] = (), chunk: int = 0
) -> tuple[int | None, int, int] | None:
    """Member, chunk and round of the first wrong frame of a chunk that anybody shows."""
    payloads = {node: [data_hash(data) for data in of] for node, of in EXPECTED.items()}
    expected = ExpectedChunk(chunk=chunk, corrections=data_hash(DEALT), payloads=payloads, opened=())
    shown = {
        member: Shown(session=SESSION, first=0, frames=tuple(of), corrections=tuple(corrections) if member == C else ())
        for member, of in frames.items()
    }
    found = first_sent(expected, shown)
    return None if found is None else (found.member, found.chunk, found.round)


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
@pytest.mark.parametrize(("sender", "victim", "third"), list(itertools.permutations(NODES)))
def test_who_misled_another_is_named_by_what_the_victim_shows(sender, victim, third, number):
    """Though the others show nothing, or show what the victim sent then."""
    misled = {(victim, to, after): b"\xee\xee" for to in (sender, third) for after in range(number + 1, ROUNDS + 1)}
    frames = frames_of({(sender, victim, number): WRONG, **misled})
    for silent in ((), (sender,), (third,), (sender, third)):
        shown = {member: of for member, of in frames.items() if member not in silent}
        assert first_wrong(shown) == (sender, 0, number)


def test_a_victim_that_shows_nothing_is_taken_for_who_began():
    frames = frames_of({(A, B, 1): WRONG, (B, C, 2): b"\xee\xee"}, silent=(B,))
    assert first_wrong(frames) == (B, 0, 2)


def test_of_wrong_frames_of_one_round_the_first_sender_in_rank_order_is_named():
    assert first_wrong(frames_of({(C, A, 2): WRONG, (B, A, 2): WRONG})) == (B, 0, 2)


def test_where_all_frames_are_right_nobody_is_named():
    assert first_wrong(frames_of({})) is None
    assert first_wrong({}) is None


def test_frames_of_other_chunks_and_of_rounds_that_no_program_has_name_nobody():
    frames = {A: [frame(B, A, 1, WRONG, chunk=1), frame(B, A, ROUNDS + 1, WRONG), frame(B, A, 0, WRONG)]}
    assert first_wrong(frames) is None
    assert first_wrong(frames, chunk=1) == (B, 1, 1)


def test_a_dealer_that_misled_the_last_node_is_named_before_it():
    frames = frames_of({(C, A, 1): WRONG})
    assert first_wrong(frames, [dealt(b"other")]) == (None, 0, 0)
    assert first_wrong(frames, [dealt()]) == (C, 0, 1)


def test_the_first_chunk_that_each_node_ended_otherwise():
    right = [some_digest(f"chunk {chunk}") for chunk in range(5)]

    def ended(*wrong: int, chunks: int = 5) -> Shown:
        hashes = [some_digest("wrong") if chunk in wrong else right[chunk] for chunk in range(chunks)]
        return Shown(session=SESSION, first=0, chunk_hashes=tuple(hashes))

    assert differing_chunks(right, {A: ended(), B: ended(4, 2), C: ended(1, chunks=3)}) == (1, 2)
    assert differing_chunks(right, {A: ended(3), B: ended(3)}) == (3,)
    assert differing_chunks(right, {A: ended(chunks=0), B: ended(chunks=2)}) == ()
    beyond = Shown(session=SESSION, first=0, chunk_hashes=(*right, some_digest("sixth")))
    assert differing_chunks(right, {A: beyond}) == ()
