"""py-evm's accounts on our storage trie (`ledger.contract.storage`)."""

from eth.abc import AccountStorageDatabaseAPI, DatabaseAPI
from eth.db.account import AccountDB
from eth.db.cache import CacheDB
from eth.db.journal import JournalDB
from eth.db.storage import AccountStorageDB, StorageLookup
from eth_hash.auto import keccak
from eth_typing import Address, Hash32

from ledger.contract.nodes import NodeOverlay
from ledger.contract.storage import Trie

_WORD = 32


class _Lookup(StorageLookup):
    """One contract's words: by slot above, in the trie by the slot's hash below."""

    def __init__(self, overlay: NodeOverlay, root: Hash32, address: Address) -> None:
        super().__init__(overlay, root, address)
        self._words = Trie(overlay.read, overlay.nodes, root)
        self._committed: tuple[Hash32, dict[bytes, bytes]] | None = None
        self._is_changed = False

    def __getitem__(self, key: bytes) -> bytes:
        return self._words.get(_hashed(key))

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._is_changed = True
        self._words.set(_hashed(key), value)

    def __delitem__(self, key: bytes) -> None:
        self[key] = b""

    def _exists(self, key: bytes) -> bool:
        return self[key] != b""

    @property
    def has_changed_root(self) -> bool:
        """Whether words were written since the last commit."""
        return self._is_changed

    def get_changed_root(self) -> Hash32:
        """Return the root over all words."""
        if self._committed is None:
            root, new = self._words.commit()
            self._committed = Hash32(root), new
        return self._committed[0]

    def commit_to(self, db: DatabaseAPI) -> None:
        """Write the nodes that are new."""
        self.get_changed_root()
        if self._committed is not None:
            for key, value in self._committed[1].items():
                db[key] = value
        self._is_changed = False


class _Storage(AccountStorageDB):
    """The journal of one contract's words, on top of ours."""

    def __init__(self, overlay: NodeOverlay, root: Hash32, address: Address) -> None:
        super().__init__(overlay, root, address)
        self._storage_lookup = _Lookup(overlay, root, address)
        self._storage_cache = CacheDB(self._storage_lookup)
        self._locked_changes = JournalDB(self._storage_cache)
        self._journal_storage = JournalDB(self._locked_changes)


class Accounts(AccountDB):
    """All accounts of one state: for one block, so each storage is committed once."""

    def __init__(self, db: NodeOverlay, state_root: Hash32) -> None:
        super().__init__(db, state_root)
        self._overlay = db

    def _get_address_store(self, address: Address) -> AccountStorageDatabaseAPI:
        store = self._account_stores.get(address)
        if store is None:
            store = _Storage(self._overlay, self._get_storage_root(address), address)
            self._account_stores[address] = store
        return store


def _hashed(key: bytes) -> bytes:
    """Return the trie's key of a slot, which comes without leading zeros."""
    return keccak(key.rjust(_WORD, b"\0"))
