"""`make bench-peers`: three parties are run, and become figures; the peers themselves are not installed here."""

import sys
from pathlib import Path

import pytest

from scripts.bench.peers.__main__ import PEERS, ROOT, Peer, PeerError, measure, run
from scripts.bench.peers.timing import report
from scripts.bench.score import RATIOS
from tests.support.peer_party import DEAF, HASTY

PYTHON = Path(sys.executable)


def peer(*arguments: str) -> Peer:
    return Peer(
        name="stand_in",
        package="stand-in",
        trust="none",
        party=("tests.support.peer_party", *arguments),
        sizes=((1, 3), (1000, 2)),
    )


def test_parties_become_figures():
    small, large = measure(peer(), PYTHON, ["score"], [(1, 3), (1000, 2)])
    assert (small.name, small.unit, small.value) == ("score_n1_stand_in_ms", "ms", 250.0)
    assert (large.name, large.unit, large.value) == ("score_1000_stand_in_subjects_per_s", "1/s", 4000.0)
    assert (small.params["runs"], large.params["runs"], large.params["subjects"]) == (3, 2, 1000)


def test_parties_that_wait_for_one_that_has_gone_are_ended():
    assert run(peer(DEAF), PYTHON, "max", 10, 1)["subjects"] == 10


def test_a_peer_that_does_not_report_is_named():
    with pytest.raises(PeerError, match=r"stand_in: expected one report of score for 1, got 0: .*no such luck"):
        run(peer(HASTY), PYTHON, "score", 1, 1)


def test_a_report_is_of_the_fastest_run(capsys):
    report("score", 10, [3.0, 1.0, 2.0], 500)
    assert capsys.readouterr().out == (
        'REPORT {"work": "score", "subjects": 10, "seconds": 1.0, "runs": 3, "bytes_each": 50.0}\n'
    )


def test_every_ratio_has_a_peer_that_is_measured():
    names = {
        f"{work}_n1_{peer.name}_ms" if subjects == 1 else f"{work}_{subjects}_{peer.name}_subjects_per_s"
        for peer in PEERS
        for work in ("score", "max")
        for subjects, _ in peer.sizes
    }
    assert {theirs for _, _, theirs in RATIOS} <= names
    assert all((ROOT / "configs" / "peers" / f"{peer.package}.lock").exists() for peer in PEERS)
