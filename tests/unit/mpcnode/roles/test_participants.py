"""Participants: silence, refusals, late registrations, and the same bytes after a restart."""

import asyncio
from dataclasses import replace

import pytest

from ledger import merkle
from ledger.types import Digest, Millis
from mpcnode.client.asking import Prepared
from mpcnode.errors import ErrorCode, PeerRefusedError, RequestError
from mpcnode.query.messages import Order, decode_order, encode_order
from mpcnode.query.request import SealedRequest, encode_request
from mpcnode.types import EndReason, MemberIndex, QueryState, RefusalCode, Verdict, bitmap
from tests.support.batches import ask_many
from tests.support.consortium import (
    ALICE,
    BANK,
    BOB,
    INSURER,
    LENDER,
    NODES,
    OPERATOR,
    PANEL,
    SAVINGS,
    START,
)
from tests.support.flow import Fault, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run


def test_a_silent_participant_counts_as_absent_and_one_validator_closes():
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            asked = await flow.ask(ALICE, window_ms=2_000)
            view = await flow.settled(asked)
            assert (view.state, view.verdict, view.committed) == (
                QueryState.ANSWERED,
                Verdict.MATCH,
                bitmap((BANK, INSURER)),
            )
            assert await flow.opened(asked) == flow.clear(ALICE, (BANK, INSURER))
            assert [sender for sender, method in flow.chain.submitted if method == "close_inputs"] != []
            assert flow.chain.methods().count(("close_inputs", "")) == 1
            # by rank: 0.2 s after contribute_by at the earliest, a second later for each rank that is silent
            assert 200 <= (view.computing_at or 0) - view.contribute_by <= 1_300

    run(scenario())


@pytest.mark.parametrize("subjects", [None, [ALICE, BOB]], ids=["one", "many"])
@pytest.mark.parametrize("claims", [2**31, 2**32 + 5, -(2**62)])
def test_a_value_that_no_row_of_the_model_holds_is_not_sent_as_another(claims, subjects):
    """5 claims are within the declared range: cut to 32 bits, the second would be taken for them."""

    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            flow.records[INSURER].poison["claims"] = claims
            asked = await flow.ask(ALICE) if subjects is None else await ask_many(flow, subjects)
            view = await flow.settled(asked)
            assert (view.verdict, view.committed, view.attempt) == (Verdict.MATCH, bitmap((BANK, SAVINGS)), 1)

    run(scenario())


def test_too_few_contributors_end_the_query():
    async def scenario():
        async with Flow(silent=[SAVINGS, INSURER]) as flow:
            view = await flow.settled(await flow.ask(ALICE))
            assert (view.state, view.end_reason) == (QueryState.REFUSED, EndReason.INSUFFICIENT_CONTRIBUTORS)

    run(scenario())


def with_tokens(flow: Flow, asked: Prepared, tokens: tuple[bytes, ...]) -> Prepared:
    """The same request with other tokens, signed again."""
    request = replace(asked.request, tokens_root=Digest(merkle.root(tokens)))
    stated = encode_request(request)
    sealed = SealedRequest(
        statement=stated,
        signature=LENDER.sign(stated),
        inquirer=LENDER.public,
        tokens=tokens,
        supervisor_copy=asked.sealed.supervisor_copy,
    )
    return replace(asked, request=request, sealed=sealed)


@pytest.mark.parametrize("foreign", ["unreadable", "of another query"])
def test_a_token_that_does_not_open_the_subject_is_refused(foreign):
    async def scenario():
        async with Flow() as flow:
            asked, other = flow.prepare(ALICE), flow.prepare(BOB)
            seat = PANEL.index(SAVINGS)
            wrong = other.sealed.tokens[seat] if foreign == "of another query" else bytes(len(asked.sealed.tokens[0]))
            tokens = (*asked.sealed.tokens[:seat], wrong)
            forged = with_tokens(flow, asked, tokens)
            await flow.desk.ask(forged.sealed)
            view = await flow.settled(forged)
            assert [(event.participant, event.code) for event in view.refusals] == [(SAVINGS, RefusalCode.POLICY)]
            assert view.committed == bitmap((BANK, INSURER))
            assert view.verdict is Verdict.MATCH

    run(scenario())


def test_a_refusal_holds_for_later_attempts_and_is_made_once():
    async def scenario():
        async with Flow() as flow:
            flow.daemons[SAVINGS].context.models.clear()  # type: ignore[attr-defined]  # a dict, here
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await flow.fail_by_hand(flow.view(asked))
            view = await flow.settled(asked)
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((SAVINGS,)), Verdict.MATCH)
            assert flow.chain.methods().count(("refuse", "")) == 1

    run(scenario())


