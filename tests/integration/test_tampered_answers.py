"""An operator that tampers with what it hands back: the client refuses, and shows no answer that is not the own."""

import asyncio
import dataclasses
import json
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger.errors import LedgerError
from mpcnode.client.answers import AnswerFiles, AnswerState, Kept, pending
from mpcnode.client.inquirer import Inquirer
from mpcnode.client.opening import open_outcome, view_of_receipt
from mpcnode.errors import ErrorCode, NodeError, code_of
from mpcnode.query.request import encode_request
from mpcnode.scorecard import output_size
from mpcnode.sealing.boxes import seal
from mpcnode.sealing.commitments import OutputShare, encode_output
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import AuditMode, QueryId
from tests.support.consortium import ALICE, LENDER, REGULATOR, SUBJECT_KEY, Setting, identity
from tests.support.flow import Flow
from tests.support.lenders import RIVAL, Lenders, prepared_by
from tests.support.virtual_time import run

SUPERVISOR = identity(REGULATOR).public


@pytest.fixture(scope="module", params=[AuditMode.AFTER_RELEASE, AuditMode.BEFORE_RELEASE])
def answered(request):
    """A settled query: its receipt, what its inquirer holds, and the receipt of another query."""

    async def scenario():
        async with Flow(Setting(audit=request.param)) as flow:
            asked, second = await flow.ask(ALICE), await flow.ask(ALICE)
            for one in (asked, second):
                await flow.settled(one)
            receipts = [await flow.desk.receipt(one.request.query, LENDER.public) for one in (asked, second)]
            return SimpleNamespace(
                asked=asked,
                receipt=receipts[0],
                second=receipts[1],
                consortium=flow.consortium,
                model=flow.setting.model,
                outcome=await flow.opened(asked),
            )

    return run(scenario())


def opened(answered, receipt, key=None):
    view = view_of_receipt(receipt, answered.consortium)
    return open_outcome(view, answered.model, key or answered.asked.result_key, SUPERVISOR)


def refusal(answered, receipt):
    """The code with which the client refuses a receipt; the outcome if it opens it."""
    try:
        return opened(answered, receipt)
    except (NodeError, LedgerError) as error:
        return code_of(error)


def test_the_receipt_opens(answered):
    assert opened(answered, answered.receipt) == answered.outcome


def test_a_changed_byte_is_never_an_answer(answered):
    source, wrong = random.Random(4711), []
    for _ in range(150):
        data = bytearray(answered.receipt)
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        said = refusal(answered, bytes(data))
        if said not in (ErrorCode.RECEIPT_INVALID, answered.outcome):
            wrong.append(said)
    assert wrong == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_receipt_is_refused(answered, data):
    assert refusal(answered, data) == ErrorCode.RECEIPT_INVALID


def test_a_cut_receipt_is_refused(answered):
    for share in (0.1, 0.5, 0.9, 0.999):
        assert refusal(answered, answered.receipt[: int(len(answered.receipt) * share)]) == ErrorCode.RECEIPT_INVALID


def test_transactions_left_out_doubled_or_in_another_order(answered):
    """Each is on the ledger and proves it; what they tell together must still be one whole story."""
    document = json.loads(answered.receipt)
    place = next(name for name, value in document.items() if isinstance(value, list) and "transaction" in name)
    proofs = document[place]
    allowed = {ErrorCode.RECEIPT_INVALID, ErrorCode.NOT_READY, answered.outcome}
    said = {}
    for at in range(len(proofs)):
        for name, chosen in (
            (f"without {at}", proofs[:at] + proofs[at + 1 :]),
            (f"twice {at}", [*proofs[: at + 1], proofs[at], *proofs[at + 1 :]]),
            (f"{at} first", [proofs[at], *proofs[:at], *proofs[at + 1 :]]),
            (f"{at} only", [proofs[at]]),
        ):
            said[name] = refusal(answered, json.dumps(document | {place: chosen}).encode())
    assert {name: one for name, one in said.items() if one not in allowed} == {}
    assert said["without 0"] == ErrorCode.RECEIPT_INVALID
    assert refusal(answered, json.dumps(document | {place: proofs[::-1]}).encode()) == ErrorCode.RECEIPT_INVALID


def test_another_key_opens_nothing(answered):
    with pytest.raises(NodeError) as caught:
        opened(answered, answered.receipt, OpeningKey(b"\x07" * 32))
    assert caught.value.code is ErrorCode.RESULT_MISMATCH


def sealed_anew(it, **changes):
    """The first node's box with other contents, sealed to the right key by somebody who knows everything."""
    view = it.view
    share = OutputShare(
        query=view.query, session=view.session, node=view.committee[0], salt=bytes(32), share=bytes(it.size)
    )
    plain = encode_output(dataclasses.replace(share, **changes))
    return seal(plain, it.asked.request.result_key, b"\x09" * 32)


