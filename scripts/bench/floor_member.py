"""A node or the dealer of the floor, in a process of its own: `python -m scripts.bench.floor_member`.

It prints its port, is told everybody's and the sizes of messages, prints that it is ready, and then takes part in as
many sessions as it is told: one JSON document in a line, on standard input and output, until the input ends.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import uvloop

from ledger import merkle
from ledger.types import ChainId, Digest, Signature
from mpcnode.query.statements import FlushStatement, data_hash, encode_flush_statement, frame_digest
from mpcnode.rpc.tls import (
    CONTROL_BYTES_MAX,
    channel_options,
    peer_channel_credentials,
    peer_server_credentials,
    server_options,
)
from mpcnode.rpc.wire import flush_bytes, frame_parts
from mpcnode.sealing.keys import SIGNATURE_BYTES, SigningKey, check_signature
from mpcnode.types import MemberIndex, SessionId
from scripts.bench.replicas.process import say, standard_input

NODES = 3
DEALER = NODES
PAUSE_S = 0.002
"""Between two sessions. Only then does a node say that one is over, so no message of it waits for that."""

_CHAIN = ChainId(bytes(32))
_UNSIGNED = Signature(bytes(SIGNATURE_BYTES))


class Frame:
    """What one sends to all others, or expects of all others, at one step of a session: zeros."""

    def __init__(self, session: int, step: int, size: int) -> None:
        self._session, self._step = SessionId(session.to_bytes(32, "big")), step
        self.data = bytes(size)
        self.parts = frame_parts(self._session, 0, step, self.data)

    def leaf(self, data: bytes) -> Digest:
        """What stands in a flush for a frame of this place with some data."""
        return frame_digest(self._session, 0, self._step, data_hash(data))

    @cached_property
    def own_leaf(self) -> Digest:
        """What stands for this one, hashed once for all receivers."""
        return self.leaf(self.data)


class Link:
    """One end of a stream."""

    def __init__(
        self, me: int, peer: int, *, signed: bool, read: Callable[[], Awaitable[Any]], write: Callable[[bytes], Any]
    ) -> None:
        """Take how to read and write an encoded flush; keys are known to all."""
        self._me, self._peer, self._signed = MemberIndex(me), MemberIndex(peer), signed
        self.read, self.write = read, write
        self._key, self._peer_key = _key(me), _key(peer).public
        self._sent = self._received = 0

    async def send(self, frame: Frame) -> None:
        """Sign and send it."""
        self._sent += 1
        signature = _UNSIGNED
        if self._signed:
            signature = self._key.sign(_statement(self._me, self._peer, self._sent, frame.own_leaf))
        await self.write(flush_bytes(self._sent, [frame.parts], signature))

    async def exchange(self, frame: Frame) -> None:
        """Send it, and wait for the peer's."""
        await self.send(frame)
        await self.receive(frame)

    async def receive(self, expected: Frame) -> None:
        """Wait for one of the same place and size, and verify it.

        Raises:
            WrongSignatureError: the peer did not sign what came.
        """
        flush = await self.read()
        self._received += 1
        if self._signed:
            end = len(flush) - sum(map(len, expected.parts))  # the signature is the last that comes before the frame
            leaf = expected.leaf(flush[len(flush) - len(expected.data) :])
            stated = _statement(self._peer, self._me, self._received, leaf)
            check_signature(self._peer_key, stated, Signature(flush[end - SIGNATURE_BYTES : end]), "flush")


def _key(member: int) -> SigningKey:
    return SigningKey(bytes([member]) * 32)


def _statement(sender: MemberIndex, receiver: MemberIndex, number: int, leaf: Digest) -> bytes:
    root = merkle.root([leaf])
    return encode_flush_statement(
        FlushStatement(chain=_CHAIN, sender=sender, receiver=receiver, number=number, frames_root=root)
    )


class _Member:
    def __init__(self, base: Path, me: int, *, signed: bool) -> None:
        self._base, self._me, self._signed = base, me, signed
        self._links: dict[int, Link] = {}
        self._connected, self._over = asyncio.Event(), asyncio.Event()
        self._deals: Sequence[int] = ()
        self._steps: Sequence[int] = ()
        self._session = 0

    async def run(self) -> None:
        """Serve until the input ends."""
        server = grpc.aio.server(options=server_options(CONTROL_BYTES_MAX))
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor", {"Stream": handler}),))
        pems = [self._pem(member, "crt") for member in range(NODES + 1)]
        credentials = peer_server_credentials(self._pem(self._me, "key"), pems[self._me], pems)
        say({"port": server.add_secure_port("127.0.0.1:0", credentials)})
        lines = await standard_input()
        told = json.loads(await lines.readline())
        self._deals, self._steps = told["deals"], told["steps"]
        await server.start()
        async with AsyncExitStack() as stack:
            for peer in range(self._me + 1, NODES + 1):
                channel = await stack.enter_async_context(self._channel(peer, told["ports"][peer], pems))
                call = channel.stream_stream("/floor/Stream")(wait_for_ready=True)  # type: ignore[call-arg]  # stubs: no defaults
                await call.write(bytes([self._me]))
                self._link(peer, call)
            await self._connected.wait()
            gc.collect()
            gc.freeze()  # as a daemon does when it is ready
            say({"ready": True})
            while line := await lines.readline():
                say(await self._sessions(json.loads(line)))
            self._over.set()
        await server.stop(None)

    def _pem(self, member: int, kind: str) -> bytes:
        return (self._base / f"tls-{member}.{kind}").read_bytes()

    def _channel(self, peer: int, port: int, pems: Sequence[bytes]) -> grpc.aio.Channel:
        credentials = peer_channel_credentials(self._pem(self._me, "key"), pems[self._me], pems[peer])
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, channel_options(f"member-{peer}"))

    async def _serve(self, _: object, context: Any) -> None:  # noqa: ANN401  # a stream of bytes has no type in the stubs
        self._link((await context.read())[0], context)
        await self._over.wait()

    def _link(self, peer: int, stream: Any) -> None:  # noqa: ANN401  # either end
        self._links[peer] = Link(self._me, peer, signed=self._signed, read=stream.read, write=stream.write)
        if len(self._links) == NODES:
            self._connected.set()

    async def _sessions(self, count: int) -> dict[str, object]:
        """Take part in so many; say when each began (the dealer) or ended (a node), and the processor time of all."""
        run = self._deal if self._me == DEALER else self._compute
        before = time.process_time()
        moments = []
        for _ in range(count):
            self._session += 1
            moments.append(await run())
        return {"moments": moments, "cpu_s": time.process_time() - before}

    async def _deal(self) -> float:
        began = time.perf_counter()
        for node, size in enumerate(self._deals):
            await self._links[node].send(Frame(self._session, 0, size))
        await self._links[0].read()
        return began

    async def _compute(self) -> float:
        await self._links[DEALER].receive(Frame(self._session, 0, self._deals[self._me]))
        others = [link for peer, link in self._links.items() if peer != DEALER]
        for step, size in enumerate(self._steps, 1):
            frame = Frame(self._session, step, size)
            await asyncio.gather(*(link.exchange(frame) for link in others))
        ended = time.perf_counter()
        if self._me == 0:
            await asyncio.sleep(PAUSE_S)
            await self._links[DEALER].write(b"over")
        return ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("me", type=int)
    parser.add_argument("--unsigned", action="store_true")
    given = parser.parse_args()
    uvloop.run(_Member(given.base, given.me, signed=not given.unsigned).run())
