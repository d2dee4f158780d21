"""One audit, without waiting for anything: open the envelopes, evaluate in clear, replay, open the result, judge.

Pure but for its size; the supervisor runs it in a worker thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from ledger.types import ChainId, InquirerRecord
from mpcnode.errors import InputError, MalformedMessageError, SealedBoxError
from mpcnode.mpc import Part, Program, Replay, RowContext, expand_share, join_output, join_replays, rehearse, replay
from mpcnode.query.audit import AuditedInput, Evidence, Finding, check_copy, check_input, judge, open_envelope
from mpcnode.query.blame import first_deviation
from mpcnode.query.frames import SignedFrame
from mpcnode.query.view import QueryView
from mpcnode.roles.dealing import Dealt
from mpcnode.scorecard import Layout, Outcome, decode_output, evaluate, output_size
from mpcnode.sealing import commitments, envelopes
from mpcnode.sealing.commitments import OutputShare
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import NOBODY, AuditStage, EpochKeys, MemberIndex, SessionId, Verdict, members_of

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
    program: Program
    dealt: Dealt
    inputs: Mapping[MemberIndex, AuditedInput]
    honest: Replay
    clear: Outcome
    """The model evaluated in clear."""


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


def recompute(
    view: QueryView,
    *,
    session: SessionId,
    layout: Layout,
    program: Program,
    dealt: Dealt,
    inputs: Mapping[MemberIndex, AuditedInput],
) -> Recomputed:
    """Replay a session as one party and evaluate the model in clear; the nodes' result is not needed."""
    rows = [inputs[member].record.row if member in inputs else None for member in members_of(view.panel)]
    return Recomputed(
        session=session,
        layout=layout,
        program=program,
        dealt=dealt,
        inputs=inputs,
        honest=join_replays(session, [replay(program, session, dealt.seeds, rows)]),
        clear=evaluate(layout, {member: checked.contribution for member, checked in inputs.items()}),
    )


def audit_result(keys: AuditKeys, view: QueryView, known: Recomputed, dealer: MemberIndex) -> Finding:
    """Judge a posted result against the replay and the evaluation in clear."""
    outputs = _open_outputs(keys, view, output_size(known.layout.model))
    evidence = Evidence(
        view=view,
        deal_hash=known.dealt.deal_hash,
        dealer=dealer,
        transcript_hash=known.honest.transcript,
        outputs=outputs,
        clear=known.clear,
        joint=_joint(known, outputs),
    )
    finding = judge(evidence)
    if (finding.member, finding.stage) == (NOBODY, AuditStage.OUTPUT):
        shares = {member: part.output for member, part in rehearsed(view, known).items()}
        finding = judge(replace(evidence, replayed=shares))
    return finding


def rejected(error: InputsRejectedError) -> Finding:
    """The verdict on a result that was computed from a bad contribution."""
    return Finding(verdict=Verdict.MISMATCH, member=error.participant, stage=error.stage)


def rehearsed(view: QueryView, known: Recomputed) -> Mapping[MemberIndex, Part]:
    """What each node had to send, in rank order: every node's part, with its own share and seed."""
    shapes = dict(zip(members_of(view.panel), known.program.body.rows, strict=True))
    last = len(view.committee) - 1
    rows: list[list[bytes | None]] = [[] for _ in view.committee]
    for member, shape in shapes.items():
        checked = known.inputs.get(member)
        context = RowContext(query=view.query, attempt=view.attempt, participant=member)
        for rank, node in enumerate(view.committee):
            sent = None if checked is None else checked.sent[rank]
            is_last = rank == last
            rows[rank].append(None if sent is None else expand_share(sent, shape, context, node, is_last=is_last))
    parts = rehearse(known.program, known.session, known.dealt.seeds, rows)
    return dict(zip(view.committee, parts, strict=True))


def blame(
    view: QueryView, known: Recomputed, finding: Finding, shown: Mapping[MemberIndex, Sequence[SignedFrame]]
) -> Finding:
    """Name who deviated first from the transcript, as far as the frames that the nodes show prove it."""
    expected = {member: part.payloads for member, part in rehearsed(view, known).items()}
    found = first_deviation(expected, shown)
    return finding if found is None else replace(finding, member=found[0], round=found[1])


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


def _joint(known: Recomputed, outputs: Mapping[MemberIndex, OutputShare | None]) -> Outcome | None:
    shares = [output.share for output in outputs.values() if output is not None]
    if len(shares) != len(outputs):
        return None
    try:
        return decode_output(known.layout.model, join_output((*shares, known.honest.mask)))
    except MalformedMessageError as error:
        _log.warning("audit.output_impossible", reason=str(error))
        return None
