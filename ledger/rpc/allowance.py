"""How much one body may ask: a replica answers on the thread that executes its blocks, so nobody may hold that long."""

from dataclasses import dataclass

from ledger.encoding import BLOCK_GAS_MAX
from ledger.rpc.refusals import LIMIT_EXCEEDED, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one body may ask."""

    body_bytes: int = 256 * 1024
    batch: int = 100
    """Requests; 100 is what ethers sends at most."""
    log_blocks: int = 1000
    """Blocks searched for events, over the whole body."""
    log_bytes: int = 2 << 20
    """Of the events found by one request."""
    items: int = 10_000
    """Transactions of the blocks that are read, and events that are looked at, over the whole body."""
    gas: int = BLOCK_GAS_MAX
    """Of calls, over the whole body: together they take no longer than a block."""
    answer_bytes: int = 8 << 20
    """Of a batch's answers; when they are more, the other requests are refused."""


class Allowance:
    """What is left of the limits of one body; every method raises `RefusedError` when it is used up."""

    def __init__(self, limits: Limits) -> None:
        """Begin with all of it."""
        self._log_blocks = limits.log_blocks
        self._items = limits.items
        self._gas = limits.gas

    def search(self, blocks: int) -> None:
        """Search so many blocks."""
        self._log_blocks -= blocks
        if self._log_blocks < 0:
            raise RefusedError(LIMIT_EXCEEDED, "expected fewer blocks: ask for a part of the range at a time")

    def read(self, items: int) -> None:
        """Read so many transactions or events; the last ones may be too many."""
        if self._items <= 0:
            raise RefusedError(LIMIT_EXCEEDED, "expected less to read: ask for a part of it at a time")
        self._items -= items

    def gas(self) -> int:
        """Return what a call may use."""
        if self._gas <= 0:
            raise RefusedError(LIMIT_EXCEEDED, "expected cheaper calls: ask for fewer at a time")
        return self._gas

    def use(self, gas: int) -> None:
        """Take what a call used."""
        self._gas -= gas
