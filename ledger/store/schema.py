"""Tables of the SQLite file; what was final, voted or proven can only be added."""

from collections.abc import Iterable

APPLICATION_ID = 0x4D50434C
VERSION = 2

_TABLES = """
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    written INTEGER NOT NULL,
    header BLOB NOT NULL,
    body BLOB NOT NULL,
    certificate BLOB,
    validators BLOB NOT NULL
);
CREATE INDEX blocks_by_hash ON blocks (hash);
CREATE TABLE receipts (height INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE txs (id BLOB PRIMARY KEY, height INTEGER NOT NULL, idx INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE logs (
    height INTEGER NOT NULL,
    tx_index INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    address BLOB NOT NULL,
    topic BLOB,
    PRIMARY KEY (height, tx_index, log_index)
) WITHOUT ROWID;
CREATE INDEX logs_by_topic ON logs (address, topic, height);
CREATE TABLE nodes (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE compactions (
    seq INTEGER PRIMARY KEY,
    height INTEGER NOT NULL,
    states_from INTEGER NOT NULL,
    kept INTEGER NOT NULL
);
CREATE TABLE votes (
    height INTEGER NOT NULL,
    view INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (height, view, kind)
) WITHOUT ROWID;
CREATE TABLE rejoins (height INTEGER PRIMARY KEY, grounds BLOB NOT NULL);
CREATE TABLE records (seq INTEGER PRIMARY KEY, height INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX records_by_height ON records (height);
CREATE TABLE evidence (
    key BLOB NOT NULL,
    height INTEGER NOT NULL,
    view INTEGER NOT NULL,
    first_kind INTEGER NOT NULL,
    second_kind INTEGER NOT NULL,
    first BLOB NOT NULL,
    second BLOB NOT NULL,
    PRIMARY KEY (key, height, view, first_kind, second_kind)
) WITHOUT ROWID;
"""

_APPEND_ONLY = ("blocks", "receipts", "txs", "logs", "votes", "rejoins", "evidence", "compactions")


def statements() -> Iterable[str]:
    """Return what makes an empty database one of ours."""
    yield from (statement for statement in _TABLES.split(";") if statement.strip())
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} can only be added to'); END"
            )
    yield f"PRAGMA application_id = {APPLICATION_ID}"
    yield f"PRAGMA user_version = {VERSION}"
