"""A consortium of n validators, and the six transactions of each of its queries, all from fixed seeds."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from ledger.contract import encode_args
from ledger.encoding import encode_transaction, transaction_id, transaction_statement
from ledger.types import (
    ChainId,
    Cosignature,
    Digest,
    EpochRecord,
    Genesis,
    InquirerRecord,
    MemberRecord,
    Millis,
    ModelRecord,
    Signature,
    Transaction,
    TxId,
)
from mpcnode.query.committee import choose_committee, panel_of
from mpcnode.query.request import Request, encode_request
from mpcnode.query.statements import EndStatement, encode_end_statement
from mpcnode.sealing.keys import SigningKey
from mpcnode.sealing.pseudonyms import SCHEME
from mpcnode.types import (
    Attempt,
    Commitment,
    CompanyIndex,
    Epoch,
    Member,
    MemberIndex,
    ModelHash,
    QueryId,
    Role,
    SealingKey,
    SessionId,
    Verdict,
    members_of,
)

TXS_PER_QUERY = 6
"""register, three commit_input, post_result, attest."""

_EPOCH = Epoch(1)
_CLASSES = 1
_NODES = 3
_LIFE_MS = 3_000_000
"""Expiry and deadlines: longer than a benchmark, shorter than the hour that an expiry may lie ahead."""
_AFTER_RELEASE = 2


def _seed(name: str, size: int = 32) -> bytes:
    return hashlib.shake_256(f"mpcnode benchmark: {name}".encode()).digest(size)


def _digest(name: str) -> Digest:
    return Digest(_seed(name))


_CHAIN = ChainId(_seed("chain"))
_MODEL = ModelHash(_digest("model"))
_INQUIRER = SigningKey(_seed("inquirer"))
_COPY = _seed("supervisor copy", 312)


@dataclass(frozen=True, slots=True)
class Call:
    """A signed transaction."""

    tx_id: TxId
    data: bytes


@dataclass(frozen=True)
class Consortium:
    """n companies of one member, a validator each: 0 is operator and supervisor, 1 to 3 compute and contribute."""

    validators: int

    def identity(self, member: int) -> SigningKey:
        """Key of a member."""
        return SigningKey(_seed(f"identity {member}"))

    def vote_key(self, member: int) -> SigningKey:
        """Key of a validator."""
        return SigningKey(_seed(f"vote {member}"))

    @cached_property
    def genesis(self) -> Genesis:
        """The consortium document's content."""
        return Genesis(
            chain=_CHAIN,
            companies=tuple(f"company-{index}" for index in range(self.validators)),
            members=tuple(
                MemberRecord(
                    name=member.name,
                    company=member.company,
                    roles=int(member.roles),
                    identity=member.identity,
                    vote_key=self.vote_key(member.index).public,
                    classes=member.classes,
                )
                for member in self._members
            ),
            models=(
                ModelRecord(
                    model=Digest(_MODEL), classes=_CLASSES, minimum=2, mode=_AFTER_RELEASE, purposes=("credit",)
                ),
            ),
            inquirers=(InquirerRecord(key=_INQUIRER.public, company=0, quota_per_day=1_000_000),),
            epoch=EpochRecord(epoch=_EPOCH, audit_key=_seed("audit"), archive_key=_seed("archive")),
        )

    @cached_property
    def _members(self) -> tuple[Member, ...]:
        return tuple(
            Member(
                index=MemberIndex(index),
                name=f"member-{index}",
                company=CompanyIndex(index),
                roles=_roles(index),
                identity=self.identity(index).public,
                sealing=SealingKey(_seed(f"sealing {index}")),
                classes=_CLASSES if Role.PARTICIPANT in _roles(index) else 0,
            )
            for index in range(self.validators)
        )

    def query(self, number: int, now: Millis) -> tuple[Call, ...]:
        """Return a query's transactions; each succeeds if those before it are final.

        Args:
            number: tells queries apart.
            now: time of the first block that may hold them; they hold for the next 50 minutes.
        """
        query = QueryId(_seed(f"query {number}"))
        panel = panel_of(self._members, _CLASSES)
        committee = choose_committee(query, 1, self._members, panel=panel, excluded=0, companies_min=3)
        request = encode_request(
            Request(
                chain=_CHAIN,
                query=query,
                model=_MODEL,
                panel=panel,
                purpose="credit",
                consent_hash=_digest("consent"),
                contribute_by=Millis(now + _LIFE_MS - 1),
                deadline=Millis(now + _LIFE_MS),
                result_key=SealingKey(_seed("result key")),
                scheme=SCHEME,
                binding=_digest(f"binding {number}"),
                copy_hash=Digest(hashlib.sha256(_COPY).digest()),
                tokens_root=_digest(f"tokens {number}"),
                epoch=_EPOCH,
            )
        )
        register = encode_args("queries.register", _COPY, list(committee.pool_order))
        calls = [self._call(0, "queries.register", register, now, [(_INQUIRER, request)])]
        for member in members_of(panel):
            commitments = [_seed(f"commitment {number} {member} {node}") for node in range(_NODES)]
            envelope = _seed(f"envelope {number} {member}", 600)
            args = encode_args("queries.commit_input", query, 1, commitments, envelope)
            calls.append(self._call(member, "queries.commit_input", args, now))
        ends = [(self.identity(node), _end(query, node)) for node in committee.members]
        boxes = [b"".join(_boxes(query, node)[kind] for node in committee.members) for kind in (0, 1)]
        post = encode_args("queries.post_result", query, 1, *boxes)
        calls.append(self._call(committee.members[0], "queries.post_result", post, now, ends))
        attest = encode_args("queries.attest", query, 1, int(Verdict.MATCH), 255, 0, 0, b"")
        calls.append(self._call(0, "queries.attest", attest, now))
        return tuple(calls)

    def _call(
        self,
        sender: int,
        method: str,
        args: bytes,
        now: Millis,
        cosigned: list[tuple[SigningKey, bytes]] | None = None,
    ) -> Call:
        key = self.identity(sender)
        unsigned = Transaction(
            chain=_CHAIN,
            sender=key.public,
            expiry_ms=Millis(now + _LIFE_MS),
            unique=hashlib.sha256(args).digest()[:16],
            method=method,
            args=args,
            cosigners=tuple(
                Cosignature(key=who.public, statement=stated, signature=who.sign(stated))
                for who, stated in cosigned or ()
            ),
            signature=Signature(bytes(64)),
        )
        signed = replace(unsigned, signature=key.sign(transaction_statement(unsigned)))
        return Call(transaction_id(signed), encode_transaction(signed))


def _roles(index: int) -> Role:
    if index == 0:
        return Role.OPERATOR | Role.SUPERVISOR
    return Role.MPC | Role.PARTICIPANT if index <= _NODES else Role.OPERATOR


def _boxes(query: QueryId, node: MemberIndex) -> tuple[bytes, bytes]:
    """Output share for the inquirer and for the supervisor, in their sizes."""
    return _seed(f"inquirer box {query.hex()} {node}", 160), _seed(f"supervisor box {query.hex()} {node}", 288)


def _end(query: QueryId, node: MemberIndex) -> bytes:
    inquirer_box, supervisor_box = _boxes(query, node)
    return encode_end_statement(
        EndStatement(
            chain=_CHAIN,
            query=query,
            attempt=Attempt(1),
            session=SessionId(_digest(f"session {query.hex()}")),
            deal_hash=_digest("deal"),
            transcript_hash=_digest("transcript"),
            output_commitment=Commitment(_digest(f"output {node}")),
            inquirer_box_hash=Digest(hashlib.sha256(inquirer_box).digest()),
            supervisor_box_hash=Digest(hashlib.sha256(supervisor_box).digest()),
        )
    )
