"""Frames as evidence, and whom they name."""

import dataclasses
import itertools

import pytest

from ledger.errors import DecodeError
from ledger.types import Digest
from mpcnode.errors import WrongSignatureError
from mpcnode.query.blame import first_admitted, first_deviation, received_by
from mpcnode.query.frames import Flush, SignedFrame, check_frame, decode_frames, encode_frames
from mpcnode.query.statements import FlushStatement, encode_flush_statement, frame_digest, frames_root
from mpcnode.types import MemberIndex, SessionId
from scripts.vector_query import CHAIN, IDENTITIES
from tests.support.queries import SESSION, some_digest

A, B, C = NODES = tuple(MemberIndex(index) for index in (1, 2, 3))
ROUNDS = 4
EXPECTED = {node: tuple(bytes((node, number)) for number in range(1, ROUNDS + 1)) for node in NODES}
WRONG = b"\xff\xff"


def frame(sender: MemberIndex, receiver: MemberIndex, number: int, data: bytes) -> SignedFrame:
    """In the middle of a flush of three."""
    other = SessionId(some_digest("other session"))
    frames = [(other, 1, b"x"), (SESSION, number, data), (other, 2, b"y")]
    stated = FlushStatement(
        chain=CHAIN, sender=sender, receiver=receiver, number=number, frames_root=frames_root(frames)
    )
    leaves = tuple(frame_digest(*item) for item in frames)
    return Flush(number, leaves, IDENTITIES[sender].sign(encode_flush_statement(stated))).frame(sender, 1, number, data)


def shown(changes: dict[tuple[MemberIndex, MemberIndex, int], bytes], silent: tuple[int, ...] = ()):
    """What everybody received, by receiver; changes are by sender, receiver and round."""
    return {
        receiver: [
            frame(sender, receiver, number, changes.get((sender, receiver, number), EXPECTED[sender][number - 1]))
            for sender, number in itertools.product(NODES, range(1, ROUNDS + 1))
            if sender != receiver
        ]
        for receiver in NODES
        if receiver not in silent
    }


def test_frames_survive_their_bytes():
    frames = tuple(shown({})[A])
    data = encode_frames(SESSION, frames)
    assert decode_frames(data) == (SESSION, frames)
    with pytest.raises(DecodeError):
        decode_frames(data + b"\0")
    for size in range(0, len(data), 101):
        with pytest.raises(DecodeError):
            decode_frames(data[:size])


def test_a_frame_proves_its_sender_its_receiver_and_its_session():
    good = frame(A, B, 2, b"data")
    check_frame(good, CHAIN, SESSION, B, IDENTITIES[A].public)
    for changes in (
        {"data": b"other"},
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


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
@pytest.mark.parametrize("sender", NODES)
def test_the_first_wrong_frame_names_its_sender_and_round(sender, number):
    receiver = next(node for node in NODES if node != sender)
    changes = {(sender, receiver, number): WRONG}
    # and everybody else is misled from then on
    later = itertools.product(NODES, NODES, range(number + 1, ROUNDS + 1))
    changes |= {(one, other, after): b"\xee\xee" for one, other, after in later if one != other}
    assert first_deviation(EXPECTED, shown(changes)) == (sender, number)


def test_who_was_misled_is_not_named_even_if_its_evidence_is_missing():
    changes = {(A, B, 1): WRONG, (B, A, 2): b"\xee\xee", (B, C, 2): b"\xee\xee"}
    assert first_deviation(EXPECTED, shown(changes, silent=(B,))) is None
    assert first_deviation(EXPECTED, shown(changes)) == (A, 1)


def test_in_the_first_round_nobody_can_have_been_misled():
    assert first_deviation(EXPECTED, shown({(A, B, 1): WRONG}, silent=(A,))) == (A, 1)


def test_who_shows_nothing_cannot_be_named_later():
    assert first_deviation(EXPECTED, shown({(A, B, 2): WRONG}, silent=(A, C))) is None


def test_who_saw_an_honest_session_and_signed_another_is_named():
    assert first_deviation(EXPECTED, shown({})) == (A, 0)
    assert first_deviation(EXPECTED, shown({}, silent=(A,))) == (B, 0)
    assert first_deviation(EXPECTED, shown({}, silent=NODES)) is None


def test_an_incomplete_showing_excuses_and_accuses_nobody():
    cut = {node: frames[:-1] for node, frames in shown({}).items()}
    assert first_deviation(EXPECTED, cut) is None


def twice(sender: MemberIndex, receiver: MemberIndex, number: int) -> list[SignedFrame]:
    """A wrong frame, on which the receiver went on, and the right one after it."""
    return [frame(sender, receiver, number, data) for data in (WRONG, EXPECTED[sender][number - 1])]


@pytest.mark.parametrize("number", range(2, ROUNDS + 1))
def test_who_was_misled_and_then_sent_the_right_frame_too_is_not_named(number):
    """A cheat that shows nothing itself sends a second, right frame, so that its victim seems to know better."""
    misled = {(B, to, after): b"\xee\xee" for to in (A, C) for after in range(number + 1, ROUNDS + 1)}
    frames = shown(misled, silent=(A, C))
    frames[B] = [item for item in frames[B] if (item.sender, item.round) != (A, number)] + twice(A, B, number)
    assert first_deviation(EXPECTED, frames) == (A, number)
    frames[B] = [item for item in frames[B] if (item.sender, item.round, item.data) != (A, number, WRONG)]
    frames[B].append(frame(A, B, number, WRONG))  # in whatever order
    assert first_deviation(EXPECTED, frames) == (A, number)


def test_who_signed_two_frames_for_one_round_is_named_though_it_shows_nothing():
    changes = {(A, B, 3): WRONG}
    assert first_deviation(EXPECTED, shown(changes, silent=(A,))) == (A, 3)
    assert first_deviation(EXPECTED, shown(changes, silent=(A, C))) is None  # one frame alone: A may have been misled


def test_by_what_all_signed_the_first_wrong_frame_names_its_sender_that_shows_nothing():
    later = {(one, B, 4): b"\xee\xee" for one in (A, C)}
    for sender, number in itertools.product((A, C), (1, 2, 3)):
        received = {B: shown({(sender, B, number): WRONG, **later})[B]}
        assert first_admitted(EXPECTED, received) == (sender, number)
    assert first_admitted(EXPECTED, {B: shown(later)[B]}) == (A, 4)  # in rank order
    both = {B: shown({(C, B, 3): WRONG})[B], C: shown({(A, C, 2): WRONG})[C]}
    assert first_admitted(EXPECTED, both) == (A, 2)
    assert first_admitted(EXPECTED, {B: shown({})[B]}) is None
    assert first_admitted(EXPECTED, {}) is None


def test_what_a_node_received_is_one_frame_of_each_other_in_each_round():
    frames = shown({})[B]
    found = received_by(B, NODES, ROUNDS, frames)
    assert found == {(sender, number): EXPECTED[sender][number - 1] for sender in (A, C) for number in (1, 2, 3, 4)}
    for changed in (
        frames[:-1],
        [*frames, frames[0]],
        [*frames, frame(A, B, 1, WRONG)],
        [*frames[:-1], frame(A, B, 1, WRONG)],
        [*frames, frame(A, B, ROUNDS + 1, WRONG)],
        [*frames, frame(B, B, 1, WRONG)],
        [],
    ):
        assert received_by(B, NODES, ROUNDS, changed) is None
