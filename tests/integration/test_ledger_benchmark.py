"""`make bench ONLY=ledger` in small: every figure comes out, from real processes."""

import math

from scripts.bench.ledger import Extent, measure

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


def test_every_figure_is_measured(tmp_path):
    figures = measure(SMALL, tmp_path / "bench")
    assert {figure.name for figure in figures} == NAMES
    for figure in figures:
        assert math.isfinite(figure.value), figure
        assert figure.value > 0, figure
    assert not (tmp_path / "bench").exists()
