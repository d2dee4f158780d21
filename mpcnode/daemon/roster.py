"""Keeping a daemon's roster as the ledger has it: whoever is suspended is asked nothing more and told nothing more."""

import structlog

from ledger.contract.artefacts import ADDRESSES
from ledger.replica import CommittedBlock, Replica
from ledger.types import Height
from mpcnode.governance.roster import Roster
from mpcnode.governance.standing import Names, read_members

_log = structlog.get_logger(__name__)

_DECIDING = frozenset({ADDRESSES["members"], ADDRESSES["governance"]})
"""Contracts whose events may mean that a member stands otherwise; governance's may mean other code."""


class RosterKeeper:
    """Reads the members again after every block in which one may have changed."""

    def __init__(self, roster: Roster, names: Names, replica: Replica) -> None:
        """Take what is kept and where it is read."""
        self._roster = roster
        self._names = names
        self._replica = replica

    async def run(self) -> None:
        """Follow the ledger from the newest block on, that included; runs until cancelled."""
        height = (await self._replica.head()).height
        await self.refresh()
        async for block in self._replica.subscribe(Height(height + 1)):
            if _may_change(block):
                await self.refresh()

    async def refresh(self) -> None:
        """Read the members of the newest block."""
        for member in self._roster.learn(await read_members(self._replica.view, self._names)):
            _log.warning("member.stands", member=member.name, active=member.active)


def _may_change(block: CommittedBlock) -> bool:
    return any(log.address in _DECIDING for receipt in block.receipts for log in receipt.logs)
