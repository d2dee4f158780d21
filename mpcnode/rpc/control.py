"""The control socket: a daemon tells its machine's administrators how it is.

A unix socket, 0600 in a 0700 directory: whoever may open it is the daemon's own user or root, so there is nothing else
to check. gRPC makes sockets 0755; the directory keeps others out until the mode is set.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ledger.types import Millis
from mpcnode.errors import ErrorCode, LocalError, UnavailableError
from mpcnode.v1 import node_pb2, node_pb2_grpc

ANSWER_TIMEOUT_S = 5.0
"""Longest wait for an answer; a daemon answers from memory."""

_MESSAGE_BYTES_MAX = 256 * 1024


class NodeState(IntEnum):
    """Where a daemon is between start and end; the numbers are those of node.proto."""

    STARTING = 1
    READY = 2
    STOPPING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """Another member, as this daemon sees it."""

    name: str
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a daemon says of itself."""

    name: str
    role: str
    version: str
    state: NodeState
    detail: str = ""
    """What it is waiting for, in words."""
    pid: int
    started_ms: Millis
    chain: bytes
    height: int
    """Of the last final block."""
    head: bytes
    """Its hash."""
    head_time_ms: Millis
    peers: tuple[PeerStatus, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    """What the role counts, such as open queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold for the daemon to do its work."""

    name: str
    passed: bool
    detail: str = ""
    """What was expected and what was found; empty if it passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """Whether a daemon does its work."""

    healthy: bool
    checks: tuple[Check, ...] = ()


class _NodeService(node_pb2_grpc.NodeServiceServicer):
    def __init__(self, status: Callable[[], NodeStatus], health: Callable[[], NodeHealth]) -> None:
        self._status = status
        self._health = health

    async def GetStatus(  # noqa: N802 - gRPC's name
        self, _request: node_pb2.GetStatusRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> node_pb2.GetStatusResponse:
        status = self._status()
        return node_pb2.GetStatusResponse(
            name=status.name,
            role=status.role,
            version=status.version,
            state=node_pb2.NodeState.ValueType(status.state),
            detail=status.detail,
            pid=status.pid,
            started_ms=status.started_ms,
            chain=status.chain,
            height=status.height,
            head=status.head,
            head_time_ms=status.head_time_ms,
            peers=[node_pb2.Peer(name=peer.name, connected=peer.connected) for peer in status.peers],
            counters=status.counters,
        )

    async def GetHealth(  # noqa: N802 - gRPC's name
        self, _request: node_pb2.GetHealthRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> node_pb2.GetHealthResponse:
        health = self._health()
        checks = [node_pb2.Check(name=check.name, passed=check.passed, detail=check.detail) for check in health.checks]
        return node_pb2.GetHealthResponse(healthy=health.healthy, checks=checks)


class _HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the package has no types
    """grpc.health.v1 for tools that know nothing else of this program."""

    def __init__(self, health: Callable[[], NodeHealth]) -> None:
        self._health = health

    async def Check(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in {"", "mpcnode.v1.NodeService"}:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service on this socket")
        serving = health_pb2.HealthCheckResponse.SERVING
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        return health_pb2.HealthCheckResponse(status=serving if self._health().healthy else not_serving)


@asynccontextmanager
async def serve_control(
    path: Path,
    status: Callable[[], NodeStatus],
    health: Callable[[], NodeHealth],
    beside: Sequence[Callable[[grpc.aio.Server], None]] = (),
) -> AsyncIterator[None]:
    """Answer on the control socket while the context lasts.

    Args:
        path: the socket; its directory is made 0700 if there is none. Whoever calls this holds the data directory, so
            a socket that is there was left by a process that is gone.
        status: what the daemon is now.
        health: whether it does its work now.
        beside: add further services to the socket.

    Raises:
        LocalError: others can enter the socket's directory.
    """
    _prepare_place(path)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX)])
    node_pb2_grpc.add_NodeServiceServicer_to_server(_NodeService(status, health), server)
    health_pb2_grpc.add_HealthServicer_to_server(_HealthService(health), server)
    for add in beside:
        add(server)
    try:
        server.add_secure_port(f"unix:{path}", grpc.local_server_credentials(grpc.LocalConnectionType.UDS))
    except RuntimeError as error:
        raise LocalError(f"{path}: expected to open the control socket, got {error}") from error
    _keep_others_out(path)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=1.0)
        _remove(path)


async def fetch_status(path: Path, timeout_s: float = ANSWER_TIMEOUT_S) -> NodeStatus:
    """Ask the daemon behind a control socket how it is.

    Raises:
        UnavailableError: nobody answers there.
    """
    async with _stub(path) as stub:
        answer: node_pb2.GetStatusResponse = await stub.GetStatus(node_pb2.GetStatusRequest(), timeout=timeout_s)
    return NodeStatus(
        name=answer.name,
        role=answer.role,
        version=answer.version,
        state=NodeState(answer.state),
        detail=answer.detail,
        pid=answer.pid,
        started_ms=Millis(answer.started_ms),
        chain=answer.chain,
        height=answer.height,
        head=answer.head,
        head_time_ms=Millis(answer.head_time_ms),
        peers=tuple(PeerStatus(name=peer.name, connected=peer.connected) for peer in answer.peers),
        counters=dict(answer.counters),
    )


async def fetch_health(path: Path, timeout_s: float = ANSWER_TIMEOUT_S) -> NodeHealth:
    """Ask the daemon behind a control socket whether it does its work.

    Raises:
        UnavailableError: nobody answers there.
    """
    async with _stub(path) as stub:
        answer: node_pb2.GetHealthResponse = await stub.GetHealth(node_pb2.GetHealthRequest(), timeout=timeout_s)
    checks = tuple(Check(name=check.name, passed=check.passed, detail=check.detail) for check in answer.checks)
    return NodeHealth(healthy=answer.healthy, checks=checks)


@asynccontextmanager
async def open_control(path: Path) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to the daemon behind a control socket.

    Raises:
        UnavailableError: there is no socket that this user may open.
    """
    _check_there(path)
    credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
    async with grpc.aio.secure_channel(f"unix:{path}", credentials) as channel:
        yield channel


@asynccontextmanager
async def _stub(path: Path) -> AsyncIterator[Any]:
    async with open_control(path) as channel:
        try:
            yield node_pb2_grpc.NodeServiceStub(channel)
        except grpc.aio.AioRpcError as error:
            got = f"{error.code().name}: {error.details()}"
            raise UnavailableError(f"{path}: expected a daemon to answer, got {got}") from error


def _prepare_place(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.parent.stat().st_mode & 0o777
    if mode & 0o077:
        message = f"{path.parent}: expected mode 0700, got {mode:04o}; run: chmod 700 {path.parent}"
        raise LocalError(message, ErrorCode.PERMISSIONS)
    _remove(path)


def _keep_others_out(path: Path) -> None:
    path.chmod(0o600)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _check_there(path: Path) -> None:
    if not os.access(path, os.R_OK | os.W_OK):
        found = "one that this user may not open" if path.exists() else "none"
        raise UnavailableError(f"{path}: expected the control socket of a running daemon, got {found}")
