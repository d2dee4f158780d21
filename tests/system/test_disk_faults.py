"""The durable store on a disk that fails at every write and every flush, and loses power at each of them."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.disk_faults import CUTS, FAILURES, quick_directory
from tests.support.tools import ROOT, need

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "faulty_disk.so"
    source = ROOT / "tests" / "support" / "faulty_disk.c"
    subprocess.run([need("gcc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.fixture
def root(tmp_path):
    with quick_directory(tmp_path) as directory:
        yield directory


def run(shim, root, what):
    """Run one of the scripts on the faulty disk; return how many operations it failed in each way."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.disk_faults", what, str(root)],
        env=os.environ | {"LD_PRELOAD": str(shim), "FAULTY_DIR": str(root)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_whichever_write_or_flush_fails_nothing_acknowledged_is_lost(shim, root):
    tried = run(shim, root, "faults")
    assert tried.keys() == FAILURES.keys()
    assert min(tried[name] for name, (what, _, _) in FAILURES.items() if what == "w") > 100
    assert min(tried[name] for name, (what, _, _) in FAILURES.items() if what == "f") > 20


def test_whenever_the_power_is_cut_nothing_acknowledged_is_lost(shim, root):
    tried = run(shim, root, "power")
    assert tried.keys() == CUTS.keys()
    assert min(tried.values()) > 150


def reserve(shim, root, *how):
    """Reserve batches of correlations in the journal of a daemon whose power is cut."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.reservation_faults", str(root), *how],
        env=os.environ | {"LD_PRELOAD": str(shim), "FAULTY_DIR": str(root)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_whenever_the_power_is_cut_no_batch_is_reserved_twice(shim, root):
    ran = reserve(shim, root)
    assert ran.returncode == 0, ran.stderr
    tried = json.loads(ran.stdout)
    assert sum(tried.values()) > 500
    assert min(tried.values()) > 200


def test_a_journal_that_does_not_flush_is_found(shim, root):
    ran = reserve(shim, root, "careless")
    assert ran.returncode == 1
    assert "AssertionError: ({'batch':" in ran.stderr
