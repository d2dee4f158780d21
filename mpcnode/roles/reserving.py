"""Claiming batches of correlations that are made in advance: the own disk and the ledger, for `mpcnode.mpc.pools`."""

from collections.abc import Callable, Sequence

from ledger.types import Millis
from mpcnode.errors import ErrorCode, RevertedError
from mpcnode.mpc.pools import BATCH_ITEMS, BATCHES_MAX, ClaimedBatch, Mark, PoolId, Reserve, Standing, claim
from mpcnode.roles.ports import Call, JournalPort, LedgerPort
from mpcnode.types import MemberIndex

_NUMBER_BYTES = 8


def kind_of(pool: PoolId) -> str:
    """Journal: the reserved batches of a pool, by number."""
    return f"reserved {pool.hex()}"


class Reservations:
    """What this node has used up of its pools, on its disk and on the ledger."""

    def __init__(self, journal: JournalPort, ledger: LedgerPort, soon: Callable[[], Millis]) -> None:
        """Take the own journal and replica, and what says how long a transaction may live."""
        self._journal = journal
        self._ledger = ledger
        self._soon = soon

    async def standing(self, pool: PoolId, committee: Sequence[MemberIndex]) -> Standing:
        """How far a pool is used up, as far as this node knows."""
        kept = await self._journal.items(kind_of(pool), BATCHES_MAX)
        reserved = max((int.from_bytes(key, "big") + 1 for key, _ in kept), default=0)
        marks = [await self._ledger.mark(member, pool) for member in committee]
        return Standing(reserved=reserved, marks=tuple(marks))

    async def claim(
        self, pool: PoolId, number: int, committee: Sequence[MemberIndex], size: int = BATCH_ITEMS
    ) -> ClaimedBatch:
        """Claim a batch; when this returns, its reservation is on disk and its mark final, and its items may be made.

        Args:
            pool: whose.
            number: of the batch, as the committee agreed.
            committee: in rank order, this node included.
            size: items of a batch; others than the default in tests alone.

        Raises:
            CorrelationReuseError: the batch may have been used before; the next one may be tried.
            UnavailableError: the ledger did not take the mark in time; the batch is burned.
        """
        steps = claim(pool, number, await self.standing(pool, committee), size)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._do(step))
        except StopIteration as stop:
            batch: ClaimedBatch = stop.value
            return batch

    async def _do(self, step: Reserve | Mark) -> bool:
        if isinstance(step, Reserve):
            key = step.batch.to_bytes(_NUMBER_BYTES, "big")
            return await self._journal.put_once(kind_of(step.pool), key, b"")
        try:
            await self._ledger.submit(
                Call(method="records.mark", values=(step.pool, step.upto), expiry_ms=self._soon())
            )
        except RevertedError as refused:
            if refused.code is ErrorCode.MARK_NOT_AHEAD:
                return False
            raise
        return True
