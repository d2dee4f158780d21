"""One audit, without waiting for anything: open the envelopes, evaluate in clear, replay, open the result, judge.

Pure but for its size and for blobs, which are read where they are; the supervisor runs it in a worker thread. It goes
chunk by chunk, so what it holds does not grow with the subjects but for a few bytes of output each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from ledger.types import ChainId, Digest, InquirerRecord, PublicKey
from mpcnode.errors import InputError, RequestError, SealedBoxError, ShareError
from mpcnode.mpc import (
    Batch,
    Part,
    Received,
    Replay,
    Transcript,
    follow,
    join_output,
    join_replays,
    rehearse_chunks,
    replay_chunks,
)
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
from mpcnode.query.blame import first_admitted, first_deviation, received_by
from mpcnode.query.contribution import decode_columns
from mpcnode.query.frames import SignedFrame
from mpcnode.query.statements import frame_number, split_frame_number
from mpcnode.query.view import QueryView
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.ports import BlobsPort
from mpcnode.roles.rows import Sent, SharedRows, recut, rows_in_clear, shapes_of, shares
from mpcnode.scorecard import Attribute, Layout, encode_outcomes, evaluate_many
from mpcnode.sealing import commitments, envelopes
from mpcnode.sealing.blobs import REFERENCE_BYTES, BlobReference, decode_reference
from mpcnode.sealing.commitments import OutputShare
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import (
    IDENTIFIER_BYTES_MAX,
    SUBJECTS_BLOCK,
    make_pseudonyms,
    pseudonyms_root,
    split_identifiers,
)
from mpcnode.types import NOBODY, AuditStage, EpochKeys, MemberIndex, Rank, SessionId, Verdict

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKeys:
    """What the supervisor opens and recomputes with."""

    chain: ChainId
    epoch: EpochKeys
    audit: OpeningKey = field(repr=False)
    subject_key: bytes = field(repr=False)


class InputsRejectedError(Exception):
    """A contribution fails a check."""

    def __init__(self, participant: int, error: InputError) -> None:
        super().__init__(f"member {participant}: {error}")
        self.participant = participant
        """`NOBODY` if it is the inquirer's copy."""
        self.stage = error.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """What an honest session of an attempt leads to, known before the nodes are done."""

    session: SessionId
    layout: Layout
    batch: Batch
    dealt: Dealt
    inputs: Mapping[MemberIndex, AuditedInput]
    honest: Replay
    clear: bytes = field(repr=False)
    """The output of the model evaluated in clear, of all subjects in turn."""


def check_inputs(
    keys: AuditKeys, view: QueryView, layout: Layout, inquirer: InquirerRecord, *, batch: Batch, blobs: BlobsPort
) -> Mapping[MemberIndex, AuditedInput]:
    """Open and check the supervisor copy, every envelope of an attempt, and all rows.

    Raises:
        InputsRejectedError: one fails; it names whose.
    """
    try:
        _check_subjects(keys, view, inquirer.key, blobs)
    except InputError as error:
        raise InputsRejectedError(NOBODY, error) from error
    checked: dict[MemberIndex, AuditedInput] = {}
    for participant, envelope in view.envelopes.items():
        attributes = _attributes(layout, participant)
        try:
            opened = open_envelope(envelope, keys.epoch, keys.audit)
            checked[participant] = check_input(opened.plaintext, view, participant, attributes)
            if batch.subjects > 1:
                _check_all_rows(view, layout, batch, checked[participant], blobs)
        except InputError as error:
            raise InputsRejectedError(participant, error) from error
    return checked


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


def _check_all_rows(view: QueryView, layout: Layout, batch: Batch, given: AuditedInput, blobs: BlobsPort) -> None:
    rows = _shared(view, layout, given.record.participant)
    attributes = _attributes(layout, given.record.participant)
    try:
        for shape, row in zip(shapes_of(batch, rows.seat), rows_in_clear(batch, rows, given.sent, blobs), strict=True):
            check_rows(row, shape, attributes)
    except (SealedBoxError, RequestError, ShareError) as error:
        raise InputError(f"rows: {error}", AuditStage.ENVELOPE) from error


