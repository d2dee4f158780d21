"""Reading a replica's files: head, show, prove and export on a chain that is put there, and what they refuse."""

import json
import random
from dataclasses import replace

import pytest

from ledger import merkle
from ledger.chain import quorum
from ledger.contract import ContractHost
from ledger.encoding import block_hash, decode_certificate, decode_header
from ledger.ports import Compaction, Equivocation
from ledger.store import SqliteStore
from ledger.types import BlockHash, Certificate, Height, PublicKey, Signature, View, Vote, VoteKind
from mpcnode.config.consortium import load_consortium
from mpcnode.config.node import load_node
from mpcnode.errors import Exit, UnavailableError
from tests.support.chains import CHAIN, genesis_of
from tests.support.contracts import START, transaction
from tests.support.control import ReadingReplica, serving, voice_of
from tests.support.proofs import Consortium, chronicle, transactions
from tests.support.stored_world import BLOCK_MS, QUERY, stored_world

UNKNOWN = "ab" * 32
POOL = transactions(CHAIN, 20)


@pytest.fixture(scope="module")
def world(network):
    """The world's chain, and a transaction of a member of the network."""
    member = load_node(network.node("bank-mpc").config).member
    grown = stored_world()
    grown.run(transaction(member.identity, "queries.expire", b""))
    return grown


@pytest.fixture
def node(own_network, world):
    """The configuration of a daemon whose replica holds the world's chain."""
    path = own_network.node("bank-mpc").config
    store = SqliteStore(load_node(path).ledger_dir)
    for decision in world.store._decisions:
        header = decision.final.block.header
        certificate = Certificate(
            kind=VoteKind.FINALIZE,
            height=header.height,
            view=View(1),
            block_hash=block_hash(header),
            signers=tuple(range(quorum(4))),
            signatures=(Signature(bytes(64)),) * quorum(4),
        )
        final = replace(decision.final, certificate=certificate if header.height else None)
        store.commit(replace(decision, final=final))
    store.close()
    return path


def test_the_head_is_the_newest_block(run, shown, node, world):
    found = shown("ledger", "head", "--config", node)
    assert found["name"] == "bank-mpc"
    assert (found["head"]["height"], found["head"]["time_ms"]) == (4, START + 4 * BLOCK_MS)
    assert found["head"]["previous"] == world.head.header.previous.hex()
    code, out, _ = run("ledger", "head", "--config", node)
    assert (code, out) == (0, f"bank-mpc: height 4, 2027-01-15T08:00:06.000+00:00, {found['head']['hash']}\n")


def test_a_block_shows_its_signers_and_what_was_done(run, shown, node, world):
    names = [member.name for member in load_node(node).consortium.members]
    signers = [names[validator.replica] for validator in world.genesis.validators()[:3]]
    block = shown("ledger", "show", 2, "--config", node)
    assert (block["signers"], block["proposer"], block["view"]) == (signers, signers[0], 1)
    assert [tx["result"] for tx in block["transactions"]] == ["ok", "ok", "NOT_IN_PANEL"]
    assert [tx["events"] for tx in block["transactions"]] == ["InputCommitted", "InputCommitted", ""]
    code, out, err = run("ledger", "show", 4, "--config", node)
    assert (code, err) == (0, "")
    assert "queries.expire  bank-mpc" in out
    assert shown("ledger", "show", 0, "--config", node)["signers"] == []


def test_a_height_that_is_not_there(run, node):
    code, out, err = run("ledger", "show", 5, "--config", node)
    assert (out, err) == ("", "mpcnode: REQUEST_FORM: expected a height of at most 4, got 5\n")
    assert code == 10


def test_a_proof_holds_every_transaction_of_the_query(run, shown, node, world, tmp_path):
    file = tmp_path / "receipt.json"
    words = ("ledger", "prove", QUERY.hex(), "--output", file, "--config", node)
    assert shown(*words) == {"query": QUERY.hex(), "file": str(file), "transactions": 3}
    receipt = json.loads(file.read_bytes())
    headers = [decode_header(bytes.fromhex(block["header"])) for block in receipt["blocks"]]
    assert [header.height for header in headers] == [1, 2]
    certificates = [decode_certificate(bytes.fromhex(block["certificate"])) for block in receipt["blocks"]]
    assert [certificate.block_hash for certificate in certificates] == list(map(block_hash, headers))
    sent = [data for height in (1, 2) for data in world.store.final(Height(height)).block.txs]
    assert [bytes.fromhex(proven["transaction"]) for proven in receipt["transactions"]] == sent[:3]
    for proven in receipt["transactions"]:
        path = tuple(map(bytes.fromhex, proven["transaction_path"]))
        root = headers[proven["block"]].tx_root
        merkle.verify_path(bytes.fromhex(proven["transaction"]), proven["index"], proven["size"], path, root)
    code, _, err = run(*words)
    assert code == 1
    assert "File exists" in err


