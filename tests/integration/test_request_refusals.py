"""Requests that break a rule, at the desk and at the real contract: a stable code, and nothing on the ledger; or, once
registered, an entry that says how it ended.
"""

import asyncio
import dataclasses
import hashlib
from types import SimpleNamespace

import pytest

from ledger import merkle
from ledger.types import Cosignature, Digest, Millis
from mpcnode.errors import CATALOGUE, CallerError, ErrorCode, Exit, MalformedIdError, NodeError, RequestError
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind, Order, encode_order
from mpcnode.query.request import encode_request
from mpcnode.roles.ports import Call
from mpcnode.sealing.boxes import EPHEMERAL_BYTES
from mpcnode.sealing.pseudonyms import SubjectToken, make_pseudonym, normalise, seal_token
from mpcnode.types import Epoch, ModelHash, QueryState, RefusalCode, Verdict
from tests.support.consortium import (
    ALICE,
    BANK,
    BOB,
    LENDER,
    OPERATOR,
    PANEL,
    STRANGER,
    SUBJECT_EPOCH,
    SUBJECT_KEY,
    Setting,
    sealing,
)
from tests.support.flow import Flow
from tests.support.lenders import RIVAL, Lenders, prepared_by
from tests.support.virtual_time import run


def resigned(prepared, key=LENDER, **changes):
    """The same question with some words changed, signed by its inquirer."""
    request = dataclasses.replace(prepared.request, **changes)
    stated = encode_request(request)
    sealed = dataclasses.replace(prepared.sealed, statement=stated, signature=key.sign(stated), inquirer=key.public)
    return dataclasses.replace(prepared, request=request, sealed=sealed)


def resealed(prepared, key=LENDER, *, copy=None, tokens=None):
    """The same question with other sealed parts than were signed."""
    sealed = prepared.sealed
    changed = dataclasses.replace(
        sealed, supervisor_copy=copy or sealed.supervisor_copy, tokens=sealed.tokens if tokens is None else tokens
    )
    return dataclasses.replace(prepared, sealed=changed)


def other(name):
    return Digest(hashlib.sha256(name.encode()).digest())


