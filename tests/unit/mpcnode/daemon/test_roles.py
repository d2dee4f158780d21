"""What a daemon refuses at its start, before it joins anybody: bad records, and models that it cannot run."""

from typing import Any, cast

import pytest

from mpcnode.adapters.keystore import load_keystore
from mpcnode.config.consortium import load_consortium
from mpcnode.config.models import load_model
from mpcnode.config.node import load_node
from mpcnode.daemon.roles import build_context, build_role
from mpcnode.errors import RecordsError
from mpcnode.governance.roster import Roster
from mpcnode.scorecard import model_hash, parse


def build(layout, name):
    """The role as the daemon builds it; what it does with its ports is not asked here."""
    config = load_node(layout.node(name).config)
    keys = load_keystore(config.keys_dir, config.consortium, config.member)
    unused = cast("Any", None)
    context = build_context(
        config,
        keys,
        members=Roster(config.consortium.members),
        ledger=unused,
        peers=unused,
        journal=unused,
        blobs=unused,
    )
    return build_role(config, keys, context)


@pytest.mark.parametrize("name", ["bank-data", "insurer-data", "telecom-data"])
def test_the_demo_records_are_what_its_models_ask(network, name):
    assert build(network, name) is not None


def test_a_value_that_no_supervisor_accepts_stops_the_start(own_network):
    path = own_network.node("bank-data").data / "bank.csv"
    lines = path.read_text().splitlines()
    place = lines[0].split(",").index("credit_amount")
    cells = lines[7].split(",")
    cells[place] = "30001"
    path.write_text("\n".join([*lines[:7], ",".join(cells), *lines[8:]]) + "\n")
    with pytest.raises(RecordsError, match=r"bank\.csv:8: column credit_amount: expected 0 to 30000") as caught:
        build(own_network, "bank-data")
    assert "30001" not in str(caught.value)


def test_a_column_that_a_model_asks_must_be_there(own_network):
    path = own_network.node("telecom-data").data / "telecom.csv"
    path.write_text(path.read_text().replace("employment", "employement", 1))
    with pytest.raises(RecordsError, match=r"telecom\.csv:1: expected a column 'employment'"):
        build(own_network, "telecom-data")


@pytest.mark.parametrize("audit", ["before release", "after release", "off"])
def test_every_daemon_runs_models_of_every_audit_mode(own_network, audit):
    document = own_network.models / "credit-rating.toml"
    old = model_hash(parse(document.read_bytes())).hex()
    document.write_text(document.read_text().replace('"before release"', f'"{audit}"'))
    new = model_hash(parse(document.read_bytes())).hex()
    text = own_network.consortium.read_text().replace(old, new).replace('"before release"', f'"{audit}"')
    own_network.consortium.write_text(text)
    consortium = load_consortium(own_network.consortium)
    assert consortium.models[0].audit.name.lower().replace("_", " ") == audit
    assert load_model(consortium, consortium.models[0]).audit is consortium.models[0].audit
    for name in ("operator", "bank-mpc", "bank-data", "regulator"):
        assert build(own_network, name) is not None
