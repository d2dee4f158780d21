"""One member's listener for peers in this process, with real TLS, and channels of whoever wants to try it."""

import hashlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import grpc

from ledger.types import ChainId, Millis
from mpcnode.adapters.certificates import VALID_DAYS, TlsPair, make_certificate
from mpcnode.adapters.clock import SystemClock
from mpcnode.query.messages import Kind
from mpcnode.roles.ports import CorrectionsDealer
from mpcnode.rpc.peers import PeerServicer, add_peer_service
from mpcnode.rpc.rounds import Rounds
from mpcnode.rpc.statuses import CODE_KEY
from mpcnode.rpc.tls import (
    CONTROL_BYTES_MAX,
    PeerDirectory,
    channel_options,
    peer_channel_credentials,
    peer_server_credentials,
    server_options,
)
from mpcnode.sealing.keys import OpeningKey, SigningKey, verify
from mpcnode.types import CompanyIndex, Member, MemberIndex, Role

CHAIN = ChainId(hashlib.sha256(b"peer tls").digest())
ROLES = (Role.OPERATOR, Role.PARTICIPANT, Role.MPC, Role.SUPERVISOR, Role.PARTICIPANT, Role.MPC, Role.MPC)
OPERATOR, BANK, BANK_MPC, REGULATOR, INSURER, INSURER_MPC, EXPIRED_MPC = map(MemberIndex, range(7))
DAY_MS = 86_400_000


def identity(member: int) -> SigningKey:
    return SigningKey(hashlib.sha256(f"identity {member}".encode()).digest())


def member(index: int, *, active: bool = True) -> Member:
    return Member(
        index=MemberIndex(index),
        name=f"member-{index}",
        company=CompanyIndex(index),
        roles=ROLES[index],
        identity=identity(index).public,
        sealing=OpeningKey(bytes([index + 1]) * 32).public,
        active=active,
    )


MEMBERS: Mapping[MemberIndex, Member] = {MemberIndex(index): member(index) for index in range(len(ROLES))}


@lru_cache
def tls_of(name: str, *, days_ago: int = 0) -> TlsPair:
    return make_certificate(name, Millis(SystemClock().now_ms() - days_ago * DAY_MS))


def tls(index: int) -> TlsPair:
    """A member's key and certificate; one member's has expired."""
    return tls_of(f"member-{index}", days_ago=VALID_DAYS + 1 if index == EXPIRED_MPC else 0)


def fingerprint(pair: TlsPair) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair.certificate.decode())).digest()


class Listener:
    """What reached the handlers of one listening member."""

    def __init__(self, me: int, members: Mapping[MemberIndex, Member] = MEMBERS) -> None:
        self.me = me
        self.members = members
        self.port = 0
        self.taken: list[tuple[Kind, MemberIndex, bytes]] = []
        self.failures: Counter[Kind] = Counter()
        self.rounds = Rounds(
            chain=CHAIN,
            me=MemberIndex(me),
            identities={index: m.identity for index, m in members.items() if m.roles & Role.MPC},
            sign=identity(me).sign,
            verify=verify,
        )
        self.fails_with: Exception | None = None
        self.dealer: CorrectionsDealer | None = None
        self.servicer: PeerServicer

    def handler(self, kind: Kind):
        async def handle(sender: MemberIndex, payload: bytes) -> None:
            if self.fails_with is not None:
                raise self.fails_with
            self.taken.append((kind, sender, payload))

        return handle

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Listener"]:
        """Every kind has a handler at every role: what is refused is refused before. Again later on the same port."""
        own = tls(self.me)
        self.servicer = PeerServicer(
            chain=CHAIN,
            me=self.members[MemberIndex(self.me)],
            members=self.members,
            directory=PeerDirectory({fingerprint(tls(index)): index for index in self.members}),
            handlers={kind: self.handler(kind) for kind in Kind},
            rounds=self.rounds,
            dealer=self.dealer,
        )
        server = grpc.aio.server(options=server_options(CONTROL_BYTES_MAX))
        add_peer_service(server, self.servicer)
        roots = [tls(index).certificate for index in self.members]
        self.port = server.add_secure_port(
            f"127.0.0.1:{self.port}", peer_server_credentials(own.key, own.certificate, roots)
        )
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    def channel(self, pair: TlsPair | None, *, trusts: bytes | None = None) -> grpc.aio.Channel:
        """A channel with this certificate, or with none."""
        trusted = trusts or tls(self.me).certificate
        credentials = (
            grpc.ssl_channel_credentials(root_certificates=trusted)
            if pair is None
            else peer_channel_credentials(pair.key, pair.certificate, trusted)
        )
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}", credentials, options=channel_options(f"member-{self.me}")
        )


def code_of(failure: grpc.aio.AioRpcError) -> str:
    """The catalogue's code that the other side sent, or the bare status of a call that reached no handler."""
    sent: dict[str, Any] = dict(failure.trailing_metadata() or ())  # type: ignore[arg-type]  # stubs: not iterable
    return str(sent.get(CODE_KEY, failure.code().name))
