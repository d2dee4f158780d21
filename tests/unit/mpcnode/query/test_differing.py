"""Two transcripts of a session that the committee prepared itself: whom signatures and data name."""

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ledger.types import Digest, Signature
from mpcnode.mpc import Width, chunk_hash, session_hash
from mpcnode.query.differing import (
    Ends,
    Place,
    contradicted,
    first_between,
    sent_twice,
    without_account,
    without_frames,
)
from mpcnode.query.frames import Shown, SignedFrame
from mpcnode.query.statements import data_hash
from mpcnode.types import MemberIndex
from tests.support.queries import SESSION, some_digest

A, B, C = NODES = tuple(MemberIndex(index) for index in (5, 1, 3))
"""In rank order."""
ROUNDS = ((Width(2, 0), Width(1, 20)), (Width(3, 64),))
"""Two words of bits and a number of 20 bits; then three numbers."""
SIZES = [sum(width.size for width in widths) for widths in ROUNDS]
PLACE = Place(SESSION, NODES, 0, ROUNDS, with_data=True)

Sent = Mapping[tuple[MemberIndex, MemberIndex, int], bytes]
"""By sender, receiver and round."""


def payload(sender: MemberIndex, number: int) -> bytes:
    """What an honest node sends to all others."""
    whole = hashlib.sha256(bytes((sender, number))).digest()[: SIZES[number - 1]]
    return whole[:-1] + b"\x0f" if number == 1 else whole


def opened(sent: Sent, me: MemberIndex) -> tuple[Digest, ...]:
    """Hashes of what a node opens: its own shares and what it received, worked out word by word."""
    hashes = []
    for number, widths in enumerate(ROUNDS, start=1):
        parts = [sent.get((one, me, number), payload(one, number)) for one in NODES]
        at, values = 0, b""
        for width in widths:
            for _ in range(width.count):
                numbers = [int.from_bytes(part[at : at + width.element_bytes], "little") for part in parts]
                total = sum(numbers) % 2**width.bits if width.bits else numbers[0] ^ numbers[1] ^ numbers[2]
                values += total.to_bytes(width.element_bytes, "little")
                at += width.element_bytes
        hashes.append(Digest(hashlib.sha256(values).digest()))
    return tuple(hashes)


def frame(sender: MemberIndex, number: int, data: bytes, chunk: int = 0) -> SignedFrame:
    return SignedFrame(
        sender=sender,
        chunk=chunk,
        round=number,
        data_hash=data_hash(data),
        flush=1,
        place=0,
        size=1,
        root=some_digest("root"),
        path=(),
        signature=Signature(bytes(64)),
    )


def shows(sent: Sent, me: MemberIndex) -> Shown:
    """What an honest node shows that received this."""
    rounds = opened(sent, me)
    received = [
        (one, number, sent.get((one, me, number), payload(one, number)))
        for one, number in itertools.product(NODES, (1, 2))
        if one != me
    ]
    return Shown(
        session=SESSION,
        first=0,
        chunk_hashes=(chunk_hash(SESSION, 0, rounds),),
        opened=(rounds,),
        frames=tuple(frame(one, number, data) for one, number, data in received),
        data=tuple(data for _, _, data in received),
    )


def session(sent: Sent) -> tuple[dict[MemberIndex, Shown], dict[MemberIndex, Digest]]:
    """What everybody shows and signs."""
    shown = {node: shows(sent, node) for node in NODES}
    return shown, {node: session_hash(SESSION, of.chunk_hashes) for node, of in shown.items()}


def to_all(sender: MemberIndex, number: int, data: bytes) -> Sent:
    return {(sender, to, number): data for to in NODES if to != sender}


def other(number: int) -> bytes:
    return b"\x01" * SIZES[number - 1]


def of_two(signed: Ends, *members: MemberIndex) -> Ends:
    return {member: signed[member] for member in members}


def test_all_agree_where_all_are_sent_the_same():
    _, signed = session({})
    assert len(set(signed.values())) == 1


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("sender", "victim"), list(itertools.permutations(NODES, 2)))
def test_who_sends_two_nodes_different_frames_is_named(sender, victim, number):
    shown, _ = session({(sender, victim, number): other(number)})
    assert sent_twice(NODES, shown) == sender
    assert sent_twice(NODES, {node: of for node, of in shown.items() if node != sender}) == sender
    assert sent_twice(NODES, {victim: shown[victim]}) is None


def test_of_two_who_sent_different_frames_the_earlier_is_named_then_the_first_in_rank_order():
    both = {(C, A, 1): other(1), (A, B, 2): other(2)}
    assert sent_twice(NODES, session(both)[0]) == C
    assert sent_twice(NODES, session({(B, C, 2): other(2), (A, C, 2): other(2)})[0]) == A
    assert sent_twice(NODES, session({})[0]) is None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("liar", NODES)
