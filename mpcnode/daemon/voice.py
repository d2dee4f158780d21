"""The member's voice in the consortium, as its administrators use it over the control socket."""

from collections.abc import AsyncIterator, Container

import structlog

from ledger.contract import decode_log
from ledger.contract.proposals import decode_proposal
from ledger.errors import InvalidError
from ledger.replica import Replica, TxOutcome
from ledger.replica.rejoining import Rejoin
from ledger.types import Millis, PublicKey, Signature
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.errors import (
    CATALOGUE,
    ErrorCode,
    RequestError,
    RevertedError,
    UnavailableError,
)
from mpcnode.governance.models import Approval, RegisteredModel, check_document, read_model, read_models
from mpcnode.governance.proposals import Proposal, RawCall, Submitted, read_ballot, read_proposals
from mpcnode.governance.standing import Members, Names, check_delegate, number_of, read_members
from mpcnode.roles.ports import Call, Clock
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import Member, ModelHash

_log = structlog.get_logger(__name__)

_LIFE_MS = 30_000
"""From now until no block may hold a transaction any more: whoever asked waits for it."""

_ASKED_BY_CHARS_MAX = 64

_OF_VOTING = frozenset(
    {
        *(ErrorCode.DELEGATE_ONLY, ErrorCode.UNKNOWN_PROPOSAL, ErrorCode.PROPOSAL_DECIDED, ErrorCode.PROPOSAL_CLOSED),
        *(ErrorCode.OTHER_CALL, ErrorCode.ALREADY_VOTED, ErrorCode.TARGET, ErrorCode.CALL, ErrorCode.CLOSES_AT),
    }
)
"""What `governance` itself refuses; another code comes from the call that a proposal is about."""

_SHOWN_BY = {"governance": "mpcnode ledger proposals", "registries": "mpcnode ledger models"}
"""The command that tells what became of a transaction, by contract."""


