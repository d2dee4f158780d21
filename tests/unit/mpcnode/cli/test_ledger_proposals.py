"""`ledger proposals`, `propose`, `vote`: six companies decide on the real contracts, each with its daemon's socket."""

import asyncio
import io
import time

import pytest

from ledger.contract.proposals import GOVERNED, encode_proposal
from ledger.errors import ExpiredError, UnavailableError
from ledger.store import SqliteStore
from ledger.types import Millis
from mpcnode.config.node import load_node
from mpcnode.governance.proposals import RawCall
from mpcnode.rpc import governance
from tests.support.control import SharedChain

COMPANIES = ("platform", "bank", "insurer", "telecom", "notary", "regulator")
SUSPEND = ("members.suspend", "index=insurer-data")
DAY_MS = 86_400_000


@pytest.fixture
def decide(shown):
    """Have companies vote on a proposal; return what the last command said."""

    def decide(council, number, answer, *voters):
        words = ("ledger", "vote", number, answer, "--yes", "--config")
        return [shown(*words, council.config(voter)) for voter in voters][-1]

    return decide


def propose(shown, council, name, *words):
    return shown("ledger", "propose", *words, "--yes", "--config", council.config(name))


def propose_bytes(council, name, target, data):
    """Propose as another program would."""
    closes_ms = Millis(int(time.time() * 1000) + 60_000)
    path = load_node(council.config(name)).control
    asyncio.run(governance.propose(path, RawCall(target, data), closes_ms, "a test"))


def test_companies_decide_and_everybody_can_read_it(run, shown, own_network, decide):
    store = SqliteStore(load_node(own_network.node("bank-mpc").config).ledger_dir)
    council = SharedChain(own_network, store)
    config = council.config("bank-mpc")
    with council.up():
        before = int(time.time() * 1000)
        done = propose(shown, council, "bank-mpc", *SUSPEND, "--closes-in", "2d")
        assert done == {
            "id": 0,
            "height": 1,
            "tx_id": done["tx_id"],
            "state": "open",
            "yes": ["bank"],
            "no": [],
            "needed": 5,
            "companies": 6,
        }
        assert decide(council, 0, "no", "regulator")["no"] == ["regulator"]
        done = decide(council, 0, "yes", "operator", "insurer-mpc", "telecom-data", "notary-mpc")
        assert (done["state"], done["height"]) == ("approved", 6)
        found = shown("ledger", "proposals", "--config", config)
        target, data = encode_proposal("members.suspend", 3)
        (proposal,) = found["proposals"]
        assert 0 <= proposal["closes_ms"] - before - 2 * DAY_MS < 60_000
        assert found == {
            "height": 6,
            "proposals": [
                {
                    "id": 0,
                    "state": "approved",
                    "yes": ["platform", "bank", "insurer", "telecom", "notary"],
                    "no": ["regulator"],
                    "needed": 5,
                    "companies": 6,
                    "company": "bank",
                    "company_index": 1,
                    "height": 1,
                    "closes_ms": proposal["closes_ms"],
                    "method": "members.suspend",
                    "arguments": {"index": 3},
                    "target": target,
                    "data": data.hex(),
                }
            ],
        }
        members = shown("ledger", "members", "--config", config)["members"]
        assert [member["name"] for member in members if member["state"] == "suspended"] == ["insurer-data"]
    store.close()
    assert shown("ledger", "proposals", "--config", config) == found  # its files say the same
    assert run("ledger", "proposals", "--open", "--config", config)[1] == "no open proposals\nas of height 6\n"


