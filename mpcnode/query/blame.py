"""Who deviated first: what every honest node had to send, against what the nodes signed (docs/protocol.md 3.2).

A node's message follows from its share, its seed, its corrections and what it received before. So a frame that differs
proves its sender wrong only if the sender received what it had to: in round 1, or if its own evidence shows so. A
misled node is not blamed for what followed, and nobody is blamed on another's bare word. Who signed two messages for
one round is wrong whatever it received: a node sends all others the same. What it sent twice, right and wrong,
informed nobody. Chunks do not depend on each other: each is judged by itself, in order.

The last node also needs the dealer's corrections. It is blamed for nothing in a chunk of which it does not show that it
received the right ones; if the dealer signed others, the dealer deviated.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.query.frames import Shown, SignedFrame
from mpcnode.types import MemberIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedChunk:
    """What an honest session sends in one chunk, as hashes."""

    chunk: int
    corrections: Digest
    """From the dealer to the last node in rank order."""
    payloads: Mapping[MemberIndex, Sequence[Digest]]
    """Of every node in each round, in rank order."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Who deviated, and where."""

    member: MemberIndex | None
    """None: the dealer."""
    chunk: int = 0
    round: int = 0
    """0: the corrections; or all frames were right, but not what the node signed of them."""


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
        last = self.committee[-1]
        dealt = {
            word.data_hash
            for word in (shown[last].corrections if last in shown else ())
            if word.chunk == expected.chunk
        }
        if dealt - {expected.corrections}:
            return Deviation(None, expected.chunk)
        received = {member: _by_place(of.frames, expected.chunk) for member, of in shown.items()}
        return self._first(expected, received, is_dealt=bool(dealt))

    def liar(self) -> Deviation | None:
        """After all chunks: the first node that received an honest session, and so signed another than it had."""
        return next((Deviation(member) for member in self.committee if member in self._whole), None)

    def _first(
        self, expected: ExpectedChunk, received: Mapping[MemberIndex, "_Signed"], *, is_dealt: bool
    ) -> Deviation | None:
        last = self.committee[-1]
        sent: defaultdict[tuple[MemberIndex, int], set[Digest]] = defaultdict(set)
        for signed in received.values():
            for place, hashes in signed.items():
                sent[place] |= hashes
        # in round 1 nothing has been received but the corrections
        informed = {member for member in self.committee if member != last or is_dealt}
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


_Signed = Mapping[tuple[MemberIndex, int], set[Digest]]
"""Hashes of what was signed, by sender and round."""


def _by_place(frames: Sequence[SignedFrame], chunk: int) -> _Signed:
    signed: defaultdict[tuple[MemberIndex, int], set[Digest]] = defaultdict(set)
    for frame in frames:
        if frame.chunk == chunk:
            signed[frame.sender, frame.round].add(frame.data_hash)
    return dict(signed)