class MemberVoice:
    """`rpc.governance.Voice` of one daemon."""

    def __init__(
        self,
        *,
        names: Names,
        me: Member,
        documents: Container[ModelHash],
        key: SigningKey,
        replica: Replica,
        link: LedgerLink,
        clock: Clock,
    ) -> None:
        """Take what people call members, who speaks, the models whose documents are here, and what submits for it."""
        self._names = names
        self._me = me
        self._documents = documents
        self._key = key
        self._replica = replica
        self._link = link
        self._clock = clock

    async def members(self) -> Members:
        """Where every member stands."""
        head = await self._replica.head()
        return Members(height=head.height, members=await read_members(self._replica.view, self._names))

    async def sign_rejoin(self, rejoin: Rejoin) -> tuple[PublicKey, Signature]:
        """Sign that a validator may vote again, if nothing that is known here speaks against it.

        Raises:
            RequestError: something does.
            NotAllowedError: this member is not its company's delegate.
        """
        await self._check_delegate()
        try:
            await self._replica.check_rejoin(rejoin)
        except InvalidError as error:
            raise RequestError(str(error), ErrorCode.REJOIN) from error
        _log.warning("rejoin.signed", replica=rejoin.replica, sign_from=rejoin.sign_from, expires=rejoin.expires_ms)
        return self._key.public, self._key.sign(rejoin.statement())

    async def proposals(self, only: int | None) -> AsyncIterator[Proposal]:
        """Read what companies proposed, the oldest first; with an id that one, if there is one."""
        newest, now = (await self._replica.head()).height, self._clock.now_ms()
        async for proposal in read_proposals(self._replica.view, self._replica.find_logs, newest, now, only):
            yield proposal

    async def propose(self, call: RawCall, closes_ms: Millis, asked_by: str) -> Submitted:
        """Propose a call in the name of the own company, and wait until that is final.

        Raises:
            NotAllowedError: this member is not its company's delegate.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
        """
        _log_asked("governance.propose", asked_by, **_described(call))
        await self._check_delegate()
        outcome = await self._submit("governance.propose", (call.target, call.data, closes_ms))
        (number,) = (
            number_of(found.values["id"])
            for found in map(decode_log, outcome.receipt.logs)
            if found.event == "Proposed"
        )
        return await self._submitted(number, outcome)

    async def vote(self, proposal: int, approve: bool, call: RawCall, asked_by: str) -> Submitted:
        """Vote in the name of the own company, and wait until that is final.

        Raises:
            NotAllowedError: this member is not its company's delegate.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
        """
        _log_asked("governance.vote", asked_by, **_described(call), proposal=proposal, approve=approve)
        await self._check_delegate()
        outcome = await self._submit("governance.vote", (proposal, approve, call.target, call.data))
        return await self._submitted(proposal, outcome)

    async def models(self) -> AsyncIterator[RegisteredModel]:
        """Read every model of the ledger, in the order in which they were published."""
        async for model in read_models(self._replica.view, self._clock.now_ms()):
            yield model

    async def approve_model(self, model: ModelHash, approved: bool, asked_by: str) -> Approval:
        """Approve a model as a participant, or withdraw that, and wait until it is final.

        Raises:
            RequestError: this daemon has no document of the model, and could not answer.
            RevertedError: the ledger refused it.
            UnavailableError: it cannot be or was not included in time.
        """
        _log_asked("registries.approve_model", asked_by, model=model.hex(), approved=approved)
        if approved:
            check_document(model, self._documents)
        outcome = await self._submit("registries.approve_model", (model, approved))
        _log.info("registries.final", model=model.hex(), approved=approved, height=outcome.height)
        found = await read_model(self._replica.view, model, self._clock.now_ms())
        return Approval(height=outcome.height, tx_id=outcome.tx_id, model=found)

    async def _submitted(self, proposal: int, outcome: TxOutcome) -> Submitted:
        ballot = await read_ballot(self._replica.view, proposal, self._clock.now_ms())
        _log.info("governance.final", proposal=proposal, height=outcome.height, state=ballot.state.name.lower())
        return Submitted(id=proposal, height=outcome.height, tx_id=outcome.tx_id, ballot=ballot)

    async def _submit(self, method: str, values: tuple[object, ...]) -> TxOutcome:
        """Try a call, then send it: what the ledger would refuse now is not written to it."""
        if not self._replica.is_ready():
            raise UnavailableError(
                f"{self._me.name}: expected a quorum of the validators to be connected and this replica to follow "
                "them, got fewer or older blocks; nothing was sent, mpcnode status tells more"
            )
        call = Call(method=method, values=values, expiry_ms=Millis(self._clock.now_ms() + _LIFE_MS))
        try:
            await self._link.preflight(call)
            return await self._link.send(call)
        except RevertedError as error:
            raise _explained(method, error) from error
        except UnavailableError as error:
            raise _unsure(method, error) from error

    async def _check_delegate(self) -> None:
        check_delegate((await self.members()).members, self._me.index)


def _log_asked(event: str, asked_by: str, **said: object) -> None:
    """Keep who had this member say what; all of it is public."""
    _log.warning(event, asked_by=asked_by[:_ASKED_BY_CHARS_MAX], **said)


def _described(call: RawCall) -> dict[str, object]:
    try:
        decides = decode_proposal(call.target, call.data).method
    except InvalidError:
        decides = "not understood"
    return {"decides": decides, "target": call.target, "call": call.data.hex()}


def _explained(method: str, error: RevertedError) -> RevertedError:
    """Say in words why the ledger refused a transaction."""
    reason = str(error) if error.code is ErrorCode.REVERTED else CATALOGUE[error.code].public
    if _contract(method) == "governance" and error.code not in _OF_VOTING:
        reason = (
            f"this would decide the proposal, but its call is refused: {reason} Nothing was counted; try again later."
        )
    return RevertedError(reason, error.code)


def _unsure(method: str, error: UnavailableError) -> UnavailableError:
    """Say what may have become of a transaction that was not seen in a block in time."""
    hint = (
        "too few validators are there, or this daemon is cut off from them (mpcnode status); a block that it has not "
        f"seen may hold the transaction: look with {_SHOWN_BY[_contract(method)]} before you try again"
    )
    return UnavailableError(f"{error}; {hint}", error.code)


def _contract(method: str) -> str:
    return method.partition(".")[0]