def test_what_cannot_be_proven(run, node, tmp_path):
    words = ("--output", tmp_path / "r", "--config", node)
    code, out, err = run("ledger", "prove", UNKNOWN, *words)
    assert (code, out, err) == (12, "", f"mpcnode: UNKNOWN_QUERY: query {UNKNOWN}: not on the ledger\n")
    assert run("ledger", "prove", "xyz", *words)[0] == 2
    assert not (tmp_path / "r").exists()


def test_a_proof_that_a_block_is_in_the_history_of_another(run, shown, node, world, tmp_path):
    file = tmp_path / "history.json"
    words = ("ledger", "prove", "--since", 1, "--until", 3, "--output", file, "--config", node)
    hashes = [block_hash(world.store.header(Height(height))).hex() for height in range(5)]
    expected = {"older": {"height": 1, "hash": hashes[1]}, "newer": {"height": 3, "hash": hashes[3]}}
    assert shown(*words) == {"file": str(file), **expected}
    proof = json.loads(file.read_bytes())
    headers = [decode_header(bytes.fromhex(proof[name]["header"])) for name in ("older", "newer")]
    assert [header.height for header in headers] == [1, 3]
    inclusion, consistency = (tuple(map(bytes.fromhex, proof[name])) for name in ("inclusion", "consistency"))
    merkle.verify_path(bytes.fromhex(hashes[1]), 1, 3, inclusion, headers[1].history_root)
    merkle.verify_consistency(1, 3, headers[0].history_root, headers[1].history_root, consistency)
    assert run(*words)[0] == 1
    newest = tmp_path / "newest.json"
    code, out, _ = run("ledger", "prove", "--since", 0, "--output", newest, "--config", node)
    assert (code, out) == (0, f"{newest}: block 0 is in the history of block 4\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        ((UNKNOWN, "--since", 1), 2),
        (("--until", 3), 2),
        ((UNKNOWN, "--until", 3), 2),
        (("--since", 4), 10),
        (("--since", 1, "--until", 5), 10),
        (("--since", 3, "--until", 3), 10),
    ],
    ids=range(7),
)
def test_what_is_no_proof_of_history(run, node, tmp_path, words, code):
    assert run("ledger", "prove", *words, "--output", tmp_path / "h", "--config", node)[0] == code
    assert not (tmp_path / "h").exists()


def test_a_consistency_file_is_checked_offline(run, shown, network, tmp_path):
    document = network.consortium
    made = chronicle(
        Consortium(b"", replace(genesis_of(5), chain=load_consortium(document).chain)), random.Random(3), POOL, 2, 6
    )
    (tmp_path / "history").write_bytes(made.consistency_file(2, 6))
    older, newer = (block_hash(made.headers[height]).hex() for height in (2, 6))
    words = ("receipt", "consistency", tmp_path / "history", "--consortium", document, "--known")
    found = shown(*words, older)
    assert [(found[name]["height"], found[name]["hash"]) for name in ("older", "newer")] == [(2, older), (6, newer)]
    code, out, _ = run(*words, newer)
    assert (code, out) == (0, f"block 2 ({older})\nis in the history of block 6 ({newer})\n")
    code, out, err = run(*words, UNKNOWN)
    assert (code, out) == (21, "")
    assert f"expected the known block {UNKNOWN}" in err
    assert run(*words, "zz")[0] == 2


def test_an_export_has_every_block_or_every_transaction(run, node, world):
    code, out, _ = run("ledger", "export", "--config", node, "--json")
    blocks = [json.loads(line) for line in out.splitlines()]
    assert (code, [block["height"] for block in blocks]) == (0, [0, 1, 2, 3, 4])
    sent = [data.hex() for data in world.store.final(Height(2)).block.txs]
    assert blocks[2]["transactions"] == sent
    assert len(blocks[2]["receipts"]) == 3
    code, out, _ = run("ledger", "export", "--config", node, "--from", 3, "--to", 9)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [(row[0], *row[2:5:2]) for row in rows] == [
        ("3", "queries.no_such_method", "UNKNOWN_METHOD"),
        ("4", "queries.expire", "MALFORMED_ARGUMENTS"),
    ]
    assert rows[1][3] == "bank-mpc"


