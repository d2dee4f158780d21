"""Nested bytes from a peer end in RecursionError, whatever py-evm's import did to the process."""

import subprocess
import sys

import pytest

SCRIPT = """
import json
{imports}
for opening in ('[', '{{"a":'):
    try:
        json.loads(opening * 100_000)
    except RecursionError:
        pass
print("alive")
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import ledger.contract.nodes, ledger.contract.machine",
        "import mpcnode.daemon.run, ledger.contract.machine",
    ],
)
def test_nested_json_does_not_end_the_process(imports):
    script = SCRIPT.format(imports=imports)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "alive\n"), ran.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 and later stop C recursion by themselves")
def test_without_the_restored_limit_it_would():
    script = SCRIPT.format(imports="import py_ecc")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode < 0
