"""`ledger members` and `ledger rejoin`: a chain at genesis, its daemon running or not, files that are passed around."""

import io
import json
import time

import pytest

from ledger.contract import ContractHost
from ledger.replica.opening import open_chain
from ledger.replica.rejoining import Rejoin
from ledger.store import SqliteStore
from ledger.types import BlockHash, Height, Millis, PublicKey, ReplicaId, Signature, View, Vote, VoteKind
from mpcnode.adapters.keystore import load_key
from mpcnode.adapters.rejoin_files import RejoinFile, read_rejoin
from mpcnode.config.node import load_node
from mpcnode.sealing.keyfile import KeyKind
from mpcnode.sealing.keys import SigningKey, verify
from tests.support.control import DELEGATES, ReadingReplica, serving, voice_of

LOST = "bank-mpc"


def node_of(network, name):
    return load_node(network.node(name).config)


def begun(node):
    """The store of a node, at genesis."""
    store = SqliteStore(node.ledger_dir)
    open_chain(store, ContractHost(node.consortium.chain, store.read_node), node.consortium.genesis(), verify)
    return store


@pytest.fixture
def stopped(own_network):
    """The configuration of a daemon that has run before."""
    begun(node_of(own_network, LOST)).close()
    return own_network.node(LOST).config


def identity(network, name):
    return SigningKey(load_key(network.node(name).keys / "identity.key", KeyKind.IDENTITY, None).secret)


def statement(network, **changes):
    node = node_of(network, LOST)
    fields = {
        "chain": node.consortium.chain,
        "replica": ReplicaId(node.member.index),
        "vote_key": node.member.vote_key,
        "sign_from": Height(1),
        "expires_ms": Millis(int(time.time() * 1000) + 60_000),
    }
    return Rejoin(**(fields | changes))


@pytest.fixture
def written(own_network, tmp_path):
    """Write a file that some delegates signed."""

    def written(*signers, name="r.json", **changes):
        rejoin = statement(own_network, **changes)
        keys = [identity(own_network, signer) for signer in signers]
        path = tmp_path / name
        path.write_bytes(
            RejoinFile(rejoin=rejoin, signatures={key.public: key.sign(rejoin.statement()) for key in keys}).encode()
        )
        return path

    return written


def test_members_come_from_the_files_of_a_daemon_that_does_not_run(run, shown, stopped):
    found = shown("ledger", "members", "--config", stopped)
    assert (found["height"], len(found["members"])) == (0, 8)
    assert {member["name"] for member in found["members"] if member["delegate"]} == set(DELEGATES)
    node = load_node(stopped)
    mine = found["members"][node.member.index]
    assert node.member.vote_key is not None
    assert mine == {
        "index": 2,
        "name": LOST,
        "company": "bank",
        "company_index": 1,
        "roles": ["mpc"],
        "state": "active",
        "delegate": True,
        "address": mine["address"],
        "vote_key": node.member.vote_key.hex(),
    }
    code, out, err = run("ledger", "members", "--config", stopped)
    assert (code, err, out.splitlines()[-1]) == (0, "", "as of height 0")
    assert all(len(line) <= 100 for line in out.splitlines())


def test_members_come_from_the_running_daemon(shown, own_network, stopped):
    from_files = shown("ledger", "members", "--config", stopped)
    node = node_of(own_network, LOST)
    store = begun(node)
    with serving(node, voice_of(node, ReadingReplica(node, store))):
        assert shown("ledger", "members", "--config", stopped) == from_files
    store.close()


def test_before_the_first_start_there_are_no_members(run, own_network):
    code, out, err = run("ledger", "members", "--config", own_network.node(LOST).config)
    assert (code, out) == (34, "")
    assert "expected at least the genesis block, got none; start the daemon once" in err


def test_a_daemon_that_holds_its_files_and_does_not_answer_is_unavailable(run, own_network, stopped):
    store = SqliteStore(node_of(own_network, LOST).ledger_dir)
    code, out, err = run("ledger", "members", "--config", stopped)
    store.close()
    assert (code, out) == (40, "")
    assert "expected the control socket of a running daemon, got none" in err


def test_a_request_is_signed_by_daemons_and_applied(run, shown, own_network, stopped, tmp_path):
    file, stores = tmp_path / "r.json", []
    for name in (LOST, "operator", "insurer-mpc", "telecom-data", "regulator"):
        node = node_of(own_network, name)
        stores.append(begun(node))
        with serving(node, voice_of(node, ReadingReplica(node, stores[-1]))):
            config = own_network.node(name).config
            if name == LOST:
                asked = shown("ledger", "rejoin", "request", file, "--expires-in", "2h", "--config", stopped)
                assert (asked["member"], asked["sign_from"], asked["signed"]) == (LOST, 1, 0)
                assert abs(asked["expires_ms"] - time.time() * 1000 - 7_200_000) < 60_000
                assert run("ledger", "rejoin", "request", file, "--config", stopped)[0] == 1  # not overwritten
            signed = shown("ledger", "rejoin", "sign", file, "--yes", "--config", config)
            assert (signed["signed"], signed["companies"]) == (len(stores), 6)
    for store in stores:
        store.close()
    code, out, err = run("ledger", "rejoin", "apply", file, "--config", stopped)
    assert (code, err) == (0, "")
    assert out == "bank-mpc: votes from height 1 on; signed by 5 of 6 companies: enough\n"
    store = SqliteStore(load_node(stopped).ledger_dir)
    assert store.whole_from() == 1
    store.close()
    code, _, err = run("ledger", "rejoin", "apply", file, "--config", stopped)
    assert code == 24
    assert "expected a height above 1, which was applied" in err


