"""How an attempt fails: why, and because of whom."""

from collections.abc import Iterable

from mpcnode.errors import CallerError
from mpcnode.types import Bitmap, FailReason, MemberIndex, bitmap


class AttemptFailedError(CallerError):
    """An attempt cannot be completed."""

    def __init__(
        self,
        reason: FailReason,
        why: str,
        waited: Iterable[MemberIndex] = (),
        *,
        by_peer: bool = False,
        is_judged: bool = False,
    ) -> None:
        super().__init__(why)
        self.reason = reason
        self.waited: Bitmap = bitmap(waited)
        """Because of whom: who kept this node waiting, sent what no honest member sends, or cannot be reached. Nobody
        where a third one may have misled them."""
        self.by_peer = by_peer
        """Another node ended it, and knows better why."""
        self.is_judged = is_judged
        """The supervisor finds out because of whom, and is given time to say so first."""