REFUSED = {
    "a stranger": (lambda p: resigned(p, STRANGER), ErrorCode.UNKNOWN_INQUIRER),
    "another's signature": (
        lambda p: dataclasses.replace(
            p, sealed=dataclasses.replace(p.sealed, signature=STRANGER.sign(p.sealed.statement))
        ),
        ErrorCode.WRONG_SIGNATURE,
    ),
    "an unknown model": (lambda p: resigned(p, model=ModelHash(other("model"))), ErrorCode.UNKNOWN_MODEL),
    "a purpose that is not allowed": (lambda p: resigned(p, purpose="curiosity"), ErrorCode.PURPOSE_NOT_ALLOWED),
    "no purpose": (lambda p: resigned(p, purpose=""), ErrorCode.REQUEST_FORM),
    "past its time": (
        lambda p: resigned(p, contribute_by=Millis(p.request.contribute_by - 2_001)),
        ErrorCode.PAST_DEADLINE,
    ),
    "an end before the contributions": (
        lambda p: resigned(p, deadline=Millis(p.request.contribute_by - 1)),
        ErrorCode.WINDOW,
    ),
    "more than an hour": (
        lambda p: resigned(p, deadline=Millis(p.request.contribute_by + 3_700_000)),
        ErrorCode.WINDOW,
    ),
    "another panel": (
        lambda p: resealed(
            resigned(p, panel=0b1010, tokens_root=merkle.root(p.sealed.tokens[:2])), tokens=p.sealed.tokens[:2]
        ),
        ErrorCode.PANEL_STALE,
    ),
    "the supervisor's last epoch": (lambda p: resigned(p, epoch=Epoch(6)), ErrorCode.EPOCH_STALE),
    "another chain": (lambda p: resigned(p, chain=other("chain")), ErrorCode.REQUEST_FORM),
    "another scheme": (lambda p: resigned(p, scheme="plain"), ErrorCode.REQUEST_FORM),
    "a result key that everybody opens": (lambda p: resigned(p, result_key=bytes(32)), ErrorCode.REQUEST_FORM),
    "another copy": (
        lambda p: resealed(p, copy=bytes(len(p.sealed.supervisor_copy))),
        ErrorCode.COPY_MISMATCH,
    ),
    "a wider copy": (lambda p: resealed(p, copy=p.sealed.supervisor_copy + b"x"), ErrorCode.COPY_MISMATCH),
    "a token too few": (lambda p: resealed(p, tokens=p.sealed.tokens[:2]), ErrorCode.TOKENS_MISMATCH),
    "tokens in another order": (
        lambda p: resealed(p, tokens=p.sealed.tokens[::-1]),
        ErrorCode.TOKENS_MISMATCH,
    ),
    "a wider token": (
        lambda p: resealed(p, tokens=(p.sealed.tokens[0] + b"x", *p.sealed.tokens[1:])),
        ErrorCode.TOKENS_MISMATCH,
    ),
    "no statement": (
        lambda p: dataclasses.replace(p, sealed=dataclasses.replace(p.sealed, statement=b"")),
        ErrorCode.WRONG_SIGNATURE,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_desk_refuses_and_leaves_nothing_behind(case):
    make, code = REFUSED[case]

    async def scenario():
        async with Flow() as flow:
            asked = make(flow.prepare(ALICE))
            with pytest.raises(CallerError) as caught:
                await flow.desk.ask(asked.sealed)
            await asyncio.sleep(5)
            assert flow.chain.methods() == []
            assert flow.journals[OPERATOR].entries == {}
            assert not flow.network.sent
            return caught.value.code

    assert run(scenario()) is code
    assert CATALOGUE[code].exit not in {Exit.OK, Exit.INTERNAL}


ON_CHAIN = {
    "a stranger": ErrorCode.UNKNOWN_INQUIRER,
    "an unknown model": ErrorCode.UNKNOWN_MODEL,
    "a purpose that is not allowed": ErrorCode.PURPOSE_NOT_ALLOWED,
    "past its time": ErrorCode.WINDOW,
    "more than an hour": ErrorCode.WINDOW,
    "another panel": ErrorCode.PANEL_STALE,
    "the supervisor's last epoch": ErrorCode.EPOCH_STALE,
    "another chain": ErrorCode.REQUEST_FORM,
    "another copy": ErrorCode.COPY_MISMATCH,
}


def registration(flow, asked, order=None):
    """A registration as an operator that checks nothing would submit it."""
    query = asked.request.query
    sealed = asked.sealed
    return Call(
        method="queries.register",
        values=(sealed.supervisor_copy, order or pool_order(query, 1, flow.consortium.members, excluded=0)),
        cosigners=(Cosignature(key=sealed.inquirer, statement=sealed.statement, signature=sealed.signature),),
        expiry_ms=Millis(flow.clock.now_ms() + 60_000),
    )


@pytest.mark.parametrize("case", ON_CHAIN)
def test_the_contract_has_the_last_word_over_a_desk_that_checks_nothing(case):
    make, _ = REFUSED[case]

    async def scenario():
        async with Flow() as flow:
            asked = make(flow.prepare(ALICE))
            with pytest.raises(NodeError) as caught:
                await flow.daemons[OPERATOR].link.submit(registration(flow, asked))
            assert flow.watcher().link.view.get(asked.request.query) is None
            return caught.value.code

    assert run(scenario()) is ON_CHAIN[case]


def test_a_committee_that_the_rule_does_not_give_is_refused():
    """The operator would rather have other nodes, or the right ones in an order of its choice."""

    async def scenario():
        async with Flow(Setting(spares=2)) as flow:
            asked = flow.prepare(ALICE)
            right = pool_order(asked.request.query, 1, flow.consortium.members, excluded=0)
            for order in (right[::-1], right[:-1], (*right[:-1], right[0]), (*right, OPERATOR), right[1:] + right[:1]):
                with pytest.raises(CallerError) as caught:
                    await flow.daemons[OPERATOR].link.submit(registration(flow, asked, order))
                assert caught.value.code is ErrorCode.COMMITTEE_ORDER
            await flow.daemons[OPERATOR].link.submit(registration(flow, asked, right))

    run(scenario())


def test_nobody_but_an_operator_registers():
    async def scenario():
        async with Flow() as flow:
            asked = flow.prepare(ALICE)
            with pytest.raises(CallerError) as caught:
                await flow.daemons[BANK].link.submit(registration(flow, asked))
            assert caught.value.code is ErrorCode.OPERATOR_ONLY

    run(scenario())


def test_a_quota_is_a_quota():
    async def scenario():
        async with Flow(Lenders(quota=2)) as flow:
            asked = [flow.prepare(ALICE) for _ in range(4)]
            for one in asked[:2]:
                await flow.desk.ask(one.sealed)
            with pytest.raises(CallerError) as caught:
                await flow.desk.ask(asked[2].sealed)
            assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
            assert [reason for method, reason in flow.chain.methods() if method == "register"] == ["", ""]
            for one in asked[:2]:
                assert (await flow.settled(one)).verdict is Verdict.MATCH

    run(scenario())


def test_a_quota_holds_for_those_that_ask_at_once():
    """All pass the desk's first look; the contract counts, and a reverted registration says so on the ledger."""

    async def scenario():
        async with Flow(Lenders(quota=2)) as flow:
            asked = [flow.prepare(ALICE) for _ in range(5)]
            said = await asyncio.gather(*(flow.desk.ask(one.sealed) for one in asked), return_exceptions=True)
            codes = [error.code for error in said if isinstance(error, CallerError)]
            assert codes == [ErrorCode.QUOTA_EXCEEDED] * 3
            for one, answer in zip(asked, said, strict=True):
                if not isinstance(answer, BaseException):
                    assert (await flow.settled(one)).verdict is Verdict.MATCH

    run(scenario())


# --------------------------------------------------------------------------- the same query id


def test_the_same_request_again_is_the_same_query():
    async def scenario():
        async with Flow() as flow:
            asked = flow.prepare(ALICE)
            heights = await asyncio.gather(*(flow.desk.ask(asked.sealed) for _ in range(5)))
            view = await flow.settled(asked)
            assert len({*heights, await flow.desk.ask(asked.sealed)}) == 1
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            assert [reason for method, reason in flow.chain.methods() if method == "register"].count("") == 1

    run(scenario())


@pytest.mark.parametrize("when", ["at once", "while it is asked", "after its end"])
def test_another_request_under_the_same_id_is_refused(when):
    async def scenario():
        async with Flow() as flow:
            asked = flow.prepare(ALICE)
            second = resigned(asked, consent_hash=other("another consent"))
            if when == "at once":
                said = await asyncio.gather(
                    flow.desk.ask(asked.sealed), flow.desk.ask(second.sealed), return_exceptions=True
                )
                (refused,) = [error for error in said if isinstance(error, BaseException)]
            else:
                await flow.desk.ask(asked.sealed)
                if when == "after its end":
                    await flow.settled(asked)
                with pytest.raises(RequestError) as caught:
                    await flow.desk.ask(second.sealed)
                refused = caught.value
            assert isinstance(refused, RequestError)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            return refused.code

    assert run(scenario()) is ErrorCode.QUERY_EXISTS


def test_a_query_whose_inquirer_hung_up_is_answered_all_the_same():
    """The registration was on its way: it is final, so it must be ordered, too."""

    async def scenario():
        async with Flow() as flow:
            asked = flow.prepare(ALICE)
            asking = asyncio.ensure_future(flow.desk.ask(asked.sealed))
            while "register" not in [method for _, method in flow.chain.submitted]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            asking.cancel()
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)

    run(scenario())


# --------------------------------------------------------------------------- tokens


def with_token(asked, box, key):
    """The question with another token for the bank, signed by whoever asks."""
    tokens = (box, *asked.sealed.tokens[1:])
    return resealed(resigned(asked, key, tokens_root=merkle.root(tokens)), tokens=tokens)


def token_of(asked, key=LENDER, subject=ALICE, **changes):
    """A token for the bank as it would be sealed for this question, with some fields changed."""
    token = SubjectToken(
        query=asked.request.query,
        inquirer=key.public,
        epoch=SUBJECT_EPOCH,
        pseudonym=make_pseudonym(SUBJECT_KEY, normalise(subject)),
        nonce=bytes(32),
    )
    return seal_token(dataclasses.replace(token, **changes), sealing(BANK).public, bytes([7]) * EPHEMERAL_BYTES)


FOREIGN = {
    "copied from another inquirer's query": lambda asked: asked.victim.sealed.tokens[0],
    "for another epoch": lambda asked: token_of(asked.rival, RIVAL, epoch=Epoch(SUBJECT_EPOCH + 1)),
    "for another subject": lambda asked: token_of(asked.rival, RIVAL, BOB),
    "in another inquirer's name": lambda asked: token_of(asked.rival, LENDER),
    "that does not open": lambda _: bytes(200),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_token_that_is_not_of_this_inquirers_query_is_refused_on_the_ledger(case):
    """The rival saw the victim's token (it passes the desk and its participant) and asks about its subject."""

    async def scenario():
        async with Flow(Lenders()) as flow:
            asked = SimpleNamespace(victim=flow.prepare(ALICE), rival=prepared_by(flow, RIVAL))
            rival = with_token(asked.rival, FOREIGN[case](asked), RIVAL)
            await flow.desk.ask(rival.sealed)
            view = await flow.settled(rival)
            assert [(refusal.participant, refusal.code) for refusal in view.refusals] == [(BANK, RefusalCode.POLICY)]
            assert view.committed == sum(1 << member for member in PANEL if member != BANK)
            assert any(method == "refuse" and not reason for method, reason in flow.chain.methods())

    run(scenario())


# --------------------------------------------------------------------------- orders


def test_an_order_that_is_not_the_inquirers_is_refused_and_not_kept():
    async def scenario():
        async with Flow() as flow:
            flow.chain.halted = True
            asked = flow.prepare(ALICE)
            handler = flow.daemons[BANK].role.handlers[Kind.ORDER]
            good = encode_order(order_of(asked))
            now = flow.clock.now_ms()
            far = resigned(asked, deadline=Millis(now + 2**40), contribute_by=Millis(now + 1_000))
            past = resigned(asked, deadline=Millis(now - 1), contribute_by=Millis(now - 2))
            stranger = resigned(asked, STRANGER)
            for one, code in (
                (order_of(asked, signature=STRANGER.sign(asked.sealed.statement)), ErrorCode.WRONG_SIGNATURE),
                (order_of(stranger), ErrorCode.UNKNOWN_INQUIRER),
                (order_of(far), ErrorCode.WINDOW),
                (order_of(past), ErrorCode.PAST_DEADLINE),
                (order_of(asked, token=asked.sealed.tokens[1]), ErrorCode.TOKENS_MISMATCH),
                (order_of(asked, path=()), ErrorCode.TOKENS_MISMATCH),
                (order_of(asked, token=b""), ErrorCode.TOKENS_MISMATCH),
            ):
                with pytest.raises(CallerError) as caught:
                    await handler(OPERATOR, encode_order(one))
                assert caught.value.code is code
            assert flow.journals[BANK].entries == {}
            await handler(OPERATOR, good)
            assert flow.journals[BANK].count("order") == 1

    run(scenario())


def order_of(asked, **changes):
    """The bank's order of a question, changed."""
    sealed = asked.sealed
    order = Order(
        statement=sealed.statement,
        signature=sealed.signature,
        inquirer=sealed.inquirer,
        token=sealed.tokens[0],
        path=merkle.path(sealed.tokens, 0),
    )
    return dataclasses.replace(order, **changes)


# --------------------------------------------------------------------------- reading


def test_no_inquirer_follows_or_fetches_anothers_query():
    async def scenario():
        async with Flow(Lenders()) as flow:
            asked = await flow.ask(ALICE)
            query = asked.request.query
            for key, wanted in ((RIVAL, ErrorCode.NOT_ALLOWED), (STRANGER, ErrorCode.NOT_ALLOWED)):
                with pytest.raises(CallerError) as caught:
                    await flow.desk.receipt(query, key.public)
                assert caught.value.code is wanted
                with pytest.raises(CallerError) as caught:
                    await anext(flow.desk.follow(query, key.public))
                assert caught.value.code is wanted
            with pytest.raises(CallerError) as caught:
                await flow.desk.receipt(other("no query"), LENDER.public)
            assert caught.value.code is ErrorCode.UNKNOWN_QUERY
            await flow.settled(asked)

    run(scenario())


@pytest.mark.parametrize("subject", ["", "   ", "x" * 65, "é" * 33, "a\0b", "line\nbreak", "\ud800"])
def test_a_malformed_identifier_is_refused_before_anything_is_sealed(subject):
    async def scenario():
        async with Flow() as flow:
            with pytest.raises(MalformedIdError) as caught:
                flow.prepare(subject)
            assert caught.value.code is ErrorCode.MALFORMED_ID
            assert len(subject) < 2 or subject.strip() == "" or subject not in str(caught.value)

    run(scenario())
