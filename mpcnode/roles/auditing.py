"""One audit, without waiting for anything: open the envelopes, evaluate in clear, replay, open the result, judge.

Pure but for its size and for blobs, which are read where they are; chunk by chunk it is the worker thread's.
`roles.auditor` drives it. What it holds does not grow with the subjects but for a few bytes of output each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from ledger.types import ChainId, Digest, InquirerRecord, PublicKey
from mpcnode.errors import InputError, LocalError, RequestError, SealedBoxError, ShareError
from mpcnode.mpc import Batch, Part, Replay, deal, join_output, join_replays, rehearse, replay, replay_chunks
from mpcnode.query.audit import (
    AuditedInput,
    Evidence,
    Finding,
    batch_copy,
    check_copy,
    check_input,
    check_pseudonyms,
    check_rows,
    judge,
    open_envelope,
)
from mpcnode.query.blame import ExpectedChunk
from mpcnode.query.contribution import decode_columns
from mpcnode.query.statements import data_hash
from mpcnode.query.view import QueryView
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.ports import BlobsPort
from mpcnode.roles.rows import Sent, SharedRows, recut, rows_in_clear, shapes_of, shares
from mpcnode.scorecard import Attribute, Layout, encode_outcomes, evaluate_many, row_shapes
from mpcnode.sealing import commitments, envelopes
from mpcnode.sealing.blobs import REFERENCE_BYTES, BlobReference, decode_reference
from mpcnode.sealing.commitments import OutputShare, corrections_hash
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import (
    IDENTIFIER_BYTES_MAX,
    SUBJECTS_BLOCK,
    make_pseudonyms,
    pseudonyms_root,
    split_identifiers,
)
from mpcnode.types import NOBODY, AuditStage, EpochKeys, MemberIndex, SealingKey, SessionId, Verdict

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKeys:
    """What the supervisor opens and recomputes with, for queries of one epoch."""

    chain: ChainId
    epoch: EpochKeys
    audit: OpeningKey = field(repr=False)
    subject_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKeyring:
    """The supervisor's private keys, those of past epochs among them."""

    chain: ChainId
    audit: Mapping[SealingKey, OpeningKey] = field(repr=False)
    """By their public halves."""
    subject_key: bytes = field(repr=False)

    def of(self, view: QueryView, epoch: EpochKeys) -> AuditKeys:
        """Return what opens a query that was asked in an epoch.

        Raises:
            LocalError: the private half of its audit key is not here.
        """
        audit = self.audit.get(epoch.audit)
        if audit is None:
            where = f"query {view.query.hex()}: its epoch {epoch.epoch} has the audit key {epoch.audit.hex()}"
            raise LocalError(f"{where}, whose private half is not among the keys of this daemon")
        return AuditKeys(chain=self.chain, epoch=epoch, audit=audit, subject_key=self.subject_key)


class InputsRejectedError(Exception):
    """A contribution fails a check."""

    def __init__(self, participant: int, error: InputError) -> None:
        super().__init__(f"member {participant}: {error}")
        self.participant = participant
        """`NOBODY` if it is the inquirer's copy."""
        self.error = error
        self.stage = error.stage


@dataclass(frozen=True, slots=True)
class Auditing:
    """Where an audit finds itself."""

    dealer: MemberIndex
    blobs: BlobsPort


