"""Two ends of one session with different transcripts, where nobody knows what an honest session sends.

Such is a session whose correlations the committee made. What was signed still shows some things: a node sends all
others the same, so who signed two frames for one round deviated, whatever it received. An honest node shows what led to
the transcript that it signed, and all frames that it received. If two do that, and no frame was signed twice, one of
them lies, for from the same frames all honest nodes open the same; hashes do not show which (docs/protocol.md 6.3).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ledger.types import Digest
from mpcnode.mpc.transcript import chunk_hash, session_hash
from mpcnode.query.frames import Shown
from mpcnode.types import MemberIndex, SessionId

Ends = Mapping[MemberIndex, Digest]
"""Transcripts that two members of a committee signed."""


def sent_twice(committee: Sequence[MemberIndex], shown: Mapping[MemberIndex, Shown]) -> MemberIndex | None:
    """Return who first signed two different frames for one chunk and round, to whomever; None if nobody is shown to.

    Args:
        committee: in rank order; of several in one round the first is returned.
        shown: by receiver; signatures hold.
    """
    signed: defaultdict[tuple[int, int, int], set[Digest]] = defaultdict(set)
    for of in shown.values():
        for frame in of.frames:
            signed[frame.chunk, frame.round, committee.index(frame.sender)].add(frame.data_hash)
    first = min((place for place, hashes in signed.items() if len(hashes) > 1), default=None)
    return None if first is None else committee[first[2]]


def without_account(
    session: SessionId, ends: Ends, shown: Mapping[MemberIndex, Shown], chunks: int
) -> tuple[MemberIndex, ...]:
    """Return those who do not show the hashes of all chunks that lead to the transcript which they signed."""

    def accounts(member: MemberIndex) -> bool:
        hashes = shown[member].chunk_hashes if member in shown else ()
        return len(hashes) == chunks and session_hash(session, hashes) == ends[member]

    return tuple(member for member in ends if not accounts(member))


def first_between(ends: Ends, shown: Mapping[MemberIndex, Shown]) -> int:
    """Return the first chunk in which two nodes opened different values, who account for their transcripts."""
    one, other = (shown[member].chunk_hashes for member in ends)
    return next(chunk for chunk, (ours, theirs) in enumerate(zip(one, other, strict=True)) if ours != theirs)


def without_frames(
    session: SessionId,
    ends: Ends,
    shown: Mapping[MemberIndex, Shown],
    *,
    place: tuple[int, int],
    committee: Sequence[MemberIndex],
) -> tuple[MemberIndex, ...]:
    """Return those who do not show all that they must have received and opened in a chunk to account for its hash.

    Args:
        session: whose chunk.
        ends: of the two.
        shown: of this chunk; signatures hold.
        place: the chunk, and the rounds of its program.
        committee: all of the session.
    """
    chunk, rounds = place
    numbers = range(1, rounds + 1)

    def shows_all(member: MemberIndex) -> bool:
        of = shown.get(member)
        if of is None or not of.first <= chunk < of.first + len(of.opened):
            return False
        opened = of.opened[chunk - of.first]
        if len(opened) != rounds or chunk_hash(session, chunk, opened) != of.chunk_hashes[chunk]:
            return False
        received = {(frame.sender, frame.round) for frame in of.frames if frame.chunk == chunk}
        return {(sender, number) for sender in committee if sender != member for number in numbers} <= received

    return tuple(member for member in ends if not shows_all(member))