def _attributes(layout: Layout, participant: MemberIndex) -> list[Attribute]:
    rows = dict(zip((seated.member for seated in layout.members), layout.rows, strict=True))
    return [layout.model.attributes[place] for place in rows[participant]]


def _shared(view: QueryView, layout: Layout, participant: MemberIndex) -> SharedRows:
    return SharedRows(
        query=view.query,
        attempt=view.attempt,
        participant=participant,
        seat=[seated.member for seated in layout.members].index(participant),
        committee=view.committee,
    )


def recompute(
    view: QueryView,
    *,
    session: SessionId,
    layout: Layout,
    batch: Batch,
    dealt: Dealt,
    inputs: Mapping[MemberIndex, AuditedInput],
    blobs: BlobsPort,
) -> Recomputed:
    """Work out what an honest session leads to: the replay, and the model in clear."""
    clear: list[bytes] = []

    def rows() -> Iterator[Sequence[bytes | None]]:
        streams = {
            member: rows_in_clear(batch, _shared(view, layout, member), given.sent, blobs)
            for member, given in inputs.items()
        }
        for chunk in range(batch.chunks):
            of_chunk = {member: next(stream) for member, stream in streams.items()}
            clear.append(_evaluate(layout, batch, chunk, of_chunk))
            yield [of_chunk.get(seated.member) for seated in layout.members]

    honest = join_replays(session, replay_chunks(batch, session, dealt.seeds, rows()))
    return Recomputed(
        session=session,
        layout=layout,
        batch=batch,
        dealt=dealt,
        inputs=inputs,
        honest=honest,
        clear=b"".join(clear),
    )


def _evaluate(layout: Layout, batch: Batch, chunk: int, rows: Mapping[MemberIndex, bytes]) -> bytes:
    shapes = batch.program(chunk).body.rows
    columns = {
        seated.member: decode_columns(rows[seated.member], shape)
        for seated, shape in zip(layout.members, shapes, strict=True)
        if seated.member in rows
    }
    return encode_outcomes(layout.model, evaluate_many(layout, columns, len(batch.subjects_of(chunk))))


def audit_result(keys: AuditKeys, view: QueryView, known: Recomputed, dealer: MemberIndex, blobs: BlobsPort) -> Finding:
    """Judge a posted result against the replay and the evaluation in clear."""
    outputs = _open_outputs(keys, view, known.batch)
    bodies = {member: _body(known.batch, member, output, blobs) for member, output in outputs.items()}
    evidence = Evidence(
        view=view,
        deal_hash=known.dealt.deal_hash,
        dealer=dealer,
        transcript_hash=known.honest.transcript,
        outputs=outputs,
        bodies=bodies,
        clear=known.clear,
        joint=_joint(known, bodies),
    )
    finding = judge(evidence)
    if (finding.member, finding.stage) == (NOBODY, AuditStage.OUTPUT):
        parts = list(rehearsed(view, known, blobs))
        honest = {member: b"".join(of[member].output for of in parts) for member in view.committee}
        finding = judge(replace(evidence, replayed=honest))
    return finding


def rejected(error: InputsRejectedError) -> Finding:
    """The verdict on a result that was computed from a bad contribution."""
    return Finding(verdict=Verdict.MISMATCH, member=error.participant, stage=error.stage)


def rehearsed(view: QueryView, known: Recomputed, blobs: BlobsPort) -> Iterator[Mapping[MemberIndex, Part]]:
    """Yield what each node had to send in every chunk: every node's part, with its own share and seed."""
    for parts in rehearse_chunks(known.batch, known.session, known.dealt.seeds, _shares(view, known, blobs)):
        yield dict(zip(view.committee, parts, strict=True))


