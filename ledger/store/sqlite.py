"""The durable store: chain, state, votes and evidence in one SQLite file; none can be restored without the rest.

What is read is checked against its hash or root, and whatever fails ends the store (`ledger.store.database`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from ledger.consensus.messages import Record, decode_message, encode_message
from ledger.encoding import block_hash, decode_vote, encode_certificate, encode_header, encode_vote
from ledger.errors import DecodeError, StorageError
from ledger.ports import Children, Compaction, Decision, Equivocation, FoundLog, Place
from ledger.store.audit import Counts
from ledger.store.compaction import Sweep
from ledger.store.database import Database, Row, Value
from ledger.store.directory import Directory
from ledger.store.evidence import EVIDENCE_PER_KEY_MAX, evidence_key, ordered
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
from ledger.store.scratch import Scratch
from ledger.store.votes import VoteKey, check_above, check_consistent
from ledger.types import (
    Address,
    BlockHash,
    Certificate,
    FinalBlock,
    Header,
    Height,
    Proposal,
    PublicKey,
    Receipt,
    TxId,
    Validator,
    Vote,
)

_COUNTS = (
    "SELECT count(*) FROM blocks",
    "SELECT count(*) FROM txs",
    "SELECT count(*) FROM logs",
    "SELECT ifnull(max(written), 0) FROM blocks",
)
_NODES_CHECKED_AT_ONCE = 128
"""A millisecond or two of work."""
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
        self._cache = NodeCache()
        self._sweep: Sweep | None = None
        with ExitStack() as undo:
            undo.callback(self._directory.close)
            self._db = Database(self._directory.database)
            undo.callback(self._db.close)
            with self._db.guarded("open"):
                self._directory.flush()
            undo.pop_all()

    def height(self) -> Height | None:
        """Height of the newest block."""
        with self._db.guarded("height"):
            found = self._db.one("SELECT max(height) FROM blocks")
            return None if found is None else Height(integer(found))

    def header(self, height: Height) -> Header | None:
        """Header of a block, checked against the hash beside it."""
        with self._db.guarded("header"):
            row = self._db.row("SELECT header, hash FROM blocks WHERE height = ?", height)
            return read_header(blob(row[0]), blob(row[1]), height) if row else None

    def final(self, height: Height) -> FinalBlock | None:
        """Block and certificate; the transactions are checked against the header."""
        with self._db.guarded("block"):
            row = self._db.row("SELECT header, hash, body, certificate FROM blocks WHERE height = ?", height)
            if row is None:
                return None
            header, certificate = blob(row[0]), row[3]
            read = read_header(header, blob(row[1]), height)
            return read_final(read, header, blob(row[2]), None if certificate is None else blob(certificate))

    def find_block(self, block: BlockHash) -> Height | None:
        """Height of the block with this hash."""
        with self._db.guarded("block"):
            row = self._db.row("SELECT height FROM blocks WHERE hash = ?", block)
            return Height(integer(row[0])) if row else None

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Receipts of a block, checked against its header."""
        with self._db.guarded("receipts"):
            header = self.header(height)
            if header is None:
                return ()
            row = self._db.row("SELECT data FROM receipts WHERE height = ?", height)
            if row is None:
                raise StorageError(f"height {height}: expected its receipts, got none")
            return read_receipts(blob(row[0]), header)

    def validators(self, height: Height) -> tuple[Validator, ...]:
        """Set that decides the height after this block."""
        with self._db.guarded("validators"):
            row = self._db.row("SELECT validators FROM blocks WHERE height = ?", height)
            return read_validators(blob(row[0]), height) if row else ()

    def locate(self, tx_id: TxId) -> Place | None:
        """Where a transaction is."""
        with self._db.guarded("transaction"):
            row = self._db.row("SELECT height, idx FROM txs WHERE id = ?", tx_id)
            return Place(Height(integer(row[0])), integer(row[1])) if row else None

    def find_logs(
        self, first: Height, last: Height, address: Address | None = None, topic: bytes | None = None
    ) -> tuple[FoundLog, ...]:
        """Events of some blocks, by the index; their content comes from the receipts."""
        query = "SELECT height, tx_index, log_index FROM logs WHERE height BETWEEN ? AND ?"
        values: list[Value] = [first, last]
        for column, wanted in (("address", address), ("topic", topic)):
            if wanted is not None:
                query += f" AND {column} = ?"
                values.append(wanted)
        with self._db.guarded("logs"):
            found = self._db.rows(query + " ORDER BY height, tx_index, log_index", *values)
            places = [(integer(height), integer(tx), integer(log)) for height, tx, log in found]
            receipts = {height: self.receipts(Height(height)) for height in {place[0] for place in places}}
            return tuple(_found_log(receipts, *place) for place in places)

    def read_node(self, key: bytes) -> bytes | None:
        """Return a node of the state, checked against its key."""
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        with self._db.guarded("state"):
            row = self._db.row("SELECT value FROM nodes WHERE key = ?", key)
            if row is None:
                return None
            value = blob(row[0])
            check_node(key, value)
            self._cache.put(key, value)
            return value

    def commit(self, decision: Decision) -> None:
        """Append a block with everything of it in one flush."""
        with self._db.guarded("commit"):
            header = decision.final.block.header
            written = self._check_next(header) + len(decision.nodes)
            with self._db.transaction():
                self._insert_block(decision, written)
                self._db.run("DELETE FROM records WHERE height <= ?", header.height)
            if self._sweep is not None:
                self._sweep.keep(decision.nodes)
            for key, value in decision.nodes.items():
                self._cache.put(key, value)
            if self._db.wal_bytes() > _WAL_BYTES_MAX:
                self._db.checkpoint()

    def states_from(self) -> Height:
        """Lowest height from which on every block's state is there."""
        with self._db.guarded("states"):
            return Height(integer(self._db.one("SELECT ifnull(max(states_from), 0) FROM compactions")))

    def compact(self, children: Children, states: int) -> Compaction:
        """Go on for a moment with removing what the newest states do not reach (`ledger.store.compaction`)."""
        with self._db.guarded("compaction"):
            if self._sweep is None:
                self._sweep = self._new_sweep(children, states)
            done = self._sweep.slice()
            if done.done:
                self._end_sweep()
            if self._db.wal_bytes() > _WAL_BYTES_MAX:
                self._db.checkpoint()
            return done

    def check_nodes(self, after: bytes) -> bytes | None:
        """Check some nodes against their keys, past the cache."""
        query = "SELECT key, value FROM nodes WHERE key > ? ORDER BY key LIMIT ?"
        with self._db.guarded("state"):
            last = None
            for key, value in self._db.rows(query, after, _NODES_CHECKED_AT_ONCE):
                last = blob(key)
                check_node(last, blob(value))
            return last

    def shrink(self) -> None:
        """Give the room that a compaction freed back to the file system; without it, later blocks use that room."""
        with self._db.guarded("shrinking"):
            self._db.shrink()

    def wants_compaction(self, states: int) -> bool:
        """Whether one is under way, or as many nodes were written since the last as that kept."""
        if self._sweep is not None:
            return True
        with self._db.guarded("states"):
            newest = self._db.row("SELECT height, written FROM blocks ORDER BY height DESC LIMIT 1")
            query = "SELECT height, written, kept FROM compactions JOIN blocks USING (height) ORDER BY seq DESC LIMIT 1"
            height, written = map(integer, newest or (0, 0))
            last_height, last_written, kept = map(integer, self._db.row(query) or (states, 0, 0))
            return height >= last_height + states and written >= last_written + kept

    def append(self, records: Sequence[Record]) -> None:
        """Make records durable in one flush; the first vote removes the marker before this returns."""
        with self._db.guarded("records"):
            with self._db.transaction():
                for record in records:
                    self._insert_record(record)
            if any(isinstance(record, Vote) for record in records):
                self._directory.remove_marker()

    def records(self, height: Height) -> tuple[Record, ...]:
        """All records of a height: own votes, then the others as they were appended."""
        with self._db.guarded("records"):
            votes = self._db.rows("SELECT data FROM votes WHERE height = ? ORDER BY view, kind", height)
            found: list[Record] = [_vote(row[0], height) for row in votes]
            rows = self._db.rows("SELECT data FROM records WHERE height = ? ORDER BY seq", height)
            return (*found, *(_record(row[0], height) for row in rows))

    def newest_vote(self) -> Vote | None:
        """The own vote of the highest height and view."""
        with self._db.guarded("votes"):
            row = self._db.row("SELECT data, height FROM votes ORDER BY height DESC, view DESC, kind DESC LIMIT 1")
            return _vote(row[0], Height(integer(row[1]))) if row else None

    def has_never_voted(self) -> bool:
        """Whether the marker that `create_directory` wrote is still there."""
        return self._directory.is_marked()

    def rejoin(self, whole_from: Height, grounds: bytes) -> None:
        """Keep from where on the log is whole, in one flush."""
        with self._db.guarded("rejoin"):
            check_above(whole_from, self.whole_from(), self.newest_vote())
            with self._db.transaction():
                self._db.run("INSERT INTO rejoins VALUES (?, ?)", whole_from, grounds)

    def whole_from(self) -> Height:
        """Return from where on the log is whole; 0 if nobody said so."""
        with self._db.guarded("rejoin"):
            return Height(integer(self._db.one("SELECT ifnull(max(height), 0) FROM rejoins")))

    def accuse(self, proof: Equivocation) -> bool:
        """Keep a proof, unless it or enough of its key are held."""
        with self._db.guarded("evidence"):
            proof = ordered(proof)
            height, view, key, *kinds = evidence_key(proof)
            query = "SELECT count(*), max(height = ? AND view = ? AND first_kind = ? AND second_kind = ?) "
            found = self._db.row(query + "FROM evidence WHERE key = ?", height, view, *kinds, key)
            if found is None or integer(found[0]) >= EVIDENCE_PER_KEY_MAX or found[1]:
                return False
            votes = encode_vote(proof.first), encode_vote(proof.second)
            with self._db.transaction():
                self._db.run("INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?)", key, height, view, *kinds, *votes)
            return True

    def evidence(self) -> tuple[Equivocation, ...]:
        """Every proof, in order; each is checked against what it is found by."""
        query = "SELECT height, view, key, first_kind, second_kind, first, second FROM evidence ORDER BY 1, 2, 3, 4, 5"
        with self._db.guarded("evidence"):
            return tuple(_evidence(row) for row in self._db.rows(query))

    def maintain(self) -> None:
        """Move the log into the database when it has grown; call it when nothing else is to do."""
        with self._db.guarded("checkpoint"):
            if self._db.wal_bytes() > _WAL_BYTES_IDLE:
                self._db.checkpoint()

    def close(self) -> None:
        """Close the file and release the directory."""
        self._end_sweep()
        try:
            self._db.close()
        finally:
            self._directory.close()

    def counts(self) -> Counts:
        """Count what verification compares."""
        with self._db.guarded("counts"):
            blocks, txs, logs, written = (integer(self._db.one(query)) for query in _COUNTS)
            return Counts(blocks=blocks, txs=txs, logs=logs, written=written)

    def scan_nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every node of the state with its key, unchecked."""
        with self._db.guarded("state"):
            yield from ((blob(key), blob(value)) for key, value in self._db.scan("SELECT key, value FROM nodes"))

    def scan_votes(self) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """Every own vote, unchecked."""
        with self._db.guarded("votes"):
            for *place, data in self._db.scan("SELECT height, view, kind, data FROM votes"):
                height, view, kind = map(integer, place)
                yield (height, view, kind), blob(data)

    def scratch(self) -> Scratch:
        """Room for a calculation, on the disk of the store."""
        return Scratch(self._directory.path / "scratch")

    def check_structure(self) -> None:
        """Run SQLite's own check of the whole file."""
        with self._db.guarded("structure"):
            self._db.check_structure()

    def _new_sweep(self, children: Children, states: int) -> Sweep:
        newest = integer(self._db.one("SELECT ifnull(max(height), 0) FROM blocks"))
        states_from = max(self.states_from(), newest + 1 - states)
        headers = (self.header(Height(height)) for height in range(states_from, newest + 1))
        return Sweep(
            db=self._db,
            marks=self.scratch(),
            newest=Height(newest),
            states_from=Height(states_from),
            roots=[header.state_root for header in headers if header is not None],
            children=children,
        )

    def _end_sweep(self) -> None:
        if self._sweep is not None:
            self._sweep.marks.close()
            self._sweep = None

    def _check_next(self, header: Header) -> int:
        """Check that a block follows the newest; return how many nodes that and those before it wrote."""
        newest = self._db.row("SELECT height, hash, written FROM blocks ORDER BY height DESC LIMIT 1")
        row = (-1, header.previous, 0) if newest is None else newest
        height, parent, written = integer(row[0]) + 1 if newest else 0, blob(row[1]), integer(row[2])
        if (header.height, header.previous) != (height, parent):
            raise StorageError(
                f"commit: expected height {height} on {parent.hex()}, got {header.height} on {header.previous.hex()}"
            )
        return written

    def _insert_block(self, decision: Decision, written: int) -> None:
        block, height = decision.final.block, decision.final.block.header.height
        certificate = decision.final.certificate
        self._db.run(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)",
            height,
            block_hash(block.header),
            written,
            encode_header(block.header),
            encode_body(block),
            None if certificate is None else encode_certificate(certificate),
            encode_validators(decision.validators),
        )
        self._db.run("INSERT INTO receipts VALUES (?, ?)", height, encode_receipts(decision.receipts))
        places = ((tx_id, height, index) for index, tx_id in enumerate(decision.tx_ids))
        self._db.run_many("INSERT INTO txs VALUES (?, ?, ?)", places)
        logs = (
            (height, tx_index, log_index, log.address, log.topics[0] if log.topics else None)
            for tx_index, receipt in enumerate(decision.receipts)
            for log_index, log in enumerate(receipt.logs)
        )
        self._db.run_many("INSERT INTO logs VALUES (?, ?, ?, ?, ?)", logs)
        self._db.run_many("INSERT OR IGNORE INTO nodes VALUES (?, ?)", decision.nodes.items())

    def _insert_record(self, record: Record) -> None:
        match record:
            case Vote():
                if check_consistent(record, self._held):
                    row = (record.height, record.view, record.kind, encode_vote(record))
                    self._db.run("INSERT INTO votes VALUES (?, ?, ?, ?)", *row)
            case Certificate() | Proposal():
                data = encode_message(record)
                self._db.run("INSERT INTO records (height, data) VALUES (?, ?)", record.height, data)

    def _held(self, key: VoteKey) -> Vote | None:
        row = self._db.row("SELECT data FROM votes WHERE height = ? AND view = ? AND kind = ?", *key)
        return _vote(row[0], Height(key[0])) if row else None