def test_files_signed_apart_count_together(shown, written, stopped, own_network):
    at = Millis(int(time.time() * 1000) + 60_000)
    one = written(*DELEGATES[:3], name="one", expires_ms=at)
    two = written(*DELEGATES[3:5], name="two", expires_ms=at)
    assert shown("ledger", "rejoin", "apply", one, two, "--config", stopped)["signed"] == 5


@pytest.mark.parametrize(
    ("signed", "message"),
    [
        ((DELEGATES[:4], {}), "expected more than two thirds of 6 companies, got 4"),
        (((*DELEGATES[:4], "bank-data"), {}), "expected signatures of companies' delegates"),
        ((DELEGATES, {"chain": bytes(32)}), "expected chain"),
        ((DELEGATES, {"replica": ReplicaId(4)}), "expected replica 2, got 4"),
        ((DELEGATES, {"vote_key": PublicKey(bytes(32))}), "expected the vote key of replica 2"),
        ((DELEGATES, {"sign_from": Height(2)}), "expected height 1, for block 0 is the newest here, got 2"),
        ((DELEGATES, {"expires_ms": Millis(1_000)}), "expected an expiry in the next 7 days"),
    ],
)
def test_what_does_not_hold_is_refused_and_changes_nothing(run, written, stopped, signed, message):
    signers, changes = signed
    code, out, err = run("ledger", "rejoin", "apply", written(*signers, **changes), "--config", stopped)
    assert (code, out) == (24, "")
    assert message in err
    store = SqliteStore(load_node(stopped).ledger_dir)
    assert store.whole_from() == 0
    store.close()


def test_a_forged_signature_is_refused(run, written, stopped):
    path = written(*DELEGATES)
    document = json.loads(path.read_bytes())
    document["sign_from"], good = 1, document["signatures"][0]["signature"]
    document["signatures"][0]["signature"] = good[:-4] + ("0000" if good[-4:] != "0000" else "1111")
    path.write_text(json.dumps(document))
    code, _, err = run("ledger", "rejoin", "apply", path, "--config", stopped)
    assert code == 24
    assert "expected a signature of this statement" in err


def test_a_log_with_a_vote_at_the_height_needs_no_leave(run, written, stopped):
    store = SqliteStore(load_node(stopped).ledger_dir)
    voted = Vote(
        kind=VoteKind.NULLIFY,
        height=Height(1),
        view=View(1),
        block_hash=BlockHash(bytes(32)),
        signer=0,
        signature=Signature(bytes(64)),
    )
    store.append([voted])
    store.close()
    code, _, err = run("ledger", "rejoin", "apply", written(*DELEGATES), "--config", stopped)
    assert code == 24
    assert "expected no vote of replica 2 at height 1 or above, got NULLIFY at height 1 in view 1" in err


def test_who_may_not_or_cannot_sign(run, own_network, written, monkeypatch):
    path = written()
    before = path.read_bytes()
    for name, knows, code, message in (
        ("bank-data", None, 22, "expected the delegate of bank, got another of its members; that is bank-mpc"),
        ("operator", 1, 24, "expected no vote of replica 2 at height 1 or above"),
    ):
        node = node_of(own_network, name)
        store = begun(node)
        replica = ReadingReplica(node, store)
        if knows:
            replica.knows = Vote(
                kind=VoteKind.NOTARIZE,
                height=Height(knows),
                view=View(1),
                block_hash=BlockHash(bytes(32)),
                signer=0,
                signature=Signature(bytes(64)),
            )
        with serving(node, voice_of(node, replica)):
            words = ("ledger", "rejoin", "sign", path, "--config", own_network.node(name).config)
            got, out, err = run(*words, "--yes")
            assert (got, message in err) == (code, True), err
            assert "votes from  height 1" in out
            assert run(*words, "--json")[0] == 2
            for answer, expected in (("", 2), ("n\n", 1)):
                monkeypatch.setattr("sys.stdin", io.StringIO(answer))
                assert run(*words)[0] == expected
        store.close()
    assert path.read_bytes() == before
    code, _, err = run("ledger", "rejoin", "sign", path, "--yes", "--config", own_network.node("operator").config)
    assert (code, "expected a daemon to answer" in err or "expected the control socket" in err) == (40, True)


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda document: document.pop("chain"), "chain"),
        (lambda document: document.update(more=1), "more"),
        (lambda document: document.update(sign_from=-1), "sign_from"),
        (lambda document: document.update(vote_key="00"), "vote_key"),
        (lambda document: document["signatures"].append({"key": "00", "signature": ""}), "signatures.6.key"),
    ],
)
def test_a_file_that_is_none_names_the_place(run, written, stopped, damage, place):
    path = written(*DELEGATES)
    document = json.loads(path.read_bytes())
    damage(document)
    path.write_text(json.dumps(document))
    code, _, err = run("ledger", "rejoin", "apply", path, "--config", stopped)
    assert code == 30
    assert f"expected a rejoin file, got a mistake at {place}" in err


def test_files_of_other_statements_are_not_put_together(run, written, stopped):
    at = Millis(int(time.time() * 1000) + 60_000)
    one, two = written(name="one", expires_ms=at), written(name="two", expires_ms=Millis(at + 1))
    code, _, err = run("ledger", "rejoin", "apply", one, two, "--config", stopped)
    assert (code, f"{two}: expected the statement of {one}, got another" in err) == (30, True)


def test_a_file_is_read_as_it_was_written(own_network, written):
    path = written("operator", "regulator")
    found = read_rejoin(path)
    assert found.rejoin.vote_key == node_of(own_network, LOST).member.vote_key
    assert set(found.signatures) == {identity(own_network, name).public for name in ("operator", "regulator")}
    assert found.encode() == path.read_bytes()
