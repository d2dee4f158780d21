"""Who deviated first: what every honest node had to send, against what the nodes signed (docs/protocol.md 3.2).

A node's message follows from its share, its seed and what it received before. So a frame that differs proves its sender
wrong only if the sender received what it had to: in round 1, or if its own evidence shows so. A misled node is not
blamed for what followed, and nobody is blamed on another's bare word. Who signed two messages for one round is wrong
whatever it received: a node sends all others the same. What it sent twice, right and wrong, informed nobody.

All nodes sign one transcript of what was opened. If what a single node received leads an honest node to it, all signers
admit what this node opened. So all knew what they had to until the first wrong frame, and its sender is wrong although
it shows nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mpcnode.query.frames import SignedFrame
from mpcnode.types import MemberIndex


def first_admitted(
    expected: Mapping[MemberIndex, Sequence[bytes]], received: Mapping[MemberIndex, Sequence[SignedFrame]]
) -> tuple[MemberIndex, int] | None:
    """Return who deviated first, and in which round, by what all have signed.

    Args:
        expected: payloads of every node in each round, in rank order.
        received: by receiver, all that it received, one frame of each other node in each round; of those nodes whose
            frames lead to the transcript that all signed.

    Returns:
        None if all these frames are right.
    """
    ranks = {member: rank for rank, member in enumerate(expected)}
    wrong = [
        (frame.round, ranks[frame.sender], frame.sender)
        for frames in received.values()
        for frame in frames
        if frame.data != expected[frame.sender][frame.round - 1]
    ]
    if not wrong:
        return None
    number, _, sender = min(wrong)
    return sender, number


def received_by(
    member: MemberIndex, committee: Sequence[MemberIndex], rounds: int, frames: Sequence[SignedFrame]
) -> dict[tuple[MemberIndex, int], bytes] | None:
    """Return what a node received, by sender and round; None unless it is one frame of each other in each round."""
    places = {(sender, number) for sender in committee if sender != member for number in range(1, rounds + 1)}
    found = {(frame.sender, frame.round): frame.data for frame in frames}
    return found if set(found) == places and len(frames) == len(places) else None


def first_deviation(
    expected: Mapping[MemberIndex, Sequence[bytes]], shown: Mapping[MemberIndex, Sequence[SignedFrame]]
) -> tuple[MemberIndex, int] | None:
    """Return who deviated first, and in which round; round 0: its frames were right, but not what it signed of them.

    Args:
        expected: payloads of every node in each round, in rank order.
        shown: frames that nodes received, by receiver; those whose signatures hold. Who showed nothing is left out.

    Returns:
        None if the evidence names nobody.
    """
    rounds = len(next(iter(expected.values())))
    frames = [frame for of in shown.values() for frame in of]
    # those who received what they had to, so far
    informed = {member: _by_place(of) for member, of in shown.items()}
    sent = _by_place(frames)
    for number in range(1, rounds + 1):
        for sender, payloads in expected.items():
            signed = sent.get((sender, number), set())
            is_wrong = bool(signed - {payloads[number - 1]})
            if is_wrong and (number == 1 or sender in informed or len(signed) > 1):
                return sender, number
        informed = {
            member: received
            for member, received in informed.items()
            if all(
                received.get((sender, number)) == {payloads[number - 1]}
                for sender, payloads in expected.items()
                if sender != member
            )
        }
    liar = next((member for member in expected if member in informed), None)
    return None if liar is None else (liar, 0)


def _by_place(frames: Sequence[SignedFrame]) -> dict[tuple[MemberIndex, int], set[bytes]]:
    """All that was signed, by sender and round."""
    signed: defaultdict[tuple[MemberIndex, int], set[bytes]] = defaultdict(set)
    for frame in frames:
        signed[frame.sender, frame.round].add(frame.data)
    return dict(signed)
