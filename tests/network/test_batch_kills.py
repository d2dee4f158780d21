"""One SIGKILL for each role at each stage of a query about many subjects: an answer, or an end that has a name.

The stages are seen from outside: by what the client does, by the states that it is told, and, for the middle of the
computation, in the journal of a node. `make test-network` runs some of them, `make test-faults` all.
"""

import threading
from collections.abc import Iterator

import pytest

from tests.support.batch_faults import Asked, Batches, when
from tests.support.devnet import MPC, Devnet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

SUBJECTS = 20_000
"""Five chunks."""

ROLES = ("operator", "operating node", "other node", "last node", "participant", "supervisor")
SENDING, WAITING, CONTRIBUTING, COMPUTING, AUDITING, FETCHING = STAGES = (
    "sending identifiers",
    "waiting",
    "registered",
    "a session has started",
    "answered",
    "fetching answers",
)
SOME = {
    *(("operator", stage) for stage in (SENDING, COMPUTING, FETCHING)),
    *(("participant", CONTRIBUTING), ("other node", CONTRIBUTING)),
    *((node, COMPUTING) for node in ("operating node", "last node")),
    *(("supervisor", stage) for stage in (COMPUTING, AUDITING)),
}
"""One for each role, and where most could be lost."""


@pytest.fixture(scope="module")
def batches(devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batches]:
    devnet.limit(preparation_ms=2_500, computation_ms=2_500)
    devnet.up()
    profile = devnet.profile(contribute_by_ms=30_000, deadline_ms=180_000)
    yield Batches(devnet, SUBJECTS, tmp_path_factory.mktemp("batch"), profile)
    devnet.down()


class Killer:
    """Kills a daemon at a stage, once, and starts it again."""

    def __init__(self, batches: Batches, role: str, stage: str) -> None:
        self._net, self._batches = batches.net, batches
        self._role, self._stage = role, stage
        self._query = ""
        self._begun = {name: len(batches.net.journal(name, "started")) for name in MPC}
        self._once = threading.Lock()
        self.watch: threading.Thread | None = None
        self.killed: list[str] = []

    def on_step(self, step: str, _done: int, _total: int) -> None:
        if len(step) == 64:
            self._query = step
        if self._stage == COMPUTING and step == WAITING and self.watch is None:
            self.watch = when(self._has_started, self._kill)
        if step == self._stage:
            self._kill()

    def _has_started(self) -> bool:
        return any(len(self._net.journal(name, "started")) > begun for name, begun in self._begun.items())

    def _kill(self) -> None:
        with self._once:
            if not self.killed:
                name = self._name()
                self.killed.append(name)
                self._net.kill(name)
                self._net.start(name)

    def _name(self) -> str:
        ranks = {"operating node": 0, "other node": 1, "last node": -1}
        if self._role in ranks:
            return self._batches.committee(self._query)[ranks[self._role]]
        return {"operator": "operator", "participant": "insurer-data", "supervisor": "regulator"}[self._role]


@pytest.mark.parametrize(
    ("role", "stage"),
    [
        pytest.param(role, stage, marks=pytest.mark.network if (role, stage) in SOME else ())
        for role in ROLES
        for stage in STAGES
    ],
)
def test_a_query_that_a_daemon_died_in_is_answered_or_ends_by_name(batches: Batches, role: str, stage: str) -> None:
    killer = Killer(batches, role, stage)
    asked = batches.ask(killer.on_step)
    if killer.watch is not None:
        killer.watch.join()
    assert len(killer.killed) == 1
    batches.net.wait_ready(*killer.killed)
    batches.resume(asked)
    if not batches.check(asked):
        assert batches.check(batches.ask())
    batches.check_network()


def test_two_daemons_that_die_at_once_are_survived(batches: Batches) -> None:
    """The operator, which the client talks to, and the supervisor, while it checks what nobody else may see."""
    net = batches.net
    killer = Killer(batches, "operator", CONTRIBUTING)

    def on_step(step: str, done: int, total: int) -> None:
        if step == CONTRIBUTING and not killer.killed:
            net.kill("regulator")
            net.start("regulator")
        killer.on_step(step, done, total)

    asked: Asked = batches.ask(on_step)
    net.wait_ready()
    batches.resume(asked)
    if not batches.check(asked):
        assert batches.check(batches.ask())
    batches.check_network()
