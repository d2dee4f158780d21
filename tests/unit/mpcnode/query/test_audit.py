"""The auditor finds every deviation, and says of whom and where."""

import dataclasses
from typing import Any

import pytest

from ledger.types import Digest
from mpcnode.errors import InputError
from mpcnode.mpc import RowShape
from mpcnode.query.audit import Evidence, Finding, batch_copy, check_copy, check_input, check_rows, judge, open_envelope
from mpcnode.query.contribution import (
    AuditRecord,
    decode_audit_record,
    decode_contribution,
    encode_audit_record,
    encode_contribution,
)
from mpcnode.query.view import QueryView
from mpcnode.scorecard import Attribute, Bin, Contribution
from mpcnode.sealing.blobs import BlobReference
from mpcnode.sealing.commitments import decode_output
from mpcnode.sealing.envelopes import open_by_audit, seal_envelope
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import seal_batch_copy
from mpcnode.types import NOBODY, AuditStage, BlobId, MemberIndex, SessionId, Verdict
from scripts.vector_query import ARCHIVE, AUDIT, COMMITTEE, EPOCH, INQUIRER, KEYS, QUERY, SHARE_BYTES, seed
from tests.support.queries import ASKED, CONTRIBUTED, REQUEST, TO_ANSWERED, folded, some_digest

FOUR, FIVE = MemberIndex(4), MemberIndex(5)
NODES = COMMITTEE.members


def an_attribute(name: str = "income", minimum: int = -(2**50), maximum: int = 2**50) -> Attribute:
    return Attribute(
        name=name,
        title=name,
        data_class="bank",
        unit="EUR",
        scale=0,
        minimum=minimum,
        maximum=maximum,
        weight=1,
        missing=0,
        bins=(Bin(start=None, points=1),),
    )


ATTRIBUTES = tuple(an_attribute(name) for name in ("income", "debt", "assets"))
SHAPE = RowShape(3)


def a_view() -> QueryView:
    view = folded(*TO_ANSWERED).get(QUERY)
    assert view is not None
    return view


def a_plaintext() -> bytes:
    return open_envelope(CONTRIBUTED[FOUR].envelope, KEYS, AUDIT).plaintext


def a_record() -> AuditRecord:
    return decode_audit_record(a_plaintext(), SHAPE, 3)


def test_a_good_contribution_passes():
    audited = check_input(a_plaintext(), a_view(), FOUR, SHAPE, ATTRIBUTES)
    assert decode_contribution(audited.record.row, SHAPE) == Contribution(known=True, values=(-5, None, 2**40))
    assert [item.hex() for item in audited.sent] == CONTRIBUTED[FOUR].vectors["sent"]


def test_a_miss_passes():
    plaintext = open_envelope(CONTRIBUTED[FIVE].envelope, KEYS, AUDIT).plaintext
    audited = check_input(plaintext, a_view(), FIVE, RowShape(1), ATTRIBUTES[:1])
    assert decode_contribution(audited.record.row, RowShape(1)).known is False


def checked(values: tuple[int | None, ...], attributes: Any, ring: int = 64) -> Any:
    row = encode_contribution(Contribution(known=True, values=values), ring)
    return check_rows(row, RowShape(len(values), ring=ring), attributes)


def stage_of(plaintext: bytes, participant: MemberIndex = FOUR, attributes: Any = ATTRIBUTES) -> AuditStage:
    with pytest.raises(InputError) as caught:
        check_input(plaintext, a_view(), participant, RowShape(len(attributes)), attributes)
    return caught.value.stage


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({"query": bytes(32)}, AuditStage.ENVELOPE),
        ({"attempt": 2}, AuditStage.ENVELOPE),
        ({"participant": 5}, AuditStage.ENVELOPE),
        ({"model": bytes(32)}, AuditStage.ENVELOPE),
        ({"request_hash": bytes(32)}, AuditStage.ENVELOPE),
        ({"seeds": (bytes(32), bytes(32))}, AuditStage.COMMITMENT),
        ({"salts": (bytes(32), bytes(32), bytes(32))}, AuditStage.COMMITMENT),
        ({"row": encode_contribution(Contribution(known=True, values=(-6, None, 2**40)))}, AuditStage.COMMITMENT),
    ],
)
def test_a_record_of_something_else_is_found(change, stage):
    assert stage_of(encode_audit_record(dataclasses.replace(a_record(), **change))) is stage


def test_a_record_of_another_width_is_found():
    assert stage_of(a_plaintext()[:-1]) is AuditStage.ENVELOPE


def test_a_value_outside_its_range_is_found_and_not_quoted():
    narrow = (an_attribute(minimum=-4), *ATTRIBUTES[1:])
    assert stage_of(a_plaintext(), attributes=narrow) is AuditStage.INPUT
    with pytest.raises(InputError, match="attribute income: expected -4 to") as caught:
        checked((-777, None, None), narrow)
    assert "777" not in str(caught.value)


