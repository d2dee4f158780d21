"""Under full CPU load with all members up no view is given up: four replicas, as processes, beside busy loops."""

import asyncio
import subprocess
import sys
from contextlib import ExitStack, contextmanager

from ledger.store import SqliteStore
from ledger.types import VoteKind
from mpcnode.adapters.clock import SystemClock
from scripts.bench.replicas.consortium import Consortium
from scripts.bench.replicas.fleet import make_certificates, running

CONSORTIUM = Consortium(4)
BUSY_LOOPS = 4
QUERIES = 17
AT_ONCE = 4


@contextmanager
def busy_machine():
    with ExitStack() as stack:
        for _ in range(BUSY_LOOPS):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


async def ask(fleet, number):
    for place, call in enumerate(CONSORTIUM.query(number, SystemClock().now_ms())):
        await fleet[(number + place) % 4].submit(call)


async def load(base):
    make_certificates(base, 4)
    async with running(base, CONSORTIUM) as fleet:
        await ask(fleet, 0)
        with busy_machine():
            for first in range(1, QUERIES, AT_ONCE):
                await asyncio.gather(*(ask(fleet, first + number) for number in range(AT_ONCE)))
        figures = [await child.ask("figures") for child in fleet.values()]
    return min(answer["height"] for answer in figures)


def votes(directory):
    store = SqliteStore(directory)
    try:
        return [VoteKind(kind) for (_, _, kind), _ in store.scan_votes()]
    finally:
        store.close()


def test_no_view_is_given_up_under_full_load(tmp_path):
    base = tmp_path / "fleet"
    height = asyncio.run(load(base))
    assert height > 6
    cast = {member: votes(base / f"member-{member}") for member in range(4)}
    assert all(kinds.count(VoteKind.FINALIZE) >= height - 1 for kinds in cast.values())
    assert {member: kinds.count(VoteKind.NULLIFY) for member, kinds in cast.items()} == dict.fromkeys(range(4), 0)
