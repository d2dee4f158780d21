"""The simulator in the suite: a range of seeds, determinism, and two planted bugs that must be found."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sim.cluster import Cluster
from tests.sim.mutants import REQUIRED, hunt
from tests.sim.profiles import CALM

SEEDS = 500
GROUPS = 10
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_seed_holds(group):
    for seed in range(group * SEEDS // GROUPS, (group + 1) * SEEDS // GROUPS):
        print(f"replay with: python -m tests.sim {seed}")
        Cluster(seed).run()


def test_the_calm_network_needs_one_view_and_few_messages_for_a_block():
    cluster = Cluster(0, CALM).run()
    heights, n = len(cluster.checker.decided), cluster.profile.replicas
    assert cluster.checker.view_max == 1
    started_and_idle = n * (n - 1) * 10
    assert cluster.messages <= heights * (n - 1) * (2 * n + 1) + started_and_idle


def test_a_crash_before_any_effect_does_no_harm():
    whole = replace(CALM, txs=6, ghosts=0, crash_replica=0)
    effects = Cluster(0, whole).run().effects
    assert effects > 40
    for effect in range(1, effects + 1):
        print(f"crash before effect {effect}")
        Cluster(0, replace(whole, crash_effect=effect)).run()


@pytest.mark.parametrize("seed", [1, 7, 13])
def test_a_seed_gives_one_run(seed):
    first, second = Cluster(seed).run(), Cluster(seed).run()
    assert first.trace.hexdigest() == second.trace.hexdigest()
    assert first.messages > 0


def test_a_seed_gives_one_run_in_another_process():
    said = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim", "8"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert Cluster(8).run().trace.hexdigest() in said[0]


@pytest.mark.parametrize("name", ["quorum-2f", "finalize-after-nullify", "votes-forgotten"])
def test_a_planted_bug_is_found(name):
    mutant = next(mutant for mutant in REQUIRED if mutant.name == name)
    found = hunt(mutant, 100)
    assert found is not None
    Cluster(found[0]).run()
