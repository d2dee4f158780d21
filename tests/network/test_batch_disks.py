"""Disks without room during a query about many subjects: refused, ended or answered, and nobody else is blamed.

`make test-network` runs two of them, `make test-faults` all.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mpcnode.client import AnswerState, batches
from mpcnode.config.node import load_node
from mpcnode.errors import Exit, UnavailableError
from tests.support.batch_faults import Batches
from tests.support.devnet import PARTICIPANTS, Devnet, cli, wait_for
from tests.support.small_disk import fill, small_disk, start_without_margin

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

SUBJECTS = 9_000
DISK_BYTES = 64_000_000
"""Enough for a daemon, and less than what blobs leave to it."""

LEFT_BYTES = 300_000
"""Less than what any daemon keeps of the query, more than some blocks."""

STILL_S = 4.0
"""How long the client waits for what does not move, here."""


@pytest.fixture(scope="module")
def asking(devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batches]:
    devnet.limit(preparation_ms=2_500, computation_ms=2_500)
    devnet.up()
    profile = devnet.profile(contribute_by_ms=3_000, deadline_ms=30_000)
    yield Batches(devnet, SUBJECTS, tmp_path_factory.mktemp("batch"), profile)
    devnet.down()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "STILL_S", STILL_S)


def data_of(net: Devnet, name: str) -> Path:
    return load_node(net.layout.node(name).config).data_dir


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("operator", marks=pytest.mark.network),
        "bank-data",
        pytest.param("bank-mpc", marks=pytest.mark.network),
        "regulator",
    ],
)
def test_a_daemon_without_room_for_blobs_says_so(asking: Batches, name: str) -> None:
    net = asking.net
    net.kill(name)
    with small_disk(data_of(net, name), DISK_BYTES):
        net.start(name)
        net.wait_ready()
        asked = asking.ask()
        if name == "operator":
            assert "nothing has moved" in str(asked.error)
        elif name == "bank-data":
            assert asked.answer is not None
            assert (asked.answer.state, asked.answer.verdict) == (AnswerState.ANSWERED, "MATCH")
            assert asked.answer.silent == (name,)
        elif name == "regulator":
            assert not asking.check(asked)
            assert asked.answer is not None
            assert (asked.answer.state, asked.answer.waited) == (AnswerState.REFUSED, ())
            assert set(asked.answer.silent) == set(PARTICIPANTS)
        elif not asking.check(asked):
            assert asked.answer is not None
            assert asked.answer.waited == (name,)
        assert net.children[name].poll() is None
        net.kill(name)
    net.start(name)
    net.wait_ready()
    if asked.answer is None:
        asking.resume(asked)
        assert asking.check(asked)
    assert asking.check(asking.ask())
    asking.check_network()


@pytest.mark.parametrize("name", ["operator", "bank-data", "bank-mpc", "regulator"])
def test_a_disk_that_fills_ends_the_daemon_with_its_code_and_loses_nothing(asking: Batches, name: str) -> None:
    net, place = asking.net, asking.net.layout.node(name)
    net.kill(name)
    with small_disk(data_of(net, name), DISK_BYTES):
        start_without_margin(net, name)
        net.wait_ready()
        filled: list[Path] = []

        def on_step(step: str, _done: int, _total: int) -> None:
            if step == ("sending pseudonyms" if name == "operator" else "waiting") and not filled:
                filled.append(fill(data_of(net, name), LEFT_BYTES))

        asked = asking.ask(on_step)
        end_by_asking(net, name)
        assert net.children[name].poll() == Exit.DISK_FULL
        filled[0].unlink()
        verified = json.loads(cli("ledger", "verify", "--config", str(place.config), "--json").stdout)
        assert verified["ok"] is True
    net.start(name)
    net.wait_ready()
    asking.resume(asked)
    assert asked.answer is not None
    assert asked.answer.state is not AnswerState.PENDING
    assert asked.answer.verdict in {None, "MATCH"}
    assert asking.check(asking.ask())
    asking.check_network()


def end_by_asking(net: Devnet, name: str) -> None:
    """Go on until there is no room for what a daemon follows, either."""
    subject, short = net.truth().subjects()[0], net.profile(contribute_by_ms=1_000, deadline_ms=5_000)
    for _ in range(30):
        if net.children[name].poll() is not None:
            return
        with suppress(UnavailableError):
            net.ask(subject, short)
    wait_for(lambda: net.children[name].poll() is not None, f"{name} to end")
