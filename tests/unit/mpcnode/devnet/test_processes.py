"""Processes are known by pid and start time: nobody else's is ever ended."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from mpcnode.devnet import processes
from mpcnode.devnet.plan import NodeLayout
from mpcnode.devnet.ports import choose_ports, is_free, owner_of


@pytest.fixture
def place(tmp_path):
    layout = NodeLayout(tmp_path / "node")
    layout.run.mkdir(parents=True)
    return layout


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        yield child
        child.kill()


def noted(child) -> processes.Process:
    found = processes.find(child.pid)
    assert found is not None
    return found


def note(place, process, **changes):
    fields = {"pid": process.pid, "start_ticks": process.start_ticks, "boot": process.boot} | changes
    place.process.write_text(json.dumps(fields))


def test_a_noted_process_is_found_again(place, sleeper):
    found = noted(sleeper)
    note(place, found)
    assert processes.running(place) == found


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot": "another"}])
def test_a_pid_that_was_handed_on_is_not_the_daemon(place, sleeper, change):
    note(place, noted(sleeper), **change)
    assert processes.running(place) is None


def test_a_signal_reaches_only_the_very_process(sleeper):
    found = noted(sleeper)
    other = processes.Process(found.pid, found.start_ticks + 1, found.boot)
    assert processes.send(other, signal.SIGKILL) is False
    assert sleeper.poll() is None
    assert processes.send(found, signal.SIGTERM) is True
    assert sleeper.wait(10) == -signal.SIGTERM
    assert processes.find(sleeper.pid) is None
    assert processes.send(found, signal.SIGTERM) is False


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x"}', "\0"])
def test_a_damaged_note_means_that_nothing_runs(place, text):
    place.process.write_text(text)
    assert processes.running(place) is None


def test_a_daemon_is_its_own_session_and_logs_to_its_file(place, monkeypatch):
    script = "import os; print('sid', os.getsid(0) == os.getpid(), flush=True); raise SystemExit(7)"
    monkeypatch.setattr(processes, "daemon_command", lambda _config: [sys.executable, "-c", script])
    child = processes.spawn(place)
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is not None
    assert child.poll() == 7
    assert child.poll() == 7
    assert processes.last_log_lines(place, 5) == ["sid True"]
    assert processes.running(place) is None


def test_only_the_last_lines_are_shown(place):
    place.log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert processes.last_log_lines(place, 2) == ["line 9998", "line 9999"]


def test_who_takes_a_port_is_told(tmp_path):
    (port,) = choose_ports(tmp_path, 1)
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert owner_of(port).startswith(f"process {os.getpid()} (")
        assert choose_ports(tmp_path, 1) != (port,)
    assert is_free(port)
