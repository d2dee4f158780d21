"""A node's corrections of one session: pulled from the dealer a chunk ahead, checked, and kept as evidence by hash."""

import asyncio
from collections.abc import Sequence

from mpcnode.errors import DealError, WrongSignatureError
from mpcnode.mpc import Batch, corrections_size
from mpcnode.query.frames import SignedCorrections, check_corrections
from mpcnode.roles.context import Context
from mpcnode.roles.ports import DealtCorrections
from mpcnode.sealing.commitments import corrections_hash
from mpcnode.types import SessionId


class Corrections:
    """What the dealer deals to the last node in rank order; the others are given none, and ask for none."""

    def __init__(self, context: Context, batch: Batch, session: SessionId) -> None:
        """Take what the session runs."""
        self._context = context
        self._batch = batch
        self._session = session
        self._asked: dict[int, asyncio.Future[DealtCorrections]] = {}
        self._ready: dict[int, bytes] = {}
        self._taken: list[SignedCorrections] = []

    def ask(self, chunk: int) -> None:
        """Ask for a chunk's corrections, if there is such a chunk."""
        if chunk < self._batch.chunks:
            size = corrections_size(self._batch.program(chunk))
            self._asked[chunk] = self._context.peers.pull(self._context.dealer, self._session, chunk, size)

    async def take(self, chunk: int) -> bytes:
        """Wait for the corrections of a chunk that was asked for, and ask for the next.

        Raises:
            DealError: they have another size, or the dealer did not sign them.
        """
        await self.prepare(chunk)
        return self._ready.pop(chunk)

    async def prepare(self, chunk: int) -> None:
        """Wait until the corrections of a chunk are here and checked; errors are those of `take`."""
        if chunk in self._ready:
            return
        try:
            dealt = await self._asked[chunk]
        finally:
            self._asked.pop(chunk).cancel()
        kept = SignedCorrections(chunk, corrections_hash(dealt.data), dealt.signature)
        dealer = self._context.members[self._context.dealer]
        try:
            check_corrections(kept, self._context.chain, self._session, dealer.index, dealer.identity)
        except WrongSignatureError as error:
            raise DealError(str(error)) from error
        self._taken.append(kept)
        self._ready[chunk] = dealt.data
        self.ask(chunk + 1)

    def give_up(self) -> None:
        """Wait for nothing any more."""
        for asked in self._asked.values():
            asked.cancel()
        self._ready.clear()

    def evidence(self) -> Sequence[SignedCorrections]:
        """What stands for every chunk's corrections that were taken so far; also after the session."""
        return self._taken