@pytest.mark.parametrize("ring", [32, 64])
@pytest.mark.parametrize("value", [-4, 0, 9])
def test_values_at_the_edges_pass(value, ring):
    columns = checked((value,), (an_attribute(minimum=-4, maximum=9),), ring)
    assert (columns.known.tolist(), columns.values.tolist()) == ([True], [[value]])


@pytest.mark.parametrize("value", [-5, 10, 2**31 - 1, -(2**31)])
def test_values_of_4_bytes_outside_their_range_are_found(value):
    with pytest.raises(InputError, match="attribute income: expected -4 to 9"):
        checked((value,), (an_attribute(minimum=-4, maximum=9),), 32)


def test_the_widest_range_of_4_bytes_has_nothing_outside():
    widest = (an_attribute(minimum=-(2**31), maximum=2**31 - 1),) * 2
    assert checked((2**31 - 1, -(2**31)), widest, 32).values.tolist() == [[2**31 - 1], [-(2**31)]]


def test_a_row_has_a_value_for_each_attribute():
    with pytest.raises(InputError, match="expected 9 bytes, got 17"):
        check_rows(encode_contribution(Contribution(known=True, values=(1, 2))), RowShape(1), (an_attribute(),))


def test_of_many_subjects_one_value_outside_is_enough():
    shape, attributes = RowShape(1, 3), (an_attribute(minimum=0, maximum=9),)

    def row(values, present=0b110_111):
        return b"".join(value.to_bytes(8, "little", signed=True) for value in values) + bytes([present])

    assert check_rows(row((9, 0, 0), 0b011_111), shape, attributes).present.tolist() == [[True, True, False]]
    for wrong in (
        row((1, -1, 2), 0b111_111),
        row((1, 10, 2), 0b111_111),
        row((1, 2, 3), 0b011_111),
        row((1, 2, 3), 0b111_011),
        row((1, 2, 3), 0b1_111_111),
    ):
        with pytest.raises(InputError):
            check_rows(wrong, shape, attributes)


def test_an_envelope_that_the_archive_cannot_open_is_found():
    envelope = CONTRIBUTED[FOUR].envelope
    for fake in (envelope[:88] + bytes(80) + envelope[168:], bytes(len(envelope)), b""):
        with pytest.raises(InputError) as caught:
            open_envelope(fake, KEYS, AUDIT)
        assert caught.value.stage is AuditStage.ENVELOPE
    with pytest.raises(InputError):
        open_envelope(envelope, KEYS, OpeningKey(seed("another key")))


def test_the_supervisor_copy_names_the_subject_that_s_binds():
    opened = open_envelope(ASKED.supervisor_copy, KEYS, AUDIT)
    copy = check_copy(opened, REQUEST, INQUIRER.public, seed("subject key"))
    assert copy.identifier == "AB-1972\u00c9".encode()
    wrong = dataclasses.replace(REQUEST, binding=some_digest("another subject"))
    for request, key in ((wrong, seed("subject key")), (REQUEST, seed("another subject key"))):
        with pytest.raises(InputError) as caught:
            check_copy(opened, request, INQUIRER.public, key)
        assert caught.value.stage is AuditStage.SUBJECT
    short = dataclasses.replace(opened, plaintext=opened.plaintext[:-1])
    with pytest.raises(InputError):
        check_copy(short, REQUEST, INQUIRER.public, seed("subject key"))


def test_the_copy_of_many_subjects_leads_to_the_blob_that_the_request_names():
    """The one that everybody knows by its id, and that the operator keeps."""
    reference, nonce = BlobReference(blob=BlobId(seed("identifiers")), key=seed("key")), seed("nonce")
    opened = open_by_audit(seal_batch_copy(reference, nonce, KEYS, bytes(96)), EPOCH, AUDIT)
    named = dataclasses.replace(REQUEST, subjects=2, identifiers=reference.blob)
    assert batch_copy(opened, named) == (reference, nonce)
    short = dataclasses.replace(opened, plaintext=opened.plaintext[:-1])
    other = dataclasses.replace(named, identifiers=BlobId(seed("others")))
    for copy, request in ((opened, other), (short, named)):
        with pytest.raises(InputError) as caught:
            batch_copy(copy, request)
        assert caught.value.stage is AuditStage.SUBJECT


GRADE_A, GRADE_B, INSUFFICIENT = b"\x0f", b"\x07", b"\0"


def evidence(**changes: Any) -> Evidence:
    view = a_view()
    assert view.result is not None
    outputs = {
        node: decode_output(open_by_audit(box, EPOCH, AUDIT).plaintext, SHARE_BYTES)
        for node, box in zip(NODES, view.result.supervisor_boxes, strict=True)
    }
    values: dict[str, Any] = {
        "view": view,
        "deal_hash": view.result.ends[0].deal_hash,
        "transcript_hash": seed("transcript hash"),
        "outputs": outputs,
        "clear": GRADE_A,
        "joint": GRADE_A,
    }
    values |= changes
    bodies = {node: None if output is None else output.share for node, output in values["outputs"].items()}
    return Evidence(**({"bodies": bodies} | values))


