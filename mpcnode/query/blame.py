"""Who deviated first: what every honest node had to send, against what the nodes signed (docs/protocol.md 3.2).

A node's message follows from its share, its seed, its corrections and what it received before. So a frame that differs
proves its sender wrong only if the sender received what it had to: in round 1, or if its own evidence shows so. A
misled node is not blamed for what followed, and nobody is blamed on another's bare word. Who signed two messages for
one round is wrong whatever it received: a node sends all others the same. What it sent twice, right and wrong,
informed nobody. Chunks do not depend on each other: each is judged by itself, in order.

All nodes sign one transcript of what was opened. Who shows hashes of opened rounds that lead to it shows what all
signers admit. So the first chunk and round with a wrong opening is known, and that everybody knew what it had to until
then: whoever sent a wrong frame there is wrong although it shows nothing.

The last node also needs the dealer's corrections. Dealer and auditor are one, so that the right ones were dealt needs
no proof; but if the last node shows that others were signed, the dealer deviated.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.mpc.transcript import chunk_hash, session_hash
from mpcnode.query.frames import Shown, SignedFrame
from mpcnode.types import MemberIndex, SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedChunk:
    """What an honest session sends in one chunk, as hashes."""

    chunk: int
    corrections: Digest
    """From the dealer to the last node in rank order."""
    payloads: Mapping[MemberIndex, Sequence[Digest]]
    """Of every node in each round, in rank order."""
    opened: Sequence[Digest]
    """Values in each round."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Who deviated, and where."""

    member: MemberIndex | None
    """None: the dealer."""
    chunk: int = 0
    round: int = 0
    """0: the corrections; or all frames were right, but not what the node signed of them."""


def admitted_chunks(
    session: SessionId, signed: Digest, shown: Mapping[MemberIndex, Shown]
) -> tuple[Digest, ...] | None:
    """Return the hashes of all chunks that lead to the transcript which all signed; None if nobody shows them."""
    return next((of.chunk_hashes for of in shown.values() if session_hash(session, of.chunk_hashes) == signed), None)


def first_admitted(
    expected: ExpectedChunk, session: SessionId, admitted: Digest, shown: Mapping[MemberIndex, Shown]
) -> Deviation | None:
    """Return who deviated first, by what all have signed; None if nobody shows it.

    Args:
        expected: what had to be sent and opened in the first chunk whose hash is wrong.
        session: whose chunk.
        admitted: its hash, by the transcript which all signed.
        shown: by receiver, of this chunk; signatures hold.
    """
    if _is_misdealt(expected, shown):
        return Deviation(None, expected.chunk)
    all_opened = (of.opened[expected.chunk - of.first] for of in shown.values() if _has_opened(of, expected.chunk))
    rounds = next((opened for opened in all_opened if chunk_hash(session, expected.chunk, opened) == admitted), ())
    pairs = zip(rounds, expected.opened, strict=False)
    number = next((number for number, (ours, right) in enumerate(pairs, start=1) if ours != right), 0)
    return _first_wrong(expected, shown, number)


def differing_chunks(right: Sequence[Digest], shown: Mapping[MemberIndex, Shown]) -> tuple[int, ...]:
    """Return the first chunk of each node that ended with another hash than the right one, as it says; ascending."""
    pairs = (enumerate(zip(of.chunk_hashes, right, strict=False)) for of in shown.values())
    first = (next((chunk for chunk, (theirs, ours) in of if theirs != ours), None) for of in pairs)
    return tuple(sorted({chunk for chunk in first if chunk is not None}))


def first_sent(expected: ExpectedChunk, shown: Mapping[MemberIndex, Shown]) -> Deviation | None:
    """Return who sent the first wrong frame of a chunk, of all frames that were shown; None if all are right.

    Whoever was misled into sending it took a wrong frame of a round before, and shows that one: so this names who
    deviated, or a node that showed nothing when it was asked.

    Args:
        expected: what had to be sent.
        shown: by receiver, of this chunk; signatures hold. All nodes of the session were asked.
    """
    if _is_misdealt(expected, shown):
        return Deviation(None, expected.chunk)
    return _first_wrong(expected, shown, len(next(iter(expected.payloads.values()))))


