"""`make bench ONLY=ledger` in small: every figure comes out, from real processes."""

import asyncio
import math

import pytest

from mpcnode.adapters.clock import SystemClock
from scripts.bench.ledger import Extent, measure
from scripts.bench.replicas.consortium import Consortium
from scripts.bench.replicas.fleet import make_certificates, running

SMALL = Extent(
    validators=(4,),
    warm_up_queries=0,
    queries=1,
    load_queries=4,
    at_once=2,
    blocks=24,
    catch_up_s=20.0,
    dearest_blocks=1,
)
NAMES = {
    "finality_p50_ms",
    "finality_p95_ms",
    "finality_floor_ratio",
    "tx_per_s",
    "cpu_ms_per_tx_replica",
    "bytes_per_tx",
    "gb_per_million_queries",
    "restart_10000_blocks_s",
    "rss_10000_blocks_mb",
    "catch_up_blocks_per_s",
    "loop_delay_max_ms",
}


@pytest.mark.bench
def test_every_figure_is_measured(tmp_path):
    figures = measure(SMALL, tmp_path / "bench")
    assert {figure.name for figure in figures} == NAMES
    for figure in figures:
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize("floor", [False, True])
def test_a_process_ends_when_told_though_a_transaction_is_under_way(floor, tmp_path):
    asyncio.run(_end_two_of_four(tmp_path / "fleet", floor))


async def _end_two_of_four(base, floor):
    """Two of four are no quorum: what is submitted there never becomes final. Leaving waits for both ends."""
    consortium = Consortium(4)
    make_certificates(base, 4)
    async with running(base, consortium, floor=floor, members=(0, 1), ready=False) as fleet:
        submitted = asyncio.ensure_future(fleet[0].submit(consortium.query(0, SystemClock().now_ms())[0]))
        await fleet[0].ask("figures")
        assert not submitted.done()
    with pytest.raises(RuntimeError, match="got its end"):
        await submitted