def test_whose_transcript_does_not_follow_from_what_it_sent_is_named(liar, number):
    """It sends all others the same, but computes with something else."""
    shown, signed = session(to_all(liar, number, other(number)))
    assert sent_twice(NODES, shown) is None
    for honest in set(NODES) - {liar}:
        ends = of_two(signed, liar, honest)
        assert without_account(SESSION, ends, shown, 1) == ()
        assert first_between(ends, shown) == 0
        assert without_frames(PLACE, ends, shown) == ()
        assert contradicted(PLACE, ends, shown) == (liar,)
        assert contradicted(replace(PLACE, with_data=False), ends, shown) == ()


def test_two_who_both_open_something_else_are_both_named():
    shown, signed = session({**to_all(A, 1, other(1)), **to_all(B, 2, other(2))})
    assert contradicted(PLACE, of_two(signed, A, B), shown) == (A, B)


def test_elements_beyond_their_ring_open_what_those_within_open():
    whole = payload(A, 1)
    shown, signed = session(to_all(A, 1, whole[:-1] + bytes([whole[-1] | 0xF0])))
    assert len(set(signed.values())) == 1
    lie = {**signed, B: some_digest("lie")}
    assert without_account(SESSION, of_two(lie, A, B), shown, 1) == (B,)


def test_a_frame_of_another_size_names_its_sender():
    """An honest receiver would have ended the session: whoever accepted it is none."""
    short = payload(C, 1)[:-1]
    shown, signed = session(to_all(B, 2, other(2)))
    for member in (A, B):
        frames = tuple(frame(C, 1, short) if (of.sender, of.round) == (C, 1) else of for of in shown[member].frames)
        shown[member] = replace(shown[member], frames=frames, data=(*shown[member].data, short))
    ends = of_two(signed, A, B)
    assert without_frames(PLACE, ends, shown) == ()
    assert contradicted(PLACE, ends, shown) == (C,)


def test_who_does_not_show_what_led_to_its_transcript_is_named():
    shown, signed = session({})
    lie = {A: some_digest("lie"), B: signed[B]}
    assert without_account(SESSION, lie, shown, 1) == (A,)
    assert without_account(SESSION, lie, {}, 1) == (A, B)
    assert without_account(SESSION, of_two(signed, A, B), {B: shown[B]}, 1) == (A,)
    assert without_account(SESSION, of_two(signed, A, B), shown, 2) == (A, B)


@pytest.mark.parametrize(
    "less",
    [
        lambda of: replace(of, frames=of.frames[1:]),
        lambda of: replace(of, frames=of.frames[:-1]),
        lambda of: replace(of, data=of.data[1:]),
        lambda of: replace(of, opened=()),
        lambda of: replace(of, first=32),
        lambda of: replace(of, opened=(of.opened[0][:1],)),
        lambda of: replace(of, opened=((of.opened[0][0], some_digest("lie")),)),
        lambda of: replace(of, frames=tuple(replace(frame, chunk=1) for frame in of.frames)),
    ],
    ids=["first frame", "last frame", "data", "opened", "page", "rounds", "other rounds", "other chunk"],
)
def test_who_shows_less_than_it_must_have_received_is_named(less):
    shown, signed = session(to_all(A, 1, other(1)))
    ends = of_two(signed, A, B)
    assert without_frames(PLACE, ends, {**shown, B: less(shown[B])}) == (B,)
    assert without_frames(PLACE, ends, {**shown, A: less(shown[A])}) == (A,)
    assert without_frames(PLACE, ends, {C: shown[C]}) == (A, B)


def test_where_no_data_is_kept_none_is_missed():
    shown, signed = session(to_all(A, 1, other(1)))
    bare = {node: replace(of, data=()) for node, of in shown.items()}
    assert without_frames(PLACE, of_two(signed, A, B), bare) == (A, B)
    assert without_frames(replace(PLACE, with_data=False), of_two(signed, A, B), bare) == ()


def test_the_first_chunk_in_which_two_opened_something_else():
    hashes = [some_digest(f"chunk {number}") for number in range(5)]
    for chunk in range(5):
        others = (*hashes[:chunk], some_digest("other"), *hashes[chunk + 1 : -1], some_digest("last"))[:5]
        shown = {
            member: Shown(session=SESSION, first=0, chunk_hashes=tuple(of)) for member, of in ((A, hashes), (B, others))
        }
        assert first_between({A: some_digest("a"), B: some_digest("b")}, shown) == chunk
