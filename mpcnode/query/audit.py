"""What the supervisor checks, as pure functions over opened bytes (docs/protocol.md section 3, step 7).

A bad contribution raises `InputError` with the stage at which it failed; a bad computation is a `Finding`. Replaying
the session is `mpcnode.mpc`'s, opening boxes `mpcnode.sealing`'s; here what they gave is compared.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger.types import PublicKey
from mpcnode.errors import InputError, SealedBoxError
from mpcnode.mpc.sharing import RowContext, RowShape, split_row
from mpcnode.query.contribution import AuditRecord, decode_audit_record, decode_columns
from mpcnode.query.request import Request
from mpcnode.query.statements import EndStatement
from mpcnode.query.view import QueryView
from mpcnode.scorecard import Attribute, Columns
from mpcnode.sealing.blobs import BlobReference
from mpcnode.sealing.commitments import OutputShare, ShareLabel, opens_output, opens_share
from mpcnode.sealing.envelopes import Opened, has_archive_wrap, open_by_audit
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import (
    SubjectCopy,
    copy_opens,
    read_batch_copy,
    read_supervisor_copy,
    subject_binding,
)
from mpcnode.types import NOBODY, AuditStage, EpochKeys, MemberIndex, Pseudonym, SessionId, Verdict

PLACE_MAX = 2**16 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an audit says: the arguments of `queries.attest` after query and attempt."""

    verdict: Verdict
    member: int = NOBODY
    """Who is at fault."""
    stage: AuditStage = AuditStage.NONE
    chunk: int = 0
    round: int = 0

    def place(self, rounds: int) -> int:
        """Return chunk and round as the ledger has them: counted through all chunks of so many rounds; 16 bits."""
        return min(self.chunk * rounds + self.round, PLACE_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedInput:
    """A contribution that passed every check."""

    record: AuditRecord
    sent: tuple[bytes, ...] = field(repr=False)
    """What each node was sent, in rank order: the input of the replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the auditor gathered of one result; None where it could not."""

    view: QueryView
    deal_hash: bytes | None
    """Of the dealer's record for the session."""
    dealer: int = NOBODY
    """Who dealt to the session."""
    transcript_hash: bytes | None
    """Of the replay."""
    has_seeds: bool = True
    """Whether a replay is possible; False where the committee made its correlations."""
    outputs: Mapping[MemberIndex, OutputShare | None]
    """Opened supervisor boxes; None for one that does not open."""
    bodies: Mapping[MemberIndex, bytes | None]
    """The output shares themselves, of all subjects; None for what a box does not lead to."""
    replayed: Mapping[MemberIndex, bytes] | None = None
    """Output shares that honest nodes would have, where the auditor has worked them out one by one."""
    clear: bytes | None = field(repr=False)
    """The output that the model gives in clear over the audited inputs."""
    joint: bytes | None = field(repr=False)
    """What the output shares make, the mask taken off."""


def open_envelope(envelope: bytes, keys: EpochKeys, audit_key: OpeningKey) -> Opened:
    """Open an envelope and check that the archive can open it too.

    Raises:
        InputError: it does not open, or the archive could not open it.
    """
    try:
        opened = open_by_audit(envelope, keys.epoch, audit_key)
    except SealedBoxError as error:
        raise InputError(str(error), AuditStage.ENVELOPE) from error
    if not has_archive_wrap(envelope, opened, keys.archive):
        raise InputError("envelope: expected the archive's wrap of the same key, got another", AuditStage.ENVELOPE)
    return opened


def check_copy(opened: Opened, request: Request, inquirer: PublicKey, subject_key: bytes) -> SubjectCopy:
    """Return the subject of a query, if the supervisor copy opens S.

    Raises:
        InputError: the copy has another layout, or names another subject than the request is bound to.
    """
    try:
        copy = read_supervisor_copy(opened.plaintext)
    except SealedBoxError as error:
        raise InputError(str(error), AuditStage.SUBJECT) from error
    if not copy_opens(
        copy, subject_key, chain=request.chain, query=request.query, inquirer=inquirer, binding=request.binding
    ):
        raise InputError("supervisor copy: expected the subject that S binds, got another", AuditStage.SUBJECT)
    return copy


def batch_copy(opened: Opened, request: Request) -> tuple[BlobReference, bytes]:
    """Return where the identifiers of many subjects are, and the query's nonce.

    Raises:
        InputError: the copy has another layout, or leads to another blob than the request names.
    """
    try:
        reference, nonce = read_batch_copy(opened.plaintext)
    except SealedBoxError as error:
        raise InputError(str(error), AuditStage.SUBJECT) from error
    if reference.blob != request.identifiers:
        raise InputError("supervisor copy: expected the blob that the request names, got another", AuditStage.SUBJECT)
    return reference, nonce


def check_pseudonyms(root: Pseudonym, nonce: bytes, request: Request, inquirer: PublicKey) -> None:
    """Check that S binds the pseudonyms of many subjects.

    Raises:
        InputError: it binds others.
    """
    binding = subject_binding(request.chain, request.query, inquirer, root, nonce)
    if not hmac.compare_digest(binding, request.binding):
        raise InputError("supervisor copy: expected the subjects that S binds, got others", AuditStage.SUBJECT)


def check_input(
    plaintext: bytes, view: QueryView, participant: MemberIndex, shape: RowShape, attributes: Sequence[Attribute]
) -> AuditedInput:
    """Return a participant's contribution after every check of its audit record; of one subject, of its values too.

    Args:
        plaintext: of the participant's audit envelope.
        view: of the query, with the participant's commitments.
        participant: who committed it.
        shape: of its row of all the query's subjects.
        attributes: of its row, in order.

    Raises:
        InputError: with the stage: layout and labels, commitments, or values.
    """
    record = decode_audit_record(plaintext, shape, len(view.committee))
    _check_labels(record, view, participant)
    if shape.subjects == 1:
        context = RowContext(query=view.query, attempt=view.attempt, participant=participant)
        sent = split_row(record.row, shape, context, view.committee, record.seeds)
    else:
        sent = (*record.seeds, record.row)
    for node, given, salt, commitment in zip(
        view.committee, sent, record.salts, view.commitments[participant], strict=True
    ):
        label = ShareLabel(
            chain=view.terms.chain, query=view.query, attempt=view.attempt, participant=participant, node=node
        )
        if not opens_share(label, given, salt, commitment):
            raise InputError(
                f"audit record: expected what opens the commitment for node {node}, got something else",
                AuditStage.COMMITMENT,
            )
    if shape.subjects == 1:
        check_rows(record.row, shape, attributes)
    return AuditedInput(record=record, sent=sent)


def check_rows(row: bytes, shape: RowShape, attributes: Sequence[Attribute]) -> Columns:
    """Return what a row says, if every value lies in its attribute's declared range.

    Whatever nodes were sent, their shares make one residue for each value, which stands for one signed number of the
    row's width; and values have 4 bytes only if all declared ranges do. So a number outside its range is always seen.

    Raises:
        InputError: it is no row, or a value does not; the message names the attribute, never the value.
    """
    columns = decode_columns(row, shape)
    for attribute, values, present in zip(attributes, columns.values, columns.present, strict=True):
        if ((values < attribute.minimum) | (values > attribute.maximum))[present].any():
            raise InputError(
                f"attribute {attribute.name}: expected {attribute.minimum} to {attribute.maximum}, got another value"
            )
    return columns


def _check_labels(record: AuditRecord, view: QueryView, participant: MemberIndex) -> None:
    named = (record.query, record.attempt, record.participant, record.model)
    if named != (view.query, view.attempt, participant, view.model):
        raise InputError(
            f"audit record: expected query, attempt, participant and model of member {participant}, got others",
            AuditStage.ENVELOPE,
        )
    if not hmac.compare_digest(record.request_hash, view.request_hash):
        raise InputError("audit record: expected the hash of this request, got another", AuditStage.ENVELOPE)


def judge(evidence: Evidence) -> Finding:
    """Return the verdict on a posted result. What is wrong weighs more than what is missing."""
    view = evidence.view
    if view.result is None or view.session is None:
        return Finding(verdict=Verdict.INCOMPLETE, stage=AuditStage.SESSION)
    ends = dict(zip(view.committee, view.result.ends, strict=True))
    findings = (
        _judge_session(ends, view.session, evidence),
        _judge_transcript(ends, evidence),
        _judge_outputs(ends, view.session, evidence),
        _judge_outcome(evidence),
    )
    for verdict in (Verdict.MISMATCH, Verdict.INCOMPLETE):
        for finding in findings:
            if finding.verdict is verdict:
                return finding
    return Finding(verdict=Verdict.MATCH)


_MATCH = Finding(verdict=Verdict.MATCH)


def _judge_session(ends: Mapping[MemberIndex, EndStatement], session: SessionId, evidence: Evidence) -> Finding:
    for member, end in ends.items():
        if end.session != session:
            return Finding(verdict=Verdict.MISMATCH, member=member, stage=AuditStage.SESSION)
    if evidence.deal_hash is None:
        return Finding(verdict=Verdict.INCOMPLETE, stage=AuditStage.SESSION)
    if any(not hmac.compare_digest(end.deal_hash, evidence.deal_hash) for end in ends.values()):
        # the contract takes ends of one deal only, and an honest node among them signs none that was not dealt
        return Finding(verdict=Verdict.MISMATCH, member=evidence.dealer, stage=AuditStage.SESSION)
    return _MATCH


def _judge_transcript(ends: Mapping[MemberIndex, EndStatement], evidence: Evidence) -> Finding:
    """The committee signed one transcript hash: if the replay gives another, only the frames say who deviated."""
    if not evidence.has_seeds:
        return _MATCH  # honest nodes among the committee have compared its transcripts; nobody else can
    if evidence.transcript_hash is None:
        return Finding(verdict=Verdict.INCOMPLETE, stage=AuditStage.TRANSCRIPT)
    if all(hmac.compare_digest(end.transcript_hash, evidence.transcript_hash) for end in ends.values()):
        return _MATCH
    return Finding(verdict=Verdict.MISMATCH, stage=AuditStage.TRANSCRIPT)


def _judge_outputs(ends: Mapping[MemberIndex, EndStatement], session: SessionId, evidence: Evidence) -> Finding:
    for member, end in ends.items():
        output = evidence.outputs.get(member)
        fault = Finding(verdict=Verdict.MISMATCH, member=member, stage=AuditStage.OUTPUT)
        if output is None or not opens_output(
            output, query=evidence.view.query, session=session, node=member, commitment=end.output_commitment
        ):
            return fault
        body = evidence.bodies.get(member)
        if body is None:
            return fault
        if evidence.replayed is not None and not hmac.compare_digest(body, evidence.replayed[member]):
            return fault
    return _MATCH


def _judge_outcome(evidence: Evidence) -> Finding:
    if evidence.clear is None:
        return Finding(verdict=Verdict.INCOMPLETE, stage=AuditStage.OUTPUT)
    if evidence.clear != evidence.joint:
        return Finding(verdict=Verdict.MISMATCH, stage=AuditStage.OUTPUT)
    return _MATCH
