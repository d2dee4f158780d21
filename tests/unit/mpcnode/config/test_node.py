"""A daemon's file: what it means, and that every mistake is named with its place."""

import pytest

from mpcnode.config.node import Address, control_socket_of, load_node
from mpcnode.errors import ConfigError


@pytest.fixture
def edited(own_network):
    def load(name, *edits):
        path = own_network.node(name).config
        text = path.read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        return load_node(path)

    return load


def test_means_what_it_says(network):
    config = load_node(network.node("telecom-data").config)
    assert config.member.name == "telecom-data"
    assert config.member is config.consortium.members[5]
    assert config.data_dir == network.node("telecom-data").data
    assert config.ledger_dir == config.data_dir / "ledger"
    assert config.control == network.node("telecom-data").control
    assert config.records is not None
    assert config.records.file == config.data_dir / "telecom.csv"
    assert config.listen_inquiry is None
    assert sorted(config.peers) == [0, 1, 2, 3, 4, 6, 7]
    assert config.limits.preparation_ms == 5_000


def test_every_daemon_of_the_network_knows_where_the_others_listen(network):
    configs = [load_node(network.node(name).config) for name in network.daemons()]
    listening = {config.member.index: config.listen_peers for config in configs}
    assert all(listening[index] == address for config in configs for index, address in config.peers.items())
    inquiry = [config.listen_inquiry for config in configs if config.listen_inquiry]
    ports = [address.port for address in [*listening.values(), *inquiry]]
    assert len(set(ports)) == 9


def test_paths_begin_at_the_file(network, monkeypatch):
    monkeypatch.chdir(network.node("operator").root)
    assert load_node(network.node("operator").config.relative_to(network.node("operator").root)).data_dir.is_absolute()


def test_limits_have_defaults(edited):
    config = edited("operator", ("[limits]\n", "[limits]\n#"), ("preparation_ms = 5000", "# none"))
    assert config.limits.preparation_ms == 5_000


MISTAKES = {
    "unknown key": ("operator", "[log]", "[log]\nfile = 'x'", r"log\.file: expected no such key"),
    "not a member": (
        "operator",
        'name = "operator"',
        'name = "stranger"',
        r"node\.name: expected a member of .*got 'stranger'",
    ),
    "another role": (
        "operator",
        'role = "operator"',
        'role = "mpc"',
        r"node\.role: expected 'operator' as in .*, got 'mpc'",
    ),
    "desk of another role": (
        "bank-mpc",
        "control = ",
        'inquiry = "127.0.0.1:9000"\ncontrol = ',
        r"listen\.inquiry: expected none, only role operator has it \(role mpc\)",
    ),
    "operator without desk": (
        "operator",
        "inquiry = ",
        "# inquiry = ",
        r"listen\.inquiry: expected a value \(role operator\), got none",
    ),
    "records of another role": (
        "bank-mpc",
        "[log]",
        '[records]\nfile = "x"\nid_column = "id"\n[log]',
        r"records: expected none, only role participant",
    ),
    "participant without records": (
        "bank-data",
        '[records]\nfile = "data/bank.csv"\nid_column = "subject"',
        "",
        r"records: expected a value",
    ),
    "no port": (
        "operator",
        'peers = "127.0.0.1:',
        'peers = "127.0.0.1',
        r"listen\.peers: expected a text that matches",
    ),
    "port 0": (
        "operator",
        'bank-mpc = "127.0.0.1:',
        'bank-mpc = "127.0.0.1:0" # ',
        r"peers\.bank-mpc: expected a port in 1 to 65535, got 0",
    ),
    "peer missing": (
        "operator",
        "bank-mpc = ",
        "# ",
        r"peers\.bank-mpc: expected an address of every other member, got none",
    ),
    "itself as a peer": (
        "operator",
        "[peers]",
        '[peers]\noperator = "127.0.0.1:1"',
        r"peers\.operator: expected one of bank-data",
    ),
    "socket path too long": (
        "operator",
        "run/control.sock",
        "r" * 108,
        r"listen\.control: expected a path of at most 107 bytes",
    ),
    "no such level": ("operator", 'level = "info"', 'level = "loud"', r"log\.level: .*got 'loud'"),
    "limit of another type": (
        "operator",
        "calls_max = 1024",
        "calls_max = 6.5",
        r"limits\.calls_max: expected a valid integer, got 6\.5",
    ),
    "limit out of range": ("operator", "drain_ms = 15000", "drain_ms = -1", r"limits\.drain_ms: .*got -1"),
    "no consortium": ("operator", "../../consortium.toml", "../none.toml", r"none\.toml: expected a readable file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(edited, mistake):
    name, old, new, message = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=message):
        edited(name, (old, new))


def test_addresses_may_be_version_6(edited):
    assert edited("operator", ('bank-mpc = "127.0.0.1:', 'bank-mpc = "[::1]:900" # ')).peers[2] == Address("::1", 900)
    assert str(Address("::1", 900)) == "[::1]:900"


def test_the_control_socket_is_known_without_the_consortium(own_network):
    own_network.consortium.unlink()
    assert control_socket_of(own_network.node("operator").config) == own_network.node("operator").control
