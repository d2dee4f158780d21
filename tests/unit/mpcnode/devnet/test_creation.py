"""A new development network: everything in its place, private, and right when it is read back."""

import stat
from pathlib import Path

import pytest

from ledger.types import Millis
from mpcnode.adapters.replica_check import verify_replica
from mpcnode.config.consortium import load_consortium
from mpcnode.config.node import load_node
from mpcnode.devnet import creation
from mpcnode.devnet.creation import check, create, demo_files
from mpcnode.devnet.plan import MEMBERS
from mpcnode.errors import ConfigError, StorageError
from mpcnode.types import AuditMode, CorrelationSource, Role


def files_below(path):
    return sorted(str(item.relative_to(path)) for item in path.rglob("*") if item.is_file())


def test_the_layout_is_fixed(network):
    assert sorted(path.name for path in network.root.iterdir()) == [
        "consortium.toml",
        "inquirers",
        "models",
        "nodes",
        "offline",
    ]
    assert set(network.daemons()) == {member.name for member in MEMBERS}
    assert files_below(network.inquirer) == ["inquirer.key", "profile.toml", "subject.key"]
    assert files_below(network.offline) == ["archive.key"]
    assert files_below(network.node("bank-data").root) == [
        "data/bank.csv",
        "data/ledger/never-voted",
        "keys/identity.key",
        "keys/sealing.key",
        "keys/subject.key",
        "keys/tls.key",
        "node.toml",
    ]
    check(network)


def test_what_is_private_is_nobody_elses(network):
    assert stat.S_IMODE(network.root.stat().st_mode) == 0o700
    private = [network.offline, network.inquirer, network.inquirer / "answers"]
    for name in network.daemons():
        place = network.node(name)
        private += [place.root, place.keys, place.data, place.run]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700}
    keys = list(network.root.rglob("*.key")) + list(network.nodes.rglob("*.csv"))
    assert len(keys) > 30
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_roles_follow_the_rules_of_separation():
    companies = {role: {member.company for member in MEMBERS if member.role is role} for role in Role}
    assert not companies[Role.OPERATOR] & companies[Role.MPC]
    assert not companies[Role.SUPERVISOR] & companies[Role.MPC]
    assert len(companies[Role.MPC]) == 3
    validators = [member.company for member in MEMBERS if member.validator]
    assert len(validators) == len(set(validators)) == 6


def test_records_go_to_their_own_company_only(network):
    found = {path.parent.parent.name: path.name for path in network.nodes.rglob("*.csv")}
    assert found == {"bank-data": "bank.csv", "insurer-data": "insurer.csv", "telecom-data": "telecom.csv"}


def test_ports_lie_below_those_that_the_kernel_hands_out(network):
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    config = load_node(network.node("operator").config)
    assert config.listen_inquiry is not None
    ports = {config.listen_peers.port, config.listen_inquiry.port} | {peer.port for peer in config.peers.values()}
    assert len(ports) == 9
    assert all(10_000 <= port < first for port in ports)


def test_a_new_replica_is_right_and_may_vote(own_network):
    config = load_node(own_network.node("operator").config)
    report = verify_replica(config)
    assert (report.verified, report.failure) == (None, None)
    assert (config.ledger_dir / "never-voted").exists()


def test_nothing_that_exists_is_touched(own_network):
    before = files_below(own_network.root)
    with pytest.raises(ConfigError, match="expected no such directory yet or an empty one"):
        create(own_network.root, demo_files(), Millis(0))
    assert files_below(own_network.root) == before


def test_an_empty_directory_will_do(tmp_path):
    (tmp_path / "n").mkdir()
    assert len(create(tmp_path / "n", demo_files(), Millis(0)).daemons()) == 8


def test_where_nobody_deals_models_are_audited_after_release(tmp_path):
    layout = create(tmp_path / "n", demo_files(), Millis(0), CorrelationSource.OT)
    consortium = load_consortium(layout.consortium)
    assert consortium.correlations is CorrelationSource.OT
    assert {model.audit for model in consortium.models} == {AuditMode.AFTER_RELEASE}


def test_without_the_demo_nothing_is_made(tmp_path):
    with pytest.raises(ConfigError, match=r"none/models: expected the demo's models and data, got none"):
        create(tmp_path / "n", tmp_path / "none", Millis(0))
    assert list(tmp_path.iterdir()) == []


def test_what_fails_halfway_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise StorageError("full")

    monkeypatch.setattr(creation, "make_signing_key", fail)
    with pytest.raises(StorageError):
        create(tmp_path / "n", demo_files(), Millis(0))
    assert list(tmp_path.iterdir()) == []
