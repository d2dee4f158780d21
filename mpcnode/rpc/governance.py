"""Governance on the control socket: what administrators have their daemon read, sign and submit.

Whoever may open the socket is the daemon's own user (`mpcnode.rpc.control`); what its member may do is for the ledger
to say, so errors go back in full.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc

from ledger.replica.rejoining import Rejoin
from ledger.types import Address, ChainId, Height, Millis, PublicKey, ReplicaId, Signature
from mpcnode.errors import UnavailableError
from mpcnode.governance.standing import Members, Standing
from mpcnode.rpc.control import ANSWER_TIMEOUT_S, open_control
from mpcnode.rpc.statuses import error_of, translated
from mpcnode.types import CompanyIndex, MemberIndex, Role
from mpcnode.v1 import governance_pb2, governance_pb2_grpc


class Voice(Protocol):
    """The daemon's side."""

    async def members(self) -> Members:
        """Where every member stands."""

    async def sign_rejoin(self, rejoin: Rejoin) -> tuple[PublicKey, Signature]:
        """Sign that a validator may vote again; return the own identity key and the signature.

        Raises:
            RequestError: something that this daemon knows speaks against it.
            NotAllowedError: this member is not its company's delegate.
        """


class GovernanceServicer(governance_pb2_grpc.GovernanceServiceServicer):
    """Takes administrators' calls."""

    def __init__(self, voice: Voice) -> None:
        """Take what does it."""
        self._voice = voice

    async def GetMembers(  # noqa: N802 - gRPC's name
        self, _request: governance_pb2.GetMembersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> governance_pb2.GetMembersResponse:
        """Tell where every member stands."""
        async with translated(context, in_full=True):
            found = await self._voice.members()
            return governance_pb2.GetMembersResponse(height=found.height, members=map(_encode, found.members))

    async def SignRejoin(  # noqa: N802 - gRPC's name
        self, request: governance_pb2.SignRejoinRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> governance_pb2.SignRejoinResponse:
        """Sign that a validator may vote again."""
        async with translated(context, in_full=True):
            rejoin = Rejoin(
                chain=ChainId(request.chain),
                replica=ReplicaId(request.replica),
                vote_key=PublicKey(request.vote_key),
                sign_from=Height(request.sign_from),
                expires_ms=Millis(request.expires_ms),
            )
            key, signature = await self._voice.sign_rejoin(rejoin)
            return governance_pb2.SignRejoinResponse(key=key, signature=signature)


def add_governance_service(server: grpc.aio.Server, servicer: GovernanceServicer) -> None:
    """Let a control socket answer administrators."""
    governance_pb2_grpc.add_GovernanceServiceServicer_to_server(servicer, server)


async def fetch_members(path: Path, timeout_s: float = ANSWER_TIMEOUT_S) -> Members:
    """Ask the daemon behind a control socket where every member stands.

    Raises:
        UnavailableError: nobody answers there, or the daemon's replica has not started.
    """
    async with _stub(path) as stub:
        answer = await stub.GetMembers(governance_pb2.GetMembersRequest(), timeout=timeout_s)
    return Members(height=Height(answer.height), members=tuple(map(_decode, answer.members)))


async def sign_rejoin(path: Path, rejoin: Rejoin, timeout_s: float = ANSWER_TIMEOUT_S) -> tuple[PublicKey, Signature]:
    """Have the daemon behind a control socket sign that a validator may vote again.

    Raises:
        CallerError: it does not sign; the message says why.
        UnavailableError: nobody answers there.
    """
    request = governance_pb2.SignRejoinRequest(
        chain=rejoin.chain,
        replica=rejoin.replica,
        vote_key=rejoin.vote_key,
        sign_from=rejoin.sign_from,
        expires_ms=rejoin.expires_ms,
    )
    async with _stub(path) as stub:
        answer = await stub.SignRejoin(request, timeout=timeout_s)
    return PublicKey(answer.key), Signature(answer.signature)


@asynccontextmanager
async def _stub(path: Path) -> AsyncIterator[Any]:
    async with open_control(path) as channel:
        try:
            yield governance_pb2_grpc.GovernanceServiceStub(channel)
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure, in_full=True)
            if isinstance(error, UnavailableError):
                raise UnavailableError(f"{path}: {error}", error.code) from failure
            raise error from failure


def _encode(member: Standing) -> governance_pb2.Standing:
    return governance_pb2.Standing(
        index=member.index,
        name=member.name,
        company=member.company,
        company_name=member.company_name,
        roles=member.roles,
        active=member.active,
        address=member.address,
        vote_key=member.vote_key or b"",
        is_delegate=member.is_delegate,
    )


def _decode(sent: governance_pb2.Standing) -> Standing:
    return Standing(
        index=MemberIndex(sent.index),
        name=sent.name,
        company=CompanyIndex(sent.company),
        company_name=sent.company_name,
        roles=Role(sent.roles),
        active=sent.active,
        address=Address(sent.address),
        vote_key=PublicKey(sent.vote_key) or None,
        is_delegate=sent.is_delegate,
    )
