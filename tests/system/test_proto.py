"""The wire contracts keep buf's rules of naming and layout."""

import subprocess

import pytest

from tests.support.tools import ROOT, need


@pytest.mark.system
def test_proto_passes_buf_lint() -> None:
    ran = subprocess.run([need("buf"), "lint", "proto"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
