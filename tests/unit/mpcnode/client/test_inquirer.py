"""The inquirer's client: what it keeps before it asks, when it opens, and what it finds again after a crash."""

import asyncio
import stat
from dataclasses import replace
from typing import Any

import pytest

from ledger.receipts import verify_receipt
from ledger.types import Millis
from mpcnode.client.answers import AnswerState, Kept, pending
from mpcnode.client.asking import EVERYBODY
from mpcnode.client.opening import shown_queries
from mpcnode.errors import CallerError, ErrorCode, RequestError, ResultError, UnavailableError
from mpcnode.roles.ports import Call
from mpcnode.roles.supervisor import Supervisor
from mpcnode.sealing.keys import verify
from mpcnode.types import AuditMode, Bitmap, ModelHash, QueryId, QueryState, SessionId
from tests.support.consortium import ALICE, BANK, NOBODY_KNOWS, OPERATOR, Setting
from tests.support.flow import Flow
from tests.support.inquirers import check_many, client_of, files, subjects_in, unfinished
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

MANY = (ALICE, NOBODY_KNOWS, ALICE)


@pytest.mark.parametrize("audit", AuditMode)
def test_answers_about_many_are_written_and_nothing_is_left(audit, tmp_path):
    async def scenario():
        async with Flow(Lenders(quota=1_000, audit=audit)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            out = tmp_path / "answers.csv"
            answer = await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out)
            assert answer.state is AnswerState.ANSWERED
            check_many(flow, out, MANY)
            assert unfinished(tmp_path) == []
            assert files(tmp_path).load(answer.query).result_secret is None

    run(scenario())


@pytest.mark.parametrize("after", [QueryState.REGISTERED, QueryState.COMPUTING, QueryState.ANSWERED])
def test_a_desk_that_stops_telling_costs_nothing_that_opens_the_answers(after, tmp_path):
    async def scenario():
        async with Flow(Lenders(quota=1_000, audit=AuditMode.BEFORE_RELEASE)) as flow:
            inquirer, channel = client_of(flow, tmp_path)
            follow = channel.follow

            async def hushed(call, timeout_s):
                async for progress in follow(call, timeout_s):
                    yield progress
                    if progress.state is after:
                        return

            channel.follow = hushed  # type: ignore[method-assign]
            out = tmp_path / "answers.csv"
            answer = await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out)
            assert answer.state is AnswerState.PENDING
            assert len(unfinished(tmp_path)) == 2
            channel.follow = follow  # type: ignore[method-assign]
            assert (await inquirer.resume_many(answer.query[:8], out)).state is AnswerState.ANSWERED
            check_many(flow, out, MANY)
            assert unfinished(tmp_path) == []

    run(scenario())


@pytest.mark.parametrize(("options", "code"), [({"purpose": "curiosity"}, ErrorCode.PURPOSE_NOT_ALLOWED), ({}, None)])
def test_what_cannot_be_asked_is_said_before_anything_is_sealed(options, code, tmp_path):
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            out = tmp_path / ("answers.csv" if options else "ids")
            with pytest.raises(RequestError) as raised:
                await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out, **options)
            assert code in (None, raised.value.code)
            assert unfinished(tmp_path) == []
            assert not flow.blobs[OPERATOR].offers

    run(scenario())


def test_a_request_of_a_stale_panel_is_built_anew_when_it_is_resumed(tmp_path):
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            inquirer, channel = client_of(flow, tmp_path)
            ask = channel.ask
            asked = []

            async def refusing(sealed, timeout_s):
                asked.append(sealed)
                if len(asked) == 1:
                    raise RequestError("somebody was suspended", ErrorCode.PANEL_STALE)
                return await ask(sealed, timeout_s)

            channel.ask = refusing  # type: ignore[method-assign]
            out = tmp_path / "answers.csv"
            with pytest.raises(CallerError) as raised:
                await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out)
            assert raised.value.code is ErrorCode.PANEL_STALE
            answer = await inquirer.resume_many("", out)
            assert answer.state is AnswerState.ANSWERED
            assert asked[0] != asked[1]
            check_many(flow, out, MANY)

    run(scenario())


def test_a_request_that_the_desk_kept_and_could_not_register_is_asked_anew(tmp_path):
    """It may not be replaced under its id; so nothing is left to go on with, and that is said."""

    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            desk: Any = flow.daemons[OPERATOR].role
            out = tmp_path / "answers.csv"

            async def still(_call):
                raise UnavailableError("the ledger stands still")

            desk._submit, submit = lambda call, *_: still(call), desk._submit
            with pytest.raises(UnavailableError):
                await inquirer.ask_many("credit-rating", subjects_in(tmp_path, *MANY), out)
            desk._submit = submit
            await asyncio.sleep(120)
            with pytest.raises(CallerError, match="ask anew") as raised:
                await inquirer.resume_many("", out)
            assert raised.value.code is ErrorCode.QUERY_EXISTS
            assert unfinished(tmp_path) == []
            assert list((tmp_path / "answers").glob("*.json")) == []

    run(scenario())


