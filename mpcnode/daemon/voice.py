"""The member's voice in the consortium, as its administrators use it over the control socket."""

import structlog

from ledger.errors import InvalidError
from ledger.replica import Replica
from ledger.replica.rejoining import Rejoin
from ledger.types import PublicKey, Signature
from mpcnode.errors import ErrorCode, NotAllowedError, RequestError
from mpcnode.governance.standing import Members, Names, read_members
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import Member

_log = structlog.get_logger(__name__)


class MemberVoice:
    """`rpc.governance.Voice` of one daemon."""

    def __init__(self, *, names: Names, me: Member, key: SigningKey, replica: Replica) -> None:
        """Take what people call members, who speaks, its identity key, and the own replica."""
        self._names = names
        self._me = me
        self._key = key
        self._replica = replica

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

    async def _check_delegate(self) -> None:
        members = (await self.members()).members
        mine = next(member for member in members if member.index == self._me.index)
        if mine.is_delegate:
            return
        speaker = next((m.name for m in members if m.company == mine.company and m.is_delegate), None)
        instead = "no member of it is active" if speaker is None else f"that is {speaker}"
        raise NotAllowedError(
            f"{mine.name}: expected the delegate of {mine.company_name}, got another of its members; {instead}"
        )