class AuditedRows(Protocol):
    """The rows of one attempt, as its audit envelopes show them. Asked for a chunk at a time, in a worker thread."""

    def clear(self, chunk: int) -> Sequence[bytes | None]:
        """Return the rows of a chunk in clear, in panel order; None for who did not contribute."""

    def shares(self, chunk: int) -> Sequence[Sequence[bytes | None]]:
        """Return every node's shares of the rows of a chunk, by node in rank order, then in panel order."""

    def output(self, chunk: int) -> bytes:
        """Return what the model says of a chunk's subjects in turn, evaluated in clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """What an honest session of an attempt leads to, known before the nodes are done."""

    dealt: Dealt
    rows: AuditedRows
    honest: Replay
    chunk_hashes: tuple[Digest, ...] = field(repr=False)
    """Transcripts of the honest chunks."""
    clear: bytes = field(repr=False)
    """The output that the model gives in clear."""

    @property
    def session(self) -> SessionId:
        """Which session."""
        return self.dealt.session


class _Ascending(Generic[T]):
    """Something of each chunk, which can only be read from the first on; going back begins anew."""

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self._begin = begin
        self._coming: Iterator[T] = iter(())
        self._present: tuple[int, T] | None = None

    def of(self, chunk: int) -> T:
        present = self._present
        if present is None or present[0] > chunk:
            self._coming = self._begin()
            present = (0, next(self._coming))
        while present[0] < chunk:
            present = (present[0] + 1, next(self._coming))
        self._present = present
        return present[1]


class ContributedRows:
    """Rows as participants shared them: in envelopes for one subject, in blobs for many."""

    def __init__(
        self,
        view: QueryView,
        layout: Layout,
        batch: Batch,
        inputs: Mapping[MemberIndex, AuditedInput],
        blobs: BlobsPort,
    ) -> None:
        """Take what passed every check, and where blobs are."""
        self._view = view
        self._layout = layout
        self._batch = batch
        self._inputs = inputs
        self._blobs = blobs
        self._clear = _Ascending(self._read_clear)
        self._shares = _Ascending(self._read_shares)

    def clear(self, chunk: int) -> Sequence[bytes | None]:
        """Return the rows of a chunk in clear, in panel order; None for who did not contribute."""
        of_chunk = self._clear.of(chunk)
        return [of_chunk.get(seated.member) for seated in self._layout.members]

    def shares(self, chunk: int) -> Sequence[Sequence[bytes | None]]:
        """Return every node's shares of the rows of a chunk, by node in rank order, then in panel order."""
        return self._shares.of(chunk)

    def output(self, chunk: int) -> bytes:
        """Return what the model says of a chunk's subjects in turn, evaluated in clear."""
        return _evaluate(self._layout, self._batch, chunk, self._clear.of(chunk))

    def _read_clear(self) -> Iterator[Mapping[MemberIndex, bytes]]:
        streams = {
            member: rows_in_clear(self._batch, _shared(self._view, self._layout, member), given.sent, self._blobs)
            for member, given in self._inputs.items()
        }
        for _ in range(self._batch.chunks):
            yield {member: next(stream) for member, stream in streams.items()}

    def _read_shares(self) -> Iterator[Sequence[Sequence[bytes | None]]]:
        ranks = range(len(self._view.committee))
        return zip(*(self._shares_of_node(rank) for rank in ranks), strict=True)

    def _shares_of_node(self, rank: int) -> Iterator[Sequence[bytes | None]]:
        view, layout = self._view, self._layout
        streams = {
            member: shares(
                self._batch, Sent(rows=_shared(view, layout, member), rank=rank, body=given.sent[rank]), self._blobs
            )
            for member, given in self._inputs.items()
        }
        for _ in range(self._batch.chunks):
            of_chunk = {member: next(stream) for member, stream in streams.items()}
            yield [of_chunk.get(seated.member) for seated in layout.members]


def open_input(keys: AuditKeys, view: QueryView, layout: Layout, participant: MemberIndex) -> AuditedInput:
    """Open and check the envelope of a contribution, the row of one subject included.

    Raises:
        InputsRejectedError: it fails.
    """
    try:
        plaintext = open_envelope(view.envelopes[participant], keys.epoch, keys.audit).plaintext
        shape = row_shapes(layout, view.terms.subjects)[_seat(layout, participant)]
        return check_input(plaintext, view, participant, shape, _attributes(layout, participant))
    except InputError as error:
        raise InputsRejectedError(participant, error) from error


def check_chunks(
    view: QueryView, layout: Layout, given: AuditedInput, *, batch: Batch, blobs: BlobsPort
) -> Iterator[int]:
    """Check many subjects' rows of a contribution, chunk by chunk; for worker threads.

    Yields:
        How many chunks have passed, after each.

    Raises:
        InputsRejectedError: a row fails.
    """
    participant = given.record.participant
    rows, attributes = _shared(view, layout, participant), _attributes(layout, participant)
    shapes, clear = shapes_of(batch, rows.seat), rows_in_clear(batch, rows, given.sent, blobs)
    try:
        for chunk, shape in enumerate(shapes, 1):
            check_rows(next(clear), shape, attributes)
            if chunk == len(shapes):
                next(clear, None)  # that nothing follows is known at the end
            yield chunk
    except InputError as error:
        raise InputsRejectedError(participant, error) from error
    except (SealedBoxError, RequestError, ShareError) as error:
        raise InputsRejectedError(participant, InputError(f"rows: {error}", AuditStage.ENVELOPE)) from error


