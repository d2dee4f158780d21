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
from ledger.types import ChainId, Height, Millis, PublicKey, ReplicaId, Signature
from mpcnode.errors import UnavailableError
from mpcnode.governance.models import Approval, RegisteredModel
from mpcnode.governance.proposals import Proposal, RawCall, Submitted
from mpcnode.governance.standing import Members
from mpcnode.rpc import governance_codec as codec
from mpcnode.rpc.control import ANSWER_TIMEOUT_S, open_control
from mpcnode.rpc.statuses import error_of, is_answer, translated
from mpcnode.types import ModelHash
from mpcnode.v1 import governance_pb2, governance_pb2_grpc

_READ_TIMEOUT_S = 60.0
"""Longest wait for all proposals; a daemon reads them from disk."""

_FINAL_TIMEOUT_S = 60.0
"""Longest wait for a transaction; a daemon says earlier that one is late."""

_LOST = "; if the daemon had sent the transaction, that may still become final: look with mpcnode ledger "


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

    def proposals(self, only: int | None) -> AsyncIterator[Proposal]:
        """Read what companies proposed, the oldest first; with an id that one, if there is one."""

    async def propose(self, call: RawCall, closes_ms: Millis, asked_by: str) -> Submitted:
        """Propose a call in the name of the own company, and wait until that is final.

        Raises:
            NotAllowedError: this member is not its company's delegate.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
        """

    async def vote(self, proposal: int, approve: bool, call: RawCall, asked_by: str) -> Submitted:
        """Vote in the name of the own company, and wait until that is final.

        Raises:
            NotAllowedError: this member is not its company's delegate.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
        """

    def models(self) -> AsyncIterator[RegisteredModel]:
        """Read every model of the ledger, in the order in which they were published."""

    async def approve_model(self, model: ModelHash, approved: bool, asked_by: str) -> Approval:
        """Approve a model as a participant, or withdraw that, and wait until it is final.

        Raises:
            RequestError: this daemon has no document of the model, and could not answer.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
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
            return governance_pb2.GetMembersResponse(
                height=found.height, members=map(codec.encode_standing, found.members)
            )

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

    async def GetProposals(  # noqa: N802 - gRPC's name
        self, request: governance_pb2.GetProposalsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[governance_pb2.GetProposalsResponse]:
        """Tell what companies proposed."""
        async with translated(context, in_full=True):
            async for proposal in self._voice.proposals(request.id if request.HasField("id") else None):
                yield governance_pb2.GetProposalsResponse(proposal=codec.encode_proposal(proposal))

    async def Propose(  # noqa: N802 - gRPC's name
        self, request: governance_pb2.ProposeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> governance_pb2.ProposeResponse:
        """Propose a call."""
        async with translated(context, in_full=True):
            call = RawCall(request.target, request.data)
            done = await self._voice.propose(call, Millis(request.closes_ms), request.asked_by)
            return governance_pb2.ProposeResponse(submitted=codec.encode_submitted(done))

    async def Vote(  # noqa: N802 - gRPC's name
        self, request: governance_pb2.VoteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> governance_pb2.VoteResponse:
        """Vote on a proposal."""
        async with translated(context, in_full=True):
            call = RawCall(request.target, request.data)
            done = await self._voice.vote(request.id, request.approve, call, request.asked_by)
            return governance_pb2.VoteResponse(submitted=codec.encode_submitted(done))

    async def GetModels(  # noqa: N802 - gRPC's name
        self, _request: governance_pb2.GetModelsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[governance_pb2.GetModelsResponse]:
        """Tell which models there are."""
        async with translated(context, in_full=True):
            async for model in self._voice.models():
                yield governance_pb2.GetModelsResponse(model=codec.encode_model(model))

    async def ApproveModel(  # noqa: N802 - gRPC's name
        self, request: governance_pb2.ApproveModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> governance_pb2.ApproveModelResponse:
        """Approve a model, or withdraw that."""
        async with translated(context, in_full=True):
            model = ModelHash(request.model)
            return codec.encode_approval(await self._voice.approve_model(model, request.approved, request.asked_by))


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
    return Members(height=Height(answer.height), members=tuple(map(codec.decode_standing, answer.members)))


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


async def fetch_proposals(
    path: Path, only: int | None = None, timeout_s: float = _READ_TIMEOUT_S
) -> tuple[Proposal, ...]:
    """Ask the daemon behind a control socket what companies proposed; with an id, for that one.

    Raises:
        UnavailableError: nobody answers there, or the daemon's replica has not started.
    """
    request = governance_pb2.GetProposalsRequest(id=only)
    async with _stub(path) as stub:
        return tuple(
            [codec.decode_proposal(answer.proposal) async for answer in stub.GetProposals(request, timeout=timeout_s)]
        )


async def propose(
    path: Path, call: RawCall, closes_ms: Millis, asked_by: str, timeout_s: float = _FINAL_TIMEOUT_S
) -> Submitted:
    """Have the daemon behind a control socket propose a call, and wait until that is final.

    Raises:
        CallerError: it may not, or the ledger refused it; the message says why.
        UnavailableError: nobody answers there, or it was not included in time.
    """
    request = governance_pb2.ProposeRequest(target=call.target, data=call.data, closes_ms=closes_ms, asked_by=asked_by)
    async with _stub(path, f"{_LOST}proposals") as stub:
        return codec.decode_submitted((await stub.Propose(request, timeout=timeout_s)).submitted)


async def vote(
    path: Path, proposal: Proposal, approve: bool, asked_by: str, timeout_s: float = _FINAL_TIMEOUT_S
) -> Submitted:
    """Have the daemon behind a control socket vote on a proposal, and wait until that is final.

    Raises:
        CallerError: it may not, or the ledger refused it; the message says why.
        UnavailableError: nobody answers there, or it was not included in time.
    """
    request = governance_pb2.VoteRequest(
        id=proposal.id, approve=approve, target=proposal.call.target, data=proposal.call.data, asked_by=asked_by
    )
    async with _stub(path, f"{_LOST}proposals") as stub:
        return codec.decode_submitted((await stub.Vote(request, timeout=timeout_s)).submitted)


async def fetch_models(path: Path, timeout_s: float = _READ_TIMEOUT_S) -> tuple[RegisteredModel, ...]:
    """Ask the daemon behind a control socket which models the ledger has.

    Raises:
        UnavailableError: nobody answers there, or the daemon's replica has not started.
    """
    async with _stub(path) as stub:
        answers = stub.GetModels(governance_pb2.GetModelsRequest(), timeout=timeout_s)
        return tuple([codec.decode_model(answer.model) async for answer in answers])


async def approve_model(
    path: Path, model: ModelHash, approved: bool, asked_by: str, timeout_s: float = _FINAL_TIMEOUT_S
) -> Approval:
    """Have the daemon behind a control socket approve a model, or withdraw that, and wait until it is final.

    Raises:
        CallerError: it may not, or the ledger refused it; the message says why.
        UnavailableError: nobody answers there, or it was not included in time.
    """
    request = governance_pb2.ApproveModelRequest(model=model, approved=approved, asked_by=asked_by)
    async with _stub(path, f"{_LOST}models") as stub:
        return codec.decode_approval(await stub.ApproveModel(request, timeout=timeout_s))


@asynccontextmanager
async def _stub(path: Path, lost: str = "") -> AsyncIterator[Any]:
    """Call the daemon; if the answer to a call gets lost, `lost` is said as well."""
    async with open_control(path) as channel:
        try:
            yield governance_pb2_grpc.GovernanceServiceStub(channel)
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure, in_full=True)
            if isinstance(error, UnavailableError):
                hint = "" if is_answer(failure) else lost
                raise UnavailableError(f"{path}: {error}{hint}", error.code) from failure
            raise error from failure
