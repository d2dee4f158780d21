"""Up, down and status with stand-in daemons: all ready or none left, whatever happens in between."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import threading

import pytest

from mpcnode.config.node import load_node
from mpcnode.devnet import control, processes
from mpcnode.devnet.control import InterruptedStartError, bring_up, open_layout, report, take_down
from mpcnode.errors import ConfigError, LocalError, TimedOutError

pytestmark = pytest.mark.network

DAEMONS = ("bank-mpc", "operator")

STAND_IN = """
import asyncio, os, pathlib, signal, sys
from ledger.types import Millis
from mpcnode.rpc.control import NodeHealth, NodeState, NodeStatus, serve_control

root = pathlib.Path(sys.argv[1]).parent
mode = (root / "mode").read_text() if (root / "mode").exists() else ""
if mode == "dies":
    print("cannot go on", flush=True)
    sys.exit(35)
state = NodeState.STARTING if mode == "never ready" else NodeState.READY

def status():
    return NodeStatus(name=root.name, role="mpc", version="0", state=state, pid=os.getpid(), started_ms=Millis(0),
                      chain=bytes(32), height=3, head=bytes(32), head_time_ms=Millis(0))

async def main():
    stop = asyncio.Event()
    stopping = (lambda: None) if mode == "stubborn" else stop.set
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping)
    async with serve_control(root / "run" / "control.sock", status, lambda: NodeHealth(healthy=True)):
        await stop.wait()

asyncio.run(main())
"""


@pytest.fixture
def layout(own_network, monkeypatch):
    for name in own_network.daemons():
        if name not in DAEMONS:
            shutil.rmtree(own_network.node(name).root)
    monkeypatch.setattr(processes, "daemon_command", lambda config: [sys.executable, "-c", STAND_IN, str(config)])
    monkeypatch.setattr(control, "STOP_TIMEOUT_S", 10.0)
    yield own_network
    left = [processes.running(own_network.node(name)) for name in DAEMONS]
    for process in filter(None, left):
        processes.send(process, signal.SIGKILL)


def up(layout):
    told: list[str] = []
    return asyncio.run(bring_up(layout, told.append)), told


def running(layout):
    return [name for name in DAEMONS if processes.running(layout.node(name))]


def test_up_status_down(layout):
    reports, told = up(layout)
    assert [(daemon.name, daemon.ready) for daemon in reports] == [("bank-mpc", True), ("operator", True)]
    assert told == ["started 2 daemons, 0 were running"]
    pids = {daemon.name: daemon.status.pid for daemon in reports if daemon.status}
    again, told = up(layout)
    assert told == ["started 0 daemons, 2 were running"]
    assert {daemon.name: daemon.status.pid for daemon in again if daemon.status} == pids
    assert asyncio.run(take_down(layout)) == dict.fromkeys(DAEMONS, "stopped")
    assert running(layout) == []
    assert [(daemon.ready, daemon.process) for daemon in asyncio.run(report(layout))] == [(False, None)] * 2
    assert asyncio.run(take_down(layout)) == dict.fromkeys(DAEMONS, "was not running")


def test_a_daemon_that_dies_ends_the_start_and_shows_its_log(layout):
    (layout.node("operator").root / "mode").write_text("dies")
    with pytest.raises(
        LocalError, match=r"(?s)operator: expected it to become ready, got its end with code 35.*cannot go on"
    ):
        up(layout)
    assert running(layout) == []


def test_a_daemon_that_is_never_ready_ends_the_start(layout, monkeypatch):
    monkeypatch.setattr(control, "READY_TIMEOUT_S", 1.5)
    (layout.node("operator").root / "mode").write_text("never ready")
    with pytest.raises(TimedOutError, match="expected operator to be ready after"):
        up(layout)
    assert running(layout) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_what_was_started(layout, number):
    (layout.node("operator").root / "mode").write_text("never ready")
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    # on a busy machine the other daemon may not be ready either
    with pytest.raises(InterruptedStartError, match=r"expected .*operator to become ready, got an interrupt"):
        up(layout)
    timer.join()
    assert running(layout) == []


def test_who_does_not_stop_is_killed(layout, monkeypatch):
    (layout.node("operator").root / "mode").write_text("stubborn")
    up(layout)
    monkeypatch.setattr(control, "STOP_TIMEOUT_S", 1.0)
    assert asyncio.run(take_down(layout)) == {"bank-mpc": "stopped", "operator": "killed"}
    assert running(layout) == []


def test_a_taken_port_is_named_with_who_takes_it(layout):
    port = load_node(layout.node("operator").config).listen_peers.port
    with socket.create_server(("127.0.0.1", port)):
        message = rf"operator: expected port {port} of .*node\.toml to be free, got it taken by process {os.getpid()}"
        with pytest.raises(LocalError, match=message):
            up(layout)
    assert running(layout) == []


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="make one with: mpcnode devnet new"):
        open_layout(tmp_path)
