"""How long the event loop waits while the dearest block there can be is executed, and peers send transactions."""

import asyncio
import time
from pathlib import Path

from ledger.chain import check_transaction
from ledger.contract.machine import Machine
from ledger.contract.storage import Nodes
from ledger.encoding import BLOCK_GAS_MAX, TX_GAS_MAX, transaction_id
from ledger.replica.intake import Intake
from ledger.replica.items import GOSSIP_TXS_MAX
from ledger.replica.mempool import Mempool, Pooled
from ledger.replica.pace import Pace
from ledger.replica.worker import Worker
from ledger.types import Address, Height, Millis, ReplicaId
from mpcnode.adapters.clock import SystemClock
from mpcnode.sealing.keys import verify
from scripts.bench.replicas.consortium import Consortium

_BEAT_S = 0.002
_WORK_S = 0.010
"""Pause between two messages of peers."""
_SPINNER = Address(bytes(19) + b"\x77")
_SPIN = bytes.fromhex("5b" + "3050" * 64 + "5f56")
"""JUMPDEST, 64 times ADDRESS POP, PUSH0 JUMP: more time for its gas than any function of the contracts takes."""


class _Deaf:
    """A transport without peers."""

    def send(self, to: ReplicaId, items: object) -> None:
        """Nobody is there."""

    def broadcast(self, items: object) -> None:
        """Nobody is there."""

    def peers(self) -> frozenset[ReplicaId]:
        """Nobody is there."""
        return frozenset()


def _queued_s() -> float:
    """How long this thread has been waiting for a processor in all."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def execute_dearest_block() -> float:
    """Use up a block's gas; return the time it takes, s."""
    began = time.perf_counter()
    machine = Machine(lambda _: None, None, nodes=Nodes(), chain_id=1, height=Height(1), timestamp_ms=Millis(1))
    machine.install(_SPINNER, _SPIN)
    for _ in range(BLOCK_GAS_MAX // TX_GAS_MAX):
        machine.call(Address(bytes(20)), _SPINNER, b"", TX_GAS_MAX)
    return time.perf_counter() - began


async def measure_delays(blocks: int) -> tuple[list[float], float]:
    """Return by how much each beat of the loop was late, ms, ascending; and the mean time of a block, s."""
    consortium = Consortium(4)
    now = SystemClock().now_ms()
    gossip = [call.data for number in range(GOSSIP_TXS_MAX) for call in consortium.query(number, now)[:1]]
    worker, late = Worker(), []

    async def beat() -> None:
        while True:
            due, used, queued = time.perf_counter() + _BEAT_S, time.process_time(), _queued_s()
            await asyncio.sleep(_BEAT_S)
            # What other processes took of the machine is not the block's fault: neither while this thread waited for a
            # processor, nor while the whole process did no work.
            delay = time.perf_counter() - due - (_queued_s() - queued)
            late.append(max(0.0, min(delay, time.process_time() - used)) * 1000)

    async def listen() -> None:
        while True:
            await _intake(consortium).take(ReplicaId(1), gossip)
            await asyncio.sleep(_WORK_S)

    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(beat()), tasks.create_task(listen())]
        await worker.run(execute_dearest_block)
        late.clear()
        took = [await worker.run(execute_dearest_block) for _ in range(blocks)]
        for other in others:
            other.cancel()
    await worker.close(lambda: None)
    return sorted(late), sum(took) / blocks


def _intake(consortium: Consortium) -> Intake:
    """A new one each time, for it verifies nothing twice."""

    def check(data: bytes) -> Pooled:
        tx = check_transaction(data, consortium.genesis.chain, verify)
        return Pooled(tx_id=transaction_id(tx), tx=tx, data=data)

    return Intake(
        mempool=Mempool(may_send=lambda _: True),
        check=check,
        transport=_Deaf(),
        clock=SystemClock(),
        pace=Pace(per_second=1e6, burst=1e6),
        on_work=lambda: None,
    )
