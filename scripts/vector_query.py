"""The query of the test vectors, step by step as docs/protocol.md section 3 has it, from fixed seeds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ledger import merkle
from ledger.types import ChainId, Digest, Height, Millis, Signature
from mpcnode.mpc.sharing import RowContext, RowShape, join_output, split_row
from mpcnode.query.committee import address_of, choose_committee, panel_of, rank_value
from mpcnode.query.contribution import AuditRecord, encode_audit_record, encode_contribution
from mpcnode.query.release import RELEASE_SECRET_BYTES, Release, seal_release
from mpcnode.query.request import Request, encode_request
from mpcnode.query.statements import (
    AcceptStatement,
    CorrectionsStatement,
    DealStatement,
    EndStatement,
    FlushStatement,
    ReleaseStatement,
    SharesStatement,
    decode_end_statement,
    encode_accept_statement,
    encode_corrections_statement,
    encode_deal_statement,
    encode_end_statement,
    encode_flush_statement,
    encode_release_statement,
    encode_shares_statement,
    frames_root,
)
from mpcnode.scorecard import Contribution
from mpcnode.sealing.boxes import seal
from mpcnode.sealing.commitments import (
    OutputShare,
    ShareLabel,
    commitments_root,
    consent_hash,
    corrections_hash,
    encode_output,
    masked_hash,
    output_commitment,
    seed_hash,
    seeds_hash,
    session_id,
    share_commitment,
    statement_hash,
)
from mpcnode.sealing.envelopes import seal_envelope
from mpcnode.sealing.keys import OpeningKey, SigningKey, certificate_statement
from mpcnode.sealing.pseudonyms import (
    SCHEME,
    SubjectToken,
    make_pseudonym,
    normalise,
    seal_supervisor_copy,
    seal_token,
    subject_binding,
)
from mpcnode.types import (
    Attempt,
    Commitment,
    CompanyIndex,
    Epoch,
    EpochKeys,
    Member,
    MemberIndex,
    ModelHash,
    QueryId,
    Role,
    SessionId,
    members_of,
)

NOW = Millis(1_800_000_000_000)
EPOCH = Epoch(7)
IDENTIFIER = " ab-1972\u00e9 "
HEIGHT = Height(41)
ROLES = (
    Role.OPERATOR,
    Role.MPC,
    Role.MPC,
    Role.MPC,
    Role.PARTICIPANT,
    Role.PARTICIPANT,
    Role.SUPERVISOR,
)
"""Of members 0 to 6, each of a company of its own; members 0 to 3 are validators."""
VALUES: Mapping[int, tuple[int | None, ...]] = {4: (-5, None, 2**40), 5: (None,)}
"""Of the two participants; member 5 does not know the subject."""
NARROW_VALUES: Mapping[int, tuple[int | None, ...]] = {4: (-5, None, 2**31 - 1), 5: (-(2**31),)}
"""What they would say to a model that asks for 32 bits."""
CLASSES = 0b11
SHARE_BYTES = 3

Vectors = dict[str, object]


def seed(name: str, size: int = 32) -> bytes:
    """Return the fixed bytes that stand for something random: SHAKE-256 of a name."""
    return hashlib.shake_256(f"mpcnode vectors: {name}".encode()).digest(size)


CHAIN = ChainId(hashlib.sha256(b"the consortium document of the vectors").digest())
QUERY = QueryId(seed("query id"))
MODEL = ModelHash(hashlib.sha256(b"the model document of the vectors").digest())
INQUIRER = SigningKey(seed("inquirer key"))
RESULT = OpeningKey(seed("result key"))
AUDIT, ARCHIVE = OpeningKey(seed("audit key")), OpeningKey(seed("archive key"))
KEYS = EpochKeys(epoch=EPOCH, audit=AUDIT.public, archive=ARCHIVE.public)
IDENTITIES = tuple(SigningKey(seed(f"identity {index}")) for index in range(len(ROLES)))
SEALING = tuple(OpeningKey(seed(f"sealing {index}")) for index in range(len(ROLES)))
VOTE_KEYS = tuple(SigningKey(seed(f"vote {index}")) for index in range(4))
MEMBERS = tuple(
    Member(
        index=MemberIndex(index),
        name=f"member-{index}",
        company=CompanyIndex(index),
        roles=role,
        identity=IDENTITIES[index].public,
        sealing=SEALING[index].public,
        classes=1 << (index - 4) if role is Role.PARTICIPANT else 0,
    )
    for index, role in enumerate(ROLES)
)
PANEL = panel_of(MEMBERS, CLASSES)
COMMITTEE = choose_committee(QUERY, 1, MEMBERS, panel=PANEL, excluded=0, companies_min=3)
ATTEMPT = Attempt(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request and what travels with it."""

    statement: bytes
    signature: Signature
    tokens: tuple[bytes, ...]
    supervisor_copy: bytes
    vectors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """One participant's contribution."""

    commitments: tuple[Commitment, ...]
    envelope: bytes
    vectors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What the committee signed and sealed at the end."""

    statements: tuple[bytes, ...]
    inquirer_boxes: bytes
    supervisor_boxes: bytes
    vectors: Vectors


def consortium() -> Vectors:
    """Keys, panel and committee."""
    return {
        "chain": CHAIN.hex(),
        "epoch": EPOCH,
        "now_ms": NOW,
        "model": MODEL.hex(),
        "members": [
            {
                "index": member.index,
                "roles": int(member.roles),
                "identity": member.identity.hex(),
                "sealing": member.sealing.hex(),
                "address": address_of(member.identity).hex(),
                "rank_value": f"{rank_value(QUERY, 1, member.index):064x}",
            }
            for member in MEMBERS
        ],
        "vote_keys": [key.public.hex() for key in VOTE_KEYS],
        "audit_key": AUDIT.public.hex(),
        "archive_key": ARCHIVE.public.hex(),
        "panel": f"{PANEL:x}",
        "committee": list(COMMITTEE.members),
        "pool_order": list(COMMITTEE.pool_order),
        "certificate_statement": certificate_statement(seed("certificate")).hex(),
    }


def ask() -> Asked:
    """Steps 1 of docs/protocol.md section 3."""
    identifier, subject_key, nonce = normalise(IDENTIFIER), seed("subject key"), seed("nonce")
    pseudonym = make_pseudonym(subject_key, identifier)
    binding = subject_binding(CHAIN, QUERY, INQUIRER.public, pseudonym, nonce)
    token = SubjectToken(query=QUERY, inquirer=INQUIRER.public, epoch=EPOCH, pseudonym=pseudonym, nonce=nonce)
    tokens = tuple(
        seal_token(token, SEALING[member].public, seed(f"token ephemeral {member}")) for member in members_of(PANEL)
    )
    copy = seal_supervisor_copy(identifier, nonce, KEYS, seed("supervisor copy", 96))
    stated = encode_request(
        Request(
            chain=CHAIN,
            query=QUERY,
            model=MODEL,
            panel=PANEL,
            purpose="credit",
            consent_hash=consent_hash(seed("consent salt"), b"consent 2026/17"),
            contribute_by=Millis(NOW + 10_000),
            deadline=Millis(NOW + 60_000),
            result_key=RESULT.public,
            scheme=SCHEME,
            binding=binding,
            copy_hash=Digest(hashlib.sha256(copy).digest()),
            tokens_root=merkle.root(tokens),
            epoch=EPOCH,
        )
    )
    signature = INQUIRER.sign(stated)
    vectors: Vectors = {
        "identifier": IDENTIFIER,
        "normalised": identifier.hex(),
        "pseudonym": pseudonym.hex(),
        "binding": binding.hex(),
        "inquirer": INQUIRER.public.hex(),
        "result_key": RESULT.public.hex(),
        "tokens": [item.hex() for item in tokens],
        "supervisor_copy": copy.hex(),
        "statement": stated.hex(),
        "signature": signature.hex(),
        "request_hash": statement_hash(stated).hex(),
    }
    return Asked(statement=stated, signature=signature, tokens=tokens, supervisor_copy=copy, vectors=vectors)


def contribute(participant: MemberIndex, asked: Asked) -> Contributed:
    """Step 4, for one participant."""
    values = VALUES[participant]
    row = encode_contribution(Contribution(known=any(value is not None for value in values), values=values))
    nodes = COMMITTEE.members
    salts = tuple(seed(f"share salt {participant} {node}") for node in nodes)
    sent = _split(participant, row, RowShape(len(values)))
    labels = [
        ShareLabel(chain=CHAIN, query=QUERY, attempt=ATTEMPT, participant=participant, node=node) for node in nodes
    ]
    commitments = tuple(
        share_commitment(label, given, salt) for label, given, salt in zip(labels, sent, salts, strict=True)
    )
    record = AuditRecord(
        query=QUERY,
        attempt=ATTEMPT,
        participant=participant,
        model=MODEL,
        request_hash=statement_hash(asked.statement),
        row=row,
        seeds=sent[:-1],
        salts=salts,
    )
    envelope = seal_envelope(encode_audit_record(record), KEYS, seed(f"envelope {participant}", 96))
    shares = [
        encode_shares_statement(
            SharesStatement(
                chain=CHAIN, query=QUERY, attempt=ATTEMPT, participant=participant, node=node, commitment=commitment
            )
        )
        for node, commitment in zip(nodes, commitments, strict=True)
    ]
    vectors: Vectors = {
        "participant": participant,
        "row": row.hex(),
        "sent": [item.hex() for item in sent],
        "commitments": [item.hex() for item in commitments],
        "audit_record": encode_audit_record(record).hex(),
        "envelope": envelope.hex(),
        "shares_statements": [item.hex() for item in shares],
        "shares_signatures": [IDENTITIES[participant].sign(item).hex() for item in shares],
    }
    return Contributed(commitments=commitments, envelope=envelope, vectors=vectors)


def _split(participant: MemberIndex, row: bytes, shape: RowShape) -> tuple[bytes, ...]:
    nodes = COMMITTEE.members
    seeds = tuple(seed(f"share seed {participant} {node}") for node in nodes[:-1])
    return split_row(row, shape, RowContext(query=QUERY, attempt=ATTEMPT, participant=participant), nodes, seeds)


def narrow_rows() -> list[Vectors]:
    """Rows of a model whose values have 32 bits, split with the seeds of `contribute`."""
    made: list[Vectors] = []
    for participant, values in NARROW_VALUES.items():
        row = encode_contribution(Contribution(known=True, values=values), 32)
        sent = _split(MemberIndex(participant), row, RowShape(len(values), ring=32))
        made.append({"participant": participant, "row": row.hex(), "sent": [item.hex() for item in sent]})
    return made


def compute(contributions: Mapping[MemberIndex, Contributed]) -> Computed:
    """Steps 5 and 6: session, deal, accepts, one flush, ends and boxes."""
    inputs_root = commitments_root({member: item.commitments for member, item in contributions.items()})
    nodes = COMMITTEE.members
    session = session_id(
        chain=CHAIN,
        query=QUERY,
        attempt=ATTEMPT,
        model=MODEL,
        committee=nodes,
        inputs_root=inputs_root,
        height=HEIGHT,
    )
    hashes = [seed_hash(session, node, seed(f"deal seed {node}"), seed(f"deal salt {node}")) for node in nodes]
    deal = encode_deal_statement(
        DealStatement(
            chain=CHAIN,
            session=session,
            seeds_hash=seeds_hash(hashes),
            chunks=1,
            correcting=nodes[-1],
        )
    )
    corrections = encode_corrections_statement(
        CorrectionsStatement(
            chain=CHAIN, session=session, chunk=0, corrections_hash=corrections_hash(seed("corrections", 100))
        )
    )
    accept = encode_accept_statement(AcceptStatement(chain=CHAIN, session=session, deal_hash=statement_hash(deal)))
    flush = encode_flush_statement(
        FlushStatement(
            chain=CHAIN,
            sender=nodes[0],
            receiver=nodes[1],
            number=1,
            frames_root=frames_root([(session, 0, 1, seed("frame", 20)), (session, 1, 2, b"")]),
        )
    )
    ends = [_end(node, session, statement_hash(deal)) for node in nodes]
    vectors: Vectors = {
        "height": HEIGHT,
        "inputs_root": inputs_root.hex(),
        "session": session.hex(),
        "seed_hashes": [item.hex() for item in hashes],
        "deal_statement": deal.hex(),
        "deal_signature": IDENTITIES[6].sign(deal).hex(),
        "deal_hash": statement_hash(deal).hex(),
        "corrections_statement": corrections.hex(),
        "corrections_signature": IDENTITIES[6].sign(corrections).hex(),
        "accept_statement": accept.hex(),
        "accept_signatures": [IDENTITIES[node].sign(accept).hex() for node in nodes],
        "flush_statement": flush.hex(),
        "ends": [vector for _, _, _, vector in ends],
    }
    return Computed(
        statements=tuple(stated for stated, _, _, _ in ends),
        inquirer_boxes=b"".join(box for _, box, _, _ in ends),
        supervisor_boxes=b"".join(box for _, _, box, _ in ends),
        vectors=vectors,
    )


def _end(node: MemberIndex, session: SessionId, deal_hash: Digest) -> tuple[bytes, bytes, bytes, Vectors]:
    share, salt = seed(f"output share {node}", SHARE_BYTES), seed(f"output salt {node}")
    plain = encode_output(OutputShare(query=QUERY, session=session, node=node, salt=salt, share=share))
    inquirer_box = seal(plain, RESULT.public, seed(f"inquirer box {node}"))
    supervisor_box = seal_envelope(plain, KEYS, seed(f"supervisor box {node}", 96))
    stated = encode_end_statement(
        EndStatement(
            chain=CHAIN,
            query=QUERY,
            attempt=ATTEMPT,
            session=session,
            deal_hash=deal_hash,
            transcript_hash=Digest(seed("transcript hash")),
            output_commitment=output_commitment(session, node, share, salt),
            inquirer_box_hash=Digest(hashlib.sha256(inquirer_box).digest()),
            supervisor_box_hash=Digest(hashlib.sha256(supervisor_box).digest()),
        )
    )
    vectors: Vectors = {
        "node": node,
        "output": plain.hex(),
        "inquirer_box": inquirer_box.hex(),
        "supervisor_box": supervisor_box.hex(),
        "statement": stated.hex(),
        "signature": IDENTITIES[node].sign(stated).hex(),
    }
    return stated, inquirer_box, supervisor_box, vectors


def release() -> Vectors:
    """Step 7 under audit before release: what an attestation with a match holds."""
    found = compute({member: contribute(member, ask()) for member in members_of(PANEL)})
    end = decode_end_statement(found.statements[0])
    shares = [seed(f"output share {node}", SHARE_BYTES) for node in COMMITTEE.members]
    stated = encode_release_statement(
        ReleaseStatement(
            chain=CHAIN,
            query=QUERY,
            attempt=ATTEMPT,
            session=end.session,
            transcript_hash=end.transcript_hash,
            masked_hash=masked_hash(end.session, join_output(shares), seed("release salt")),
        )
    )
    made = Release(
        statement=stated,
        signature=IDENTITIES[6].sign(stated),
        salt=seed("release salt"),
        mask=seed("mask", SHARE_BYTES),
    )
    return {
        "masked_output": join_output(shares).hex(),
        "statement": stated.hex(),
        "signature": made.signature.hex(),
        "release": seal_release(made, RESULT.public, KEYS, seed("release secrets", RELEASE_SECRET_BYTES)).hex(),
    }
