"""Governance's values as messages, and back."""

from ledger.types import Address, Height, Millis, PublicKey, TxId
from mpcnode.governance.models import Approval, Fees, RegisteredModel
from mpcnode.governance.proposals import Ballot, Proposal, ProposalState, RawCall, Submitted
from mpcnode.governance.standing import Standing
from mpcnode.types import AuditMode, CompanyIndex, MemberIndex, ModelHash, Role
from mpcnode.v1 import governance_pb2

_CLASSES_BYTES = 16


def encode_standing(member: Standing) -> governance_pb2.Standing:
    """Write a member's standing."""
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


def decode_standing(sent: governance_pb2.Standing) -> Standing:
    """Read a member's standing."""
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


def _encode_ballot(ballot: Ballot) -> governance_pb2.Ballot:
    return governance_pb2.Ballot(
        state=governance_pb2.ProposalState.ValueType(ballot.state), yes=ballot.yes, no=ballot.no
    )


def _decode_ballot(sent: governance_pb2.Ballot) -> Ballot:
    return Ballot(
        state=ProposalState(sent.state),
        yes=tuple(map(CompanyIndex, sent.yes)),
        no=tuple(map(CompanyIndex, sent.no)),
    )


def encode_proposal(proposal: Proposal) -> governance_pb2.Proposal:
    """Write a proposal."""
    return governance_pb2.Proposal(
        id=proposal.id,
        company=proposal.company,
        target=proposal.call.target,
        data=proposal.call.data,
        closes_ms=proposal.closes_ms,
        height=proposal.height,
        ballot=_encode_ballot(proposal.ballot),
    )


def decode_proposal(sent: governance_pb2.Proposal) -> Proposal:
    """Read a proposal."""
    return Proposal(
        id=sent.id,
        company=CompanyIndex(sent.company),
        call=RawCall(sent.target, sent.data),
        closes_ms=Millis(sent.closes_ms),
        height=Height(sent.height),
        ballot=_decode_ballot(sent.ballot),
    )


def encode_submitted(done: Submitted) -> governance_pb2.Submitted:
    """Write what became of a proposal or vote."""
    return governance_pb2.Submitted(
        id=done.id, height=done.height, tx_id=done.tx_id, ballot=_encode_ballot(done.ballot)
    )


def decode_submitted(sent: governance_pb2.Submitted) -> Submitted:
    """Read what became of a proposal or vote."""
    return Submitted(id=sent.id, height=Height(sent.height), tx_id=TxId(sent.tx_id), ballot=_decode_ballot(sent.ballot))


def encode_model(model: RegisteredModel) -> governance_pb2.RegisteredModel:
    """Write a model."""
    fees = model.fees
    return governance_pb2.RegisteredModel(
        model=model.model,
        classes=model.classes.to_bytes(_CLASSES_BYTES, "big"),
        minimum=model.minimum,
        audit=model.audit,
        purposes=model.purposes,
        retired=model.retired,
        suppliers=model.suppliers,
        approved=model.approved,
        reach=model.reach,
        share=model.share,
        fees=None
        if fees is None
        else governance_pb2.Fees(
            since_ms=fees.since_ms, asked=fees.asked, contributed=fees.contributed, computed=fees.computed
        ),
    )


def decode_model(sent: governance_pb2.RegisteredModel) -> RegisteredModel:
    """Read a model."""
    fees = sent.fees
    return RegisteredModel(
        model=ModelHash(sent.model),
        classes=int.from_bytes(sent.classes, "big"),
        minimum=sent.minimum,
        audit=AuditMode(sent.audit),
        purposes=tuple(sent.purposes),
        retired=sent.retired,
        suppliers=tuple(map(MemberIndex, sent.suppliers)),
        approved=tuple(map(MemberIndex, sent.approved)),
        reach=sent.reach,
        share=sent.share,
        fees=Fees(
            since_ms=Millis(fees.since_ms), asked=fees.asked, contributed=fees.contributed, computed=fees.computed
        )
        if sent.HasField("fees")
        else None,
    )


def encode_approval(done: Approval) -> governance_pb2.ApproveModelResponse:
    """Write what became of an approval."""
    return governance_pb2.ApproveModelResponse(height=done.height, tx_id=done.tx_id, model=encode_model(done.model))


def decode_approval(sent: governance_pb2.ApproveModelResponse) -> Approval:
    """Read what became of an approval."""
    return Approval(height=Height(sent.height), tx_id=TxId(sent.tx_id), model=decode_model(sent.model))
