"""The last guard against signing twice: a store refuses a vote that contradicts one it holds."""

from collections.abc import Callable

from ledger.errors import StorageError
from ledger.types import Height, Vote, VoteKind

VoteKey = tuple[int, int, VoteKind]
_EXCLUDES = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}


def check_consistent(vote: Vote, held: Callable[[VoteKey], Vote | None]) -> bool:
    """Check an own vote against those that were made (rules H1 and H2) and return whether it is new.

    Raises:
        StorageError: it contradicts one; consensus must have lost its memory.
    """
    same = held((vote.height, vote.view, vote.kind))
    if same is not None and same.block_hash != vote.block_hash:
        raise StorageError(f"vote: expected to say once what is right, got {vote} after {same}")
    other = _EXCLUDES.get(vote.kind)
    if other is not None and held((vote.height, vote.view, other)) is not None:
        raise StorageError(f"vote: expected never to nullify and finalize one view, got {vote} after a {other.name}")
    return same is None


def check_above(whole_from: Height, before: Height, newest: Vote | None) -> None:
    """Check that a log is said to be whole only from above all that it holds.

    Raises:
        StorageError: it was said of as high a height before, or the log holds a vote from there.
    """
    if whole_from <= before or (newest is not None and newest.height >= whole_from):
        held = before if newest is None else max(before, newest.height)
        raise StorageError(f"rejoin: expected a height above {held}, got {whole_from}")
