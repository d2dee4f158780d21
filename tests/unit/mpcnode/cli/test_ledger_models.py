"""`ledger models`, `approve`: participants on the real contracts, each with its daemon's socket."""

import io
import re

import pytest

from ledger.errors import ExpiredError
from ledger.store import MemoryStore, SqliteStore
from mpcnode.config.node import load_node
from tests.support.control import DELEGATES, SharedChain

ME = "bank-data"
SUPPLIERS = ["bank-data", "insurer-data", "telecom-data"]
NEW = "c0ffee00" * 8


@pytest.fixture
def listed(council):
    """The model that the consortium document lists."""
    (model,) = load_node(council.config(ME)).consortium.models
    return model


def approve(shown, council, name, model, *options):
    return shown("ledger", "approve", model, *options, "--yes", "--config", council.config(name))


def models(shown, council, name=ME):
    return shown("ledger", "models", "--config", council.config(name))["models"]


def decide(shown, council, method, *words):
    """Let all companies but one say yes."""
    first, *others = DELEGATES[:5]
    number = shown("ledger", "propose", method, *words, "--yes", "--config", council.config(first))["id"]
    said = [shown("ledger", "vote", number, "yes", "--yes", "--config", council.config(name)) for name in others]
    assert said[-1]["state"] == "approved"


def publish(shown, council, model=NEW):
    words = ("classes=accounts,property,contracts", "minimum=1", "mode=off", "purposes=text:test", "reach=8")
    decide(shown, council, "registries.publish_model", f"model={model}", *words, "share=655")


def test_an_approval_is_withdrawn_and_given_again(shown, council, listed):
    with council.up(ME, "insurer-data"):
        (before,) = models(shown, council)
        assert before == {
            "model": listed.model.hex(),
            "name": listed.name,
            "state": "asked",
            "audit": "before-release",
            "minimum": listed.minimum,
            "classes": ["accounts", "property", "contracts"],
            "purposes": list(listed.purposes),
            "approved": SUPPLIERS,
            "not_approved": [],
            "asked": SUPPLIERS,
            "reach": None,
            "share_permille": None,
            "fees": None,
        }
        said = approve(shown, council, ME, listed.name, "--withdraw")
        without = {"approved": SUPPLIERS[1:], "not_approved": [ME], "asked": SUPPLIERS[1:]}
        assert said == {"height": 1, "tx_id": said["tx_id"], **before, **without}
        assert models(shown, council, "insurer-data") == [before | without]
        again = approve(shown, council, ME, listed.model.hex()[:8])
        assert again == {"height": 2, "tx_id": again["tx_id"], **before}


def test_what_follows_is_said(run, council, listed):
    with council.up(ME):
        words = ("ledger", "approve", listed.name, "--yes", "--config", council.config(ME))
        code, out, err = run(*words, "--withdraw")
        assert (code, err) == (0, "")
        last = "final at height 1; bank-data is not asked from the next query on; those under way go on"
        assert (out.splitlines()[-1], listed.model.hex() in out) == (last, True)
        code, out, err = run(*words)
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == "final at height 2; bank-data is asked from the next query on"


def test_an_approval_without_a_data_class_of_the_model_says_so(run, shown, council, listed):
    with council.up(*DELEGATES, ME):
        approve(shown, council, ME, listed.name, "--withdraw")
        decide(shown, council, "members.set_supply", f"index={ME}", "classes=none", "anchors=none")
        code, out, err = run("ledger", "approve", listed.name, "--yes", "--config", council.config(ME))
        assert (code, err) == (0, "")
        assert "approved, but bank-data is not asked: it supplies none of the model's data classes" in out


def test_models_are_shown_in_words(run, shown, council, listed):
    with council.up(*DELEGATES):
        publish(shown, council)
        decide(
            shown, council, "registries.set_fees", f"model={NEW}", "since=0", "asked=9", "contributed=3", "computed=1"
        )
        decide(shown, council, "registries.retire_model", f"model={listed.name}")
        code, out, err = run("ledger", "models", "--config", council.config("operator"))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "as of height 15"
    first, second = ({line[:14].strip(): line[13:].strip() for line in part} for part in (lines[1:13], lines[13:25]))
    assert first["model"] == f"{listed.name} ({listed.model.hex()})"
    names = ", ".join(SUPPLIERS)
    assert [first[what] for what in ("state", "approved by", "not yet", "asked now")] == [
        *("retired", names, "nobody", "nobody")
    ]
    assert (first["reach"], first["share"], first["fees"]) == ("not stated", "not stated", "none")
    fees = second.pop("fees")
    assert second == {
        "model": NEW,
        "state": "asked",
        "audit": "off",
        "minimum": "1 (companies other than the inquirer's)",
        "classes": "accounts, property, contracts",
        "purposes": "test",
        "approved by": "nobody",
        "not yet": names,
        "asked now": "nobody",
        "reach": "8 (output classes)",
        "share": "65.5 % of the range of points",
    }
    assert fees.startswith("asked 9, contributed 3, computed 1; since 20")


def test_models_come_from_the_files_of_a_daemon_that_does_not_run(shown, own_network):
    store = SqliteStore(load_node(own_network.node("bank-mpc").config).ledger_dir)
    council = SharedChain(own_network, store)
    with council.up(*DELEGATES):
        publish(shown, council)
        running = shown("ledger", "models", "--config", council.config("bank-mpc"))
    store.close()
    assert shown("ledger", "models", "--config", council.config("bank-mpc")) == running
    assert (running["height"], [model["model"] for model in running["models"]][1]) == (5, NEW)