BOXES = {
    "another node's": lambda it: it.boxes[1],
    "none": lambda _: b"",
    "zeros": lambda it: bytes(len(it.boxes[0])),
    "cut": lambda it: it.boxes[0][:-1],
    "another share": sealed_anew,
    "of another query": lambda it: sealed_anew(it, query=QueryId(bytes(32))),
    "of another width": lambda it: sealed_anew(it, share=bytes(it.size + 1)),
}


@pytest.mark.parametrize("case", BOXES)
def test_a_box_that_is_not_what_its_node_signed_is_no_answer(answered, case):
    """A view as no ledger would give it: the boxes are checked by themselves, too."""
    view = view_of_receipt(answered.receipt, answered.consortium)
    assert view.result is not None
    boxes = view.result.inquirer_boxes
    it = SimpleNamespace(asked=answered.asked, view=view, boxes=boxes, size=output_size(answered.model))
    result = dataclasses.replace(view.result, inquirer_boxes=(BOXES[case](it), *boxes[1:]))
    with pytest.raises(NodeError) as caught:
        open_outcome(dataclasses.replace(view, result=result), answered.model, answered.asked.result_key, SUPERVISOR)
    assert caught.value.code is ErrorCode.RESULT_MISMATCH


# --------------------------------------------------------------------------- the whole client


class Channel:
    """An operator that answers every call with this receipt."""

    def __init__(self, receipt):
        self._receipt = receipt

    async def receipt(self, _call, _timeout):
        return self._receipt


def client(consortium, receipt, directory):
    profile: Any = SimpleNamespace(consortium=consortium, answers_dir=directory)
    return Inquirer(profile, LENDER, SUBJECT_KEY, cast("Any", Channel(receipt)))


def kept(asked, directory):
    answer = pending(
        asked.request.query, model="credit-rating", subject=ALICE, purpose="p", asked_ms=1, audit="after release"
    )
    one = Kept(answer=answer, result_secret=asked.result_key.secret(), consent_salt=bytes(32))
    AnswerFiles(directory).keep(one)


def settle(consortium, receipt, asked, directory):
    kept(asked, directory)
    with pytest.raises((NodeError, LedgerError)) as caught:
        asyncio.run(client(consortium, receipt, directory)._settle(asked.request.query))
    after = AnswerFiles(directory).load(asked.request.query.hex())
    assert (after.answer.state, after.answer.grade) == (AnswerState.PENDING, None)
    assert after.result_secret is not None, "an answer that comes later must still open"
    return code_of(caught.value)


def test_the_client_takes_no_other_querys_receipt(answered, tmp_path):
    assert settle(answered.consortium, answered.second, answered.asked, tmp_path) == ErrorCode.RECEIPT_INVALID


def test_the_client_takes_no_other_inquirers_query_under_the_own_id(tmp_path):
    """An operator in league with another inquirer registers that one's question under the victim's query id, with the
    victim's result key: boxes, receipt and signatures are all in order, but the subject is another.
    """

    async def scenario():
        async with Flow(Lenders()) as flow:
            victim, rival = flow.prepare(ALICE), prepared_by(flow, RIVAL)
            request = dataclasses.replace(
                rival.request, query=victim.request.query, result_key=victim.request.result_key
            )
            stated = encode_request(request)
            sealed = dataclasses.replace(rival.sealed, statement=stated, signature=RIVAL.sign(stated))
            await flow.desk.ask(sealed)
            with pytest.raises(NodeError) as caught:
                await flow.desk.ask(victim.sealed)
            assert caught.value.code is ErrorCode.QUERY_EXISTS
            await flow.settled(dataclasses.replace(rival, request=request))
            return victim, await flow.desk.receipt(request.query, RIVAL.public), flow.consortium

    victim, receipt, consortium = run(scenario())
    assert view_of_receipt(receipt, consortium).query == victim.request.query
    assert settle(consortium, receipt, victim, tmp_path) == ErrorCode.RECEIPT_INVALID


def test_members_that_do_not_exist_are_not_named(answered, tmp_path):
    """Whoever fails an attempt or ends a query names any bits."""
    inquirer = client(answered.consortium, answered.receipt, tmp_path)
    assert inquirer._names(1 << 0 | 1 << 7 | 1 << 8 | 1 << 127) == ("operator", "regulator")


def test_a_query_that_named_strangers_when_it_expired_is_shown(tmp_path):
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = lambda _sender, method: method in {"commit_input", "close_inputs"}
            asked = await flow.ask(ALICE, life_ms=4_000)
            await asyncio.sleep(4.5)
            await flow.call(2, "expire", asked.request.query, (1 << 256) - 1)
            await flow.settled(asked)
            return asked, await flow.desk.receipt(asked.request.query, LENDER.public), flow.consortium

    asked, receipt, consortium = run(scenario())
    kept(asked, tmp_path)
    answer = asyncio.run(client(consortium, receipt, tmp_path)._settle(asked.request.query))
    assert answer.state is AnswerState.EXPIRED
    assert answer.waited == tuple(member.name for member in consortium.members)
