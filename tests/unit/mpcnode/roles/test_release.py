"""Audit before release: the mask goes to the inquirer once, after a match, and never otherwise."""

import asyncio
from dataclasses import replace

import pytest

from ledger.types import Digest
from mpcnode.errors import NodeError, RequestError, RevertedError
from mpcnode.mpc import Payload, Session
from mpcnode.query.audit import Finding
from mpcnode.query.frames import decode_shown, encode_shown
from mpcnode.query.view import QueryView
from mpcnode.types import NOBODY, AuditMode, AuditStage, EndReason, QueryState, Verdict
from tests.support.consortium import ALICE, BANK, NODES, REGULATOR, Setting
from tests.support.flow import Fault, Flow
from tests.support.virtual_time import run

BEFORE = Setting(audit=AuditMode.BEFORE_RELEASE)
ROUNDS_OF_THE_MODEL = 6


def released(view: QueryView) -> bytes:
    assert view.attestation is not None
    return view.attestation.release


def attests(flow: Flow) -> list[str]:
    return [reason for method, reason in flow.chain.methods() if method == "attest"]


def test_nothing_opens_before_the_verdict_and_the_answer_after_it():
    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.kill_after(REGULATOR, "accept")
            asked = await flow.ask(ALICE)
            view = await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            await asyncio.sleep(1)
            assert not view.is_over
            with pytest.raises(RequestError, match="may be opened"):
                await flow.opened(asked)
            flow.start(REGULATOR)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.RELEASED, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)
            assert flow.journals[REGULATOR].count("release") == 1

    run(scenario())


@pytest.mark.parametrize("audit", [AuditMode.AFTER_RELEASE, AuditMode.OFF])
def test_other_modes_release_no_mask(audit):
    async def scenario():
        async with Flow(Setting(audit=audit)) as flow:
            view = await flow.settled(await flow.ask(ALICE))
            assert view.attestation is None or released(view) == b""
            assert flow.journals[REGULATOR].count("release") == 0

    run(scenario())


def test_a_supervisor_that_dies_between_journal_and_ledger_releases_the_same_bytes():
    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.kill_after(REGULATOR, "release")
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            await asyncio.sleep(1)
            assert REGULATOR not in flow.daemons
            assert not attests(flow)
            ((_, kept),) = await flow.journals[REGULATOR].items("release", 9)
            flow.start(REGULATOR)
            view = await flow.settled(asked)
            assert view.state is QueryState.RELEASED
            assert kept == (view.session or b"") + released(view)
            assert attests(flow) == [""]
            assert await flow.opened(asked) == flow.clear(ALICE)

    run(scenario())


def test_a_mask_is_never_released_twice():
    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            said = (view.query, view.attempt, int(Verdict.MATCH), NOBODY, 0, 0, b"another mask")
            with pytest.raises(RevertedError):
                await flow.call(REGULATOR, "attest", *said)
            assert released(flow.view(asked)) == released(view) != b""

    run(scenario())


def test_a_supervisor_that_released_for_another_session_releases_no_more():
    """As after a restored ledger: its journal knows better."""

    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = flow.prepare(ALICE, life_ms=6_000)
            await flow.journals[REGULATOR].put_once("release", asked.request.query, bytes(32) + b"released")
            await flow.desk.ask(asked.sealed)
            view = await flow.settled(asked)
            assert (view.state, view.attestation) == (QueryState.EXPIRED, None)
            failed = [entry for entry in flow.errors() if entry["event"] == "query.failed"]
            assert failed
            assert flow.errors() == failed
            flow.logs.clear()

    run(scenario())


def test_a_release_that_the_journal_had_before_is_not_sent():
    """As if another process on the same directory had just made one."""

    async def scenario():
        async with Flow(BEFORE) as flow:
            journal = flow.journals[REGULATOR]
            put_once = journal.put_once

            async def taken(kind, key, value):
                return kind != "release" and await put_once(kind, key, value)

            journal.put_once = taken  # type: ignore[method-assign]
            asked = await flow.ask(ALICE, life_ms=6_000)
            view = await flow.settled(asked)
            assert (view.state, view.attestation) == (QueryState.EXPIRED, None)
            assert {entry["event"] for entry in flow.errors()} == {"query.failed"}
            flow.logs.clear()

    run(scenario())


def test_an_answer_that_nobody_audits_expires_closed():
    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.kill_after(REGULATOR, "accept")
            asked = await flow.ask(ALICE, life_ms=6_000)
            view = await flow.settled(asked)
            assert (view.state, view.end_reason) == (QueryState.EXPIRED, EndReason.DEADLINE)
            assert view.result is not None
            assert view.waited == 1 << REGULATOR
            with pytest.raises(RequestError, match="may be opened"):
                await flow.opened(asked)

    run(scenario())


INCOMPLETE = (int(Verdict.INCOMPLETE), NOBODY, int(AuditStage.OUTPUT), 0, b"")


def test_an_incomplete_audit_is_replaced_once():
    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.kill_after(REGULATOR, "accept")
            asked = await flow.ask(ALICE, life_ms=10_000)
            await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            flow.start(REGULATOR)  # and says this before it has audited
            await flow.call(REGULATOR, "attest", asked.request.query, 1, *INCOMPLETE)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.RELEASED, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)
            assert attests(flow) == ["", ""]

    run(scenario())


def test_an_audit_that_stays_incomplete_says_so_once(monkeypatch):
    monkeypatch.setattr("mpcnode.roles.auditing.judge", lambda _: Finding(verdict=Verdict.INCOMPLETE))

    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = await flow.ask(ALICE, life_ms=6_000)
            await flow.until(asked, lambda view: view.verdict is Verdict.INCOMPLETE)
            await flow.restart(REGULATOR)
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.EXPIRED, Verdict.INCOMPLETE)
            assert attests(flow) == [""]
            assert flow.journals[REGULATOR].count("release") == 0

    run(scenario())