def test_a_refusal_that_came_too_late_is_made_again():
    async def scenario():
        async with Flow() as flow:
            flow.daemons[SAVINGS].context.models.clear()  # type: ignore[attr-defined]
            flow.chain.drop = lambda _, method: method == "refuse" and flow.view(asked).attempt == 1
            asked = await flow.ask(ALICE, window_ms=2_000)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await flow.fail_by_hand(flow.view(asked))
            view = await flow.settled(asked)
            assert (view.attempt, view.refused, view.verdict) == (2, bitmap((SAVINGS,)), Verdict.MATCH)

    run(scenario())


def test_an_order_ahead_of_the_own_replica_is_parked():
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            flow.start(SAVINGS, lag_ms=700)
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            assert flow.network.of("order", OPERATOR)
            view = await flow.settled(asked)
            assert (view.committed, view.verdict) == (bitmap(PANEL), Verdict.MATCH)

    run(scenario())


def order_for(flow: Flow, asked: Prepared, member: MemberIndex) -> bytes:
    seat = PANEL.index(member)
    return encode_order(
        Order(
            statement=asked.sealed.statement,
            signature=asked.sealed.signature,
            inquirer=asked.sealed.inquirer,
            token=asked.sealed.tokens[seat],
            path=merkle.path(asked.sealed.tokens, seat),
        )
    )


def test_an_order_that_is_never_registered_is_forgotten_at_its_deadline():
    async def scenario():
        async with Flow() as flow:
            before = len(asyncio.all_tasks())
            await flow.network.deliver(OPERATOR, BANK, "order", order_for(flow, flow.prepare(ALICE), BANK))
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) > before
            await asyncio.sleep(40)
            assert len(asyncio.all_tasks()) == before
            assert not flow.daemons[BANK].link._waiting

    run(scenario())


@pytest.mark.parametrize("life_ms", [-5_000, 2 * 3_600_000])
def test_an_order_for_a_query_that_cannot_be_is_refused(life_ms):
    async def scenario():
        async with Flow() as flow:
            asked = flow.prepare(ALICE, window_ms=life_ms - 1_000, life_ms=life_ms)
            with pytest.raises(PeerRefusedError):
                await flow.network.deliver(OPERATOR, BANK, "order", order_for(flow, asked, BANK))
            assert not flow.journals[BANK].count("order")

    run(scenario())


def test_another_order_for_the_same_query_is_refused():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            await flow.settled(asked)
            order = decode_order(order_for(flow, asked, BANK))
            await flow.daemons[BANK].role.handlers["order"](OPERATOR, encode_order(order))  # type: ignore[index]
            later = replace(asked.request, deadline=Millis(asked.request.deadline + 1))
            stated = encode_request(later)
            other = replace(order, statement=stated, signature=LENDER.sign(stated))
            with pytest.raises(RequestError) as refused:
                await flow.daemons[BANK].role.handlers["order"](OPERATOR, encode_order(other))  # type: ignore[index]
            assert refused.value.code is ErrorCode.QUERY_EXISTS

    run(scenario())


def test_an_order_whose_sender_hung_up_while_it_was_kept_is_served_when_it_comes_again():
    """gRPC cancels a handler whose caller died; by then the entry may be durable."""

    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="order", receiver=BANK, drop=True))
            asked = await flow.ask(ALICE, window_ms=5_000)
            order, journal = order_for(flow, asked, BANK), flow.journals[BANK]
            taking = flow.daemons[BANK].role.handlers["order"](OPERATOR, order)  # type: ignore[index]
            first = asyncio.ensure_future(taking)
            journal.after_put = lambda _kind: first.cancel()  # type: ignore[assignment]
            await asyncio.wait([first])
            assert first.cancelled()
            assert journal.count("order") == 1
            journal.after_put = lambda _kind: None
            flow.network.faults.clear()
            view = await flow.settled(asked)
            assert (view.committed, view.attempt, view.verdict) == (bitmap(PANEL), 1, Verdict.MATCH)

    run(scenario())


def test_inputs_are_committed_a_fixed_time_after_the_attempt_was_seen():
    async def scenario():
        async with Flow() as flow:
            seen: list[float] = []

            def note(_: int, method: str) -> bool:
                if method == "commit_input":
                    seen.append(asyncio.get_running_loop().time())
                return False

            flow.chain.drop = note
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            registered = (view.registered_at - START) / 1000
            # the order takes a millisecond from the desk to a participant
            assert [round(at - registered, 3) for at in seen] == [0.101, 0.101, 0.101]

    run(scenario())