def _first_wrong(expected: ExpectedChunk, shown: Mapping[MemberIndex, Shown], rounds: int) -> Deviation | None:
    """Return who sent the first wrong frame, up to a round; of several of one round the first in rank order."""
    ranks = {member: rank for rank, member in enumerate(expected.payloads)}
    wrong = [
        (frame.round, ranks[frame.sender], frame.sender)
        for of in shown.values()
        for frame in of.frames
        if frame.chunk == expected.chunk
        and 1 <= frame.round <= rounds
        and frame.data_hash != expected.payloads[frame.sender][frame.round - 1]
    ]
    if not wrong:
        return None
    first, _, sender = min(wrong)
    return Deviation(sender, expected.chunk, first)


def _has_opened(shown: Shown, chunk: int) -> bool:
    return shown.first <= chunk < shown.first + len(shown.opened)


def _is_misdealt(expected: ExpectedChunk, shown: Mapping[MemberIndex, Shown]) -> bool:
    """Whether the last node shows that the dealer signed other corrections."""
    last = shown.get(list(expected.payloads)[-1])
    words = () if last is None else last.corrections
    return any(word.chunk == expected.chunk and word.data_hash != expected.corrections for word in words)


@dataclass(slots=True)
class Trace:
    """The judgement of one session, chunk by chunk."""

    committee: Sequence[MemberIndex]
    """In rank order."""
    _whole: set[MemberIndex] = field(init=False)
    """Those who have shown that they received an honest session, so far."""

    def __post_init__(self) -> None:
        self._whole = set(self.committee)

    def add(self, expected: ExpectedChunk, shown: Mapping[MemberIndex, Shown]) -> Deviation | None:
        """Judge the next chunk; return who deviated first in it, None if the evidence names nobody.

        Args:
            expected: what had to be sent.
            shown: by receiver, of this chunk and others; signatures hold. Who showed nothing is left out.
        """
        if _is_misdealt(expected, shown):
            return Deviation(None, expected.chunk)
        received = {member: _by_place(of.frames, expected.chunk) for member, of in shown.items()}
        sent: defaultdict[tuple[MemberIndex, int], set[Digest]] = defaultdict(set)
        for signed in received.values():
            for place, hashes in signed.items():
                sent[place] |= hashes
        informed = set(self.committee)  # in round 1 nothing has been received
        rounds = len(next(iter(expected.payloads.values())))
        for number in range(1, rounds + 1):
            for sender, payloads in expected.payloads.items():
                signed_by = sent.get((sender, number), set())
                is_wrong = bool(signed_by - {payloads[number - 1]})
                if is_wrong and (sender in informed or len(signed_by) > 1):
                    return Deviation(sender, expected.chunk, number)
            informed = {
                member
                for member in informed
                if member in received
                and all(
                    received[member].get((sender, number)) == {payloads[number - 1]}
                    for sender, payloads in expected.payloads.items()
                    if sender != member
                )
            }
        self._whole &= informed
        return None

    def liar(self) -> Deviation | None:
        """After all chunks: the first node that received an honest session, and so signed another than it had."""
        return next((Deviation(member) for member in self.committee if member in self._whole), None)


_Signed = Mapping[tuple[MemberIndex, int], set[Digest]]
"""Hashes of what was signed, by sender and round."""


def _by_place(frames: Sequence[SignedFrame], chunk: int) -> _Signed:
    signed: defaultdict[tuple[MemberIndex, int], set[Digest]] = defaultdict(set)
    for frame in frames:
        if frame.chunk == chunk:
            signed[frame.sender, frame.round].add(frame.data_hash)
    return dict(signed)
