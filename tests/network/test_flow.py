"""The main job over eight processes: right answers, equal replicas, receipts that need nobody's word."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.store import SqliteStore
from mpcnode.adapters.replica_check import verify_replica
from mpcnode.client import Answer, AnswerState
from mpcnode.config.node import load_node
from mpcnode.devnet import processes
from mpcnode.errors import Exit
from scripts.demo.expectation import Expectation
from tests.support.devnet import MODEL, MPC, NAMES, PARTICIPANTS, PURPOSE, Devnet, cli, wait_for
from tests.support.tools import ROOT

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

UNKNOWN = "DE-Q0000000"


@dataclass(frozen=True)
class Asked:
    """A query of the module and what it must say."""

    expected: Expectation
    answer: Answer


@pytest.fixture(scope="module")
def net(devnet: Devnet) -> Iterator[Devnet]:
    """The network, brought up and down by the program itself."""
    cli("devnet", "up", str(devnet.layout.root))
    yield devnet
    cli("devnet", "down", str(devnet.layout.root))


@pytest.fixture(scope="module")
def asked(net: Devnet) -> dict[str, Asked]:
    """Somebody known everywhere, somebody known at one company, somebody whom nobody knows."""
    truth = net.truth()
    everybody = [truth.expect(subject) for subject in truth.subjects()]
    chosen = {
        "everywhere": next(item for item in everybody if len(item.known_to) == 3),
        "at one": next(item for item in everybody if len(item.known_to) == 1),
        "nowhere": truth.expect(UNKNOWN),
    }
    return {name: Asked(item, net.ask(item.subject, wait_audit=True)) for name, item in chosen.items()}


def answer_file(net: Devnet, answer: Answer) -> Path:
    return net.layout.inquirer / "answers" / f"{answer.query}.json"


@pytest.mark.parametrize("name", ["everywhere", "at one", "nowhere"])
def test_answer_equals_the_clear_evaluation(asked: dict[str, Asked], name: str) -> None:
    expected, answer = asked[name].expected, asked[name].answer
    assert (answer.grade, answer.coverage_band) == (expected.outcome.grade, expected.outcome.coverage_band)
    wanted = AnswerState.ANSWERED if expected.outcome.sufficient else AnswerState.INSUFFICIENT
    assert (answer.state, answer.verdict, answer.attempt) == (wanted, "MATCH", 1)
    assert answer.audit == "before release"
    assert answer.latency_ms is not None


def test_a_miss_is_no_absence(asked: dict[str, Asked]) -> None:
    """Who does not know the subject contributes like everybody else: nobody can tell from the ledger."""
    for item in asked.values():
        assert (set(item.answer.contributed), item.answer.silent) == (set(PARTICIPANTS), ())


def test_the_result_key_is_gone_when_the_answer_is_open(net: Devnet, asked: dict[str, Asked]) -> None:
    for item in asked.values():
        path = answer_file(net, item.answer)
        assert json.loads(path.read_text())["result_secret"] is None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_query_ask_prints_json(net: Devnet, asked: dict[str, Asked]) -> None:
    known = asked["everywhere"]
    profile = str(net.layout.profile)
    options = ("--profile", profile, "--model", MODEL, "--subject", known.expected.subject, "--purpose", PURPOSE)
    found = json.loads(cli("query", "ask", *options, "--json").stdout)
    assert found["grade"] == known.answer.grade
    assert found["latency_ms"] == found["answered_ms"] - found["asked_ms"]
    assert set(found) == {*Answer.__dataclass_fields__, "latency_ms"}
    assert set(found["contributed"]) == set(PARTICIPANTS)
    shown = json.loads(cli("query", "show", "--profile", profile, found["query"][:12], "--wait-audit", "--json").stdout)
    assert (shown["query"], shown["grade"], shown["verdict"]) == (found["query"], found["grade"], "MATCH")


def test_nobody_knows_the_subject_is_an_exit_code(net: Devnet, asked: dict[str, Asked]) -> None:
    ran = cli("query", "show", "--profile", str(net.layout.profile), asked["nowhere"].answer.query, check=False)
    assert ran.returncode == Exit.QUERY_INSUFFICIENT
    assert "insufficient" in ran.stdout


@pytest.mark.parametrize(
    ("options", "code", "exits"),
    [
        (("--model", "no-such-model", "--subject", "X", "--purpose", PURPOSE), "UNKNOWN_MODEL", Exit.QUERY_OUTDATED),
        (("--model", MODEL, "--subject", "X", "--purpose", "curiosity"), "PURPOSE_NOT_ALLOWED", Exit.QUERY_NOT_ALLOWED),
        (("--model", MODEL, "--subject", "X" * 65, "--purpose", PURPOSE), "MALFORMED_ID", Exit.QUERY_REFUSED),
    ],
)
def test_a_wrong_question_has_a_code(net: Devnet, options: tuple[str, ...], code: str, exits: Exit) -> None:
    ran = cli("query", "ask", "--profile", str(net.layout.profile), *options, check=False)
    assert (ran.stderr.split(": ")[1], ran.returncode) == (code, exits), ran.stderr


def test_receipt_verifies_with_the_consortium_document_alone(
    net: Devnet, asked: dict[str, Asked], tmp_path: Path
) -> None:
    document = tmp_path / "document.toml"
    document.write_bytes(net.layout.consortium.read_bytes())
    receipt = net.receipt(asked["everywhere"].answer.query)
    found = json.loads(cli("receipt", "verify", str(receipt), "--consortium", str(document), "--json").stdout)
    methods = [item["method"].removeprefix("queries.") for item in found["transactions"]]
    assert (found["valid"], methods) == (True, ["register", *["commit_input"] * 3, "post_result", "attest"])
    (query,) = found["queries"]
    assert (query["state"], query["audit"], query["verdict"]) == ("released", "before release", "MATCH")
    assert {item["sender"] for item in found["transactions"]} >= {"operator", "regulator", *PARTICIPANTS}


def test_a_changed_receipt_is_refused(net: Devnet, asked: dict[str, Asked], tmp_path: Path) -> None:
    text = net.receipt(asked["everywhere"].answer.query).read_text()
    places = [match.start() for match in re.finditer(r"[0-9a-f](?=[0-9a-f]{20})", text)]
    places = places[:: len(places) // 3]
    assert len(places) > 2
    for number, place in enumerate(places):
        changed = tmp_path / f"{number}.receipt"
        changed.write_text(text[:place] + ("1" if text[place] == "0" else "0") + text[place + 1 :])
        ran = cli("receipt", "verify", str(changed), "--consortium", str(net.layout.consortium), check=False)
        assert ran.returncode == Exit.RECEIPT_INVALID, (place, ran.stdout, ran.stderr)


def test_eight_replicas_have_one_head(net: Devnet, asked: dict[str, Asked]) -> None:
    reports = net.equal_heads()
    assert [item.name for item in reports] == sorted(NAMES)
    heights = {item.status.height for item in reports if item.status}
    assert len(heights) == 1
    assert min(heights) >= 3 * len(asked)


def test_status_and_health_are_json(net: Devnet) -> None:
    config = str(net.layout.node("bank-mpc").config)
    status = json.loads(cli("status", "--config", config, "--json").stdout)
    assert (status["name"], status["role"], status["state"]) == ("bank-mpc", "mpc", "ready")
    assert status["peers"] == {name: True for name in NAMES if name != "bank-mpc"}
    assert status["counters"]["open_queries"] == 0
    health = json.loads(cli("health", "--config", config, "--json").stdout)
    assert health["healthy"] is True
    assert all(check["passed"] for check in health["checks"])


def test_control_socket_is_its_owners_alone(net: Devnet) -> None:
    for name in NAMES:
        socket = net.layout.node(name).control
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (socket, socket.parent)]
        assert modes == [0o600, 0o700]


def test_every_correlation_was_used_once(net: Devnet, asked: dict[str, Asked]) -> None:
    sessions = {name: net.journal(name, "started") for name in MPC}
    first, *others = (set(found) for found in sessions.values())
    assert all(found == first for found in others)
    assert all(len(found) == len(first) for found in sessions.values())
    assert len(first) >= len(asked)


def test_a_participant_is_asked_for_what_it_approved(net: Devnet, asked: dict[str, Asked]) -> None:
    """Without its approval it is in no panel, the others answer alone; with it, it is back in the next query."""
    known = asked["everywhere"]
    gone = "telecom-data"
    others = [name for name in PARTICIPANTS if name != gone]
    assert governance(net, gone, "approve", MODEL, "--withdraw")["asked"] == others
    without = net.ask(known.expected.subject)
    assert (set(without.contributed), without.silent) == (set(others), ())
    assert governance(net, gone, "approve", MODEL)["asked"] == list(PARTICIPANTS)
    (model,) = json.loads(cli(*words(net, "regulator", "models")).stdout)["models"]
    assert (model["name"], model["not_approved"]) == (MODEL, [])
    assert set(net.ask(known.expected.subject).contributed) == set(PARTICIPANTS)


def test_companies_suspend_a_member(net: Devnet, asked: dict[str, Asked]) -> None:
    """More than two thirds of six companies say yes, each through the daemon of its delegate; all daemons know."""
    assert asked
    others = ("operator", "insurer-mpc", "telecom-data", "notary-mpc")
    first = governance(net, "bank-mpc", "propose", "members.suspend", "index=insurer-data")
    assert (first["id"], first["state"], first["yes"], first["needed"]) == (0, "open", ["bank"], 5)
    states = [governance(net, name, "vote", "0", "yes")["state"] for name in others]
    assert states == ["open", "open", "open", "approved"]
    net.equal_heads()
    (proposal,) = json.loads(cli(*words(net, "bank-data", "proposals")).stdout)["proposals"]
    assert (proposal["state"], proposal["method"], len(proposal["yes"])) == ("approved", "members.suspend", 5)
    members = json.loads(cli(*words(net, "regulator", "members")).stdout)["members"]
    assert [member["name"] for member in members if member["state"] == "suspended"] == ["insurer-data"]


def test_companies_reject_a_proposal(net: Devnet, asked: dict[str, Asked]) -> None:
    """Two of six are enough, for the others cannot be more than two thirds any more; what was proposed is not done."""
    assert asked
    number = str(governance(net, "regulator", "propose", "members.suspend", "index=bank-data")["id"])
    states = [governance(net, name, "vote", number, "no")["state"] for name in ("bank-mpc", "operator")]
    assert states == ["open", "rejected"]
    members = json.loads(cli(*words(net, "operator", "members")).stdout)["members"]
    assert "bank-data" in {member["name"] for member in members if member["state"] == "active"}


def words(net: Devnet, name: str, command: str, *arguments: str) -> tuple[str, ...]:
    sure = ("--yes",) if command in {"propose", "vote", "approve"} else ()
    return ("ledger", command, *arguments, *sure, "--config", str(net.layout.node(name).config), "--json")


def governance(net: Devnet, name: str, command: str, *arguments: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(cli(*words(net, name, command, *arguments)).stdout)
    return said


def test_devnet_status_and_down_are_json(net: Devnet, asked: dict[str, Asked]) -> None:
    """The last test of the running network: it ends it, and looks at what is left."""
    assert asked
    found = json.loads(cli("devnet", "status", str(net.layout.root), "--json").stdout)
    assert set(found) == set(NAMES)
    assert all(item["ready"] for item in found.values())
    net.equal_heads()
    outcome = json.loads(cli("devnet", "down", str(net.layout.root), "--json").stdout)
    assert outcome == dict.fromkeys(NAMES, "stopped")
    assert not any(processes.running(net.layout.node(name)) for name in NAMES)
    pids = [item["pid"] for item in found.values()]
    wait_for(lambda: not any(processes.find(pid) for pid in pids), "no orphans")


def test_every_replica_verifies_from_genesis(net: Devnet, asked: dict[str, Asked]) -> None:
    """After the network has ended: one replica through the program, the others as the program does it."""
    assert asked
    found = json.loads(cli("ledger", "verify", "--config", str(net.layout.node("operator").config), "--json").stdout)
    assert (found["ok"], found["failure"]) == (True, None)
    for name in NAMES:
        checked = verify_replica(load_node(net.layout.node(name).config))
        assert (checked.failure, checked.verified) == (None, found["verified"]), name


def test_a_head_is_proved_in_the_history_of_a_newer_one(net: Devnet, asked: dict[str, Asked], tmp_path: Path) -> None:
    assert asked
    config, document, file = net.layout.node("regulator").config, str(net.layout.consortium), str(tmp_path / "history")
    prove = ("ledger", "prove", "--since", "3", "--output", file, "--config", str(config), "--json")
    made = json.loads(cli(*prove).stdout)
    for known in (made["older"]["hash"], made["newer"]["hash"]):
        check = ("receipt", "consistency", file, "--known", known, "--consortium", document, "--json")
        assert json.loads(cli(*check).stdout)["newer"]["height"] == made["newer"]["height"]
    checked = [sys.executable, str(ROOT / "scripts" / "verify_receipt.py"), file, document, made["older"]["hash"]]
    assert subprocess.run(checked, capture_output=True, text=True, check=True).stdout.startswith("proven: block 3 ")


def test_states_are_equal_byte_for_byte(net: Devnet, asked: dict[str, Asked]) -> None:
    roots = set()
    assert asked
    for name in NAMES:
        store = SqliteStore(load_node(net.layout.node(name).config).ledger_dir)
        height = store.height()
        header = None if height is None else store.header(height)
        roots.add(header and (header.height, header.state_root, header.history_root))
        store.close()
    assert len(roots) == 1
    assert None not in roots