def test_shares_leave_with_the_commitment_and_not_before():
    """Whatever the look-up took, and however long the ledger takes: shares are there when it shows the commitment."""

    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            flow.chain.block_ms = 400
            seen = (flow.view(asked).registered_at - START) / 1000
            await asyncio.sleep(seen + 0.095 - asyncio.get_running_loop().time())
            assert flow.network.of("shares") == []
            await asyncio.sleep(0.015)
            ways = {(sent.sender, sent.receiver) for sent in flow.network.of("shares")}
            assert ways == {(member, node) for member in PANEL for node in NODES}
            assert flow.view(asked).commitments == {}
            view = await flow.settled(asked)
            assert (view.committed, view.verdict, view.attempt) == (bitmap(PANEL), Verdict.MATCH, 1)

    run(scenario())


def test_shares_of_a_contribution_that_never_reaches_the_ledger_are_not_computed_on():
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = lambda sender, method: method == "commit_input" and sender == SAVINGS
            asked = await flow.ask(ALICE, window_ms=2_000)
            view = await flow.settled(asked)
            assert {sent.receiver for sent in flow.network.of("shares", SAVINGS)} == set(NODES)
            assert (view.committed, view.verdict) == (bitmap((BANK, INSURER)), Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE, (BANK, INSURER))

    run(scenario())


@pytest.mark.parametrize("after_s", [0.15, 1.0], ids=["before the commitment is final", "while another is waited for"])
def test_a_node_that_restarts_before_it_computes_is_sent_the_shares_again(after_s):
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            flow.chain.block_ms = 400
            asked = await flow.ask(ALICE, window_ms=2_000)
            seen = (flow.view(asked).registered_at - START) / 1000
            await asyncio.sleep(seen + after_s - asyncio.get_running_loop().time())
            assert set(flow.view(asked).commitments) == (set() if after_s < 0.4 else {BANK, INSURER})
            node = flow.view(asked).committee[-1]
            first = {sent.sender: sent.payload for sent in flow.network.of("shares") if sent.receiver == node}
            assert set(first) == {BANK, INSURER}
            flow.network.sent.clear()
            await flow.restart(node)
            view = await flow.settled(asked)
            again = [(sent.sender, sent.receiver, sent.payload) for sent in flow.network.of("shares")]
            assert sorted(again) == [(sender, node, first[sender]) for sender in (BANK, INSURER)]
            assert (view.verdict, view.attempt, view.failures) == (Verdict.MATCH, 1, ())

    run(scenario())


@pytest.mark.parametrize("when", ["order", "contribution"])
def test_a_participant_that_dies_on_the_way_contributes_after_its_restart(when):
    async def scenario():
        async with Flow() as flow:
            flow.kill_after(BANK, when)
            asked = await flow.ask(ALICE)
            await asyncio.sleep(0.5)
            assert BANK not in flow.daemons
            flow.start(BANK)
            view = await flow.settled(asked)
            assert (view.committed, view.verdict, view.attempt) == (bitmap(PANEL), Verdict.MATCH, 1)
            assert flow.journals[BANK].count("contribution") == 1

    run(scenario())


def test_a_restarted_participant_sends_the_same_bytes_again():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="shares", sender=BANK, receiver=NODES[0], drop=True, times=3))
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.05)
            first = {sent.receiver: sent.payload for sent in flow.network.of("shares", BANK)}
            assert set(first) == {NODES[1], NODES[2]}
            await flow.restart(BANK)
            view = await flow.settled(asked)
            again = {sent.receiver: sent.payload for sent in flow.network.of("shares", BANK)}
            assert set(again) == set(NODES)
            assert all(again[node] == payload for node, payload in first.items())
            assert (view.verdict, view.attempt) == (Verdict.MATCH, 1)
            assert sum(method == "commit_input" for _, method in flow.chain.submitted) == 3

    run(scenario())


def test_a_commitment_that_is_on_its_way_twice_counts_once():
    async def scenario():
        async with Flow() as flow:
            flow.chain.block_ms = 400
            asked = await flow.ask(ALICE)
            await asyncio.sleep(0.15)
            await flow.restart(BANK)
            view = await flow.settled(asked)
            assert (view.verdict, view.attempt) == (Verdict.MATCH, 1)
            assert ("commit_input", "ALREADY_CONTRIBUTED") in flow.chain.methods() or (
                "commit_input",
                "WRONG_STATE",
            ) in flow.chain.methods()

    run(scenario())


def test_what_the_journal_keeps_is_encrypted():
    async def scenario():
        async with Flow() as flow:
            await flow.settled(await flow.ask(ALICE))
            ((_, kept),) = await flow.journals[BANK].items("contribution", 9)
            assert (320_000).to_bytes(8, "little") not in kept

    run(scenario())
