"""Where a replica keeps its chain: in memory, or in one SQLite file; and how to check that file from genesis."""

from ledger.store.directory import create_directory
from ledger.store.memory import MemoryStore
from ledger.store.sqlite import SqliteStore
from ledger.store.verify import Failure, Report, verify_store

__all__ = ["Failure", "MemoryStore", "Report", "SqliteStore", "create_directory", "verify_store"]
