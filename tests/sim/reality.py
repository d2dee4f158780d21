"""The same network without symbols: Ed25519, the contracts on py-evm, SQLite files whose machine loses power."""

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ledger.consensus import Record, Signer
from ledger.contract import ContractHost, encode_args
from ledger.encoding import encode_transaction, transaction_statement
from ledger.ports import Executor
from ledger.store import SqliteStore, create_directory
from ledger.store.audit import AuditableStore
from ledger.types import (
    Cosignature,
    InquirerRecord,
    Millis,
    ModelRecord,
    PublicKey,
    ReplicaId,
    Signature,
    Transaction,
)
from tests.sim.disk import Disk
from tests.support.chains import genesis_of, member_key, public_key, sign, signing_key, verify, vote_key
from tests.support.contracts import AFTER, COPY, Request, model_hash, order_of, panel_of, pool_of, query_id
from tests.support.networks import VoteSigner

_WAL, _DATABASE, _MARKER = "ledger.sqlite-wal", "ledger.sqlite", "never-voted"


class Reality:
    """Every replica is a member of its own company and votes; the set does not change."""

    def __init__(self, replicas: int) -> None:
        self._inquirer = signing_key("inquirer")
        self.genesis = replace(
            genesis_of(replicas),
            models=(ModelRecord(model=model_hash("after"), classes=1, minimum=2, mode=AFTER, purposes=("credit",)),),
            inquirers=(InquirerRecord(key=public_key(self._inquirer), company=0, quota_per_day=1_000),),
        )
        self._directory = Path(tempfile.mkdtemp(prefix="sim"))
        self._disks: list[SqliteDisk] = []

    def signer(self, replica: ReplicaId) -> Signer:
        return VoteSigner(vote_key(replica))

    def verify(self, key: PublicKey, statement: bytes, signature: Signature) -> bool:
        return verify(key, statement, signature)

    def executor(self, read_node: Callable[[bytes], bytes | None]) -> Executor:
        return ContractHost(self.genesis.chain, read_node)

    def disk(self) -> Disk:
        disk = SqliteDisk(self._directory / str(len(self._disks)))
        self._disks.append(disk)
        return disk

    def transaction(self, number: int, now: Millis, expiry_ms: Millis) -> bytes:
        """Register a query: one that the contracts accept, if it is not decided too late."""
        query, panel = query_id(number), panel_of(self.genesis, 1)
        request = Request(
            query=query,
            model=model_hash("after"),
            panel=panel,
            contribute_by=now + 20_000,
            deadline=now + 60_000,
            chain=self.genesis.chain,
            epoch=self.genesis.epoch.epoch,
        ).bytes()
        order = order_of(query, 1, pool_of(self.genesis, panel, 0)[0])
        sender = member_key(number % len(self.genesis.members))
        tx = Transaction(
            chain=self.genesis.chain,
            sender=public_key(sender),
            expiry_ms=expiry_ms,
            unique=number.to_bytes(16, "big"),
            method="queries.register",
            args=encode_args("queries.register", COPY, order),
            cosigners=(
                Cosignature(key=public_key(self._inquirer), statement=request, signature=sign(self._inquirer, request)),
            ),
            signature=Signature(bytes(64)),
        )
        return encode_transaction(replace(tx, signature=sign(sender, transaction_statement(tx))))

    def change(self, number: int, replica: ReplicaId, expiry_ms: Millis) -> bytes:
        raise ValueError("expected a profile whose set does not change")

    def close(self) -> None:
        for disk in self._disks:
            disk.close()
        shutil.rmtree(self._directory)


class SqliteDisk:
    """A data directory. A machine that loses power leaves its files as they are, where closing would tidy them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store: SqliteStore | None = None
        create_directory(directory)

    def open(self) -> AuditableStore:
        self._store = SqliteStore(self._directory)
        return self._store

    def lose_power(self, torn: Sequence[Record] = ()) -> None:
        """What was being written is in no whole frame of the log, so it is as if it never was."""
        left = self._directory.with_suffix(".left")
        shutil.copytree(self._directory, left)
        self.close()
        shutil.rmtree(self._directory)
        left.rename(self._directory)
        log = self._directory / _WAL
        if torn and log.exists():
            with log.open("ab") as tail:
                tail.write(bytes(24 + 1_000))

    def roll_back(self, source: random.Random) -> None:
        log = self._directory / _WAL
        content = log.read_bytes() if log.exists() else b""
        if not content:
            return
        place = len(content) - 1 - source.randrange(1_000)
        if source.random() < 0.5:
            log.write_bytes(content[:place])
        else:
            log.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])

    def corrupt(self, source: random.Random) -> None:
        """Destroy the beginning of the database; the log alone does not hold it."""
        (self._directory / _WAL).unlink(missing_ok=True)
        (self._directory / _DATABASE).write_bytes(source.randbytes(4_096))

    def close(self) -> None:
        """End the process in good order."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def wipe(self) -> None:
        self.close()
        shutil.rmtree(self._directory)
        create_directory(self._directory)
        (self._directory / _MARKER).unlink()
