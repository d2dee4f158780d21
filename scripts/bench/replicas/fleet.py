"""The processes of a fleet, as the one that measures them sees them."""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ledger.types import Millis
from mpcnode.adapters.certificates import make_certificate
from mpcnode.adapters.clock import SystemClock
from scripts.bench.replicas.consortium import Call, Consortium

_LINE_BYTES_MAX = 1 << 20
_PATIENCE_S = 60.0
"""For everybody to be ready, and for one answer."""


class Child:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("expected a process with pipes")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def read(self) -> dict[str, Any]:
        """Return the next line that it says, before `listen`."""
        async with asyncio.timeout(_PATIENCE_S):
            line = await self._stdout.readline()
        if not line:
            raise RuntimeError(f"replica: expected an answer, got its end with code {await self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def write(self, message: object) -> None:
        """Tell it something."""
        self._stdin.write(json.dumps(message).encode() + b"\n")

    def listen(self) -> None:
        """From now on all that it says are answers."""
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def ask(self, do: str, **values: object) -> dict[str, Any]:
        """Send a request and return the answer."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self.write({"id": number, "do": do, **values})
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found: dict[str, Any] = await answer
        except TimeoutError as late:
            raise RuntimeError(f"replica: expected an answer to {do} within {_PATIENCE_S:.0f} s, got none") from late
        return found

    async def submit(self, call: Call) -> float:
        """Submit a transaction that must succeed; return the time until it was final there, ms."""
        answer = await self.ask("submit", data=call.data.hex())
        if answer["failed"]:
            raise RuntimeError(f"transaction {call.tx_id.hex()}: expected success, got {answer['failed']}")
        return float(answer["ms"])

    async def end(self) -> None:
        """Close its input and wait.

        Raises:
            RuntimeError: it did not end by itself, or not well.
        """
        self._stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                code = await self._process.wait()
            if code:
                raise RuntimeError(f"replica: expected it to end with code 0, got {code}")
        except TimeoutError as late:
            raise RuntimeError(f"replica: expected its end within {_PATIENCE_S:.0f} s, got none") from late
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            if self._listening is not None:
                self._listening.cancel()

    async def _listen(self) -> None:
        try:
            while line := await self._stdout.readline():
                answer = json.loads(line)
                self._asked.pop(answer["id"]).set_result(answer)
        finally:
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(RuntimeError("replica: expected an answer, got its end"))


Fleet = dict[int, Child]
"""Processes by member."""


def make_certificates(base: Path, validators: int) -> None:
    """Make everybody's TLS key and certificate."""
    base.mkdir(parents=True)
    for index in range(validators):
        pair = make_certificate(f"member-{index}", Millis(SystemClock().now_ms()))
        (base / f"tls-{index}.crt").write_bytes(pair.certificate)
        (base / f"tls-{index}.key").write_bytes(pair.key)


@asynccontextmanager
async def running(
    base: Path, consortium: Consortium, *, floor: bool = False, members: Iterable[int] = (), ready: bool = True
) -> AsyncIterator[Fleet]:
    """Run processes until the block ends.

    Args:
        base: directory with the certificates; the members' stores are made in it where there is none.
        consortium: who they are.
        floor: run the floor and not replicas.
        members: which run; all if empty.
        ready: wait until each follows a quorum, not only until they are connected.
    """
    chosen = tuple(members) or tuple(range(consortium.validators))
    async with AsyncExitStack() as stack:
        fleet: Fleet = {}
        for member in chosen:
            fleet[member] = await _start(base, consortium, member, floor=floor)
            stack.push_async_callback(fleet[member].end)
        ports = {str(member): (await child.read())["port"] for member, child in fleet.items()}
        for child in fleet.values():
            child.write({"ports": ports, "ready": ready})
        for child in fleet.values():
            await child.read()
            child.listen()
        yield fleet


async def _start(base: Path, consortium: Consortium, member: int, *, floor: bool) -> Child:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.bench.replicas.process", base, str(consortium.validators), str(member)),
        *(("--floor",) if floor else ()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    return Child(process)