def test_proposals_are_shown_in_words(run, shown, council):
    with council.up("bank-mpc", "insurer-mpc"):
        config = council.config("insurer-mpc")
        assert run("ledger", "proposals", "--config", config) == (0, "no proposals\nas of height 0\n", "")
        propose(shown, council, "bank-mpc", *SUSPEND)
        code, out, err = run("ledger", "vote", 0, "yes", "--yes", "--config", config)
        assert (code, err) == (0, "")
        assert "final at height 2; proposal 0 is open: 2 yes, 0 no of 6 companies; 5 yes are needed" in out
        propose(
            shown,
            council,
            "insurer-mpc",
            "governance.schedule_code",
            "height=99",
            "targets=0,1,2",
            f"codes={'c3' * 32}",
        )
        code, out, err = run("ledger", "proposals", "--config", config)
        assert (code, err) == (0, "")
        lines = [line.split() for line in out.splitlines()]
        assert lines[0] == ["#", "state", "yes", "no", "closes", "(UTC)", "by", "decides"]
        assert (lines[1][:5], lines[1][-4:]) == (
            ["0", "open", "2", "of", "5"],
            ["bank", "members.suspend", "index=3", "(insurer-data)"],
        )
        assert out.splitlines()[2].endswith(f"codes={'c3' * 6}…")
        code, out, err = run("ledger", "proposals", "--id", 0, "--config", config)
        assert (code, err) == (0, "")
        rows = dict(line.strip().split("  ", 1) for line in out.splitlines()[1:-1])
        closes = rows.pop("closes").strip()
        assert {what: value.strip() for what, value in rows.items()} == {
            "proposal": "0",
            "decides": "members.suspend",
            "index": "3 (insurer-data)",
            "proposed by": "bank, at height 1",
            "state": "open: 2 yes, 0 no of 6 companies; 5 yes are needed",
            "yes": "bank, insurer",
            "no": "nobody",
            "not yet": "platform, telecom, notary, regulator",
        }
        assert closes.endswith("UTC")


def test_two_companies_of_six_reject(run, shown, council, decide):
    with council.up():
        propose(shown, council, "bank-mpc", *SUSPEND)
        assert decide(council, 0, "no", "operator")["state"] == "open"
        assert decide(council, 0, "no", "regulator")["state"] == "rejected"
        code, _, err = run("ledger", "vote", 0, "yes", "--yes", "--config", council.config("notary-mpc"))
        assert (code, err) == (
            22,
            "mpcnode: PROPOSAL_DECIDED: proposal 0: The proposal is decided already; nothing is left to vote on.\n",
        )
        (proposal,) = shown("ledger", "proposals", "--config", council.config("operator"))["proposals"]
        assert (proposal["state"], proposal["yes"], proposal["no"]) == ("rejected", ["bank"], ["platform", "regulator"])


def test_who_may_not_is_told_why_before_anything_is_asked(run, shown, council):
    with council.up("bank-mpc", "bank-data"):
        propose(shown, council, "bank-mpc", *SUSPEND)
        cases = [
            (
                "bank-data",
                ("propose", *SUSPEND),
                "DELEGATE_ONLY: bank-data: expected the delegate of bank, got another",
            ),
            ("bank-data", ("vote", 0, "no"), "DELEGATE_ONLY: bank-data: expected the delegate of bank, got another"),
            ("bank-mpc", ("vote", 0, "no"), "ALREADY_VOTED: proposal 0: This company has voted on it"),
            ("bank-mpc", ("vote", 1, "yes"), "UNKNOWN_PROPOSAL: proposal 1: There is no such proposal"),
            ("bank-mpc", ("proposals", "--id", 1), "UNKNOWN_PROPOSAL: proposal 1: There is no such proposal"),
        ]
        for name, words, message in cases:
            code, out, err = run("ledger", *words, "--config", council.config(name))
            assert (code, out, message in err) == (22, "", True), err
        assert council.replica.submitted == 1


def test_the_daemon_itself_refuses_whoever_is_no_delegate(run, council, monkeypatch):
    """Whatever a command checked before: the ledger moves on, and clients differ."""
    monkeypatch.setattr("mpcnode.cli.ledger.deciding.check_delegate", lambda *_: None)
    with council.up("bank-data"):
        code, _, err = run("ledger", "propose", *SUSPEND, "--yes", "--config", council.config("bank-data"))
        assert (code, "DELEGATE_ONLY: bank-data: expected the delegate of bank" in err) == (22, True), err
        assert council.replica.submitted == 0