def test_evidence_names_who_voted_twice(run, shown, node, world):
    assert run("ledger", "evidence", "--config", node) == (0, "bank-mpc: nobody is known to have voted twice\n", "")
    accused = world.genesis.validators()[2]
    votes = [
        Vote(
            kind=kind,
            height=Height(3),
            view=View(2),
            block_hash=BlockHash(block),
            signer=2,
            signature=Signature(bytes(64)),
        )
        for kind, block in ((VoteKind.FINALIZE, b"\xab" * 32), (VoteKind.NULLIFY, bytes(32)))
    ]
    store = SqliteStore(load_node(node).ledger_dir)
    store.accuse(Equivocation(key=accused.key, first=votes[0], second=votes[1]))
    stranger = PublicKey(bytes(32))
    store.accuse(Equivocation(key=stranger, first=votes[0], second=votes[1]))
    store.close()
    name = load_node(node).consortium.members[accused.replica].name
    found = shown("ledger", "evidence", "--config", node)["evidence"]
    assert {proof["key"]: proof["member"] for proof in found} == {accused.key.hex(): name, stranger.hex(): None}
    assert [(proof["height"], proof["view"]) for proof in found] == [(3, 2)] * 2
    assert [vote["kind"] for vote in found[0]["votes"]] == ["NULLIFY", "FINALIZE"]
    assert found[0]["votes"][1] == {"kind": "FINALIZE", "block": "ab" * 32, "signature": "00" * 64}
    code, out, _ = run("ledger", "evidence", "--config", node)
    lines = sorted(out.splitlines()[1:])
    assert (code, len(lines)) == (0, 2)
    assert lines[1].split() == [name, "3", "2", "NULLIFY", "0" * 12, "FINALIZE", "ab" * 6]


def test_a_compaction_keeps_the_newest_states_and_frees_room(run, shown, node, world, monkeypatch):
    assert shown("ledger", "compact", "--config", node)["removed"] == 0
    monkeypatch.setattr("mpcnode.adapters.replica_compaction.compact_store.__defaults__", (1,))
    found = shown("ledger", "compact", "--config", node)
    assert found["removed"] == 8
    assert found["states_from"] == 4
    assert 0 < found["bytes_after"] <= found["bytes_before"]
    code, out, err = run("ledger", "compact", "--config", node)
    told = f"bank-mpc: removed 0 state nodes, kept {found['kept']}\nstates are kept from height 4 on\n"
    assert (code, err, out[: len(told)]) == (0, "", told)
    store = SqliteStore(load_node(node).ledger_dir)
    host = ContractHost(world.genesis.chain, store.read_node)
    assert host.view(world.root, Height(5), world.head.header.timestamp_ms, "queries.get", QUERY)[0] == 1
    store.close()
    assert len(shown("ledger", "show", 2, "--config", node)["transactions"]) == 3


def compacting(*steps, failure=None):
    """What a running daemon does when it is asked."""

    async def compact():
        for kept, removed in steps:
            yield Compaction(kept=kept, removed=removed, states_from=Height(3), done=(kept, removed) == steps[-1])
            if failure is not None:
                raise failure

    return compact


def test_a_running_daemon_is_asked_to_compact(run, shown, node):
    config = load_node(node)
    store = SqliteStore(config.ledger_dir)
    voice = voice_of(config, ReadingReplica(config, store))
    try:
        with serving(config, voice, compacting((5, 0), (9, 0), (9, 4))):
            found = shown("ledger", "compact", "--config", node)
            assert (found["kept"], found["removed"], found["states_from"]) == (9, 4, 3)
        failure = UnavailableError("replica: expected a working disk, got its failure")
        with serving(config, voice, compacting((5, 0), (9, 0), failure=failure)):
            code, out, err = run("ledger", "compact", "--config", node)
        assert (code, out) == (Exit.UNAVAILABLE, "")
        assert str(failure) in err
    finally:
        store.close()


def test_before_the_first_block(run, shown, own_network, tmp_path):
    config = own_network.node("bank-mpc").config
    assert run("ledger", "head", "--config", config) == (0, "bank-mpc: no block yet\n", "")
    assert shown("ledger", "head", "--config", config) == {"name": "bank-mpc", "head": None}
    assert run("ledger", "export", "--config", config) == (0, "", "")
    assert run("ledger", "prove", UNKNOWN, "--output", tmp_path / "r", "--config", config)[0] == 12


def test_a_daemon_that_runs_is_told(run, own_network):
    path = own_network.node("bank-mpc").config
    node = load_node(path)
    store = SqliteStore(node.ledger_dir)
    try:
        code, out, err = run("ledger", "head", "--config", path)
    finally:
        store.close()
    expected = f"bank-mpc: expected its daemon to be stopped, got one that holds {node.ledger_dir}; stop it, or ask it"
    assert (code, out, err) == (33, "", f"mpcnode: LOCKED: {expected} while it runs: mpcnode status\n")
