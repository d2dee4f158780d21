"""One replica, or one part of the floor, in a process of its own: `python -m scripts.bench.replicas.process`.

It prints its port, is told everybody's, prints that it is ready, and then answers requests: one JSON document in a
line, on standard input and output, until the input ends.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import logging
import random
import resource
import socket
import ssl
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog
import uvloop

from ledger.contract import ContractHost
from ledger.ports import Inbox
from ledger.replica import Replica
from ledger.rpc import Backoff, PeerAddress, PeerNetwork
from ledger.store import SqliteStore, create_directory
from ledger.types import ReplicaId
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.ledger_link import VoteSigner
from mpcnode.rpc.tls import (
    CONTROL_BYTES_MAX,
    PeerDirectory,
    channel_options,
    peer_channel_credentials,
    peer_server_credentials,
    server_options,
)
from mpcnode.sealing.keys import verify
from mpcnode.types import MemberIndex
from scripts.bench.replicas.consortium import Consortium
from scripts.bench.replicas.floor import Floor

_BYTES_ACKED = 120
"""Offset of `tcpi_bytes_acked`, u64, in Linux' `struct tcp_info`."""
_POLL_S = 0.02


class Node(Protocol):
    """What is measured: a replica, or the floor."""

    async def run(self) -> None:
        """Run until cancelled."""

    async def submit(self, data: bytes) -> object:
        """Send a transaction; ends when it is final here."""

    def is_ready(self) -> bool:
        """Whether transactions can be submitted."""

    async def height(self) -> int:
        """Height of the newest block."""


class _RealNode:
    """A replica as a daemon builds it."""

    def __init__(self, consortium: Consortium, me: int, directory: Path, network: PeerNetwork) -> None:
        if not directory.exists():
            create_directory(directory)
        store = SqliteStore(directory)
        self.replica = Replica(
            replica=ReplicaId(me),
            genesis=consortium.genesis,
            store=store,
            executor=ContractHost(consortium.genesis.chain, store.read_node),
            transport=network,
            clock=SystemClock(),
            verify=verify,
            signer=VoteSigner(consortium.vote_key(me)),
        )

    async def run(self) -> None:
        await self.replica.run()

    async def submit(self, data: bytes) -> object:
        outcome = await self.replica.submit(data)
        return outcome.receipt.reason if not outcome.receipt.ok else None

    def is_ready(self) -> bool:
        return self.replica.is_ready()

    async def height(self) -> int:
        return (await self.replica.status()).height


def _bytes_sent() -> int:
    """What this process' TCP connections carried: TLS and HTTP/2 included, packets' headers not."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=int(entry.name)) as found:
            try:
                if found.type == socket.SOCK_STREAM and found.family in {socket.AF_INET, socket.AF_INET6}:
                    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    total += struct.unpack_from("Q", info, _BYTES_ACKED)[0]
            finally:
                found.detach()
    return total


def rss_mb() -> float:
    """Memory that this process holds now."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize() / 1e6


class _Process:
    """A node between its network and whoever measures it."""

    def __init__(self, base: Path, consortium: Consortium, me: int) -> None:
        self._base = base
        self._consortium = consortium
        self._me = me
        self._certificates = [(base / f"tls-{i}.crt").read_bytes() for i in range(consortium.validators)]
        self._key = (base / f"tls-{me}.key").read_bytes()

    async def run(self, *, floor: bool) -> None:
        """Serve until the input ends."""
        server = grpc.aio.server(options=server_options(CONTROL_BYTES_MAX))
        credentials = peer_server_credentials(self._key, self._certificates[self._me], self._certificates)
        say({"port": server.add_secure_port("127.0.0.1:0", credentials)})
        lines = await standard_input()
        told = json.loads(await lines.readline())
        network = self._network(told["ports"])
        node, inbox = self._node(network, floor=floor)
        network.register(server)
        await server.start()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(network.run(inbox)), tasks.create_task(node.run())]
            while len(network.peers()) < len(told["ports"]) - 1 or (told["ready"] and not node.is_ready()):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
            gc.collect()
            gc.freeze()  # as a daemon does when it is ready
            say({"ready": True})
            answering: set[asyncio.Task[None]] = set()
            while line := await lines.readline():
                answer = tasks.create_task(self._answer(node, json.loads(line)))
                answering.add(answer)
                answer.add_done_callback(answering.discard)
            for task in (*running, *answering):
                task.cancel()
        await server.stop(None)

    def _node(self, network: PeerNetwork, *, floor: bool) -> tuple[Node, Inbox]:
        if floor:
            least = Floor(self._consortium, self._me, self._base / f"floor-{self._me}.sqlite", network)
            return least, least
        real = _RealNode(self._consortium, self._me, self._base / f"member-{self._me}", network)
        return real, real.replica

    def _network(self, ports: Mapping[str, int]) -> PeerNetwork:
        """Reach the members that run."""
        fingerprints = {
            hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))).digest(): MemberIndex(member)
            for member, pem in enumerate(self._certificates)
        }
        directory = PeerDirectory(fingerprints)
        own = self._certificates[self._me]
        return PeerNetwork(
            replica=ReplicaId(self._me),
            peers=[
                PeerAddress(
                    replica=ReplicaId(int(peer)),
                    target=f"127.0.0.1:{port}",
                    credentials=peer_channel_credentials(self._key, own, self._certificates[int(peer)]),
                    options=tuple(o for o in channel_options(f"member-{peer}") if "message" not in o[0]),
                )
                for peer, port in ports.items()
                if int(peer) != self._me
            ],
            peer_of=lambda context: ReplicaId(directory.peer_of(context)),
            backoff=Backoff(first_s=0.05, longest_s=0.5, spread=random.random),
        )

    async def _answer(self, node: Node, request: Mapping[str, Any]) -> None:
        answer: dict[str, object] = {"id": request["id"]}
        if request["do"] == "submit":
            began = time.perf_counter()
            failed = await node.submit(bytes.fromhex(request["data"]))
            answer |= {"ms": (time.perf_counter() - began) * 1000, "failed": failed}
        else:
            answer |= {
                "cpu_ms": time.process_time() * 1000,
                "bytes_sent": _bytes_sent(),
                "rss_mb": rss_mb(),
                "height": await node.height(),
            }
        say(answer)


def say(message: Mapping[str, object]) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def standard_input() -> asyncio.StreamReader:
    """Return what reads lines without blocking the loop."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> None:
    """Run one process of a fleet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("validators", type=int)
    parser.add_argument("me", type=int)
    parser.add_argument("--floor", action="store_true")
    given = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    uvloop.run(_Process(given.base, Consortium(given.validators), given.me).run(floor=given.floor))


if __name__ == "__main__":
    main()
