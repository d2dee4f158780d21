"""Daemons that compute choose their kernels before they start, and say which; the others load none."""

import importlib

import pytest
import structlog

from mpcnode.config.node import load_node
from mpcnode.mpc.kernels import Choice, Chosen
from mpcnode.mpc.kernels.reference import Reference

module = importlib.import_module("mpcnode.daemon.run")  # the package has a function of this name


@pytest.fixture
def chosen(monkeypatch):
    asked = []

    def choose(choice, cache):
        asked.append((choice, cache))
        return Chosen(Reference(), refused="no executable memory" if choice is Choice.AUTO else "")

    monkeypatch.setattr(module, "choose", choose)
    monkeypatch.setattr(module.uvloop, "run", lambda work: work.close())
    return asked


@pytest.mark.parametrize(
    ("name", "computes"), [("bank-mpc", True), ("regulator", True), ("operator", False), ("bank-data", False)]
)
def test_who_computes_loads_kernels(network, chosen, name, computes):
    config = load_node(network.node(name).config)
    with structlog.testing.capture_logs() as logs:
        module.run(config, None, Choice.NUMPY)
    told = {"event": "daemon.kernels", "log_level": "info", "kernels": "numpy"}
    assert logs == [told] * computes
    assert chosen == [(Choice.NUMPY, str(config.data_dir / "kernels"))] * computes


def test_a_numba_that_does_not_work_is_a_warning(network, chosen):
    with structlog.testing.capture_logs() as logs:
        module.run(load_node(network.node("bank-mpc").config), None)
    told = {"event": "daemon.kernels", "log_level": "warning", "kernels": "numpy", "numba": "no executable memory"}
    assert logs == [told]
