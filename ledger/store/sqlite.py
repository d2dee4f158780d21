"""The durable store: chain, state and votes in one SQLite file, so that none can be restored without the others.

WAL with synchronous=FULL: one flush for each commit, which is on disk before the method returns. Explicit
transactions only. After the first failure nothing is tried again: a flush that failed once may seem to succeed the
next time although its data is gone (Rebello et al., ATC 2020).
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from ledger.consensus.messages import Record, decode_message, encode_message
from ledger.encoding import block_hash, decode_vote, encode_certificate, encode_header, encode_vote
from ledger.errors import DecodeError, StorageError
from ledger.ports import Decision, FoundLog, Place
from ledger.store.audit import Counts
from ledger.store.directory import Directory
from ledger.store.rows import (
    NodeCache,
    blob,
    check_node,
    encode_body,
    encode_receipts,
    encode_validators,
    integer,
    read_final,
    read_header,
    read_receipts,
    read_validators,
)
from ledger.store.schema import APPLICATION_ID, VERSION, statements
from ledger.store.votes import VoteKey, check_above, check_consistent
from ledger.types import (
    Address,
    BlockHash,
    Certificate,
    FinalBlock,
    Header,
    Height,
    Proposal,
    Receipt,
    TxId,
    Validator,
    Vote,
    VoteKind,
)

T = TypeVar("T")

_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "cache_size = -16000",
    "temp_store = MEMORY",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_COUNTS = ("SELECT count(*) FROM blocks", "SELECT count(*) FROM txs", "SELECT count(*) FROM logs")
_WAL_BYTES_IDLE = 1 << 20
"""Size of the log above which `maintain` moves it into the database."""
_WAL_BYTES_MAX = 64 << 20
"""Size above which a commit does so at once."""


class SqliteStore:
    """A data directory's store; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the store of a data directory, and make its file if there is none.

        Raises:
            LockedError: another process uses the directory.
            StorageError: the directory or the file cannot be used.
        """
        self._directory = Directory(path)
        self._broken: str | None = None
        self._cache = NodeCache()
        self._wal = self._directory.database.with_name(self._directory.database.name + "-wal")
        try:
            self._open()
        except StorageError:
            self._directory.close()
            raise

    def _open(self) -> None:
        database = self._directory.database
        is_new = not database.exists()
        with self._guarded("open"):
            self._sql = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
            with ExitStack() as undo:
                undo.callback(self._sql.close)
                database.chmod(0o600)
                self._prepare(is_new=is_new)
                undo.pop_all()

    def _prepare(self, *, is_new: bool) -> None:
        """Set the connection up, make the tables if there are none, and check whose they are."""
        for setting in _SETTINGS:
            self._sql.execute(f"PRAGMA {setting}")
        if is_new or not self._one("SELECT count(*) FROM sqlite_schema"):
            with self._transaction():
                for statement in statements():
                    self._sql.execute(statement)
            self._directory.flush()
        found = self._one("PRAGMA application_id"), self._one("PRAGMA user_version")
        if found != (APPLICATION_ID, VERSION):
            raise StorageError(f"store: expected format {VERSION} of this program, got {found[1]} ({found[0]:#x})")

    def height(self) -> Height | None:
        """Height of the newest block."""
        with self._guarded("height"):
            found = self._one("SELECT max(height) FROM blocks")
            return None if found is None else Height(integer(found))

    def header(self, height: Height) -> Header | None:
        """Header of a block, checked against the hash beside it."""
        with self._guarded("header"):
            row = self._row("SELECT header, hash FROM blocks WHERE height = ?", height)
            return read_header(blob(row[0]), blob(row[1]), height) if row else None

    def final(self, height: Height) -> FinalBlock | None:
        """Block and certificate; the transactions are checked against the header."""
        with self._guarded("block"):
            row = self._row("SELECT header, hash, body, certificate FROM blocks WHERE height = ?", height)
            if row is None:
                return None
            header, certificate = blob(row[0]), row[3]
            read = read_header(header, blob(row[1]), height)
            return read_final(read, header, blob(row[2]), None if certificate is None else blob(certificate))

    def find_block(self, block: BlockHash) -> Height | None:
        """Height of the block with this hash."""
        with self._guarded("block"):
            row = self._row("SELECT height FROM blocks WHERE hash = ?", block)
            return Height(integer(row[0])) if row else None

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Receipts of a block, checked against its header."""
        with self._guarded("receipts"):
            header = self.header(height)
            if header is None:
                return ()
            row = self._row("SELECT data FROM receipts WHERE height = ?", height)
            if row is None:
                raise StorageError(f"height {height}: expected its receipts, got none")
            return read_receipts(blob(row[0]), header)

    def validators(self, height: Height) -> tuple[Validator, ...]:
        """Set that decides the height after this block."""
        with self._guarded("validators"):
            row = self._row("SELECT validators FROM blocks WHERE height = ?", height)
            return read_validators(blob(row[0]), height) if row else ()

    def locate(self, tx_id: TxId) -> Place | None:
        """Where a transaction is."""
        with self._guarded("transaction"):
            row = self._row("SELECT height, idx FROM txs WHERE id = ?", tx_id)
            return Place(Height(integer(row[0])), integer(row[1])) if row else None

    def find_logs(
        self, first: Height, last: Height, address: Address | None = None, topic: bytes | None = None
    ) -> tuple[FoundLog, ...]:
        """Events of some blocks, by the index; their content comes from the receipts."""
        query = "SELECT height, tx_index, log_index FROM logs WHERE height BETWEEN ? AND ?"
        values: list[int | bytes] = [first, last]
        for column, wanted in (("address", address), ("topic", topic)):
            if wanted is not None:
                query += f" AND {column} = ?"
                values.append(wanted)
        with self._guarded("logs"):
            rows = self._sql.execute(query + " ORDER BY height, tx_index, log_index", values).fetchall()
            receipts = {height: self.receipts(Height(height)) for height in {row[0] for row in rows}}
            return tuple(self._found_log(receipts, *row) for row in rows)

    def read_node(self, key: bytes) -> bytes | None:
        """Return a node of the state, checked against its key."""
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        with self._guarded("state"):
            row = self._row("SELECT value FROM nodes WHERE key = ?", key)
            if row is None:
                return None
            value = blob(row[0])
            check_node(key, value)
            self._cache.put(key, value)
            return value

    def commit(self, decision: Decision) -> None:
        """Append a block with everything of it in one flush."""
        with self._guarded("commit"):
            header = decision.final.block.header
            self._check_next(header)
            with self._transaction():
                self._insert_block(decision)
                self._sql.execute("DELETE FROM records WHERE height <= ?", (header.height,))
            for key, value in decision.nodes.items():
                self._cache.put(key, value)
            if self._wal_bytes() > _WAL_BYTES_MAX:
                self._checkpoint()

    def append(self, records: Sequence[Record]) -> None:
        """Make records durable in one flush; the first vote removes the marker before this returns."""
        with self._guarded("records"):
            with self._transaction():
                for record in records:
                    self._insert_record(record)
            if any(isinstance(record, Vote) for record in records):
                self._directory.remove_marker()

    def records(self, height: Height) -> tuple[Record, ...]:
        """All records of a height: own votes, then the others as they were appended."""
        with self._guarded("records"):
            votes = self._sql.execute("SELECT data FROM votes WHERE height = ? ORDER BY view, kind", (height,))
            found: list[Record] = [self._vote(row[0], height) for row in votes.fetchall()]
            rows = self._sql.execute("SELECT data FROM records WHERE height = ? ORDER BY seq", (height,)).fetchall()
            return (*found, *(self._record(row[0], height) for row in rows))

    def newest_vote(self) -> Vote | None:
        """The own vote of the highest height and view."""
        with self._guarded("votes"):
            row = self._row("SELECT data, height FROM votes ORDER BY height DESC, view DESC, kind DESC LIMIT 1")
            return self._vote(row[0], Height(integer(row[1]))) if row else None

    def has_never_voted(self) -> bool:
        """Whether the marker that `create_directory` wrote is still there."""
        return self._directory.is_marked()

    def rejoin(self, whole_from: Height, grounds: bytes) -> None:
        """Keep from where on the log is whole, in one flush."""
        with self._guarded("rejoin"):
            check_above(whole_from, self.whole_from(), self.newest_vote())
            with self._transaction():
                self._sql.execute("INSERT INTO rejoins VALUES (?, ?)", (whole_from, grounds))

    def whole_from(self) -> Height:
        """Return from where on the log is whole; 0 if nobody said so."""
        with self._guarded("rejoin"):
            return Height(integer(self._one("SELECT ifnull(max(height), 0) FROM rejoins")))

    def maintain(self) -> None:
        """Move the log into the database when it has grown; call it when nothing else is to do."""
        with self._guarded("checkpoint"):
            if self._wal_bytes() > _WAL_BYTES_IDLE:
                self._checkpoint()

    def close(self) -> None:
        """Close the file and release the directory."""
        try:
            self._sql.close()
        except sqlite3.Error as error:
            raise StorageError(f"store: expected to close it, got {error}") from error
        finally:
            self._directory.close()

    def counts(self) -> Counts:
        """Count what verification compares."""
        with self._guarded("counts"):
            blocks, txs, logs = (integer(self._one(query)) for query in _COUNTS)
            return Counts(blocks=blocks, txs=txs, logs=logs)

    def scan_nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every node of the state with its key, unchecked."""
        with self._guarded("state"):
            yield from ((blob(key), blob(value)) for key, value in self._sql.execute("SELECT key, value FROM nodes"))

    def scan_votes(self) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """Every own vote, unchecked."""
        with self._guarded("votes"):
            for *place, data in self._sql.execute("SELECT height, view, kind, data FROM votes"):
                height, view, kind = map(integer, place)
                yield (height, view, kind), data

    def check_structure(self) -> None:
        """Run SQLite's own check of the whole file."""
        with self._guarded("structure"):
            found = [row[0] for row in self._sql.execute("PRAGMA integrity_check(8)").fetchall()]
            if found != ["ok"]:
                raise StorageError(f"store: expected an intact file, got {'; '.join(found)}")

    def _check_next(self, header: Header) -> None:
        newest = self._row("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1")
        height, parent = (integer(newest[0]) + 1, blob(newest[1])) if newest else (0, header.previous)
        if (header.height, header.previous) != (height, parent):
            raise StorageError(
                f"commit: expected height {height} on {parent.hex()}, got {header.height} on {header.previous.hex()}"
            )

    def _insert_block(self, decision: Decision) -> None:
        block, height = decision.final.block, decision.final.block.header.height
        certificate = decision.final.certificate
        self._sql.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)",
            (
                height,
                block_hash(block.header),
                encode_header(block.header),
                encode_body(block),
                None if certificate is None else encode_certificate(certificate),
                encode_validators(decision.validators),
            ),
        )
        self._sql.execute("INSERT INTO receipts VALUES (?, ?)", (height, encode_receipts(decision.receipts)))
        places = ((tx_id, height, index) for index, tx_id in enumerate(decision.tx_ids))
        self._sql.executemany("INSERT INTO txs VALUES (?, ?, ?)", places)
        logs = (
            (height, tx_index, log_index, log.address, log.topics[0] if log.topics else None)
            for tx_index, receipt in enumerate(decision.receipts)
            for log_index, log in enumerate(receipt.logs)
        )
        self._sql.executemany("INSERT INTO logs VALUES (?, ?, ?, ?, ?)", logs)
        self._sql.executemany("INSERT OR IGNORE INTO nodes VALUES (?, ?)", decision.nodes.items())

    def _insert_record(self, record: Record) -> None:
        match record:
            case Vote():
                if check_consistent(record, self._held):
                    row = (record.height, record.view, int(record.kind), encode_vote(record))
                    self._sql.execute("INSERT INTO votes VALUES (?, ?, ?, ?)", row)
            case Certificate() | Proposal():
                row_of_record = (record.height, encode_message(record))
                self._sql.execute("INSERT INTO records (height, data) VALUES (?, ?)", row_of_record)

    def _held(self, key: VoteKey) -> Vote | None:
        row = self._row("SELECT data FROM votes WHERE height = ? AND view = ? AND kind = ?", *key)
        return self._vote(row[0], Height(key[0])) if row else None

    def _vote(self, data: object, height: Height) -> Vote:
        try:
            vote = decode_vote(blob(data))
        except DecodeError as error:
            raise StorageError(f"height {height}: {error}") from error
        if vote.height != height:
            raise StorageError(f"height {height}: expected its votes, got one of {vote.height}")
        return vote

    def _record(self, data: object, height: Height) -> Record:
        try:
            record = decode_message(blob(data))
        except DecodeError as error:
            raise StorageError(f"height {height}: {error}") from error
        if not isinstance(record, Certificate | Proposal) or record.height != height:
            raise StorageError(f"height {height}: expected its certificates and proposals, got {type(record).__name__}")
        return record

    def _found_log(
        self, receipts: dict[int, tuple[Receipt, ...]], height: int, tx_index: int, log_index: int
    ) -> FoundLog:
        try:
            log = receipts[height][tx_index].logs[log_index]
        except IndexError as error:
            raise StorageError(f"height {height}: expected event {log_index} of {tx_index}, got none") from error
        return FoundLog(height=Height(height), tx_index=tx_index, log_index=log_index, log=log)

    def _wal_bytes(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0

    def _checkpoint(self) -> None:
        busy = self._row("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy is None or busy[0]:
            raise StorageError("store: expected a checkpoint, got a database in use")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise
        self._sql.execute("COMMIT")

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        if self._broken is not None:
            raise StorageError(self._broken)
        try:
            yield
        except StorageError as error:
            self._broken = str(error)
            raise
        except (sqlite3.Error, OSError) as error:
            self._broken = f"store: expected to do this: {what}, got {error}"
            raise StorageError(self._broken) from error

    def _row(self, query: str, *values: int | bytes | VoteKind) -> tuple[object, ...] | None:
        found: tuple[object, ...] | None = self._sql.execute(query, values).fetchone()
        return found

    def _one(self, query: str) -> object:
        row = self._row(query)
        return row[0] if row else None
