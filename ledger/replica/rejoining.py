"""Leave for a validator that lost its log to vote again, given by the companies (docs/ledger.md, start).

A replica without its log cannot know what it signed. When more than f are in that state no height is decided any more,
and nobody inside the protocol can help. So people outside it say from which height on the log is whole again: more than
two thirds of the companies sign one statement for one vote key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ledger.chain import Verify
from ledger.encoding import statement
from ledger.errors import InvalidError
from ledger.types import ChainId, Height, Millis, PublicKey, ReplicaId, Signature, Vote

REJOIN_MS_MAX = 7 * 86_400_000
"""How far ahead a statement may expire: it is for the trouble of today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoin:
    """What companies sign: this key has signed nothing at `sign_from` or above."""

    chain: ChainId
    replica: ReplicaId
    """Member index of the validator."""
    vote_key: PublicKey
    sign_from: Height
    """Lowest height at which it signs again: the one that the network is stuck at."""
    expires_ms: Millis
    """Until when the statement can be signed and applied."""

    def statement(self) -> bytes:
        """Return what is signed (docs/protocol.md 1.1)."""
        return statement("ledger/rejoin/1", self.chain, self.replica, self.vote_key, self.sign_from, self.expires_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a replica stands, as far as a statement is concerned."""

    chain: ChainId
    head: Height
    """Its newest final block."""
    validators: Mapping[ReplicaId, PublicKey]
    """Vote keys of the set that decides the next height."""
    newest_vote: Vote | None
    """The newest vote of the statement's key that it knows."""


def check_rejoin(rejoin: Rejoin, position: Position, now: Millis) -> None:
    """Check what a replica can know of a statement: a signer's before it signs, and the one that it is for.

    The height must be the one that is being decided here. Below it the validator may have voted for what is final;
    above it nobody can say; and where the network goes on, it needs no leave but waits for the next height.

    Raises:
        InvalidError: the statement is another chain's or key's, or out of time; the height is another; or a vote of the
            key at that height is known.
    """
    if rejoin.chain != position.chain:
        raise InvalidError(f"rejoin: expected chain {position.chain.hex()}, got {rejoin.chain.hex()}")
    key = position.validators.get(rejoin.replica)
    if key != rejoin.vote_key:
        expected = "none, for it is no validator" if key is None else key.hex()
        raise InvalidError(
            f"rejoin: expected the vote key of replica {rejoin.replica} ({expected}), got {rejoin.vote_key.hex()}"
        )
    if not now <= rejoin.expires_ms <= now + REJOIN_MS_MAX:
        days, seconds = REJOIN_MS_MAX // 86_400_000, (rejoin.expires_ms - now) // 1000
        raise InvalidError(f"rejoin: expected an expiry in the next {days} days, got one {seconds} s from now")
    if rejoin.sign_from != position.head + 1:
        raise InvalidError(
            f"rejoin: expected height {position.head + 1}, for block {position.head} is the newest here, "
            f"got {rejoin.sign_from}"
        )
    vote = position.newest_vote
    if vote is not None and vote.height >= rejoin.sign_from:
        raise InvalidError(
            f"rejoin: expected no vote of replica {rejoin.replica} at height {rejoin.sign_from} or above, "
            f"got {vote.kind.name} at height {vote.height} in view {vote.view}"
        )


def check_signatures(
    rejoin: Rejoin,
    signatures: Mapping[PublicKey, Signature],
    company_of: Callable[[PublicKey], int | None],
    verify: Verify,
) -> int:
    """Check every signature of a statement; return how many companies signed it.

    Args:
        rejoin: the statement.
        signatures: of it, by identity key.
        company_of: the company whose delegate has an identity key; None if nobody's delegate has it.
        verify: checks an Ed25519 signature.

    Raises:
        InvalidError: a signature is wrong, or of somebody who does not speak for a company.
    """
    stated = rejoin.statement()
    companies = set()
    for key, signature in signatures.items():
        company = company_of(key)
        if company is None:
            raise InvalidError(f"rejoin: expected signatures of companies' delegates, got one of {key.hex()}")
        if not verify(key, stated, signature):
            raise InvalidError(f"rejoin: expected a signature of this statement by {key.hex()}, got another")
        companies.add(company)
    return len(companies)


def check_carried(signed: int, companies: int) -> None:
    """Check that more than two thirds of the companies signed.

    Raises:
        InvalidError: fewer did.
    """
    if not is_carried(signed, companies):
        raise InvalidError(f"rejoin: expected more than two thirds of {companies} companies, got {signed}")


def is_carried(signed: int, companies: int) -> bool:
    """Whether so many companies are more than two thirds of all."""
    return 3 * signed > 2 * companies
