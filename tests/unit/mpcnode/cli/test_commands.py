"""Commands from outside: what they print, on which stream, and the code they end with."""

import io
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest

from mpcnode.adapters.keystore import load_key
from mpcnode.cli.main import explain
from mpcnode.cli.output import show_json
from mpcnode.errors import CallerError, ErrorCode, LocalError, UnavailableError
from mpcnode.sealing.keyfile import KeyKind


def run(*words):
    done = subprocess.run(
        [sys.executable, "-m", "mpcnode", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_an_error_is_one_line_and_its_code(tmp_path):
    path = tmp_path / "node.toml"
    assert run("run", "--config", path) == (
        30,
        "",
        f"mpcnode: CONFIG: {path}: expected a readable file, got No such file or directory\n",
    )


def test_debug_adds_the_traceback(tmp_path):
    code, out, err = run("--debug", "run", "--config", tmp_path / "node.toml")
    assert (code, out) == (30, "")
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("mpcnode: CONFIG: ")


def test_wrong_usage_is_code_2():
    code, out, err = run("status")
    assert (code, out) == (2, "")
    assert "give either --config or --socket" in err
    assert run("no-such-command")[0] == 2


def test_run_refuses_a_key_that_others_can_read(own_network):
    key = own_network.node("operator").keys / "identity.key"
    key.chmod(0o644)
    code, out, err = run("run", "--config", own_network.node("operator").config)
    assert (code, out) == (32, "")
    assert err == f"mpcnode: PERMISSIONS: {key}: expected mode 0600, got 0644; run: chmod 600 {key}\n"


def test_nobody_to_ask_is_code_40(network):
    for command in ("status", "health"):
        code, out, err = run(command, "--config", network.node("operator").config, "--json")
        assert (code, out) == (40, "")
        assert err.startswith("mpcnode: UNAVAILABLE: ")
        assert err.count("\n") == 1


def test_a_network_that_is_down(network):
    code, out, err = run("devnet", "status", network.root, "--json")
    assert (code, err) == (40, "")
    assert json.loads(out)["operator"] == {"running": False, "ready": False, "pid": None}


def test_a_new_replica_verifies_and_damage_is_code_20(own_network):
    config = own_network.node("bank-mpc").config
    assert run("ledger", "verify", "--config", config) == (0, "bank-mpc: no block yet\n", "")
    code, out, err = run("ledger", "verify", "--config", config, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"name": "bank-mpc", "ok": True, "verified": None, "states_from": 0, "failure": None}
    store = sqlite3.connect(own_network.node("bank-mpc").data / "ledger" / "ledger.sqlite")
    store.execute("INSERT INTO nodes (key, value) VALUES (?, ?)", (bytes(32), b"planted"))
    store.commit()
    store.close()
    code, out, err = run("ledger", "verify", "--config", config)
    assert (code, err) == (20, "")
    assert out.startswith("bank-mpc: wrong outside any block: ")
    code, out, err = run("ledger", "verify", "--config", config, "--json")
    assert (code, err) == (20, "")
    assert json.loads(out)["ok"] is False


def test_a_ledger_directory_is_made_once(own_network):
    place = own_network.node("bank-mpc")
    code, _, err = run("ledger", "new", "--config", place.config)
    assert code == 34
    assert "data directory: expected to make" in err
    shutil.rmtree(place.data / "ledger")
    code, out, err = run("ledger", "new", "--config", place.config, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"name": "bank-mpc", "directory": str(place.data / "ledger")}


def test_new_keys_are_private_and_their_entry_is_printed(tmp_path):
    words = (
        "--name",
        "x",
        "--company",
        "bank",
        "--role",
        "participant",
        "--class",
        "accounts",
        "--keys-dir",
        tmp_path / "k",
    )
    code, _, err = run("keys", "new", *words)
    assert code == 2
    assert "a passphrase is asked for on a terminal" in err
    code, out, err = run("keys", "new", *words, "--unprotected")
    assert (code, err) == (0, "")
    assert out.startswith('[[member]]\nname = "x"\ncompany = "bank"\nrole = "participant"\nidentity = "')
    assert 'classes = ["accounts"]' in out
    for path in (tmp_path / "k").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        if path.name != "tls.key":
            assert json.loads(path.read_bytes())["secret"] not in out


def test_a_new_vote_key_is_private_and_replaces_none(tmp_path):
    path = tmp_path / "vote.key"
    code, out, err = run("keys", "vote", "--output", path, "--unprotected")
    assert (code, err) == (0, "")
    assert len(bytes.fromhex(out.strip())) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    stored = path.read_bytes()
    assert load_key(path, KeyKind.VOTE).public.hex() == out.strip()
    code, out, err = run("keys", "vote", "--output", path, "--unprotected")
    assert (code, out, path.read_bytes()) == (1, "", stored)
    assert "it was not touched" in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UnavailableError("nobody there"), 40, "mpcnode: UNAVAILABLE: nobody there\n"),
        (CallerError("x", ErrorCode.QUOTA_EXCEEDED), 19, "mpcnode: QUOTA_EXCEEDED: x\n"),
        (LocalError("x", ErrorCode.LOCKED), 33, "mpcnode: LOCKED: x\n"),
        (ExceptionGroup("two", [UnavailableError("first"), ValueError("second")]), 40, "mpcnode: UNAVAILABLE: first\n"),
        (KeyError("x"), 1, "mpcnode: INTERNAL: KeyError: 'x' (mpcnode --debug … shows where)\n"),
    ],
)
def test_every_error_becomes_a_line_and_a_code(error, code, line, capsys):
    assert explain(error) == code
    assert capsys.readouterr().err == line


def test_output_for_programs_is_json_with_hex(capsys):
    show_json({"head": b"\x01\x02"})
    assert json.loads(capsys.readouterr().out) == {"head": "0102"}
    with pytest.raises(TypeError):
        show_json({"what": io.StringIO()})
