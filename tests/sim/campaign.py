"""Many seeds, on as many processes as are asked for."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

import structlog

from tests.sim.cluster import Cluster, Violation
from tests.sim.profiles import draw

BATCH = 25
"""Seeds that a process runs before it reports."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A seed that breaks an invariant, or the core."""

    seed: int
    profile: str
    said: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some seeds."""

    tally: Counter[str]
    finding: Finding | None


def be_quiet() -> None:
    """Let replicas log nothing: that adversaries are refused is no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def run_batch(seeds: range) -> Batch:
    """Run seed after seed, up to the first violation."""
    be_quiet()
    tally = Counter[str]()
    for seed in seeds:
        cluster = Cluster(seed)
        try:
            cluster.run()
        except Violation as violation:
            return Batch(tally, Finding(seed, draw(seed).name, f"VIOLATION of {violation}"))
        except Exception as error:  # noqa: BLE001 - whatever stops the core is a finding, with its seed
            return Batch(tally, Finding(seed, draw(seed).name, f"the core stops: {error!r}"))
        tally.update(seeds=1, real=cluster.profile.real, blocks=len(cluster.checker.decided), messages=cluster.messages)
    return Batch(tally, None)


def search(first: int, count: int | None, workers: int) -> int:
    """Run seeds until one breaks an invariant or they are used up; return the exit code."""
    began, total = time.monotonic(), Counter[str]()
    try:
        for batch in _batches(first, count, workers):
            total += batch.tally
            if batch.finding is not None:
                found = batch.finding
                print(f"seed {found.seed} ({found.profile}): {found.said}")
                print(f"replay it with: make sim SEED={found.seed}")
                return 1
            if total["seeds"] // 500 > (total["seeds"] - batch.tally["seeds"]) // 500:
                print(_summary(total, began), flush=True)
    except KeyboardInterrupt:
        print("stopped")
    print(_summary(total, began))
    return 0


def _batches(first: int, count: int | None, workers: int) -> Iterator[Batch]:
    starts = itertools.count(first, BATCH) if count is None else iter(range(first, first + count, BATCH))
    end = None if count is None else first + count
    running: set[Future[Batch]] = set()
    pool = ProcessPoolExecutor(workers)
    try:
        while True:
            for start in itertools.islice(starts, 2 * workers - len(running)):
                seeds = range(start, start + BATCH if end is None else min(end, start + BATCH))
                running.add(pool.submit(run_batch, seeds))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _summary(total: Counter[str], began: float) -> str:
    seconds = time.monotonic() - began
    return (
        f"{total['seeds']} seeds hold ({total['real']} of them with real signatures, contracts and files): "
        f"{total['blocks']} blocks, {total['messages']} messages, {seconds:.0f} s"
    )
