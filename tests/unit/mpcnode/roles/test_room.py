"""Queries about many subjects where a disk is full, or has lost what it held: they wait, or end, and blame no other."""

import asyncio

import pytest

from mpcnode.query.blobs import BlobKind
from mpcnode.query.committee import choose_committee
from mpcnode.types import (
    NOBODY,
    AuditMode,
    AuditStage,
    CorrelationSource,
    FailReason,
    MemberIndex,
    QueryState,
    Verdict,
    bitmap,
)
from tests.support.batches import ask_many, opened_many, prepare_many
from tests.support.consortium import ALICE, BANK, BOB, NOBODY_KNOWS, NODES, OPERATOR, PANEL, REGULATOR
from tests.support.fake_blobs import MemoryBlobs
from tests.support.flow import BLOB, Fault, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

FEW = [ALICE, BOB, NOBODY_KNOWS, ALICE]
AFTER = Lenders(quota=1_000_000)
JOINT = Lenders(quota=1_000_000, correlations=CorrelationSource.OT)
BEFORE = Lenders(quota=1_000_000, audit=AuditMode.BEFORE_RELEASE)


def fill(flow: Flow, index: MemberIndex) -> MemoryBlobs:
    """Leave no room at a daemon."""
    blobs = flow.blobs.setdefault(index, MemoryBlobs())
    blobs.full = True
    return blobs


async def answered(flow: Flow, asked, attempt: int) -> None:
    view = await flow.settled(asked)
    assert (view.verdict, view.attempt, view.committed) == (Verdict.MATCH, attempt, view.panel)
    assert await opened_many(flow, asked) == [flow.clear(subject) for subject in FEW]


@pytest.mark.parametrize("index", [BANK, REGULATOR], ids=["participant", "supervisor"])
def test_who_has_no_room_for_its_own_waits_for_it(index):
    async def scenario():
        async with Flow(BEFORE) as flow:
            blobs = fill(flow, index)
            asked = await ask_many(flow, FEW)
            await asyncio.sleep(8)
            assert not flow.view(asked).is_settled
            blobs.full = False
            await answered(flow, asked, 1)
            waited = [entry for entry in flow.logs if entry["event"] == "blob.no_room"]
            assert {entry["kind"] for entry in waited} == {"ROWS" if index == BANK else "MASK"}

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_a_node_without_room_for_its_output_says_so_of_itself(node):
    async def scenario():
        async with Flow(BEFORE) as flow:
            blobs = fill(flow, node)
            asked = await ask_many(flow, FEW)
            await flow.until(asked, lambda view: view.attempt == 2)
            blobs.full = False
            (failure,) = flow.view(asked).failures
            assert (failure.by, failure.reason, failure.waited) == (node, FailReason.ABORT, 1 << node)
            await answered(flow, asked, 2)

    run(scenario())


def test_a_last_node_without_room_for_rows_blames_nobody_who_sent_them():
    async def scenario():
        async with Flow(BEFORE) as flow:
            asked = await prepare_many(flow, FEW)
            members, panel = flow.consortium.members, bitmap(PANEL)
            first = choose_committee(asked.request.query, 1, members, panel=panel, excluded=0, companies_min=3).members
            blobs = flow.blobs.setdefault(first[-1], MemoryBlobs())
            blobs.closed = True
            await flow.desk.ask(asked.sealed)
            await flow.until(asked, lambda view: view.attempt == 2)
            blobs.closed = False
            (failure,) = flow.view(asked).failures
            assert (failure.by, failure.reason, failure.waited) == (first[-1], FailReason.ABORT, 1 << first[-1])
            await answered(flow, asked, 2)

    run(scenario())


def test_a_mask_that_finds_no_room_until_the_deadline_is_the_supervisors_matter():
    async def scenario():
        async with Flow(BEFORE) as flow:
            fill(flow, REGULATOR)
            asked = await ask_many(flow, FEW, life_ms=30_000)
            view = await flow.settled(asked)
            assert (view.state, view.waited) == (QueryState.EXPIRED, 1 << REGULATOR)
            assert [entry["event"] for entry in flow.logs if entry["log_level"] == "warning"][-1] == "blob.no_room"

    run(scenario())


@pytest.mark.parametrize("away", [OPERATOR, REGULATOR], ids=["operator", "supervisor"])
def test_who_does_not_take_an_output_in_time_is_named(away):
    async def scenario():
        async with Flow(AFTER) as flow:
            asked = await ask_many(flow, FEW)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            for node in NODES:
                flow.network.faults.append(Fault(kind=BLOB, sender=node, receiver=away, drop=True))
            await flow.until(asked, lambda view: view.attempt == 2)
            flow.network.faults.clear()
            (failure,) = flow.view(asked).failures
            assert (failure.reason, failure.waited) == (FailReason.TIMEOUT, 1 << away)
            await answered(flow, asked, 2)

    run(scenario())


@pytest.mark.parametrize("setting", [AFTER, JOINT], ids=["dealer", "no dealer"])
def test_a_supervisor_that_lost_inputs_judges_nobody_by_them(setting):
    """It gave its word that it holds them; that it does not any more is no participant's fault."""

    async def scenario():
        async with Flow(setting) as flow:
            flow.chain.drop = lambda _sender, method: method == "attest"
            asked = await ask_many(flow, FEW, life_ms=600_000)
            await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            blobs = flow.blobs[REGULATOR]
            lost = [label for label in blobs.labels if (label.kind, label.author) == (BlobKind.ROWS, BANK)]
            for label in lost:
                del blobs.chunks[blobs.labels[label]], blobs.offers[blobs.labels.pop(label)]
            assert len(lost) == 1
            await flow.crash(REGULATOR)
            flow.chain.drop = lambda _sender, _method: False
            flow.start(REGULATOR)
            view = await flow.settled(asked, within_s=1_000)
            assert view.attestation is not None
            said = view.attestation
            assert (said.verdict, said.member, said.stage) == (Verdict.INCOMPLETE, NOBODY, AuditStage.ENVELOPE)
            assert {error["event"] for error in flow.errors()} == {"audit.inputs_lost"}
            flow.logs.clear()

    run(scenario())