def test_a_good_result_matches():
    assert judge(evidence()) == Finding(verdict=Verdict.MATCH, member=NOBODY, stage=AuditStage.NONE, round=0)


def test_where_nobody_but_the_committee_has_seeds_the_outcome_decides():
    joint = {"has_seeds": False, "transcript_hash": None}
    assert judge(evidence(**joint)) == Finding(verdict=Verdict.MATCH)
    wrong = judge(evidence(**joint, joint=GRADE_B))
    assert wrong == Finding(verdict=Verdict.MISMATCH, member=NOBODY, stage=AuditStage.OUTPUT)
    other = judge(evidence(**joint, deal_hash=bytes(32)))
    assert other == Finding(verdict=Verdict.MISMATCH, member=NOBODY, stage=AuditStage.SESSION)


@pytest.mark.parametrize(
    ("changes", "stage", "round_number"),
    [
        ({"deal_hash": bytes(32)}, AuditStage.SESSION, 0),
        ({"transcript_hash": bytes(32)}, AuditStage.TRANSCRIPT, 0),
        ({"joint": GRADE_B}, AuditStage.OUTPUT, 0),
        ({"joint": None}, AuditStage.OUTPUT, 0),
        ({"clear": INSUFFICIENT}, AuditStage.OUTPUT, 0),
    ],
)
def test_a_deviation_is_a_mismatch(changes, stage, round_number):
    finding = judge(evidence(**changes))
    assert (finding.verdict, finding.stage, finding.round) == (Verdict.MISMATCH, stage, round_number)


@pytest.mark.parametrize(("chunk", "number", "place"), [(0, 0, 0), (0, 6, 6), (2, 1, 15), (9_999, 7, 65_535)])
def test_chunk_and_round_are_counted_through_in_16_bits(chunk, number, place):
    assert Finding(verdict=Verdict.MISMATCH, chunk=chunk, round=number).place(7) == place


def test_a_deal_that_all_signed_and_this_dealer_did_not_make_is_the_dealers():
    """The nodes cannot forge a deal record, and one of them at least is honest."""
    finding = judge(evidence(deal_hash=bytes(32), dealer=9))
    assert finding == Finding(verdict=Verdict.MISMATCH, member=9, stage=AuditStage.SESSION)


@pytest.mark.parametrize("node", NODES)
def test_a_member_that_sealed_something_else_is_named(node):
    outputs = dict(evidence().outputs)
    good = outputs[node]
    assert good is not None
    for bad in (None, dataclasses.replace(good, share=b"\0\0\0"), dataclasses.replace(good, session=SessionId(QUERY))):
        finding = judge(evidence(outputs=outputs | {node: bad}))
        assert finding == Finding(verdict=Verdict.MISMATCH, member=node, stage=AuditStage.OUTPUT)


def test_a_member_whose_share_differs_from_the_replays_is_named():
    replayed = {node: seed(f"output share {node}", SHARE_BYTES) for node in NODES}
    assert judge(evidence(replayed=replayed)).verdict is Verdict.MATCH
    finding = judge(evidence(replayed=replayed | {NODES[1]: b"\0\0\0"}))
    assert finding == Finding(verdict=Verdict.MISMATCH, member=NODES[1], stage=AuditStage.OUTPUT)


def test_a_member_whose_box_leads_to_nothing_is_named():
    bodies: dict[MemberIndex, bytes | None] = dict.fromkeys(NODES, b"share")
    finding = judge(evidence(bodies=bodies | {NODES[2]: None}))
    assert finding == Finding(verdict=Verdict.MISMATCH, member=NODES[2], stage=AuditStage.OUTPUT)


def test_another_session_than_the_ledgers_is_a_mismatch():
    view = dataclasses.replace(a_view(), session=SessionId(some_digest("another session")))
    assert judge(evidence(view=view)).stage is AuditStage.SESSION


@pytest.mark.parametrize("missing", ["deal_hash", "transcript_hash", "clear"])
def test_what_is_missing_makes_it_incomplete(missing):
    assert judge(evidence(**{missing: None})).verdict is Verdict.INCOMPLETE


def test_without_a_result_there_is_nothing_to_judge():
    view = dataclasses.replace(a_view(), result=None)
    assert judge(evidence(view=view)).verdict is Verdict.INCOMPLETE


def test_what_is_wrong_weighs_more_than_what_is_missing():
    finding = judge(evidence(deal_hash=None, transcript_hash=Digest(bytes(32))))
    assert (finding.verdict, finding.stage) == (Verdict.MISMATCH, AuditStage.TRANSCRIPT)


def test_the_archive_opens_what_the_auditor_checked():
    envelope = seal_envelope(b"row", KEYS, seed("some envelope", 96))
    assert open_envelope(envelope, KEYS, AUDIT).plaintext == b"row"
    assert ARCHIVE.public == KEYS.archive
