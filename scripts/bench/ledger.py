"""The ledger by itself: n replicas in n processes, mutual TLS, SQLite, the real contracts, transactions of queries.

Finality is the time from `submit` at a replica until that replica has the block; one transaction at a time, spread over
all. The floor (`scripts.bench.replicas.floor`) takes turns with it, so both meet the same machine.
"""

import asyncio
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from ledger.types import Millis
from mpcnode.adapters.clock import SystemClock
from scripts.bench.registry import Measurement, Parameter, benchmark
from scripts.bench.replicas.consortium import TXS_PER_QUERY, Call, Consortium
from scripts.bench.replicas.delay import measure_delays
from scripts.bench.replicas.fleet import Child, Fleet, make_certificates, running
from scripts.bench.replicas.stores import compact_store, make_store

ROOT = Path("build/bench/ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    validators: Sequence[int] = (4, 8)
    warm_up_queries: int = 3
    queries: int = 25
    """One transaction at a time."""
    load_queries: int = 500
    at_once: int = 40
    """Queries under way, each a closed loop."""
    blocks: int = 10_000
    catch_up_s: float = 10.0
    dearest_blocks: int = 20


@benchmark("ledger")
def ledger() -> list[Measurement]:
    """Measure finality, its floor, throughput, bytes, catching up, opening and memory."""
    return measure(Extent(), ROOT)


def measure(extent: Extent, root: Path) -> list[Measurement]:
    """Measure to some extent, in a directory that is emptied first."""
    shutil.rmtree(root, ignore_errors=True)
    figures: list[Measurement] = []
    for validators in extent.validators:
        figures += asyncio.run(_finality(extent, root / f"finality-{validators}", Consortium(validators)))
    figures.append(_loop_delay(extent))
    figures += asyncio.run(_load(extent, root / "load", Consortium(min(extent.validators))))
    consortium = Consortium(4)
    base = root / "chain"
    make_certificates(base, consortium.validators)
    made = base / "member-0"
    began = time.perf_counter()
    make_store(made, consortium, extent.blocks)
    made_s = time.perf_counter() - began
    figures += _restart(extent, made, consortium)
    figures.append(_size(extent, made, consortium, made_s))
    figures += asyncio.run(_catch_up(extent, base, consortium))
    shutil.rmtree(root)
    return figures


def _machine() -> dict[str, Parameter]:
    """Where it was measured."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    cpu = found.group(1) if found else platform.machine()
    return {"cores": os.cpu_count() or 0, "cpu": cpu, "python": platform.python_version()}


def _now() -> Millis:
    return SystemClock().now_ms()


async def _finality(extent: Extent, base: Path, consortium: Consortium) -> list[Measurement]:
    make_certificates(base, consortium.validators)
    real: list[float] = []
    least: list[float] = []
    async with running(base, consortium) as replicas, running(base, consortium, floor=True) as floor:
        for number in range(extent.warm_up_queries + extent.queries):
            calls = consortium.query(number, _now())
            least += await _one_by_one(floor, calls, number)
            real += await _one_by_one(replicas, calls, number)
    skipped = extent.warm_up_queries * TXS_PER_QUERY
    real, least = sorted(real[skipped:]), sorted(least[skipped:])
    params: dict[str, Parameter] = {"n": consortium.validators, "transactions": len(real), **_machine()}
    p50, floor_p50 = statistics.median(real), statistics.median(least)
    return [
        Measurement("finality_p50_ms", p50, "ms", params),
        Measurement("finality_p95_ms", _p95(real), "ms", params),
        Measurement(
            "finality_floor_ratio",
            p50 / floor_p50,
            "1",
            {**params, "floor_p50_ms": floor_p50, "floor_p95_ms": _p95(least)},
        ),
    ]


async def _one_by_one(fleet: Fleet, calls: Iterable[Call], number: int) -> list[float]:
    """Submit a query's transactions, each at another replica when the one before it is final where it came from."""
    children = list(fleet.values())
    return [await children[(number + place) % len(children)].submit(call) for place, call in enumerate(calls)]


def _p95(ordered: Sequence[float]) -> float:
    return ordered[int(0.95 * (len(ordered) - 1))]


async def _load(extent: Extent, base: Path, consortium: Consortium) -> list[Measurement]:
    """Throughput, and what a transaction costs, while many queries are under way."""
    make_certificates(base, consortium.validators)
    now = _now()
    warm_up = [consortium.query(-1 - number, now) for number in range(extent.at_once)]
    queries = [consortium.query(number, now) for number in range(extent.load_queries)]
    async with running(base, consortium) as fleet:
        children = list(fleet.values())
        await _all_queries(children, warm_up, extent.at_once)
        before = [await child.ask("figures") for child in children]
        began = time.perf_counter()
        await _all_queries(children, queries, extent.at_once)
        seconds = time.perf_counter() - began
        after = [await child.ask("figures") for child in children]
    txs = extent.load_queries * TXS_PER_QUERY
    blocks = after[0]["height"] - before[0]["height"]
    cpu, sent = (
        sum(last[what] - first[what] for first, last in zip(before, after, strict=True)) / len(children)
        for what in ("cpu_ms", "bytes_sent")
    )
    params: dict[str, Parameter] = {
        "n": consortium.validators,
        "transactions": txs,
        "blocks": blocks,
        "queries_at_once": extent.at_once,
        "rss_growth_mb": max(last["rss_mb"] - first["rss_mb"] for first, last in zip(before, after, strict=True)),
        **_machine(),
    }
    return [
        Measurement("tx_per_s", txs / seconds, "1/s", params),
        Measurement("cpu_ms_per_tx_replica", cpu / txs, "ms", params),
        Measurement("bytes_per_tx", sent / txs, "bytes", {**params, "of": "TCP payload sent by one replica"}),
    ]


def _loop_delay(extent: Extent) -> Measurement:
    late, block_s = uvloop.run(measure_delays(extent.dearest_blocks))
    params: dict[str, Parameter] = {
        "p50_ms": statistics.median(late),
        "p99_ms": late[int(0.99 * (len(late) - 1))],
        "block_ms": block_s * 1000,
        **_machine(),
    }
    return Measurement("loop_delay_max_ms", late[-1], "ms", params)


async def _all_queries(children: Sequence[Child], queries: Iterable[tuple[Call, ...]], at_once: int) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one(number: int, calls: tuple[Call, ...]) -> None:
        register, *commits, post, attest = calls
        async with gate:
            for place, step in enumerate(([register], commits, [post], [attest])):
                chosen = [children[(number + place + other) % len(children)] for other in range(len(step))]
                await asyncio.gather(*(child.submit(call) for child, call in zip(chosen, step, strict=True)))

    async with asyncio.TaskGroup() as tasks:
        for number, calls in enumerate(queries):
            tasks.create_task(one(number, calls))


def _size(extent: Extent, directory: Path, consortium: Consortium, made_s: float) -> Measurement:
    """Compact the store; old states are the larger part of it."""
    queries = extent.blocks / TXS_PER_QUERY
    before = _bytes(directory)
    compact_store(directory, consortium)
    params: dict[str, Parameter] = {
        "blocks": extent.blocks,
        "transactions_per_block": 1,
        "uncompacted_gb": before / queries * 1e6 / 1e9,
        "made_blocks_per_s": extent.blocks / made_s,
    }
    return Measurement("gb_per_million_queries", _bytes(directory) / queries * 1e6 / 1e9, "GB", params)


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def _restart(extent: Extent, directory: Path, consortium: Consortium) -> list[Measurement]:
    """From the start of a process to an opened and checked store."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.replicas.opening", directory, str(consortium.validators)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    height, rss = done.stdout.split()
    if int(height) != extent.blocks:
        raise RuntimeError(f"store: expected {extent.blocks} blocks, got {height}")
    params: dict[str, Parameter] = {"blocks": extent.blocks, **_machine()}
    return [
        Measurement("restart_10000_blocks_s", seconds, "s", params),
        Measurement("rss_10000_blocks_mb", float(rss), "MB", params),
    ]


async def _catch_up(extent: Extent, base: Path, consortium: Consortium) -> list[Measurement]:
    """A new replica takes blocks from one that has them all, from when that has opened its store."""
    async with running(base, consortium, members=(0, 1), ready=False) as fleet:
        first = await fleet[1].ask("figures")
        await fleet[0].ask("figures")
        began = time.perf_counter()
        last = first
        while last["height"] < extent.blocks and time.perf_counter() - began < extent.catch_up_s:
            await asyncio.sleep(0.1)
            last = await fleet[1].ask("figures")
        seconds = time.perf_counter() - began
    blocks = last["height"] - first["height"]
    params: dict[str, Parameter] = {
        "blocks": blocks,
        "transactions_per_block": 1,
        "rss_growth_mb": last["rss_mb"] - first["rss_mb"],
        **_machine(),
    }
    return [Measurement("catch_up_blocks_per_s", blocks / seconds, "1/s", params)]
