"""Two ends of one session with different transcripts, where nobody knows what an honest session sends.

Such is a session whose correlations the committee made. What was signed still shows some things: a node sends all
others the same, so who signed two frames for one round deviated, whatever it received. An honest node shows what led to
the transcript that it signed, and all frames that it received. If two do that, and no frame was signed twice, one of
them lies, for from the same frames all honest nodes open the same. The data of all frames show which; without, nothing
does (docs/protocol.md 6.3).
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.types import Digest
from mpcnode.mpc.openings import Width, open_payloads
from mpcnode.mpc.transcript import chunk_hash, session_hash
from mpcnode.query.frames import Shown
from mpcnode.query.statements import data_hash
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


@dataclass(frozen=True, slots=True)
class Place:
    """The chunk in question."""

    session: SessionId
    committee: tuple[MemberIndex, ...]
    chunk: int
    rounds: tuple[tuple[Width, ...], ...]
    """What its program opens in each round."""
    with_data: bool
    """Whether honest nodes keep the data of its frames."""


def without_frames(place: Place, ends: Ends, shown: Mapping[MemberIndex, Shown]) -> tuple[MemberIndex, ...]:
    """Return those who do not show all that they must have received and opened in a chunk to account for its hash."""
    numbers = range(1, len(place.rounds) + 1)

    def shows_all(member: MemberIndex) -> bool:
        of = shown.get(member)
        if of is None or not of.first <= place.chunk < of.first + len(of.opened):
            return False
        opened = of.opened[place.chunk - of.first]
        if chunk_hash(place.session, place.chunk, opened) != of.chunk_hashes[place.chunk]:
            return False
        known = {data_hash(data) for data in of.data}
        received = {
            (frame.sender, frame.round)
            for frame in of.frames
            if frame.chunk == place.chunk and (not place.with_data or frame.data_hash in known)
        }
        senders = set(place.committee) - {member}
        return len(opened) == len(numbers) and {(one, number) for one in senders for number in numbers} <= received

    return tuple(member for member in ends if not shows_all(member))


def contradicted(place: Place, ends: Ends, shown: Mapping[MemberIndex, Shown]) -> tuple[MemberIndex, ...]:
    """Return those whose transcript does not follow from the frames of a chunk; nobody if their data is not kept.

    Args:
        place: the chunk.
        ends: of two who show all frames of it, none of which was signed twice.
        shown: of this chunk; signatures hold.
    """
    if not place.with_data:
        return ()
    data = {data_hash(of): of for member in ends for of in shown[member].data}
    sent = {
        (frame.sender, frame.round): data[frame.data_hash]
        for member in ends
        for frame in shown[member].frames
        if frame.chunk == place.chunk and frame.data_hash in data
    }
    opened: list[Digest] = []
    for number, widths in enumerate(place.rounds, start=1):
        payloads = [sent[sender, number] for sender in place.committee]
        size = sum(width.size for width in widths)
        other = next((one for one, of in zip(place.committee, payloads, strict=True) if len(of) != size), None)
        if other is not None:
            return (other,)
        opened.append(Digest(hashlib.sha256(open_payloads(widths, payloads)).digest()))
    right = chunk_hash(place.session, place.chunk, opened)
    return tuple(member for member in ends if shown[member].chunk_hashes[place.chunk] != right)
