"""py-evm's accounts on our storage: a contract's words in dictionaries, above our trie (`ledger.contract.storage`).

py-evm keeps words as bytes in a stack of four databases, and what a transaction has touched in another one; a contract
that reads or writes a word spent a fifth of a block's time there.
"""

from collections.abc import Hashable

from eth.abc import AccountStorageDatabaseAPI, DatabaseAPI
from eth.db.account import AccountDB
from eth.typing import JournalDBCheckpoint
from eth_hash.auto import keccak
from eth_typing import Address, Hash32
from rlp import decode, encode

from ledger.contract.nodes import NodeOverlay
from ledger.contract.storage import Trie

_WORD = 32


class _Words(AccountStorageDatabaseAPI):
    """One contract's words: what a transaction changed so far, above what was locked in, above the trie."""

    def __init__(self, overlay: NodeOverlay, root: Hash32) -> None:
        self._trie = Trie(overlay.read, overlay.nodes, root)
        self._stored: dict[int, int] = {}
        """Words of the trie that were read."""
        self._locked: dict[int, int] = {}
        """Words that earlier transactions of the block changed: nothing reverts them."""
        self._changed: dict[int, int] = {}
        self._undo: list[tuple[int, int | None]] = []
        """Slot and what `_changed` had for it, for every write of this transaction."""
        self._marks: dict[JournalDBCheckpoint, int] = {}
        """Length of `_undo` at each checkpoint."""
        self._is_changed = False
        self._committed: tuple[Hash32, dict[bytes, bytes]] | None = None

    def get(self, slot: int, from_journal: bool = True) -> int:
        """Return a word; without the journal, as it was before this transaction."""
        if from_journal and (changed := self._changed.get(slot)) is not None:
            return changed
        locked = self._locked.get(slot)
        return self._word(slot) if locked is None else locked

    def set(self, slot: int, value: int) -> None:
        """Change a word, until it is reverted."""
        self._undo.append((slot, self._changed.get(slot)))
        self._changed[slot] = value

    def delete(self) -> None:
        """Nothing asks for this: contracts are neither made nor removed by contracts.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("storage: expected contracts that stay, got one to be removed")

    def record(self, checkpoint: JournalDBCheckpoint) -> None:
        """Remember where to revert to."""
        self._marks[checkpoint] = len(self._undo)

    def discard(self, checkpoint: JournalDBCheckpoint) -> None:
        """Revert to a checkpoint; to the beginning if it is older than the first write here."""
        mark = self._marks.get(checkpoint, 0)
        while len(self._undo) > mark:
            slot, before = self._undo.pop()
            if before is None:
                del self._changed[slot]
            else:
                self._changed[slot] = before

    def commit(self, checkpoint: JournalDBCheckpoint) -> None:
        """Keep what was changed since a checkpoint; an older one can still revert it."""
        self._marks.pop(checkpoint, None)

    def lock_changes(self) -> None:
        """End a transaction."""
        self._locked.update(self._changed)
        self._changed.clear()
        self._undo.clear()
        self._marks.clear()

    def make_storage_root(self) -> None:
        """Bring everything that was changed into the trie."""
        self.lock_changes()
        for slot, value in self._locked.items():
            if value != self._word(slot):
                self._is_changed = True
                self._trie.set(_hashed(slot), encode(value) if value else b"")
                self._stored[slot] = value
        self._locked.clear()

    @property
    def has_changed_root(self) -> bool:
        """Whether the trie has changed."""
        return self._is_changed

    def get_changed_root(self) -> Hash32:
        """Return the root over all words."""
        if self._committed is None:
            root, new = self._trie.commit()
            self._committed = Hash32(root), new
        return self._committed[0]

    def persist(self, db: DatabaseAPI) -> None:
        """Write the nodes that are new."""
        if self._is_changed:
            self.get_changed_root()
            if self._committed is not None:
                for key, value in self._committed[1].items():
                    db[key] = value
            self._is_changed = False

    def get_accessed_slots(self) -> frozenset[int]:
        """Return the slots that were read from the trie."""
        return frozenset(self._stored)

    def _word(self, slot: int) -> int:
        """Return a word of the trie."""
        word = self._stored.get(slot)
        if word is None:
            encoded = self._trie.get(_hashed(slot))
            word = self._stored[slot] = int.from_bytes(decode(encoded), "big") if encoded else 0
        return word


class _Touched:
    """Accounts and words that a transaction has touched (EIP-2929), as py-evm's database of them is used."""

    def __init__(self) -> None:
        self._keys: dict[Hashable, None] = {}
        """In the order in which they were touched."""
        self._marks: dict[JournalDBCheckpoint, int] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def __setitem__(self, key: Hashable, _: bytes) -> None:
        self._keys[key] = None

    def record(self, checkpoint: JournalDBCheckpoint) -> None:
        self._marks[checkpoint] = len(self._keys)

    def discard(self, checkpoint: JournalDBCheckpoint) -> None:
        mark = self._marks.pop(checkpoint, 0)
        while len(self._keys) > mark:
            self._keys.popitem()

    def commit(self, checkpoint: JournalDBCheckpoint) -> None:
        self._marks.pop(checkpoint, None)


class Accounts(AccountDB):
    """All accounts of one state: for one block, so each storage is committed once."""

    _journal_accessed_state: _Touched  # type: ignore[assignment]  # as much of a database as it needs

    def __init__(self, db: NodeOverlay, state_root: Hash32) -> None:
        super().__init__(db, state_root)
        self._overlay = db

    def read(self, address: Address, slot: int) -> int:
        """Return a word of a contract: `get_storage` without its checks."""
        store = self._account_stores.get(address)
        return (store or self._get_address_store(address)).get(slot)

    def touch(self, address: Address, slot: int) -> bool:
        """Touch a word; return whether it is the first time in this transaction."""
        key, touched = (address, slot), self._journal_accessed_state
        if key in touched:
            return False
        touched[key] = b""
        return True

    def _get_storage_tracker_key(self, address: Address, slot: int) -> Hashable:  # type: ignore[override]
        return (address, slot)

    def _reset_access_counters(self) -> None:
        self._journal_accessed_state = _Touched()

    def _get_address_store(self, address: Address) -> AccountStorageDatabaseAPI:
        store = self._account_stores.get(address)
        if store is None:
            store = _Words(self._overlay, self._get_storage_root(address))
            self._account_stores[address] = store
        return store


def _hashed(slot: int) -> bytes:
    """Return the trie's key of a slot."""
    return keccak(slot.to_bytes(_WORD, "big"))
