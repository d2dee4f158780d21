"""One audit, without waiting for anything: open the envelopes, evaluate in clear, replay, open the result, judge.

Pure but for its size: chunk by chunk it is the worker thread's. `roles.auditor` drives it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from ledger.types import ChainId, Digest, InquirerRecord
from mpcnode.errors import InputError, SealedBoxError, ShareError
from mpcnode.mpc import (
    Part,
    Replay,
    RowContext,
    RowShape,
    deal,
    expand_share,
    join_output,
    join_replays,
    rehearse,
    replay,
    replay_chunks,
)
from mpcnode.query.audit import AuditedInput, Evidence, Finding, check_copy, check_input, judge, open_envelope
from mpcnode.query.blame import ExpectedChunk
from mpcnode.query.statements import data_hash
from mpcnode.query.view import QueryView
from mpcnode.roles.dealing import Dealt
from mpcnode.scorecard import Layout, encode_output, evaluate
from mpcnode.sealing import commitments, envelopes
from mpcnode.sealing.commitments import OutputShare, corrections_hash
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import NOBODY, EpochKeys, MemberIndex, SessionId, Verdict, members_of

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


class AuditedRows(Protocol):
    """The rows of one attempt, as its audit envelopes show them. Asked for a chunk at a time, in a worker thread."""

    def clear(self, chunk: int) -> Sequence[bytes | None]:
        """Return the rows of a chunk in clear, in panel order; None for who did not contribute."""

    def shares(self, chunk: int) -> Sequence[Sequence[bytes | None]]:
        """Return every node's shares of the rows of a chunk, by node in rank order, then in panel order."""

    def output(self, chunk: int) -> bytes:
        """Return what the model says of a chunk's subjects in turn, evaluated in clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeRows:
    """Rows of one subject: each envelope holds one."""

    view: QueryView
    layout: Layout
    shapes: Sequence[RowShape]
    inputs: Mapping[MemberIndex, AuditedInput]

    def clear(self, chunk: int) -> Sequence[bytes | None]:
        """Return the rows in clear."""
        self._check(chunk)
        return [
            self.inputs[member].record.row if member in self.inputs else None for member in members_of(self.view.panel)
        ]

    def shares(self, chunk: int) -> Sequence[Sequence[bytes | None]]:
        """Return every node's shares."""
        self._check(chunk)
        view = self.view
        last = len(view.committee) - 1
        rows: list[list[bytes | None]] = [[] for _ in view.committee]
        for member, shape in zip(members_of(view.panel), self.shapes, strict=True):
            checked = self.inputs.get(member)
            context = RowContext(query=view.query, attempt=view.attempt, participant=member)
            for rank, node in enumerate(view.committee):
                sent = None if checked is None else checked.sent[rank]
                is_last = rank == last
                rows[rank].append(None if sent is None else expand_share(sent, shape, context, node, is_last=is_last))
        return rows

    def output(self, chunk: int) -> bytes:
        """Return the model's answer."""
        self._check(chunk)
        outcome = evaluate(self.layout, {member: checked.contribution for member, checked in self.inputs.items()})
        return encode_output(self.layout.model, outcome)

    def _check(self, chunk: int) -> None:
        if chunk:
            raise ShareError(f"chunk {chunk}: expected rows of one chunk")


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


def check_inputs(
    keys: AuditKeys, view: QueryView, layout: Layout, inquirer: InquirerRecord
) -> Mapping[MemberIndex, AuditedInput]:
    """Open and check the supervisor copy and every envelope of an attempt.

    Raises:
        InputsRejectedError: one fails; it names whose.
    """
    try:
        copy = open_envelope(view.supervisor_copy, keys.epoch, keys.audit)
        check_copy(copy, view.terms, inquirer.key, keys.subject_key)
    except InputError as error:
        raise InputsRejectedError(NOBODY, error) from error
    rows = dict(zip((seated.member for seated in layout.members), layout.rows, strict=True))
    checked: dict[MemberIndex, AuditedInput] = {}
    for participant, envelope in view.envelopes.items():
        attributes = [layout.model.attributes[place] for place in rows[participant]]
        try:
            opened = open_envelope(envelope, keys.epoch, keys.audit)
            checked[participant] = check_input(opened.plaintext, view, participant, attributes)
        except InputError as error:
            raise InputsRejectedError(participant, error) from error
    return checked


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
    dealer: MemberIndex,
    replayed: Mapping[MemberIndex, bytes] | None = None,
) -> Finding:
    """Judge a posted result against the replay and the evaluation in clear.

    Args:
        keys: the auditor's.
        view: the query.
        known: what an honest session leads to.
        dealer: who dealt.
        replayed: the output shares that honest nodes would have, if they were worked out: to say whose is wrong.
    """
    batch = known.dealt.batch
    outputs = _open_outputs(keys, view, batch.subjects * batch.output_bytes)
    return judge(
        Evidence(
            view=view,
            deal_hash=known.dealt.deal_hash,
            dealer=dealer,
            transcript_hash=known.honest.transcript,
            outputs=outputs,
            replayed=replayed,
            clear=known.clear,
            joint=_joint(known, outputs),
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


def _open_outputs(keys: AuditKeys, view: QueryView, size: int) -> Mapping[MemberIndex, OutputShare | None]:
    boxes = view.result.supervisor_boxes if view.result is not None else ()
    opened: dict[MemberIndex, OutputShare | None] = {}
    for member, box in zip(view.committee, boxes, strict=True):
        try:
            plain = envelopes.open_by_audit(box, keys.epoch.epoch, keys.audit).plaintext
            opened[member] = commitments.decode_output(plain, size)
        except SealedBoxError as error:
            _log.warning("audit.box_unreadable", member=member, reason=str(error))
            opened[member] = None
    return opened


def _joint(known: Recomputed, outputs: Mapping[MemberIndex, OutputShare | None]) -> bytes | None:
    shares = [output.share for output in outputs.values() if output is not None]
    return join_output((*shares, known.honest.mask)) if len(shares) == len(outputs) else None
