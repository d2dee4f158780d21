"""The floor of `score` about one subject: what the messages of a session cost processes that compute nothing.

Three nodes and a dealer, each in a process of its own (`floor_member`), with the daemons' event loop, gRPC, TLS and
options, and one stream between any two. The dealer sends each node a deal, the last one's with corrections; each node
sends the others an accept, then what the program has for each round, which begins when both others' of the round before
are there. Each message is signed and verified once, as a flush of one frame. No ledger, no role, no journal, no
arithmetic, no acknowledgement: data is zeros of the true sizes. The clock runs from when the dealer begins until the
last node has verified the last round: in the real thing shares come before that, and output shares after.
"""

import asyncio
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpcnode.mpc import corrections_size
from scripts.bench.floor_member import DEALER, NODES
from scripts.bench.registry import Measurement, Parameter
from scripts.bench.replicas.fleet import Child, make_certificates
from scripts.bench.works import ModelWork

ROOT = Path("build/bench/floor")

DEAL_BYTES = 192 + 64 + (1 + NODES) * 32 + 32
ACCEPT_BYTES = 128 + 64
"""Payloads of docs/protocol.md 7, without the lengths of lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    warm_up: int = 100
    sessions: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a session takes."""

    ms: float
    """The median."""
    cpu_ms: float
    """Processor time of all four processes together, the mean."""


VARIANTS = {"": (), "_without_signatures": ("--unsigned",)}
"""What is added to the names of figures, and what the processes are told."""


def measure(extent: Extent, base: Path, ours: Measurement) -> Iterator[Measurement]:
    """Measure the floor, and it without signatures, in a directory that is emptied first.

    Args:
        extent: how much.
        base: where certificates are made.
        ours: what a real session takes, ms.
    """
    shutil.rmtree(base, ignore_errors=True)
    make_certificates(base, NODES + 1)
    of: dict[str, Parameter] = {"processes": NODES + 1, "cores": os.cpu_count() or 0, "sessions": extent.sessions}
    spent = {name: asyncio.run(_measure(extent, base, flags)) for name, flags in VARIANTS.items()}
    for name, one in spent.items():
        of |= {f"p50_ms{name}": round(one.ms, 2), f"cpu_ms{name}": round(one.cpu_ms, 2)}
    least = spent[""].ms
    yield Measurement("score_n1_floor_ms", least, "ms", of)
    ratio: dict[str, Parameter] = {ours.name: round(ours.value, 3), "score_n1_floor_ms": round(least, 3)}
    yield Measurement("score_n1_floor_ratio", ours.value / least, "1", {**ratio, "audit": ours.params["audit"]})
    shutil.rmtree(base)


async def _measure(extent: Extent, base: Path, flags: Sequence[str]) -> Spent:
    program = ModelWork("score", 1).batch(NODES, 1).program(0)
    deals = [DEAL_BYTES] * NODES
    deals[-1] += corrections_size(program)
    async with AsyncExitStack() as stack:
        members = []
        for me in range(NODES + 1):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scripts.bench.floor_member", str(base), str(me), *flags),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "GRPC_VERBOSITY": "NONE"},  # as the daemons' command has it
            )
            members.append(Child(process))
            stack.push_async_callback(members[-1].end)
        ports = [(await member.read())["port"] for member in members]
        await _tell(members, {"ports": ports, "deals": deals, "steps": [ACCEPT_BYTES, *program.round_bytes]})
        await _tell(members, extent.warm_up)
        said = await _tell(members, extent.sessions)
    began = said[DEALER]["moments"]
    ended = map(max, *(node["moments"] for node in said[:NODES]))
    return Spent(
        ms=1000 * statistics.median(end - begin for begin, end in zip(began, ended, strict=True)),
        cpu_ms=1000 * sum(member["cpu_s"] for member in said) / extent.sessions,
    )


async def _tell(members: Sequence[Child], told: object) -> list[dict[str, Any]]:
    """Tell everybody something, and wait for everybody's answer."""
    for member in members:
        member.write(told)
    return [await member.read() for member in members]
