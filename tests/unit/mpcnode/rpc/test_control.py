"""The control socket: what is told arrives, and nobody else can ask."""

import asyncio
import stat

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ledger.types import Millis
from mpcnode.errors import ErrorCode, LocalError, UnavailableError
from mpcnode.rpc.control import (
    Check,
    NodeHealth,
    NodeState,
    NodeStatus,
    PeerStatus,
    fetch_health,
    fetch_status,
    serve_control,
)

STATUS = NodeStatus(
    name="bank-mpc",
    role="mpc",
    version="0.1.0",
    state=NodeState.STARTING,
    detail="waits for 2 peers",
    pid=4711,
    started_ms=Millis(1_790_000_000_000),
    chain=b"\x01" * 32,
    height=12,
    head=b"\x02" * 32,
    head_time_ms=Millis(1_790_000_000_999),
    peers=(PeerStatus(name="operator", connected=True), PeerStatus(name="regulator", connected=False)),
    counters={"open_sessions": 3},
)
SICK = NodeHealth(
    healthy=False,
    checks=(Check(name="disk", passed=True), Check(name="peers", passed=False, detail="expected 5, got 1")),
)


@pytest.fixture
def socket(tmp_path):
    return tmp_path / "run" / "control.sock"


def serving(socket, work, status=STATUS, health=SICK):
    async def served():
        async with serve_control(socket, lambda: status, lambda: health):
            return await work()

    return asyncio.run(served())


def test_status_and_health_arrive_as_they_were_told(socket):
    async def ask():
        return await fetch_status(socket), await fetch_health(socket)

    assert serving(socket, ask) == (STATUS, SICK)


def test_only_the_owner_can_reach_it(socket):
    async def modes():
        return [stat.S_IMODE(path.stat().st_mode) for path in (socket, socket.parent)]

    assert serving(socket, modes) == [0o600, 0o700]
    assert not socket.exists()


def test_a_directory_that_others_can_enter_is_refused(socket):
    socket.parent.mkdir()
    socket.parent.chmod(0o755)

    async def nothing():
        return None

    with pytest.raises(LocalError, match=r"expected mode 0700, got 0755; run: chmod 700 .*run") as caught:
        serving(socket, nothing)
    assert caught.value.code is ErrorCode.PERMISSIONS


def test_a_socket_left_by_a_killed_daemon_is_replaced(socket):
    socket.parent.mkdir(mode=0o700)
    socket.touch()

    async def ask():
        return await fetch_status(socket)

    assert serving(socket, ask) == STATUS


def test_nobody_there_is_unavailable(socket):
    with pytest.raises(
        UnavailableError, match=r"control\.sock: expected the control socket of a running daemon, got none"
    ):
        asyncio.run(fetch_status(socket))
    socket.parent.mkdir()
    socket.touch()
    with pytest.raises(UnavailableError, match=r"control\.sock: expected a daemon to answer, got UNAVAILABLE"):
        asyncio.run(fetch_health(socket, timeout_s=2))


@pytest.mark.parametrize(("healthy", "expected"), [(True, "SERVING"), (False, "NOT_SERVING")])
def test_standard_health_checks_work(socket, healthy, expected):
    async def ask():
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        async with grpc.aio.secure_channel(f"unix:{socket}", credentials) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="no such service"):
                await stub.Check(health_pb2.HealthCheckRequest(service="other"))
            return await stub.Check(health_pb2.HealthCheckRequest(service="mpcnode.v1.NodeService"))

    answer = serving(socket, ask, health=NodeHealth(healthy=healthy))
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == expected
