"""What is left out is left out whole, and nothing that the contracts can call is missing."""

import subprocess
import sys

import pytest

from ledger.contract.unused import UNUSED

SCRIPT = """
import sys
import ledger.contract.machine
from eth.vm.forks.cancun.computation import CANCUN_PRECOMPILES
from eth import precompiles
print([name for name in sys.modules if "bls12" in name])
print({"left out" for run in CANCUN_PRECOMPILES.values() if run.__module__ == "ledger.contract.unused"})
precompiles.bls12_g1_add(None)
"""


@pytest.fixture(scope="module")
def fresh() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)


def test_pairing_tables_are_not_computed(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stdout.splitlines()[0] == f"['{UNUSED}']"


def test_no_precompile_of_cancun_is_left_out(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stdout.splitlines()[1] == "set()"


def test_calling_what_is_left_out_is_an_error_and_no_answer(fresh: subprocess.CompletedProcess[str]) -> None:
    assert "NotImplementedError: expected no precompile of Prague" in fresh.stderr
