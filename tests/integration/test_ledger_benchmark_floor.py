"""The floor of the ledger's benchmark writes every transaction once, in whatever order peers' frames come."""

import asyncio
import random
from contextlib import suppress

import pytest

from ledger.types import Millis, ReplicaId
from scripts.bench.replicas.consortium import Consortium
from scripts.bench.replicas.floor import Floor

CONSORTIUM = Consortium(4)


class Wires:
    """Everybody's streams: each keeps its order, which of them is next is a seed's choice."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.floors: list[Floor] = []
        self.queues: dict[tuple[int, int], list[list[bytes]]] = {
            (a, b): [] for a in range(4) for b in range(4) if a != b
        }

    def end_of(self, me):
        return End(self, me)

    async def carry_one(self):
        waiting = [pair for pair, queue in self.queues.items() if queue]
        if waiting:
            sender, receiver = self.random.choice(waiting)
            await self.floors[receiver].receive(ReplicaId(sender), self.queues[sender, receiver].pop(0))
        return bool(waiting)


class End:
    def __init__(self, wires, me):
        self.wires, self.me = wires, me

    def broadcast(self, items):
        for other in range(4):
            if other != self.me:
                self.wires.queues[self.me, other].append(list(items))


async def decide(seed, base):
    wires = Wires(seed)
    wires.floors = [Floor(CONSORTIUM, me, base / f"{me}.sqlite", wires.end_of(me)) for me in range(4)]
    calls = CONSORTIUM.query(seed, Millis(1_800_000_000_000))
    for place, call in enumerate(calls):
        submitted = asyncio.ensure_future(wires.floors[place % 4].submit(call.data))
        await asyncio.sleep(0)
        while not submitted.done():
            if not await wires.carry_one():
                submitted.cancel()
                with suppress(asyncio.CancelledError):
                    await submitted
                pytest.fail(f"transaction {place}: nothing is left to deliver and it is not written")
            await asyncio.sleep(0)
    while await wires.carry_one():
        pass
    return [await floor.height() for floor in wires.floors], len(calls)


@pytest.mark.parametrize("seed", range(10))
def test_the_floor_writes_every_transaction_once(seed, tmp_path):
    heights, calls = asyncio.run(decide(seed, tmp_path))
    assert heights == [calls] * 4
