"""Transactions that wait for a block; judged by the local clock, while blocks are judged by their own time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ledger.chain import is_includable
from ledger.errors import ExpiredError, InvalidTransactionError, UnavailableError
from ledger.types import Millis, PublicKey, Transaction, TxId


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A transaction that passed `ledger.chain.check_transaction`."""

    tx_id: TxId
    tx: Transaction
    data: bytes = field(repr=False)
    """As it was transmitted."""


@dataclass(slots=True, kw_only=True)
class Mempool:
    """Waiting transactions, oldest first."""

    may_send: Callable[[PublicKey], bool]
    """Whether a key is a member's."""
    size_max: int = 5_000
    per_sender_max: int = 500
    _waiting: dict[TxId, Pooled] = field(default_factory=dict)
    _of_sender: Counter[PublicKey] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, tx_id: TxId) -> bool:
        return tx_id in self._waiting

    def __iter__(self) -> Iterator[Pooled]:
        return iter(self._waiting.values())

    def add(self, pooled: Pooled, now: Millis) -> bool:
        """Admit a transaction and return whether it is new.

        Raises:
            InvalidTransactionError: its sender is no member, or its expiry lies too far ahead.
            ExpiredError: its expiry is over.
            UnavailableError: its sender, or all together, have too many waiting.
        """
        if pooled.tx_id in self._waiting:
            return False
        sender, expiry = pooled.tx.sender, pooled.tx.expiry_ms
        if not self.may_send(sender):
            raise InvalidTransactionError(f"transaction: expected a member as sender, got {sender.hex()}")
        if expiry < now:
            raise ExpiredError(f"transaction: expected an expiry from {now}, got {expiry}")
        if not is_includable(expiry, now):
            raise InvalidTransactionError(f"transaction: expected an expiry at most an hour after {now}, got {expiry}")
        if self._of_sender[sender] >= self.per_sender_max or len(self._waiting) >= self.size_max:
            raise UnavailableError(f"mempool: expected room, got {self._of_sender[sender]} waiting of this sender")
        self._waiting[pooled.tx_id] = pooled
        self._of_sender[sender] += 1
        return True

    def remove(self, tx_ids: Iterable[TxId]) -> None:
        """Forget transactions, whether they are here or not."""
        for tx_id in tx_ids:
            pooled = self._waiting.pop(tx_id, None)
            if pooled is not None:
                self._of_sender[pooled.tx.sender] -= 1
                if not self._of_sender[pooled.tx.sender]:
                    del self._of_sender[pooled.tx.sender]

    def expire(self, now: Millis) -> list[TxId]:
        """Forget the transactions whose expiry is over and return them."""
        over = [pooled.tx_id for pooled in self._waiting.values() if pooled.tx.expiry_ms < now]
        self.remove(over)
        return over

    def has_includable(self, timestamp_ms: Millis) -> bool:
        """Whether a block of that time could hold one of them."""
        return any(is_includable(pooled.tx.expiry_ms, timestamp_ms) for pooled in self._waiting.values())

    def oldest(self, timestamp_ms: Millis, count_max: int) -> tuple[Pooled, ...]:
        """Return those that a block of that time could hold, oldest first."""
        found: list[Pooled] = []
        for pooled in self._waiting.values():
            if len(found) == count_max:
                break
            if is_includable(pooled.tx.expiry_ms, timestamp_ms):
                found.append(pooled)
        return tuple(found)