def check_subjects(keys: AuditKeys, view: QueryView, inquirer: InquirerRecord, blobs: BlobsPort) -> None:
    """Open and check the supervisor copy: the same for every attempt of a query.

    Raises:
        InputsRejectedError: it fails; that is nobody's contribution.
    """
    try:
        _check_subjects(keys, view, inquirer.key, blobs)
    except InputError as error:
        raise InputsRejectedError(NOBODY, error) from error


def _check_subjects(keys: AuditKeys, view: QueryView, inquirer: PublicKey, blobs: BlobsPort) -> None:
    copy = open_envelope(view.supervisor_copy, keys.epoch, keys.audit)
    if view.terms.subjects == 1:
        check_copy(copy, view.terms, inquirer, keys.subject_key)
        return
    reference, nonce = batch_copy(copy, view.terms)
    try:
        root = pseudonyms_root(_pseudonyms(keys, view, reference, blobs))
    except (SealedBoxError, RequestError, ShareError) as error:
        raise InputError(f"identifiers: {error}", AuditStage.SUBJECT) from error
    check_pseudonyms(root, nonce, view.terms, inquirer)


def _pseudonyms(keys: AuditKeys, view: QueryView, reference: BlobReference, blobs: BlobsPort) -> Iterator[bytes]:
    whole, rest = divmod(view.terms.subjects, SUBJECTS_BLOCK)
    counts = [SUBJECTS_BLOCK] * whole + [rest] * bool(rest)
    for padded in recut(blobs.read(reference), (IDENTIFIER_BYTES_MAX * count for count in counts)):
        yield make_pseudonyms(keys.subject_key, split_identifiers(padded))


def _attributes(layout: Layout, participant: MemberIndex) -> list[Attribute]:
    return [layout.model.attributes[place] for place in layout.rows[_seat(layout, participant)]]


def _seat(layout: Layout, participant: MemberIndex) -> int:
    return [seated.member for seated in layout.members].index(participant)


def _shared(view: QueryView, layout: Layout, participant: MemberIndex) -> SharedRows:
    return SharedRows(
        query=view.query,
        attempt=view.attempt,
        participant=participant,
        seat=_seat(layout, participant),
        committee=view.committee,
    )


def _evaluate(layout: Layout, batch: Batch, chunk: int, rows: Mapping[MemberIndex, bytes]) -> bytes:
    shapes = batch.program(chunk).body.rows
    columns = {
        seated.member: decode_columns(rows[seated.member], shape)
        for seated, shape in zip(layout.members, shapes, strict=True)
        if seated.member in rows
    }
    return encode_outcomes(layout.model, evaluate_many(layout, columns, len(batch.subjects_of(chunk))))


def recompute_chunks(dealt: Dealt, rows: AuditedRows) -> Iterator[tuple[Replay, bytes]]:
    """Replay a session as one party and evaluate the model in clear; the nodes' result is not needed.

    Yields:
        Of each chunk, in order: what an honest one leads to, and the output in clear. One chunk's rows are held.
    """
    chunks = range(dealt.batch.chunks)
    replays = replay_chunks(dealt.batch, dealt.session, dealt.seeds, (rows.clear(chunk) for chunk in chunks))
    for chunk, replayed in zip(chunks, replays, strict=True):
        yield replayed, rows.output(chunk)


def recomputed(dealt: Dealt, rows: AuditedRows, chunks: Iterable[tuple[Replay, bytes]]) -> Recomputed:
    """Join what `recompute_chunks` yields: outputs and masks of all subjects, a byte or two for each."""
    replays, outputs = zip(*chunks, strict=True)
    return Recomputed(
        dealt=dealt,
        rows=rows,
        honest=join_replays(dealt.session, replays),
        chunk_hashes=tuple(replayed.transcript for replayed in replays),
        clear=b"".join(outputs),
    )