def test_a_chain_without_models_says_so(run, own_network):
    document = own_network.consortium
    text, count = re.subn(r"\[\[model\]\].*?(?=\n\[|\Z)", "", document.read_text(), flags=re.DOTALL)
    document.write_text(text)
    council = SharedChain(own_network, MemoryStore())
    with council.up(ME):
        found = run("ledger", "models", "--config", council.config(ME))
    assert (count, found) == (1, (0, "no models\nas of height 0\n", ""))


@pytest.mark.parametrize("name", ["bank-mpc", "operator", "regulator"])
def test_who_is_no_participant_may_not(run, council, listed, name):
    with council.up(name):
        for options in ((), ("--withdraw",)):
            words = ("ledger", "approve", listed.name, *options, "--yes", "--config", council.config(name))
            code, out, err = run(*words)
            assert (code, "final" in out) == (22, False)
            assert err == "mpcnode: PARTICIPANT_ONLY: Only an active participant may do this.\n"
    assert council.replica.submitted == 0


def test_what_the_ledger_refuses_is_not_written_to_it(run, shown, council, listed):
    with council.up(*DELEGATES, ME):
        code, _, err = run("ledger", "approve", listed.name, "--yes", "--config", council.config(ME))
        assert (code, "APPROVAL_SAME: The participant has approved this model already" in err) == (22, True), err
        approve(shown, council, ME, listed.name, "--withdraw")
        decide(shown, council, "registries.retire_model", f"model={listed.name}")
        sent = council.replica.submitted
        code, _, err = run("ledger", "approve", listed.name, "--yes", "--config", council.config(ME))
        assert (code, "MODEL_RETIRED" in err, council.replica.submitted) == (13, True, sent), err


def test_a_model_without_a_document_is_not_approved(run, shown, council, monkeypatch):
    """The command says so before it asks; whatever a command checked, the daemon refuses as well."""
    with council.up(*DELEGATES, ME):
        publish(shown, council)
        sent = council.replica.submitted
        words = ("ledger", "approve", NEW[:8], "--yes", "--config", council.config(ME))
        for shows in ("", NEW):
            code, out, err = run(*words)
            assert (code, bool(out), shows in out) == (13, bool(shows), True), err
            assert f"UNKNOWN_MODEL: model {NEW}: expected one that the consortium document lists" in err
            monkeypatch.setattr("mpcnode.cli.ledger.approving.check_document", lambda *_: None)
        assert council.replica.submitted == sent


def test_which_model_must_be_clear(run, shown, council, listed):
    other = f"{NEW[:8]}{'ab' * 28}"
    with council.up(*DELEGATES, ME):
        for model in (NEW, other):
            publish(shown, council, model)
        for text, code, message in (
            (NEW[:8], 2, f"got several that begin with '{NEW[:8]}': {NEW}, {other}"),
            (listed.model.hex()[:7], 13, "or at least 8 digits of its hash, got"),
            ("no-such-model", 13, "expected the name of a model of the ledger"),
            ("00000000", 13, "mpcnode ledger models lists them"),
        ):
            words = ("ledger", "approve", text, "--withdraw", "--yes", "--config", council.config(ME))
            got, out, err = run(*words)
            assert (got, out, message in err) == (code, "", True), err


def test_nothing_is_sent_without_a_yes(run, council, listed, monkeypatch):
    with council.up(ME):
        words = ("ledger", "approve", listed.name, "--withdraw", "--config", council.config(ME))
        for answer, code, message in (("", 2, "expected an answer, got none"), ("n\n", 1, "nothing was signed")):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            got, out, err = run(*words)
            assert (got, message in err, "Withdraw the approval for bank-data?" in err) == (code, True, True), err
            assert listed.model.hex() in out
        code, out, err = run(*words, "--json")
        assert (code, out, "give --yes as well" in err) == (2, "", True)
        assert council.replica.submitted == 0


def test_what_is_not_known_to_be_final_says_so(run, council, listed):
    council.replica.fails = ExpiredError("too old")
    with council.up(ME):
        words = ("ledger", "approve", listed.name, "--withdraw", "--yes", "--config", council.config(ME))
        code, out, err = run(*words)
    assert (code, "final" in out) == (23, False)
    assert "registries.approve_model: too old; too few validators" in err
    assert "look with mpcnode ledger models before you try again" in err


def test_without_a_running_daemon_nothing_is_approved(run, council, listed):
    code, out, err = run("ledger", "approve", listed.name, "--yes", "--config", council.config(ME))
    assert (code, out) == (40, "")
    assert "expected the control socket of a running daemon, got none" in err


def test_the_daemon_logs_who_asked(shown, council, listed, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.delenv("SUDO_USER", raising=False)
    with council.up(ME):
        approve(shown, council, ME, listed.name, "--withdraw")
    lines = {line["event"]: line for line in council.logs[ME]}
    said = {"model": listed.model.hex(), "approved": False}
    assert {**said, "asked_by": "alice"}.items() <= lines["registries.approve_model"].items()
    assert {**said, "height": 1}.items() <= lines["registries.final"].items()
