"""The store without a disk keeps the same contract."""

import pytest

from ledger.store import MemoryStore
from tests.ports.store_suite import StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self):
        return MemoryStore()
