"""Which kernels a process runs: chosen once, refused if they are not there or not right."""

import sys

import pytest

from mpcnode.errors import ConfigError
from mpcnode.mpc import kernels
from mpcnode.mpc.kernels import Choice, choose, chosen, would_choose
from tests.support.kernels import as_written


@pytest.fixture(autouse=True)
def restored():
    yield
    choose(Choice.NUMPY, "")


def test_numpy_runs_until_something_is_chosen():
    assert chosen().name == "numpy"


@pytest.mark.parametrize("installed", [True, False])
def test_auto_takes_numba_where_it_is_installed(monkeypatch, installed):
    monkeypatch.setattr(kernels, "find_spec", lambda name: object() if installed and name == "numba" else None)
    monkeypatch.setattr(kernels, "compile_loops", lambda _: as_written())
    monkeypatch.setattr(kernels, "differing", lambda *_: ())
    expected = "numba" if installed else "numpy"
    assert would_choose(Choice.AUTO) == expected
    assert choose(Choice.AUTO, "unused").kernels.name == expected
    assert chosen().name == expected


@pytest.mark.parametrize("choice", [Choice.NUMPY, Choice.NUMBA])
def test_forced_choice_does_not_look_for_numba(monkeypatch, choice):
    monkeypatch.setattr(kernels, "find_spec", lambda _: None)
    assert would_choose(choice) is choice


def test_numba_that_is_not_there_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(
        ConfigError, match=r"expected numba to be installed and able to compile, got .*; install mpcnode\[fast\], or"
    ):
        choose(Choice.NUMBA, "unused")
    assert chosen().name == "numpy"


@pytest.mark.parametrize("error", [ImportError("numba needs an older numpy"), PermissionError("no executable memory")])
def test_auto_does_without_a_numba_that_does_not_work_and_says_why(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(kernels, "find_spec", lambda _: object())
    monkeypatch.setattr(kernels, "compile_loops", fail)
    found = choose(Choice.AUTO, "unused")
    assert (found.kernels.name, found.refused) == ("numpy", str(error))
    with pytest.raises(ConfigError, match=str(error)):
        choose(Choice.NUMBA, "unused")


def test_kernels_that_are_wrong_are_refused(monkeypatch):
    def weigh_nothing(weights, shares, total):
        total[:] = 0

    monkeypatch.setattr(kernels, "compile_loops", lambda _: {**as_written(), "weigh_uint32": weigh_nothing})
    with (
        pytest.raises(ConfigError, match=r"got other results of weigh in uint32; remove /kept, or choose numpy"),
        pytest.warns(RuntimeWarning, match="overflow"),
    ):
        choose(Choice.NUMBA, "/kept")
    assert chosen().name == "numpy"
