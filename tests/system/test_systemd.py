"""The unit of configs/systemd: systemd accepts it, it locks the daemon in, and the daemon's libraries bear that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpcnode.errors import Exit
from tests.support.tools import ROOT, need

UNIT = ROOT / "configs" / "systemd" / "mpcnode@.service"
PROGRAM = "/opt/mpcnode/bin/mpcnode"
EXPOSURE_MAX = 2.0
LIBRARIES = "cryptography, eth, grpc, nacl.bindings, numpy, pydantic, sqlite3, ssl, structlog, uvloop"
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that exists on this machine."""
    text = UNIT.read_text()
    assert text.count(PROGRAM) == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(PROGRAM, "/bin/true"))
    return copy


@pytest.mark.system
def test_systemd_accepts_the_unit(unit: Path) -> None:
    analyse = need("systemd-analyze")
    instance = str(unit).replace("@.", "@bank.")
    ran = subprocess.run([analyse, "verify", "--man=no", instance], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.system
def test_verify_finds_a_misspelt_setting(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))
    command = [need("systemd-analyze"), "verify", "--man=no", str(unit).replace("@.", "@bank.")]
    assert "ProtectHomes" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.system
def test_unit_leaves_little_exposed(unit: Path) -> None:
    command = [need("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", printed)
    assert found is not None, printed
    assert float(found[1]) <= EXPOSURE_MAX


def test_unit_restarts_nothing_that_a_restart_cannot_mend() -> None:
    listed = re.search(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert listed is not None
    hopeless = {code.value for code in Exit if code == Exit.USAGE or 30 <= code.value < 40}
    assert {int(code) for code in listed[1].split()} == hopeless


def test_libraries_bear_memory_that_is_never_writable_and_executable() -> None:
    assert "MemoryDenyWriteExecute=yes" in UNIT.read_text()
    script = f"""
import ctypes
if ctypes.CDLL(None, use_errno=True).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0):
    raise SystemExit("kernel")
import mmap
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raise SystemExit("not in force")
except PermissionError:
    pass
import {LIBRARIES}
numpy.linalg.solve(numpy.eye(64), numpy.ones(64))
nacl.bindings.crypto_sign_keypair()
uvloop.new_event_loop().close()
print("fine")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    if ran.stderr.strip() == "kernel":
        pytest.skip("prctl(PR_SET_MDWE) is missing: Linux 6.3 has it")
    assert ran.stdout == "fine\n", ran.stderr