# ------------------------------------------------------------------- nodes that deviate


def with_cheat(monkeypatch, rank: int, number: int) -> None:
    """One node opens something else in one round, and goes on as if it were right: all transcripts agree."""

    class Cheat(Session):
        def _payload(self) -> Payload:
            if (self._rank, self._round + 1) == (rank, number):
                first = self._mine[0]
                share = first.share.copy()
                share.reshape(-1)[0] ^= 1
                self._mine = (replace(first, share=share), *self._mine[1:])
            return super()._payload()

    monkeypatch.setattr("mpcnode.mpc.chunked.Session", Cheat)


async def mismatched(flow: Flow) -> QueryView:
    """A query that ends without a release; whoever asked cannot open it."""
    asked = await flow.ask(ALICE, life_ms=60_000)
    view = await flow.settled(asked)
    assert (view.state, view.verdict, view.end_reason) == (QueryState.ABORTED, Verdict.MISMATCH, EndReason.MISMATCH)
    assert released(view) == b""
    assert flow.journals[REGULATOR].count("release") == 0
    with pytest.raises(NodeError):
        await flow.opened(asked)
    return view


def named(view: QueryView) -> tuple[int, int, int]:
    assert view.attestation is not None
    return view.attestation.member, view.attestation.stage, view.attestation.round


@pytest.mark.parametrize("rank", range(3))
@pytest.mark.parametrize("number", range(1, ROUNDS_OF_THE_MODEL + 1))
def test_a_wrong_opening_names_its_member_and_round(number, rank, monkeypatch):
    with_cheat(monkeypatch, rank, number)

    async def scenario():
        async with Flow(BEFORE) as flow:
            view = await mismatched(flow)
            assert named(view) == (view.committee[rank], AuditStage.TRANSCRIPT, number)

    run(scenario())


def test_after_release_a_wrong_opening_is_named_too(monkeypatch):
    with_cheat(monkeypatch, 2, 4)

    async def scenario():
        async with Flow() as flow:
            view = await flow.settled(await flow.ask(ALICE))
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MISMATCH)
            assert named(view) == (view.committee[2], AuditStage.TRANSCRIPT, 4)

    run(scenario())


def with_another_hash(data: bytes) -> bytes:
    """Frames of the right session that nobody signed: the hash of the first one is changed."""
    shown = decode_shown(data)
    first = shown.frames[0]
    wrong = replace(first, data_hash=Digest(bytes((first.data_hash[0] ^ 1, *first.data_hash[1:]))))
    return encode_shown(replace(shown, frames=(wrong, *shown.frames[1:])))


class SilentRank(Fault):
    """Whoever has a certain rank shows no frames."""

    def __init__(self, flow: Flow, rank: int) -> None:
        super().__init__(kind="frames", drop=True)
        self.flow, self.rank = flow, rank

    def hits(self, kind: str, sender: int, receiver: int) -> bool:
        views = self.flow.watcher(BANK).link.view.open()
        return any(view.committee[self.rank] == sender for view in views) and super().hits(kind, sender, receiver)


@pytest.mark.parametrize("number", range(1, ROUNDS_OF_THE_MODEL + 1))
@pytest.mark.parametrize("shows", [0, 2])
def test_a_cheat_is_named_by_what_one_honest_node_received(number, shows, monkeypatch):
    """The cheat shows nothing, nor does the third node, which may be its friend."""
    with_cheat(monkeypatch, 1, number)

    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.network.faults += [SilentRank(flow, rank) for rank in range(3) if rank != shows]
            view = await mismatched(flow)
            assert named(view) == (view.committee[1], AuditStage.TRANSCRIPT, number)

    run(scenario())


@pytest.mark.parametrize("number", range(1, ROUNDS_OF_THE_MODEL + 1))
def test_where_only_the_cheat_shows_anything_it_accuses_nobody_else(number, monkeypatch):
    with_cheat(monkeypatch, 1, number)

    async def scenario():
        async with Flow(BEFORE) as flow:
            flow.network.faults += [SilentRank(flow, rank) for rank in (0, 2)]
            view = await mismatched(flow)
            # nobody, or itself: if what it opened changed nothing for others, it received an honest session
            assert named(view) in {(NOBODY, 6, 0), (view.committee[1], 6, 0)}

    run(scenario())


def test_nobody_puts_words_into_anothers_mouth(monkeypatch):
    """A node changes what it shows of another's frames: that proves nothing, and its own lie is still named."""
    with_cheat(monkeypatch, 1, 2)

    async def scenario():
        async with Flow(BEFORE) as flow:
            for node in NODES:
                flow.network.faults.append(Fault(kind="frames", sender=node, tamper=with_another_hash))
            view = await mismatched(flow)
            assert any(entry["event"] == "trace.unproven" for entry in flow.logs)
            assert named(view)[0] in {NOBODY, view.committee[1]}

    run(scenario())


def test_frames_are_shown_to_the_supervisor_only_and_only_of_sessions_of_this_node():
    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert not flow.network.of("recall")
            node = flow.daemons[view.committee[0]].role
            with pytest.raises(NodeError, match="a session of this node, or of a result on the ledger"):
                await node.handlers["recall"](REGULATOR, bytes(36))  # type: ignore[index]
            regulator = flow.daemons[REGULATOR].role
            with pytest.raises(NodeError, match="that was asked for"):
                await regulator.handlers["frames"](view.committee[0], bytes(56))  # type: ignore[index]

    run(scenario())
