"""What offline verification needs of a store beyond what a replica needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ledger.ports import Store
from ledger.store.scratch import Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What only verification adds up: an extra row in an index would go unnoticed otherwise."""

    blocks: int
    txs: int
    logs: int
    written: int
    """State nodes that all blocks wrote, each as often as it was written."""


class AuditableStore(Store, Protocol):
    """A store of which everything can be looked at."""

    def counts(self) -> Counts:
        """Count what verification compares."""

    def scan_nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every node of the state with its key, unchecked."""

    def scan_votes(self) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """Every own vote, unchecked: height, view and kind by which it is found, and its encoding."""

    def scratch(self) -> Scratch:
        """Room for what verification must remember; the caller closes it."""

    def check_structure(self) -> None:
        """Check the file itself.

        Raises:
            StorageError: it is damaged.
        """
