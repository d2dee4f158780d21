"""One SIGKILL for each role at two stages of a query: the daemon catches up, the query ends, no correlation twice.

The stages are seen from outside: by the inquirer's stream of states, and in the killed node's own journal. Another
daemon is frozen meanwhile where a stage would otherwise be over in a moment.
"""

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger.store import SqliteStore
from mpcnode.adapters.replica_check import verify_replica
from mpcnode.client import Answer, AnswerState
from mpcnode.client.opening import view_of_receipt
from mpcnode.config.node import load_node
from mpcnode.errors import UnavailableError
from mpcnode.rpc.inquiry import Progress
from mpcnode.types import QueryState
from tests.support.devnet import MPC, NAMES, Devnet, cli, wait_for

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

CONTRIBUTE_BY_MS, DEADLINE_MS = 20_000, 60_000
ROLES = {"operator": "operator", "mpc": "bank-mpc", "participant": "insurer-data", "supervisor": "regulator"}


@dataclass
class Killed:
    """The network, and the queries during which something was killed."""

    net: Devnet
    profile: Path
    subject: str
    grade: str | None
    answers: list[Answer] = field(default_factory=list)


@pytest.fixture(scope="module")
def killed(devnet: Devnet) -> Killed:
    devnet.limit(preparation_ms=2_500, computation_ms=2_500)
    profile = devnet.profile(contribute_by_ms=CONTRIBUTE_BY_MS, deadline_ms=DEADLINE_MS)
    devnet.up()
    truth = devnet.truth()
    known = next(subject for subject in truth.subjects() if len(truth.expect(subject).known_to) == 3)
    return Killed(devnet, profile, known, truth.expect(known).outcome.grade)


def ask_through(killed: Killed, on_progress: Callable[[Progress], None]) -> Answer:
    """Ask, and ask for the same query again as often as the operator is away."""
    net = killed.net
    try:
        return net.ask(killed.subject, killed.profile, wait_audit=True, on_progress=on_progress)
    except UnavailableError:
        query = net.newest_query()
    net.wait_ready("operator")
    return net.show(query, wait_audit=True)


def ask_while(killed: Killed, kill: Callable[[], None]) -> Answer:
    """Ask, while somebody watches for its moment."""
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return ask_through(killed, lambda _: None)
    finally:
        killer.join()


def check(killed: Killed, name: str, answer: Answer) -> None:
    """What holds after every kill."""
    net = killed.net
    killed.answers.append(answer)
    net.wait_ready(name)
    net.equal_heads()
    assert answer.state is AnswerState.ANSWERED, answer
    assert (answer.grade, answer.verdict) == (killed.grade, "MATCH")


@pytest.mark.parametrize("role", ROLES)
def test_killed_when_the_registration_is_final(killed: Killed, role: str) -> None:
    net, name = killed.net, ROLES[role]
    seen: list[QueryState] = []

    def on_progress(progress: Progress) -> None:
        if not seen:
            assert progress.state is QueryState.REGISTERED
            net.kill(name)
            net.start(name)
        seen.append(progress.state)

    answer = ask_through(killed, on_progress)
    check(killed, name, answer)


@pytest.mark.parametrize("role", ["operator", "participant", "supervisor"])
def test_killed_while_the_committee_computes(killed: Killed, role: str) -> None:
    """A node of the committee is frozen, so that COMPUTING lasts until the kill is done."""
    net, name = killed.net, ROLES[role]
    done: list[int] = []

    def on_progress(progress: Progress) -> None:
        if progress.state is QueryState.COMPUTING and not done:
            net.kill(name)
            done.append(progress.attempt)
            net.thaw("notary-mpc")
            net.start(name)
        elif progress.state is QueryState.REGISTERED and not done:
            net.freeze("notary-mpc")

    try:
        answer = ask_through(killed, on_progress)
    finally:
        net.thaw("notary-mpc")
    assert done == [1]
    check(killed, name, answer)


