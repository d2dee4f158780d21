"""What the dealer deals to a session: a seed for each node, corrections for the last, and the record that binds them.

Seeds follow from the dealer's master key and the session id, so a restarted dealer deals the same again and an audit
finds them without keeping any; no two sessions share an id, and no node runs a session twice.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.types import ChainId, Digest
from mpcnode.mpc import Batch, Dealer
from mpcnode.query.messages import Deal
from mpcnode.query.statements import DealStatement, encode_deal_statement
from mpcnode.sealing.commitments import chunk_hash, corrections_hash, seed_hash, seeds_hash, statement_hash
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import MemberIndex, SessionId

MASTER_BYTES = 32

_PERSON = b"mpcnode-deal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Everything that is dealt to one session."""

    statement: bytes
    seed_hashes: tuple[bytes, ...]
    seeds: tuple[bytes, ...] = field(repr=False)
    salts: tuple[bytes, ...] = field(repr=False)
    chunk_hashes: tuple[bytes, ...] = field(repr=False)
    corrections: bytes = field(repr=False)
    """Of the first chunk."""

    @property
    def deal_hash(self) -> Digest:
        """What accepts and ends name."""
        return statement_hash(self.statement)

    def messages(self, key: SigningKey) -> tuple[Deal, ...]:
        """What each node is sent, in rank order."""
        signature = key.sign(self.statement)
        last = len(self.seeds) - 1
        return tuple(
            Deal(
                statement=self.statement,
                signature=signature,
                seed_hashes=self.seed_hashes,
                seed=seed,
                salt=salt,
                chunk_hashes=self.chunk_hashes if rank == last else (),
                corrections=self.corrections if rank == last else b"",
            )
            for rank, (seed, salt) in enumerate(zip(self.seeds, self.salts, strict=True))
        )


def deal_session(
    chain: ChainId, master: bytes, session: SessionId, committee: Sequence[MemberIndex], batch: Batch
) -> Dealt:
    """Deal to a session; holds one chunk's corrections at a time, and only the first one's in the end.

    Args:
        chain: the consortium's.
        master: the dealer's master key, 32 bytes.
        session: the session.
        committee: in rank order.
        batch: what it will run.
    """
    seeds = tuple(_derive(master, session, node, b"seed") for node in committee)
    salts = tuple(_derive(master, session, node, b"salt") for node in committee)
    dealer = Dealer(batch, session, seeds)
    first = dealer.corrections(0)
    chunk_hashes = (chunk_hash(first), *(chunk_hash(dealer.corrections(chunk)) for chunk in range(1, batch.chunks)))
    hashes = tuple(
        seed_hash(session, node, seed, salt) for node, seed, salt in zip(committee, seeds, salts, strict=True)
    )
    stated = DealStatement(
        chain=chain,
        session=session,
        seeds_hash=seeds_hash(hashes),
        corrections_hash=corrections_hash(chunk_hashes),
        correcting=committee[-1],
    )
    return Dealt(
        statement=encode_deal_statement(stated),
        seed_hashes=hashes,
        seeds=seeds,
        salts=salts,
        chunk_hashes=chunk_hashes,
        corrections=first,
    )


def _derive(master: bytes, session: SessionId, node: MemberIndex, what: bytes) -> bytes:
    return hashlib.blake2b(session + bytes((node,)) + what, digest_size=32, key=master, person=_PERSON).digest()
