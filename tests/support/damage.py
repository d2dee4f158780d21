"""A store that is filled, and what a faulty disk may do to it behind its back."""

import sqlite3
from contextlib import closing

from ledger.types import VoteKind
from tests.ports.store_suite import GENESIS, Grower, equivocation, vote
from tests.support.chains import certificate, transaction

FLIP = """
UPDATE {0} SET {1} = CAST(
    substr({1}, 1, {2}) || (CASE substr({1}, {2} + 1, 1) WHEN x'01' THEN x'02' ELSE x'01' END) || substr({1}, {2} + 2)
AS BLOB) WHERE height = {3}
"""
"""Change one byte of a column: table, column, place and height to be filled in."""

HEIGHTS = 6


def fill(store):
    grower = Grower(store)
    for number in range(1, HEIGHTS + 1):
        store.append([vote(VoteKind.NOTARIZE, number, 1, signer=1), vote(VoteKind.FINALIZE, number, 1, signer=1)])
        grower.grow(transaction(number), transaction(number + 100, method="test.fail"), transaction(number + 200))
    store.append([certificate(GENESIS, VoteKind.NULLIFY, HEIGHTS + 1, 1, bytes(32))])
    store.accuse(equivocation(4, 1, signer=2))


def damage(path, *queries):
    with closing(sqlite3.connect(path / "ledger.sqlite", isolation_level=None)) as other:
        for table in ("blocks", "receipts", "txs", "logs", "votes", "evidence", "compactions"):
            other.execute(f"DROP TRIGGER {table}_no_update")
            other.execute(f"DROP TRIGGER {table}_no_delete")
        for query in queries:
            assert other.execute(query).rowcount, query