@pytest.mark.parametrize(
    ("subject", "state"), [(ALICE, AnswerState.ANSWERED), (NOBODY_KNOWS, AnswerState.INSUFFICIENT)]
)
def test_an_answer_is_opened_kept_and_its_key_destroyed(subject, state, tmp_path):
    async def scenario():
        async with Flow() as flow:
            inquirer, _ = client_of(flow, tmp_path)
            steps: list[QueryState] = []
            answer = await inquirer.ask(
                "credit-rating", subject, wait_audit=True, on_progress=lambda seen: steps.append(seen.state)
            )
            clear = flow.clear(subject)
            assert (answer.state, answer.grade, answer.coverage_band) == (state, clear.grade, clear.coverage_band)
            assert (answer.verdict, answer.contributed) == ("MATCH", ("bank-data", "insurer-data", "savings-data"))
            assert steps[0] is QueryState.REGISTERED
            kept = files(tmp_path).load(answer.query)
            assert (kept.answer, kept.result_secret) == (answer, None)
            (receipt,) = (tmp_path / "answers").glob("*.receipt")
            assert receipt.stem == answer.query

    run(scenario())


@pytest.mark.parametrize(
    ("audit", "wait_audit", "verdict"),
    [
        (AuditMode.AFTER_RELEASE, False, None),
        (AuditMode.AFTER_RELEASE, True, "MATCH"),
        (AuditMode.OFF, False, None),
        (AuditMode.OFF, True, None),
        (AuditMode.BEFORE_RELEASE, False, "MATCH"),
        (AuditMode.BEFORE_RELEASE, True, "MATCH"),
    ],
)
def test_an_answer_is_awaited_with_its_verdict_or_without(audit, wait_audit, verdict, tmp_path):
    async def scenario():
        async with Flow(Setting(audit=audit)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            answer = await inquirer.ask("credit-rating", ALICE, wait_audit=wait_audit)
            assert (answer.state, answer.verdict) == (AnswerState.ANSWERED, verdict)
            assert answer.grade == flow.clear(ALICE).grade
            assert answer.audit == audit.name.lower().replace("_", " ")
            data = (tmp_path / "answers" / f"{answer.query}.receipt").read_bytes()
            (shown,) = shown_queries(verify_receipt(data, flow.consortium.genesis(), verify), flow.consortium)
            assert (shown["query"], shown["audit"]) == (answer.query, answer.audit)
            assert shown["verdict"] == verdict
            assert shown["state"] == ("released" if audit is AuditMode.BEFORE_RELEASE else "answered")

    run(scenario())


def test_who_asks_an_outdated_panel_learns_who_takes_part_and_asks_again(tmp_path):
    async def scenario():
        async with Flow() as flow:
            inquirer, channel = client_of(flow, tmp_path)
            model = flow.consortium.models[0].model
            inquirer._panels[model] = Bitmap(EVERYBODY & ~(1 << BANK))  # it was suspended when the inquirer last heard
            for _ in range(2):
                answer = await inquirer.ask("credit-rating", ALICE)
                assert (answer.state, answer.contributed) == (
                    AnswerState.ANSWERED,
                    ("bank-data", "insurer-data", "savings-data"),
                )
            assert channel.told_panel == 1
            assert len(list((tmp_path / "answers").glob("*.json"))) == 2  # nothing is left of what was refused

    run(scenario())


def test_a_participant_that_withdraws_its_approval_is_not_asked_any_more(tmp_path):
    async def scenario():
        async with Flow() as flow:
            inquirer, channel = client_of(flow, tmp_path)
            call = Call(
                method="registries.approve_model",
                values=(flow.consortium.models[0].model, False),
                expiry_ms=Millis(flow.clock.now_ms() + 60_000),
            )
            await flow.daemons[BANK].link.submit(call)
            for _ in range(2):
                answer = await inquirer.ask("credit-rating", ALICE)
                assert answer.contributed == ("insurer-data", "savings-data")
            assert channel.told_panel == 1

    run(scenario())


def test_other_refusals_are_not_asked_again(tmp_path):
    async def scenario():
        async with Flow() as flow:
            inquirer, channel = client_of(flow, tmp_path)
            other = replace(flow.consortium.models[0], model=ModelHash(bytes(32)))
            inquirer._consortium = replace(flow.consortium, models=(other,))
            with pytest.raises(CallerError) as caught:
                await inquirer.ask("credit-rating", ALICE)
            assert (caught.value.code, channel.told_panel) == (ErrorCode.UNKNOWN_MODEL, 0)

    run(scenario())


def test_no_answer_is_opened_before_it_is_released(tmp_path):
    async def scenario():
        async with Flow(Setting(audit=AuditMode.BEFORE_RELEASE)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            flow.chain.drop = lambda _, method: method == "attest"
            answer = await inquirer.ask("credit-rating", ALICE)
            assert (answer.state, answer.grade, answer.reason) == (AnswerState.EXPIRED, None, "deadline")
            assert files(tmp_path).load(answer.query).result_secret is None

    run(scenario())


@pytest.mark.parametrize("lie", ["hash", "session"])
def test_a_supervisor_that_releases_something_else_is_shown_by_what_is_kept(lie, tmp_path, monkeypatch):
    signed = Supervisor._signed_release

    def lying(self, view, known):
        if lie == "session":
            other = replace(known.dealt, session=SessionId(bytes(32)))
            return signed(self, view, replace(known, dealt=other))
        return signed(self, view, replace(known, honest=replace(known.honest, output=b"\xff")))

    monkeypatch.setattr(Supervisor, "_signed_release", lying)

    async def scenario():
        async with Flow(Setting(audit=AuditMode.BEFORE_RELEASE)) as flow:
            inquirer, _ = client_of(flow, tmp_path)
            with pytest.raises(ResultError):
                await inquirer.ask("credit-rating", ALICE)
            (query,) = (path.stem for path in (tmp_path / "answers").glob("*.json"))
            kept = files(tmp_path).load(query)
            assert (kept.answer.state, kept.answer.grade) == (AnswerState.PENDING, None)
            assert kept.result_secret is not None
            data = (tmp_path / "answers" / f"{query}.receipt").read_bytes()
            assert verify_receipt(data, flow.consortium.genesis(), verify).transactions

    run(scenario())


def test_a_query_without_an_answer_says_why(tmp_path):
    async def scenario():
        async with Flow(silent=[1, 3]) as flow:
            inquirer, channel = client_of(flow, tmp_path)
            answer = await inquirer.ask("credit-rating", ALICE)
            assert (answer.state, answer.reason) == (AnswerState.REFUSED, "insufficient contributors")
            assert answer.silent == ("bank-data", "insurer-data")
            asked = channel.follows
            assert await inquirer.show(answer.query[:8]) == answer
            assert channel.follows == asked, "what is settled needs no operator"

    run(scenario())


def test_an_answer_survives_a_crash_of_the_client(tmp_path):
    """The result key is on disk before the request leaves."""

    async def scenario():
        async with Flow() as flow:
            inquirer, channel = client_of(flow, tmp_path)
            channel.lose_answer = True
            with pytest.raises(UnavailableError):
                await inquirer.ask("credit-rating", ALICE)
            (document,) = (tmp_path / "answers").glob("*.json")
            assert stat.S_IMODE(document.stat().st_mode) == 0o600
            assert stat.S_IMODE(document.parent.stat().st_mode) == 0o700
            again, _ = client_of(flow, tmp_path)
            answer = await again.show(document.stem[:10])
            assert (answer.state, answer.grade) == (AnswerState.ANSWERED, flow.clear(ALICE).grade)
            assert answer.latency_ms is not None
            later = await again.show(document.stem, wait_audit=True)
            assert (later.verdict, later.grade) == ("MATCH", answer.grade)

    run(scenario())


def test_a_request_that_never_left_is_shown_as_unknown(tmp_path):
    async def scenario():
        async with Flow() as flow:
            inquirer, _ = client_of(flow, tmp_path)
            prepared = inquirer._prepare("credit-rating", ALICE, None, "")
            with pytest.raises(RequestError) as unknown:
                await inquirer.show(prepared.request.query.hex())
            assert unknown.value.code is ErrorCode.UNKNOWN_QUERY
            assert files(tmp_path).load(prepared.request.query.hex()).result_secret is not None

    run(scenario())


def answer_of(query: bytes) -> Kept:
    answer = pending(QueryId(query), model="m", subject=ALICE, purpose="p", asked_ms=5, audit="off")
    return Kept(answer=answer, result_secret=bytes(range(32)), consent_salt=bytes(32))


def test_what_is_kept_is_what_is_loaded(tmp_path):
    kept = answer_of(b"\x01" * 32)
    kept = replace(kept, answer=replace(kept.answer, contributed=("a", "b"), waited=("c",), answered_ms=9))
    files(tmp_path).keep(kept)
    assert files(tmp_path).load(kept.answer.query) == kept
    assert ALICE not in repr(kept)
    assert kept.answer.latency_ms == 4


def test_a_query_is_found_by_the_beginning_of_its_id_if_that_is_of_one_only(tmp_path):
    for first in (b"\x12\x34", b"\x12\x56"):
        files(tmp_path).keep(answer_of(first + bytes(30)))
    assert files(tmp_path).find("1234").startswith("1234")
    for prefix in ("12", "99", "12 34"):
        with pytest.raises(RequestError) as unknown:
            files(tmp_path).find(prefix)
        assert unknown.value.code is ErrorCode.UNKNOWN_QUERY


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"answer": 1}', b"\xff"])
def test_a_damaged_file_is_said_to_be(damage, tmp_path):
    kept = answer_of(bytes(32))
    files(tmp_path).keep(kept)
    (tmp_path / "answers" / f"{kept.answer.query}.json").write_bytes(damage)
    with pytest.raises(RequestError):
        files(tmp_path).load(kept.answer.query)


@pytest.mark.parametrize("query", ["", "../../etc/passwd", "Z" * 64, "0" * 63])
def test_what_is_no_query_id_names_no_file(query, tmp_path):
    with pytest.raises(RequestError) as malformed:
        files(tmp_path).load(query)
    assert malformed.value.code is ErrorCode.MALFORMED_ID
