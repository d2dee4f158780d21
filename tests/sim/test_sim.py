"""The simulator in the suite: each profile once, determinism, crashes at every place, some planted bugs.

Thousands of seeds and all planted bugs have targets of their own: `make sim`, `make sim-mutants`.
"""

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from ledger.consensus import voting
from tests.sim import __main__ as command
from tests.sim.campaign import be_quiet, run_batch, search
from tests.sim.cluster import Cluster, Violation
from tests.sim.invariants import INVARIANTS, NAMES
from tests.sim.mutants import MUTANTS, ROTATED, hunt, rotated
from tests.sim.profiles import CALM, PROFILES, REAL_EVERY, draw

ROOT = Path(__file__).resolve().parents[2]
REAL_SEED = REAL_EVERY - 1


@pytest.fixture(autouse=True)
def _quiet():
    with contextlib.ExitStack() as stack:
        stack.callback(__import__("structlog").reset_defaults)
        be_quiet()
        yield


@pytest.mark.parametrize("seed", range(len(PROFILES)), ids=lambda seed: PROFILES[seed].name)
def test_every_profile_holds(seed):
    assert Cluster(seed, PROFILES[seed]).run().checker.decided


@pytest.mark.parametrize("seed", range(REAL_SEED, 4 * REAL_EVERY, REAL_EVERY))
def test_the_real_world_holds(seed):
    assert draw(seed).real
    assert Cluster(seed).run().checker.decided


def test_profiles_cover_all_sizes():
    assert {profile.replicas for profile in PROFILES} == {4, 6, 7, 10, 13}
    assert len({profile.name for profile in PROFILES}) == len(PROFILES)


def test_the_calm_network_needs_one_view_and_few_messages_for_a_block():
    cluster = Cluster(0, CALM).run()
    blocks, n = len(cluster.checker.decided), cluster.profile.replicas
    assert cluster.checker.view_max == 1
    started_and_idle, gossip = n * (n - 1) * 12, (n - 1) * (CALM.txs + CALM.ghosts)
    assert cluster.messages <= blocks * (n - 1) * (2 * n + 1) + started_and_idle + gossip


@pytest.mark.parametrize("replica", [0, 1])
def test_a_crash_before_any_effect_and_within_any_flush_does_no_harm(replica):
    whole = replace(CALM, txs=4, ghosts=0, crash_replica=replica)
    effects = Cluster(0, whole).run().effects
    assert effects > 60
    for effect in range(1, effects + 1):
        print(f"crash before effect {effect}")
        Cluster(0, replace(whole, crash_effect=effect)).run()


@pytest.mark.parametrize("seed", [1, 9, 18, 19, 29, REAL_SEED])
def test_a_seed_gives_one_run(seed):
    first, second = Cluster(seed).run(), Cluster(seed).run()
    assert first.trace.hexdigest() == second.trace.hexdigest()
    assert first.messages > 0


@pytest.mark.parametrize("seed", [8, REAL_SEED])
def test_a_seed_gives_one_run_in_another_process(seed):
    said = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert Cluster(seed).run().trace.hexdigest() in said[0]


def test_a_campaign_counts_what_it_ran(capsys):
    assert search(0, 30, workers=2) == 0
    assert "30 seeds hold" in capsys.readouterr().out


def test_a_violation_is_named_and_replayed(capsys):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "votes-forgotten")
    with mutant.patch():
        batch = run_batch(range(20))
        assert batch.finding is not None
        assert command.replay(batch.finding.seed) == 1
    assert batch.finding.said in capsys.readouterr().out
    assert command.replay(batch.finding.seed) == 0


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("quorum-2f", 1),
        ("finalize-after-nullify", 3),
        ("final-blocks-believed", 6),
        ("base-ignored", 8),
        ("no-notarize-after-nullify", 8),
        ("votes-forgotten", 11),
    ],
)
def test_a_planted_bug_is_found(name, number):
    found = hunt(next(mutant for mutant in MUTANTS if mutant.name == name), 60)
    assert found is not None
    assert found.by == str(number)
    Cluster(found.seeds - 1).run()


def test_an_error_of_the_core_is_a_finding_with_its_seed(capsys):
    with mock.patch.object(voting, "count", side_effect=KeyError("vote")):
        batch = run_batch(range(3, 6))
        assert batch.finding is not None
        assert (batch.finding.seed, batch.finding.said) == (3, "the core stops: KeyError('vote')")
        with pytest.raises(KeyError):
            command.replay(batch.finding.seed)
    assert capsys.readouterr().out == ""


def test_the_planted_bugs_take_turns():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    chosen = {mutant.name for commit in range(len(MUTANTS)) for mutant in rotated(f"{commit:040x}")}
    assert chosen == {mutant.name for mutant in MUTANTS}
    assert len({mutant.name for mutant in rotated("ab12")}) == ROTATED


def test_the_table_of_invariants_is_the_one_in_the_docs():
    lines = (ROOT / "docs" / "ledger.md").read_text().splitlines()
    for invariant in INVARIANTS:
        row = f"| {invariant.number} | {invariant.name} |"
        assert any(line.startswith(row) for line in lines), row
    assert sorted(NAMES) == list(range(1, 14))


def test_a_violation_says_which_invariant():
    assert str(Violation(4, "so it is")) == "invariant 4 (certificates exclude): so it is"
