"""What the dealer deals to a session: a seed for each node, corrections for the last, and the record that binds them.

Seeds follow from the dealer's master key and the session id, so a restarted dealer deals the same again and an audit
finds them without keeping any; no two sessions share an id, and no node runs a session twice. Corrections are dealt
when the last node asks for them, chunk by chunk, and none are kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.types import ChainId, Digest
from mpcnode.mpc import Batch, deal
from mpcnode.query.messages import Deal
from mpcnode.query.statements import (
    CorrectionsStatement,
    DealStatement,
    encode_corrections_statement,
    encode_deal_statement,
)
from mpcnode.roles.ports import DealtCorrections
from mpcnode.sealing.commitments import corrections_hash, seed_hash, seeds_hash, statement_hash
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import MemberIndex, SessionId

MASTER_BYTES = 32

_PERSON = b"mpcnode-deal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Everything that is dealt to one session."""

    chain: ChainId
    session: SessionId
    committee: tuple[MemberIndex, ...]
    """In rank order."""
    batch: Batch
    statement: bytes
    seed_hashes: tuple[bytes, ...]
    seeds: tuple[bytes, ...] = field(repr=False)
    salts: tuple[bytes, ...] = field(repr=False)

    @property
    def deal_hash(self) -> Digest:
        """What accepts and ends name."""
        return statement_hash(self.statement)

    def messages(self, key: SigningKey) -> tuple[Deal, ...]:
        """What each node is sent, in rank order."""
        signature = key.sign(self.statement)
        return tuple(
            Deal(
                statement=self.statement,
                signature=signature,
                seed_hashes=self.seed_hashes,
                seed=seed,
                salt=salt,
            )
            for seed, salt in zip(self.seeds, self.salts, strict=True)
        )

    def corrections(self, chunk: int, key: SigningKey) -> DealtCorrections:
        """Make a chunk's corrections for the last node, the same ones whenever it is done.

        Raises:
            ValueError: there is no such chunk.
        """
        data = deal(self.batch.program(chunk), self.session, self.seeds, chunk=chunk)
        stated = CorrectionsStatement(
            chain=self.chain, session=self.session, chunk=chunk, corrections_hash=corrections_hash(data)
        )
        return DealtCorrections(data, key.sign(encode_corrections_statement(stated)))


def deal_session(
    chain: ChainId, master: bytes, session: SessionId, committee: Sequence[MemberIndex], batch: Batch
) -> Dealt:
    """Deal to a session.

    Args:
        chain: the consortium's.
        master: the dealer's master key, 32 bytes.
        session: the session.
        committee: in rank order.
        batch: what it will run.
    """
    seeds = tuple(_derive(master, session, node, b"seed") for node in committee)
    salts = tuple(_derive(master, session, node, b"salt") for node in committee)
    hashes = tuple(
        seed_hash(session, node, seed, salt) for node, seed, salt in zip(committee, seeds, salts, strict=True)
    )
    stated = DealStatement(
        chain=chain,
        session=session,
        seeds_hash=seeds_hash(hashes),
        chunks=batch.chunks,
        correcting=committee[-1],
    )
    return Dealt(
        chain=chain,
        session=session,
        committee=tuple(committee),
        batch=batch,
        statement=encode_deal_statement(stated),
        seed_hashes=hashes,
        seeds=seeds,
        salts=salts,
    )


def _derive(master: bytes, session: SessionId, node: MemberIndex, what: bytes) -> bytes:
    return hashlib.blake2b(session + bytes((node,)) + what, digest_size=32, key=master, person=_PERSON).digest()
