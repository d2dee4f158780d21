"""The whole flow: an inquirer asks eight daemons for credit ratings, one after the other, then several at a time."""

import asyncio
import csv
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.receipts import verify_receipt
from mpcnode.client import Answer, Inquirer
from mpcnode.config.node import load_node
from mpcnode.config.profile import load_profile
from mpcnode.devnet.control import report
from mpcnode.devnet.plan import Layout
from mpcnode.sealing.keys import verify
from scripts.bench.network import MODEL, PURPOSE, network
from scripts.bench.registry import Measurement, Parameter, benchmark

NETWORK = Path("build/bench/net")
WARM_UP = 3
SEQUENTIAL = 30
CONCURRENT = 60
AT_ONCE = 6
SETTLE_S = 3.0
"""For the last attestations, whose cost belongs to the queries."""


@benchmark("query")
def query() -> list[Measurement]:
    """Measure latency from ask to opened answer, throughput, CPU time, transactions and blocks."""
    with network(NETWORK) as layout:
        return asyncio.run(_measure(layout))


async def _measure(layout: Layout) -> list[Measurement]:
    bank = load_node(layout.node("bank-data").config).records
    if bank is None:
        raise ValueError("expected records of the bank, got none")
    with bank.file.open(encoding="utf-8", newline="") as file:
        subjects = [row[bank.id_column] for row in csv.DictReader(file)]
    async with Inquirer.open(layout.profile) as inquirer:
        for subject in subjects[:WARM_UP]:
            await inquirer.ask(MODEL, subject, purpose=PURPOSE, wait_audit=True)
        cpu, blocks = await _cpu_ms(layout), await _height(layout)
        answers = [await inquirer.ask(MODEL, subject, purpose=PURPOSE) for subject in subjects[:SEQUENTIAL]]
        await asyncio.sleep(SETTLE_S)
        used, made = await _cpu_ms(layout), await _height(layout) - blocks
        settled = [await inquirer.show(answer.query, wait_audit=True) for answer in answers]
        rate = await _throughput(inquirer, subjects[SEQUENTIAL : SEQUENTIAL + CONCURRENT])
    params: dict[str, Parameter] = {"daemons": 8, "queries": SEQUENTIAL, "cores": os.cpu_count() or 0}
    latencies = sorted(float(answer.latency_ms or 0) for answer in answers)
    spent = statistics.mean(used[name] - cpu[name] for name in cpu) / SEQUENTIAL
    return [
        Measurement("query_latency_p50_ms", statistics.median(latencies), "ms", params),
        Measurement("query_latency_p95_ms", latencies[int(0.95 * (SEQUENTIAL - 1))], "ms", params),
        Measurement("queries_per_s", rate, "1/s", {"at_once": AT_ONCE, "queries": CONCURRENT, "daemons": 8}),
        Measurement("query_cpu_ms_per_daemon", spent, "ms", params),
        Measurement("txs_per_query", _transactions(layout, settled) / SEQUENTIAL, "1", params),
        Measurement("blocks_per_query", made / SEQUENTIAL, "1", params),
    ]


async def _throughput(inquirer: Inquirer, subjects: Sequence[str]) -> float:
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(subject: str) -> None:
        async with gate:
            await inquirer.ask(MODEL, subject, purpose=PURPOSE)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for subject in subjects:
            tasks.create_task(ask(subject))
    return len(subjects) / (time.perf_counter() - began)


async def _height(layout: Layout) -> int:
    return max(item.status.height for item in await report(layout) if item.status is not None)


async def _cpu_ms(layout: Layout) -> Mapping[str, float]:
    """User and system time of each daemon so far."""
    return {item.name: _process_ms(item.process.pid) for item in await report(layout) if item.process is not None}


def _process_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _transactions(layout: Layout, answers: Sequence[Answer]) -> int:
    profile = load_profile(layout.profile)
    genesis = profile.consortium.genesis()
    receipts = [(profile.answers_dir / f"{answer.query}.receipt").read_bytes() for answer in answers]
    return sum(len(verify_receipt(receipt, genesis, verify).transactions) for receipt in receipts)