def _vote(data: object, height: Height) -> Vote:
    try:
        vote = decode_vote(blob(data))
    except DecodeError as error:
        raise StorageError(f"height {height}: {error}") from error
    if vote.height != height:
        raise StorageError(f"height {height}: expected its votes, got one of {vote.height}")
    return vote


def _record(data: object, height: Height) -> Record:
    try:
        record = decode_message(blob(data))
    except DecodeError as error:
        raise StorageError(f"height {height}: {error}") from error
    if not isinstance(record, Certificate | Proposal) or record.height != height:
        raise StorageError(f"height {height}: expected its certificates and proposals, got {type(record).__name__}")
    return record


def _found_log(receipts: dict[int, tuple[Receipt, ...]], height: int, tx_index: int, log_index: int) -> FoundLog:
    try:
        log = receipts[height][tx_index].logs[log_index]
    except IndexError as error:
        raise StorageError(f"height {height}: expected event {log_index} of {tx_index}, got none") from error
    return FoundLog(height=Height(height), tx_index=tx_index, log_index=log_index, log=log)


def _evidence(row: Row) -> Equivocation:
    height = Height(integer(row[0]))
    first, second = (_vote(data, height) for data in row[5:])
    proof = ordered(Equivocation(key=PublicKey(blob(row[2])), first=first, second=second))
    if evidence_key(proof) != row[:5]:
        raise StorageError(f"height {height}: expected evidence of what it is found by, got {proof}")
    return proof
