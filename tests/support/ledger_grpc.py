"""Replicas over real gRPC with mutual TLS on loopback, on the real contracts or the counting one."""

import asyncio
import datetime
import hashlib
import random
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ledger.consensus import Timing
from ledger.contract import ContractHost, encode_args
from ledger.encoding import encode_transaction, transaction_statement
from ledger.ports import Executor, Store
from ledger.replica import Replica
from ledger.rpc import Backoff, PeerAddress, PeerNetwork
from ledger.store import SqliteStore, create_directory
from ledger.types import Cosignature, Genesis, InquirerRecord, ModelRecord, ReplicaId, Signature, Transaction
from tests.support import contracts
from tests.support.chains import genesis_of, member_key, public_key, sign, signing_key, verify, vote_key
from tests.support.networks import VoteSigner, WallClock

INQUIRER = signing_key("inquirer")
QUICK = Timing(view_ms=1_000, view_ms_max=4_000, resend_ms=200, repropose_ms=100, status_ms=1_000)


@dataclass(frozen=True)
class Certificate:
    """A self-signed ECDSA certificate with a subject of its own, PEM."""

    name: str
    key: bytes
    pem: bytes

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.pem.decode())).digest()


def make_certificate(name: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        name=name,
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        pem=signed.public_bytes(serialization.Encoding.PEM),
    )


def query_genesis(members: int) -> Genesis:
    """A consortium on which `registration` transactions succeed: any member is operator, MPC node and participant."""
    return replace(
        genesis_of(members),
        models=(ModelRecord(model=contracts.model_hash("after"), classes=1, minimum=2, mode=2, purposes=("credit",)),),
        inquirers=(InquirerRecord(key=public_key(INQUIRER), company=0, quota_per_day=1_000_000),),
    )


def registration(genesis: Genesis, number: int, now: int, *, sender: int = 0) -> bytes:
    """A signed `queries.register` transaction that succeeds."""
    everyone = range(len(genesis.members))
    query = contracts.query_id(number)
    request = contracts.Request(
        query=query,
        model=contracts.model_hash("after"),
        panel=contracts.bitmap(everyone),
        contribute_by=now + 30_000,
        deadline=now + 60_000,
        chain=genesis.chain,
        epoch=genesis.epoch.epoch,
    ).bytes()
    key = member_key(sender)
    tx = Transaction(
        chain=genesis.chain,
        sender=public_key(key),
        expiry_ms=type(WallClock().now_ms())(now + 30_000),
        unique=number.to_bytes(16, "big"),
        method="queries.register",
        args=encode_args("queries.register", contracts.COPY, contracts.order_of(query, 1, everyone)),
        cosigners=(Cosignature(key=public_key(INQUIRER), statement=request, signature=sign(INQUIRER, request)),),
        signature=Signature(bytes(64)),
    )
    return encode_transaction(replace(tx, signature=sign(key, transaction_statement(tx))))


class Daemon:
    """One replica with its server; what a daemon would build."""

    def __init__(self, fleet: "Fleet", index: int) -> None:
        self.fleet = fleet
        self.index = index
        self.replica: Replica
        self.network: PeerNetwork
        self._task: asyncio.Task[None] | None = None

    async def run(self, started: asyncio.Event) -> None:
        fleet, own = self.fleet, self.fleet.certificates[self.index]
        store = SqliteStore(fleet.directory(self.index))
        self.network = PeerNetwork(
            replica=ReplicaId(self.index),
            peers=[fleet.address(peer, own) for peer in fleet.ports if peer != self.index],
            peer_of=fleet.peer_of,
            backoff=Backoff(first_s=0.05, longest_s=0.5, spread=random.random),
        )
        self.replica = Replica(
            replica=ReplicaId(self.index),
            genesis=fleet.genesis,
            store=store,
            executor=fleet.executor(store),
            transport=self.network,
            clock=WallClock(),
            verify=verify,
            signer=VoteSigner(vote_key(self.index)) if fleet.genesis.members[self.index].vote_key else None,
            timing=QUICK,
        )
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.network.register(server)
        roots = b"".join(certificate.pem for certificate in fleet.certificates.values())
        credentials = grpc.ssl_server_credentials([(own.key, own.pem)], roots, require_client_auth=True)
        port = server.add_secure_port(f"127.0.0.1:{fleet.ports[self.index]}", credentials)
        fleet.ports[self.index] = port
        await server.start()
        started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.network.run(self.replica))
                tasks.create_task(self.replica.run())
        finally:
            await server.stop(None)

    async def start(self) -> None:
        started = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self.run(started))
        waiting = asyncio.get_running_loop().create_task(started.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None


class Fleet:
    """Daemons that know each other's certificates and ports."""

    def __init__(self, genesis: Genesis, base: Path) -> None:
        self.genesis = genesis
        self.base = base
        self.certificates = {i: make_certificate(f"member-{i}.test") for i in range(len(genesis.members))}
        self.ports = dict.fromkeys(self.certificates, 0)
        self.daemons = {index: Daemon(self, index) for index in self.certificates}
        for index in self.certificates:
            create_directory(self.directory(index))

    def directory(self, index: int) -> Path:
        return self.base / f"member-{index}"

    def executor(self, store: Store) -> Executor:
        return ContractHost(self.genesis.chain, store.read_node)

    def address(self, peer: int, own: Certificate) -> PeerAddress:
        other = self.certificates[peer]
        return PeerAddress(
            replica=ReplicaId(peer),
            target=f"127.0.0.1:{self.ports[peer]}",
            credentials=grpc.ssl_channel_credentials(other.pem, own.key, own.pem),
            options=(
                ("grpc.ssl_target_name_override", other.name),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ),
        )

    def peer_of(self, context: grpc.aio.ServicerContext[Any, Any]) -> ReplicaId:
        (presented,) = context.auth_context()["x509_pem_cert"]
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(presented.decode())).digest()
        return next(ReplicaId(i) for i, known in self.certificates.items() if known.fingerprint == fingerprint)

    def replica(self, index: int) -> Replica:
        return self.daemons[index].replica

    @asynccontextmanager
    async def running(self, *indices: int):
        async with AsyncExitStack() as stack:
            for index in reversed(indices):  # the lower index dials: the higher ports are known first
                await self.daemons[index].start()
                stack.push_async_callback(self.daemons[index].stop)
            yield self
