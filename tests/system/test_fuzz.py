"""The fuzzer finds bugs that were planted, and says how to see them again; without one it finds nothing."""

import re
import subprocess
import sys

import pytest

from tests.fuzz.__main__ import ATHERIS
from tests.fuzz.planted import PLANTED
from tests.support.tools import ROOT, missing

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
SECONDS = 45
"""Alone on a core each is found in less than 15 s."""


def fuzz(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(autouse=True)
def needs_atheris():
    if not (ATHERIS / "atheris").exists():
        missing("atheris")


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_found_and_can_be_seen_again(name, tmp_path):
    target = PLANTED[name].target
    code, told = fuzz("--only", target, "--plant", name, "--seconds", str(SECONDS), "--corpora", str(tmp_path))
    assert code == 1, told
    found = re.search(rf"^replay: make fuzz ONLY={target} INPUT=(\S+)$", told, re.MULTILINE)
    assert found is not None, told
    if name != "endless":
        code, again = fuzz("--only", target, "--plant", name, "--input", found[1])
        assert (code, again.splitlines()[-1]) == (1, f"{target}: {found[1]} is a finding")
    code, again = fuzz("--only", target, "--input", found[1])
    assert (code, again.splitlines()[-1]) == (0, f"{target}: {found[1]} holds")


def test_nothing_is_found_in_a_second_without_a_planted_bug(tmp_path):
    code, told = fuzz("--only", "vote", "--seconds", "1", "--corpora", str(tmp_path))
    assert code == 0, told
    assert re.fullmatch(r"vote +[\d,]+ executions +[\d,]+/s +\d+ in the corpus +0 findings\n", told)
