"""Kernels compiled by numba: the same bits and messages as numpy's, kept on disk, left out where memory forbids it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from mpcnode.client import AnswerState
from mpcnode.mpc import kernels, keystream, rehearse, replay
from mpcnode.mpc.kernels import Choice, Kernels
from mpcnode.mpc.kernels.reference import Reference
from mpcnode.mpc.kernels.trial import differing
from mpcnode.scorecard import compile_model
from tests.support.devnet import MPC, Devnet
from tests.support.joint import seed, seeds_for, session_id, share_rows
from tests.support.kernels import check_same, drawings
from tests.support.models import credit_layout
from tests.support.tools import ROOT, missing

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NUMBA = ROOT / "build" / "fast"
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


@pytest.fixture(scope="module", autouse=True)
def numba_on_path():
    if not (NUMBA / "numba").exists():
        missing("numba")
    sys.path.append(str(NUMBA))  # last: numpy stays the environment's, which is of the same version
    yield
    sys.path.remove(str(NUMBA))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    found: Path = tmp_path_factory.mktemp("kernels")
    return found


@pytest.fixture(scope="module")
def compiled(numba_on_path, cache) -> Kernels:
    found = kernels.choose(Choice.AUTO, str(cache))
    kernels.choose(Choice.NUMPY, "")
    assert (found.kernels.name, found.refused) == ("numba", "")
    return found.kernels


@given(drawn=drawings)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compiled_kernels_agree_with_numpy(compiled, drawn):
    check_same(compiled, drawn)


def test_trial_finds_nothing(compiled):
    assert differing(compiled, Reference()) == ()


@pytest.mark.parametrize("subjects", [1, 63, 64, 1000])
def test_messages_are_the_same(cache, compiled, subjects):
    program = compile_model(credit_layout(), 3, subjects)
    rows = [keystream(seed(f"row {i}"), shape.size).tobytes() for i, shape in enumerate(program.body.rows)]
    shares = share_rows(program, "kernels", rows)
    found = []
    try:
        for choice in (Choice.NUMPY, Choice.NUMBA):
            kernels.choose(choice, str(cache))
            parts = rehearse(program, session_id("kernels"), seeds_for("kernels", 3), shares)
            found.append((parts, replay(program, session_id("kernels"), seeds_for("kernels", 3), rows)))
    finally:
        kernels.choose(Choice.NUMPY, "")
    assert found[0] == found[1]


def load(cache: Path, before: str = "") -> str:
    """Choose in a process of its own; return what it says."""
    script = f"""
import sys
{before}
from mpcnode.mpc.kernels import Choice, choose
found = choose(Choice.AUTO, {str(cache)!r})
print(found.kernels.name, found.refused)
"""
    environment = {**os.environ, "PYTHONPATH": str(NUMBA)}
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_second_start_compiles_nothing(compiled, cache):
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert kept
    assert load(cache) == "numba \n"
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == kept


def test_numpy_runs_where_memory_is_never_writable_and_executable(cache):
    """As under the unit of configs/systemd."""
    prctl = f"import ctypes; assert ctypes.CDLL(None).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0) == 0"
    name, refused = load(cache, prctl).split(maxsplit=1)
    assert name == "numpy"
    assert "executable memory" in refused


@pytest.fixture
def devnet(tmp_path):
    net = Devnet(tmp_path / "n")
    try:
        yield net
    finally:
        net.close()


def test_daemons_with_and_without_numba_compute_together(devnet, monkeypatch):
    devnet.start(MPC[0])
    monkeypatch.setenv("PYTHONPATH", str(NUMBA))
    devnet.up()
    truth = devnet.truth()
    expected = next(item for item in map(truth.expect, truth.subjects()) if len(item.known_to) == 3)
    answer = devnet.ask(expected.subject, wait_audit=True)
    assert (answer.state, answer.grade, answer.verdict) == (AnswerState.ANSWERED, expected.outcome.grade, "MATCH")
    devnet.down()
    used = {name: [line["kernels"] for line in devnet.log(name) if line["event"] == "daemon.kernels"] for name in MPC}
    assert used == {MPC[0]: ["numpy"]} | {name: ["numba"] for name in MPC[1:]}
    assert [line["kernels"] for line in devnet.log("regulator") if line["event"] == "daemon.kernels"] == ["numba"]
