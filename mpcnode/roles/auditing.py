"""One audit, without waiting for anything: open the envelopes, evaluate in clear, replay, open the result, judge.

Pure but for its size; the supervisor runs it in a worker thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from ledger.types import ChainId, InquirerRecord
from mpcnode.errors import InputError, MalformedMessageError, SealedBoxError
from mpcnode.mpc import Program, join_output, replay
from mpcnode.query.audit import AuditedInput, Evidence, Finding, check_copy, check_input, judge, open_envelope
from mpcnode.query.view import QueryView
from mpcnode.roles.dealing import Dealt
from mpcnode.scorecard import Layout, Outcome, decode_output, evaluate, output_size
from mpcnode.sealing import commitments, envelopes
from mpcnode.sealing.commitments import OutputShare
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


def audit_result(
    keys: AuditKeys,
    view: QueryView,
    *,
    session: SessionId,
    layout: Layout,
    program: Program,
    dealt: Dealt,
    inputs: Mapping[MemberIndex, AuditedInput],
) -> Finding:
    """Judge a posted result against the replay and the evaluation in clear."""
    rows = [inputs[member].record.row if member in inputs else None for member in members_of(view.panel)]
    honest = replay(program, session, dealt.seeds, rows)
    clear = evaluate(layout, {member: checked.contribution for member, checked in inputs.items()})
    outputs = _open_outputs(keys, view, output_size(layout.model))
    return judge(
        Evidence(
            view=view,
            deal_hash=dealt.deal_hash,
            transcript_hash=honest.transcript,
            outputs=outputs,
            clear=clear,
            joint=_joint(layout, outputs),
        )
    )


def rejected(error: InputsRejectedError) -> Finding:
    """The verdict on a result that was computed from a bad contribution."""
    return Finding(verdict=Verdict.MISMATCH, member=error.participant, stage=error.stage)


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


def _joint(layout: Layout, outputs: Mapping[MemberIndex, OutputShare | None]) -> Outcome | None:
    shares = [output.share for output in outputs.values() if output is not None]
    if len(shares) != len(outputs):
        return None
    try:
        return decode_output(layout.model, join_output(shares))
    except MalformedMessageError as error:
        _log.warning("audit.output_impossible", reason=str(error))
        return None