def test_an_mpc_node_killed_in_the_middle_of_a_session_never_resumes_it(killed: Killed) -> None:
    """The journal tells when its first frame may have left; one of the others is held, so that it cannot end."""
    net, name = killed.net, ROLES["mpc"]
    before = set(net.journal(name, "started"))
    begun: set[bytes] = set()

    def kill_when_begun() -> None:
        wait_for(lambda: set(net.journal(name, "started")) > before, "a session to begin", every_s=0.002)
        net.freeze("insurer-mpc")
        begun.update(set(net.journal(name, "started")) - before)
        net.kill(name)
        net.thaw("insurer-mpc")
        net.start(name)

    answer = ask_while(killed, kill_when_begun)
    check(killed, name, answer)
    assert len(begun) == 1
    was_over = begun <= set(net.journal(name, "end"))
    assert was_over or (answer.attempt > 1 and session_of(net, answer) not in begun)


def test_a_supervisor_killed_when_a_release_became_durable_releases_it_once(killed: Killed) -> None:
    net, name = killed.net, ROLES["supervisor"]
    before = set(net.journal(name, "release"))

    def kill_when_kept() -> None:
        wait_for(lambda: set(net.journal(name, "release")) > before, "a release to be kept", every_s=0.002)
        net.kill(name)
        net.start(name)

    answer = ask_while(killed, kill_when_kept)
    check(killed, name, answer)
    assert set(net.journal(name, "release")) - before == {bytes.fromhex(answer.query)}


def session_of(net: Devnet, answer: Answer) -> bytes | None:
    consortium = load_node(net.layout.node("operator").config).consortium
    return view_of_receipt(net.receipt(answer.query).read_bytes(), consortium).session


def test_no_correlation_was_used_twice(killed: Killed) -> None:
    """A session is begun once at each node, ended at most once, and no result is of another attempt's session."""
    net = killed.net
    results = [session_of(net, answer) for answer in killed.answers]
    assert len(set(results)) == len(results) > 0
    for name in MPC:
        started, ended = net.journal(name, "started"), net.journal(name, "end")
        assert len(set(started)) == len(started)
        assert len(set(ended)) == len(ended)
        assert set(ended) <= set(started)
        assert set(results) <= set(ended)


def test_a_validator_with_another_vote_key_observes_and_says_so(killed: Killed) -> None:
    net, name = killed.net, "bank-mpc"
    node = net.layout.node(name)
    key, kept = node.keys / "vote.key", node.keys / "vote.key.kept"
    net.up()
    net.kill(name, signal.SIGTERM)
    key.rename(kept)
    made = cli("keys", "vote", "--output", str(key), "--unprotected").stdout.strip()
    net.start(name)
    net.wait_ready(name)
    health = json.loads(cli("health", "--config", str(node.config), "--json", check=False).stdout)
    (failed,) = [check for check in health["checks"] if not check["passed"]]
    assert (health["healthy"], failed["name"]) == (False, "vote")
    (warned,) = [line for line in net.log(name) if line["event"] == "replica.vote_key_differs"]
    assert warned["held"] == made
    assert warned["registered"] in failed["detail"]
    net.kill(name, signal.SIGTERM)
    kept.replace(key)
    net.start(name)
    net.wait_ready(name)
    assert json.loads(cli("health", "--config", str(node.config), "--json").stdout)["healthy"]


def test_every_replica_verifies_after_the_kills(killed: Killed) -> None:
    net = killed.net
    net.up()
    net.equal_heads()
    assert set(net.down().values()) == {"stopped"}
    heads = set()
    for name in NAMES:
        config = load_node(net.layout.node(name).config)
        report = verify_replica(config)
        assert report.failure is None, name
        store = SqliteStore(config.ledger_dir)
        heads.add((report.verified, report.verified and store.header(report.verified)))
        store.close()
    assert len(heads) == 1