def _shares(view: QueryView, known: Recomputed, blobs: BlobsPort) -> Iterator[Sequence[Sequence[bytes | None]]]:
    """The shares of every chunk: of each node in rank order, each in panel order."""
    batch = known.batch

    def of_node(rank: int) -> Iterator[Sequence[bytes | None]]:
        streams = {
            member: shares(
                batch, Sent(rows=_shared(view, known.layout, member), rank=rank, body=given.sent[rank]), blobs
            )
            for member, given in known.inputs.items()
        }
        for _ in range(batch.chunks):
            of_chunk = {member: next(stream) for member, stream in streams.items()}
            yield [of_chunk.get(seated.member) for seated in known.layout.members]

    return zip(*(of_node(rank) for rank in range(len(view.committee))), strict=True)


def blame(
    view: QueryView,
    known: Recomputed,
    finding: Finding,
    shown: Mapping[MemberIndex, Sequence[SignedFrame]],
    blobs: BlobsPort,
) -> Finding:
    """Name who deviated first from the transcript, as far as the frames that the nodes show prove it."""
    admitted = {member: frames for member, frames in shown.items() if _leads_to_end(view, known, member, frames, blobs)}
    liars: set[MemberIndex | None] = set()
    for chunk, parts in enumerate(rehearsed(view, known, blobs)):
        expected = {member: part.payloads for member, part in parts.items()}
        found = first_admitted(expected, _of_chunk(admitted, chunk)) or first_deviation(
            expected, _of_chunk(shown, chunk)
        )
        if found is not None and found[1]:
            return replace(finding, member=found[0], round=frame_number(chunk, found[1]))
        liars.add(None if found is None else found[0])
    liar = liars.pop() if len(liars) == 1 else None
    return finding if liar is None else replace(finding, member=liar, round=0)


def _of_chunk(
    shown: Mapping[MemberIndex, Sequence[SignedFrame]], chunk: int
) -> Mapping[MemberIndex, Sequence[SignedFrame]]:
    """The frames of one chunk, numbered by their rounds."""
    return {member: _chunk_frames(frames, chunk) for member, frames in shown.items()}


def _chunk_frames(frames: Sequence[SignedFrame], chunk: int) -> list[SignedFrame]:
    placed = ((split_frame_number(frame.round), frame) for frame in frames)
    return [replace(frame, round=number) for (of, number), frame in placed if of == chunk]


def _leads_to_end(
    view: QueryView, known: Recomputed, member: MemberIndex, frames: Sequence[SignedFrame], blobs: BlobsPort
) -> bool:
    """Whether an honest node that received these frames comes to the transcript that the whole committee signed."""
    if view.result is None:
        return False
    transcript = Transcript(known.session)
    for chunk, rows in enumerate(_shares(view, known, blobs)):
        reached = _end_of_chunk(view, known, rows, _From(member, chunk, _chunk_frames(frames, chunk)))
        if reached is None:
            return False
        transcript.add(reached)
    return all(end.transcript_hash == transcript.hash for end in view.result.ends)


@dataclass(frozen=True, slots=True)
class _From:
    """What a node received of a chunk."""

    member: MemberIndex
    chunk: int
    frames: Sequence[SignedFrame]


def _end_of_chunk(
    view: QueryView, known: Recomputed, rows: Sequence[Sequence[bytes | None]], given: _From
) -> Digest | None:
    program = known.batch.program(given.chunk)
    received = received_by(given.member, view.committee, len(program.round_bytes), given.frames)
    if received is None:
        return None
    ranks = {node: Rank(rank) for rank, node in enumerate(view.committee)}
    by_rank = {(ranks[sender], number): data for (sender, number), data in received.items()}
    taken = Received(ranks[given.member], by_rank, chunk=given.chunk)
    return follow(program, known.session, known.dealt.seeds, rows, taken)


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


def _joint(known: Recomputed, bodies: Mapping[MemberIndex, bytes | None]) -> bytes | None:
    found = [body for body in bodies.values() if body is not None]
    return join_output((*found, known.honest.mask)) if len(found) == len(bodies) else None