def audit_result(
    keys: AuditKeys,
    view: QueryView,
    known: Recomputed,
    at: "Auditing",
    replayed: Mapping[MemberIndex, bytes] | None = None,
) -> Finding:
    """Judge a posted result against the replay and the evaluation in clear.

    Args:
        keys: the auditor's.
        view: the query.
        known: what an honest session leads to.
        at: who dealt, and where blobs are.
        replayed: the output shares that honest nodes would have, if they were worked out: to say whose is wrong.
    """
    batch = known.dealt.batch
    outputs = _open_outputs(keys, view, batch)
    bodies = {member: _body(batch, member, output, at.blobs) for member, output in outputs.items()}
    return judge(
        Evidence(
            view=view,
            deal_hash=known.dealt.deal_hash,
            dealer=at.dealer,
            transcript_hash=known.honest.transcript,
            outputs=outputs,
            bodies=bodies,
            replayed=replayed,
            clear=known.clear,
            joint=_joint(bodies, known.honest.mask),
        )
    )


def audit_outcome(
    keys: AuditKeys, view: QueryView, *, batch: Batch, rows: AuditedRows, joint_hash: Digest, blobs: BlobsPort
) -> Finding:
    """Judge a posted result whose correlations the committee made: by the evaluation in clear, without a replay.

    A wrong answer is found as surely as by a replay. Who made it wrong is not; nor is a message that was wrong and did
    no harm to the answer.
    """
    outputs = _open_outputs(keys, view, batch)
    bodies = {member: _body(batch, member, output, blobs) for member, output in outputs.items()}
    return judge(
        Evidence(
            view=view,
            deal_hash=joint_hash,
            transcript_hash=None,
            has_seeds=False,
            outputs=outputs,
            bodies=bodies,
            clear=b"".join(rows.output(chunk) for chunk in range(batch.chunks)),
            joint=_joint(bodies),
        )
    )


def rejected(error: InputsRejectedError) -> Finding:
    """The verdict on a result that was computed from a bad contribution."""
    return Finding(verdict=Verdict.MISMATCH, member=error.participant, stage=error.stage)


def rehearsed(known: Recomputed, chunk: int) -> tuple[Part, ...]:
    """What each node had to send in a chunk, in rank order: every node's part, with its own share and seed."""
    dealt = known.dealt
    return rehearse(dealt.batch.program(chunk), dealt.session, dealt.seeds, known.rows.shares(chunk), chunk=chunk)


def expected_chunk(known: Recomputed, chunk: int) -> ExpectedChunk:
    """What an honest session sends and opens in a chunk, as hashes."""
    dealt = known.dealt
    program = dealt.batch.program(chunk)
    replayed = replay(program, dealt.session, dealt.seeds, known.rows.clear(chunk), chunk=chunk)
    return ExpectedChunk(
        chunk=chunk,
        corrections=corrections_hash(deal(program, dealt.session, dealt.seeds, chunk=chunk)),
        payloads={
            node: [data_hash(payload) for payload in part.payloads]
            for node, part in zip(dealt.committee, rehearsed(known, chunk), strict=True)
        },
        opened=replayed.rounds,
    )


def _open_outputs(keys: AuditKeys, view: QueryView, batch: Batch) -> Mapping[MemberIndex, OutputShare | None]:
    boxes = view.result.supervisor_boxes if view.result is not None else ()
    size = batch.output_bytes if batch.subjects == 1 else REFERENCE_BYTES
    opened: dict[MemberIndex, OutputShare | None] = {}
    for member, box in zip(view.committee, boxes, strict=True):
        try:
            plain = envelopes.open_by_audit(box, keys.epoch.epoch, keys.audit).plaintext
            opened[member] = commitments.decode_output(plain, size)
        except SealedBoxError as error:
            _log.warning("audit.box_unreadable", member=member, reason=str(error))
            opened[member] = None
    return opened


def _body(batch: Batch, member: MemberIndex, output: OutputShare | None, blobs: BlobsPort) -> bytes | None:
    """The output share of all subjects that a box holds or leads to."""
    if output is None or batch.subjects == 1:
        return None if output is None else output.share
    try:
        body = b"".join(blobs.read(decode_reference(output.share)))
    except (SealedBoxError, RequestError) as error:
        _log.warning("audit.output_unreadable", member=member, reason=str(error))
        return None
    return body if len(body) == batch.subjects * batch.output_bytes else None


def _joint(bodies: Mapping[MemberIndex, bytes | None], *masks: bytes) -> bytes | None:
    found = [body for body in bodies.values() if body is not None]
    return join_output((*found, *masks)) if len(found) == len(bodies) else None
