"""New code: decided by hash, in place at its height at every replica, or nowhere; what came before stays as it was."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ledger.contract import ContractHost, address_of
from ledger.contract.artefacts import ADDRESSES, load_artefacts, load_codes, read_artefact
from ledger.errors import InvalidError, StorageError
from ledger.types import Height, Millis, Transaction
from tests.support.contracts import World, key, must, reason_of
from tests.support.council import Council, assembly

UPGRADES = Path("tests/support/upgrades/artefacts")
REGISTRIES = read_artefact(UPGRADES / "registries.json")
MEMBERS = read_artefact(UPGRADES / "members.json")
KNOWN = {**load_codes(), REGISTRIES.code_hash: REGISTRIES, MEMBERS.code_hash: MEMBERS}
NOTICE = 16
EVERYBODY = [0, 1, 2, 3, 4]
NOTHING = (0, (bytes(32),) * 8)


class Chain:
    """A world whose blocks are kept, so that they can be executed again."""

    def __init__(self, codes=KNOWN) -> None:
        self.world = World(genesis=assembly(5))
        self.world.host = ContractHost(self.world.genesis.chain, self.world.nodes.get, codes)
        self.council = Council(self.world)

    def schedule(self, height: int, targets: list[int], codes: list[bytes]):
        return self.council.decide(EVERYBODY, "governance.schedule_code", height, targets, codes)

    def schedule_in(self, blocks: int, *artefacts) -> int:
        """Decide on new code; return its first height."""
        deciding = self.world.height + 4  # the block of the deciding vote
        targets = [tuple(ADDRESSES).index(artefact.contract) for artefact in artefacts]
        must(self.schedule(deciding + blocks, targets, [artefact.code_hash for artefact in artefacts]))
        assert self.world.height == deciding
        return deciding + blocks

    def advance(self, height: int) -> None:
        """Blocks of one transaction that does nothing, up to a height."""
        while self.world.height < height:
            reason_of(self.world.run(noise(self.world)))

    def upgrade(self):
        return self.world.view("governance.upgrade")


def noise(world: World) -> Transaction:
    return world.tx(0, "no.method", b"")


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_before_its_height_a_new_function_is_unknown_and_after_it_an_old_one(chain: Chain):
    world = chain.world
    height = chain.schedule_in(NOTICE, REGISTRIES)
    chain.advance(height - 2)
    assert reason_of(world.run(world.tx(0, "registries.note", b""))) == "UNKNOWN_METHOD"
    models = len(world.genesis.models)
    with pytest.raises(InvalidError, match="expected a read function"):
        world.view("registries.counts")
    must(world.run(world.tx(0, "registries.note", b"")))
    assert world.view("registries.counts") == (models, 2 * models + 1)
    assert world.view("registries.model_at", 0) == (world.genesis.models[0].model,)
    with pytest.raises(InvalidError, match="expected a read function"):
        world.view("registries.epoch")
    assert chain.upgrade() == (*NOTHING, height, True)


def test_a_program_with_later_code_executes_the_blocks_before_it_as_ever():
    """What release n + 1 makes of the blocks of release n decides whether both can be in one network."""
    old, new = Chain(load_codes()), Chain()
    for chain in (old, new):
        reason_of(chain.world.run(chain.world.tx(0, "registries.note", b"")))
    assert old.world.root == new.world.root


def test_blocks_executed_again_give_the_same_roots(chain: Chain):
    world = chain.world
    chain.advance(chain.schedule_in(NOTICE, REGISTRIES))
    again = Chain()
    must(again.schedule(again.world.height + 4 + NOTICE, [2], [REGISTRIES.code_hash]))
    again.advance(world.height)
    assert again.world.root == world.root


def test_code_is_what_it_was_at_each_height(chain: Chain):
    world, place = chain.world, ADDRESSES["registries"]
    machine = world.host._machine_at
    before = world.root
    chain.advance(chain.schedule_in(NOTICE, REGISTRIES))
    assert machine(before, Height(0), Millis(0)).code(place) == load_artefacts()["registries"].runtime
    assert machine(world.root, Height(0), Millis(0)).code(place) == REGISTRIES.runtime


def test_a_program_without_the_code_says_so_and_stops_instead_of_forking():
    chain = Chain(load_codes())
    height = chain.schedule_in(NOTICE, REGISTRIES)
    chain.advance(height - 1)
    for ask in (chain.world.run, lambda tx: chain.world.host.call(chain.world.root, Height(height), Millis(0), tx)):
        with pytest.raises(StorageError, match=f"height {height}: .*registries .*install a release"):
            ask(noise(chain.world))


def test_a_migration_that_fails_changes_nothing_of_any_contract(chain: Chain):
    world = chain.world
    height = chain.schedule_in(NOTICE, REGISTRIES, MEMBERS)
    chain.advance(height)
    assert chain.upgrade() == (*NOTHING, height, False)
    assert world.view("registries.epoch")[0] == world.genesis.epoch.epoch
    assert world.view("members.member", address_of(key("identity 3")))[3] is True
    must(chain.council.propose(0, "members.set_committee_companies_min", 2))


def test_a_replacement_can_be_called_off(chain: Chain):
    height = chain.schedule_in(NOTICE + 10, REGISTRIES)
    must(chain.council.decide(EVERYBODY, "governance.cancel_code"))
    assert chain.upgrade() == (*NOTHING, 0, False)
    chain.advance(height)
    assert chain.world.view("registries.epoch")[0] == chain.world.genesis.epoch.epoch
    assert reason_of(chain.council.decide(EVERYBODY, "governance.cancel_code")) == "NO_UPGRADE"
    chain.advance(chain.schedule_in(NOTICE, REGISTRIES))
    assert chain.upgrade()[3] is True


def test_a_decision_leaves_time_and_is_one_at_a_time(chain: Chain):
    code = REGISTRIES.code_hash
    assert reason_of(chain.schedule(chain.world.height + 4 + NOTICE - 1, [2], [code])) == "UPGRADE_HEIGHT"
    far = chain.world.height + 1000
    assert reason_of(chain.schedule(1 << 63, [2], [code])) == "UPGRADE_HEIGHT"
    for targets, codes in (([], []), ([2], []), ([2, 2], [code, code]), ([2], [bytes(32)])):
        assert reason_of(chain.schedule(far, targets, codes)) == "CODE"
    assert reason_of(chain.schedule(far, [len(ADDRESSES)], [code])) == "TARGET"
    must(chain.schedule(far, [2], [code]))
    assert reason_of(chain.schedule(far, [0], [code])) == "UPGRADE_PENDING"


def test_a_replica_that_lacks_the_code_is_told_before():
    short = Chain(load_codes())
    height = short.schedule_in(NOTICE, REGISTRIES)
    with capture_logs() as logs:
        short.advance(height - 1)
    assert {entry["event"] for entry in logs} == {"code.missing"}
    assert logs[0]["first_height"] == height
    assert REGISTRIES.code_hash.hex() in logs[0]["code"][0]