def test_what_the_ledger_refuses_is_said_in_words_and_not_written(run, shown, council, monkeypatch):
    monkeypatch.setattr("mpcnode.cli.ledger.deciding._check_open", lambda *_: None)
    with council.up("bank-mpc"):
        propose(shown, council, "bank-mpc", *SUSPEND)
        code, _, err = run("ledger", "vote", 0, "yes", "--yes", "--config", council.config("bank-mpc"))
        assert code == 22
        assert err == (
            "mpcnode: ALREADY_VOTED: This company has voted on it; a proposal counts as its proposer's yes.\n"
        )
        assert council.replica.submitted == 1


def test_a_call_that_cannot_be_made_takes_the_deciding_vote_with_it(run, shown, council, decide):
    with council.up():
        propose(shown, council, "bank-mpc", "members.resume", "index=insurer-data")
        decide(council, 0, "yes", "operator", "insurer-mpc", "telecom-data")
        code, _, err = run("ledger", "vote", 0, "yes", "--yes", "--config", council.config("notary-mpc"))
        assert code == 22
        assert "ACTIVE: this would decide the proposal, but its call is refused: The member is active already" in err
        assert "Nothing was counted; try again later." in err
        (proposal,) = shown("ledger", "proposals", "--open", "--config", council.config("operator"))["proposals"]
        assert len(proposal["yes"]) == 4
        assert decide(council, 0, "no", "notary-mpc")["no"] == ["notary"]


@pytest.mark.parametrize(
    ("fails", "code", "message"),
    [
        (None, 40, "UNAVAILABLE: {socket}: bank-mpc: expected a quorum of the validators to be connected"),
        (ExpiredError("too old"), 23, "TRANSACTION_EXPIRED: {socket}: governance.propose: too old"),
        (UnavailableError("it stops"), 40, "UNAVAILABLE: {socket}: governance.propose: it stops"),
    ],
)
def test_what_is_not_known_to_be_final_says_so(run, council, fails, code, message):
    """A replica that does not follow sends nothing; what was sent may be in a block that it has not seen."""
    ready = fails is not None
    council.replica.fails, council.replica.ready = fails, ready
    with council.up("bank-mpc"):
        got, out, err = run("ledger", "propose", *SUSPEND, "--yes", "--config", council.config("bank-mpc"))
        assert got == code
        assert f"mpcnode: {message.format(socket=load_node(council.config('bank-mpc')).control)}" in err
        assert ("look with mpcnode ledger proposals before you try again" in err) is ready
        assert "final" not in out
        assert council.replica.submitted == int(ready)


def test_without_a_running_daemon_nothing_is_said_for_a_company(run, council):
    for words in (("propose", *SUSPEND), ("vote", 0, "yes")):
        code, out, err = run("ledger", *words, "--yes", "--config", council.config("bank-mpc"))
        assert (code, out) == (40, "")
        assert "expected the control socket of a running daemon, got none" in err


def test_nothing_is_sent_without_a_yes(run, council, monkeypatch):
    with council.up("bank-mpc"):
        words = ("ledger", "propose", *SUSPEND, "--config", council.config("bank-mpc"))
        for answer, code, message in (("", 2, "expected an answer, got none"), ("n\n", 1, "nothing was signed")):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            got, out, err = run(*words)
            assert (got, message in err) == (code, True), err
            assert "3 (insurer-data)" in out
        code, out, err = run(*words, "--json")
        assert (code, out, "give --yes as well" in err) == (2, "", True)
        assert council.replica.submitted == 0
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert run(*words)[0] == 0
        assert council.replica.submitted == 1


