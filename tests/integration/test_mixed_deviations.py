"""Up to all nodes of a committee but one leave the protocol, each in a way of its own: still no wrong answer, no hang.

And whoever an honest node or the auditor names has deviated. Which nodes and deviations meet is drawn from seeds.
"""

import random

import pytest

from mpcnode.errors import NodeError
from mpcnode.types import QueryState, Verdict, bitmap, members_of
from tests.integration.test_deviations import OF_FIVE, OF_THREE, PATIENCE_MS, Watch, prepared
from tests.support.consortium import ALICE, NODES, REGULATOR, RESERVE_MPC, SPARE_MPC, Setting
from tests.support.deviations import CASES
from tests.support.flow import Flow
from tests.support.virtual_time import run

PLAIN = tuple(name for name, case in CASES.items() if not case.after_another)
POOLS = {3: (OF_THREE, (*NODES, SPARE_MPC)), 5: (OF_FIVE, (*NODES, SPARE_MPC, RESERVE_MPC))}


async def mixed(source: random.Random, size: int, setting: Setting) -> None:
    pool = POOLS[size][1]
    evil = source.sample(pool, source.randrange(1, size))
    honest = set(pool) - set(evil)
    chosen = {node: source.choice(PLAIN) for node in evil}
    flow = Flow(setting)
    deviations = {node: CASES[name].make() for node, name in chosen.items()}
    for node, deviation in deviations.items():
        flow.outfit(node, deviation)
    async with flow:
        asked = prepared(flow, size, source.randrange(3))
        await flow.desk.ask(asked.sealed)
        watch = Watch(flow, asked)
        view = await watch.settled()
        watch.attempts_end_in_time(size)
        assert (view.ended_at or 0) <= view.deadline + PATIENCE_MS, chosen
        for failure in view.failures:
            named = set(members_of(failure.waited)) - {REGULATOR}
            assert failure.by in evil or named <= set(evil), (chosen, failure)
        if view.attestation is not None:
            assert view.attestation.member not in honest, (chosen, view.attestation)
        try:
            outcome = await flow.opened(asked)
        except NodeError:
            assert view.state is not QueryState.RELEASED or bitmap(evil) & bitmap(view.committee), chosen
        else:
            assert (view.state, view.verdict) == (QueryState.RELEASED, Verdict.MATCH), chosen
            assert outcome == flow.clear(ALICE), chosen
        for deviation in deviations.values():
            deviation.active = False
        again = prepared(flow, size, source.randrange(3))
        await flow.desk.ask(again.sealed)
        view = await flow.settled(again)
        assert (view.state, view.failures) == (QueryState.RELEASED, ()), chosen
        assert await flow.opened(again) == flow.clear(ALICE)


@pytest.mark.parametrize("size", POOLS)
@pytest.mark.parametrize("number", range(40))
def test_all_but_one_deviate(number, size):
    source = random.Random(f"{size} nodes, mix {number}")
    run(mixed(source, size, POOLS[size][0]))