def test_a_call_that_is_not_understood_needs_another_word(run, shown, council):
    """Another company's release may know calls that this one does not."""
    with council.up("bank-mpc", "insurer-mpc"):
        unknown = bytes.fromhex("deadbeef") + bytes(32)
        propose_bytes(council, "bank-mpc", 1, unknown)
        config = council.config("insurer-mpc")
        (proposal,) = shown("ledger", "proposals", "--config", config)["proposals"]
        assert (proposal["method"], proposal["arguments"], proposal["data"]) == (None, None, unknown.hex())
        assert "not understood: deadbeef" in run("ledger", "proposals", "--config", config)[1]
        code, out, err = run("ledger", "vote", 0, "yes", "--yes", "--config", config)
        assert (code, "this program cannot say what the proposal would do" in err) == (2, True)
        assert (unknown.hex() in out, "queries" in out, council.replica.submitted) == (True, True, 1)
        said = shown("ledger", "vote", 0, "yes", "--not-understood", "--yes", "--config", config)
        assert said["yes"] == ["bank", "insurer"]


def test_a_no_needs_no_understanding(shown, council):
    with council.up("bank-mpc", "insurer-mpc"):
        propose_bytes(council, "bank-mpc", 3, b"\0\0\0\0")
        said = shown("ledger", "vote", 0, "no", "--yes", "--config", council.config("insurer-mpc"))
        assert said["no"] == ["insurer"]


def test_the_daemon_logs_who_asked_for_what(shown, council, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "mpcnode")
    monkeypatch.setenv("SUDO_USER", "alice")
    with council.up("bank-mpc", "insurer-mpc"):
        propose(shown, council, "bank-mpc", *SUSPEND)
        monkeypatch.delenv("SUDO_USER")
        shown("ledger", "vote", 0, "yes", "--yes", "--config", council.config("insurer-mpc"))
    lines = {line["event"]: line for name in ("bank-mpc", "insurer-mpc") for line in council.logs[name]}
    asked, voted = lines["governance.propose"], lines["governance.vote"]
    assert (asked["decides"], asked["asked_by"]) == ("members.suspend", "alice as mpcnode")
    assert asked["call"] == encode_proposal("members.suspend", 3)[1].hex()
    assert (voted["decides"], voted["asked_by"], voted["proposal"], voted["approve"]) == (
        "members.suspend",
        "mpcnode",
        0,
        True,
    )


def test_a_draft_that_is_none_is_refused_before_anything_is_asked(run, council):
    config = council.config("bank-mpc")
    cases = [
        (
            ("members.voice", "who=1"),
            "expected a method of the list that propose shows without one, got 'members.voice'",
        ),
        ((*SUSPEND, "--closes-in", "91d"), "expected at most 90d"),
        ((*SUSPEND, "--closes-in", "soon"), "expected a number with a unit"),
    ]
    for words, message in cases:
        code, out, err = run("ledger", "propose", *words, "--yes", "--config", config)
        assert (code, out, message in err) == (2, "", True), err
    with council.up("bank-mpc"):
        code, out, err = run("ledger", "propose", "members.suspend", "index=nobody", "--config", config)
        assert (code, out, "members.suspend: index: expected a number" in err) == (2, "", True), err


def test_a_proposal_needs_a_daemon(run):
    code, out, err = run("ledger", "propose", *SUSPEND)
    assert (code, out, "Missing option '--config'" in err) == (2, "", True), err


def test_what_can_be_decided_is_listed(run, shown, council):
    config = council.config("bank-mpc")
    listed = shown("ledger", "propose", "--config", config)["methods"]
    assert list(listed) == list(GOVERNED)
    assert listed["members.rotate_identity"] == [
        {"name": "index", "type": "uint256"},
        {"name": "who", "type": "address"},
    ]
    code, out, err = run("ledger", "propose")  # no daemon is asked, so none has to be named
    assert (code, err) == (0, "")
    assert run("ledger", "propose", "--config", config) == (0, out, "")
    assert all(any(line.startswith(f"{method} ") or line == method for line in out.splitlines()) for method in GOVERNED)
