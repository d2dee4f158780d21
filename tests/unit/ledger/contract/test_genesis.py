"""Genesis: who may load it, what it refuses, and what the read functions then say."""

import dataclasses

import pytest

from ledger.contract import ContractHost, address_of
from ledger.contract.abi import encode_call, find_function
from ledger.contract.artefacts import ADDRESSES
from ledger.contract.evm import SYSTEM
from ledger.contract.machine import Machine
from ledger.contract.proposals import GOVERNED
from ledger.contract.storage import Nodes
from ledger.errors import InvalidError
from ledger.types import Address, ChainId, Genesis, Height, InquirerRecord, MemberRecord, Millis, ModelRecord
from tests.support.contracts import (
    CHAIN,
    MPC,
    OPERATOR,
    PARTICIPANT,
    SUPERVISOR,
    World,
    bitmap,
    key,
    member,
    model_hash,
    no_node,
    standard,
)

LOADERS = {
    "queries.set_chain": (bytes(32),),
    "members.set_up": (3, 3),
    "members.add": (b"\x09" * 20, 0, 1, 0, 0, bytes(32)),
    "records.set_chain": (bytes(32),),
    "registries.set_epoch": (8, b"\x01" * 32, b"\x02" * 32),
    "registries.set_isolation": (8, 700, 2),
    "registries.publish_model": (b"\x09" * 32, 1, 1, 1, (), 0, 0),
    "registries.add_inquirer": (b"\x09" * 20, 0, 1),
}


def run(world: World, method: str, values: tuple, sender: bytes, height: int):
    machine = Machine(
        world.nodes.get, world.root, nodes=Nodes(), chain_id=1, height=Height(height), timestamp_ms=Millis(0)
    )
    function = find_function(method)
    assert function is not None
    return machine.call(Address(sender), ADDRESSES[function.contract], encode_call(function, *values), 1_000_000)


@pytest.mark.parametrize("method", LOADERS)
def test_only_the_system_loads_and_only_at_height_zero(world: World, method: str):
    values = LOADERS[method]
    assert run(world, method, values, SYSTEM, 0).ok
    refusal = "GOVERNED" if method in GOVERNED else "SYSTEM_ONLY"
    assert run(world, method, values, SYSTEM, 1).reason == refusal
    for sender in (address_of(key("identity 0")), address_of(key("identity 1")), b"\x01" * 20):
        assert run(world, method, values, sender, 0).reason == refusal


@pytest.mark.parametrize("method", LOADERS)
def test_no_transaction_reaches_a_loader(world: World, method: str):
    receipt = world.run(world.tx(0, method, b""))
    assert (receipt.ok, receipt.reason) == (False, "UNKNOWN_METHOD")


def with_member(index: int, **changes) -> Genesis:
    genesis = standard()
    members = list(genesis.members)
    members[index] = dataclasses.replace(members[index], **changes)
    return dataclasses.replace(genesis, members=tuple(members))


def with_model(**changes) -> Genesis:
    genesis = standard()
    return dataclasses.replace(genesis, models=(dataclasses.replace(genesis.models[0], **changes),))


MANY = tuple(f"purpose {i}" for i in range(16))
BROKEN = {
    "MEMBER_EXISTS": with_member(3, identity=key("identity 2")),
    "UNKNOWN_COMPANY": with_member(0, company=9),
    "ROLES zero": with_member(0, roles=0),
    "ROLES sixteen": with_member(0, roles=16),
    "ONE_VALIDATOR_PER_COMPANY": with_member(6, vote_key=key("another vote key")),
    "MEMBERS_FULL": dataclasses.replace(
        standard(),
        members=tuple(
            MemberRecord(name="m", company=0, roles=1, identity=key(f"i{i}"), vote_key=None) for i in range(129)
        ),
    ),
    "COMPANY_COUNT none": dataclasses.replace(standard(), companies=()),
    "COMPANY_COUNT many": dataclasses.replace(standard(), companies=("c",) * 129),
    "COMPANIES_MIN": dataclasses.replace(standard(), committee_companies_min=1),
    "MODEL_EXISTS": dataclasses.replace(standard(), models=standard().models + standard().models[:1]),
    "CLASSES": with_model(classes=0),
    "CLASSES wide": with_model(classes=1 << 128),
    "MINIMUM": with_model(minimum=0),
    "MINIMUM wide": with_model(minimum=129),
    "MODE zero": with_model(mode=0),
    "MODE four": with_model(mode=4),
    "PURPOSES_FULL": dataclasses.replace(
        standard(),
        models=tuple(
            ModelRecord(
                model=model_hash(str(i)), classes=1, minimum=1, mode=1, purposes=tuple(f"{p} of {i}" for p in MANY)
            )
            for i in range(5)
        ),
    ),
    "INQUIRER_EXISTS": dataclasses.replace(standard(), inquirers=standard().inquirers * 2),
    "UNKNOWN_COMPANY inquirer": dataclasses.replace(
        standard(), inquirers=(InquirerRecord(key=key("i"), company=128, quota_per_day=1),)
    ),
    "QUOTA": dataclasses.replace(
        standard(), inquirers=(InquirerRecord(key=key("i"), company=0, quota_per_day=1 << 32),)
    ),
    "EPOCH": dataclasses.replace(standard(), epoch=dataclasses.replace(standard().epoch, epoch=1 << 32)),
    "EPOCH zero": dataclasses.replace(standard(), epoch=dataclasses.replace(standard().epoch, epoch=0)),
    "EPOCH one key": dataclasses.replace(
        standard(), epoch=dataclasses.replace(standard().epoch, audit_key=key("archive"))
    ),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_document_has_no_state(reason: str):
    with pytest.raises(InvalidError, match=rf"got {reason.split(maxsplit=1)[0]}$"):
        ContractHost(CHAIN, no_node).genesis(BROKEN[reason])


@pytest.mark.parametrize("purpose", ["", "x" * 33, "kredit­prüfung", "a\0b"])
def test_a_purpose_is_a_word(purpose: str):
    with pytest.raises(InvalidError, match="purpose of 1 to 32"):
        ContractHost(CHAIN, no_node).genesis(with_model(purposes=(purpose,)))


def test_a_document_of_another_chain():
    with pytest.raises(InvalidError, match="expected the chain"):
        ContractHost(ChainId(bytes(32)), no_node).genesis(standard())


def test_values_that_do_not_fit_are_the_documents_fault():
    with pytest.raises(InvalidError, match=r"members\.add"):
        ContractHost(CHAIN, no_node).genesis(with_member(0, company=-1))


# ------------------------------------------------------------- read functions


def test_members_by_address_and_index(world: World):
    for index, record in enumerate(world.genesis.members):
        address = address_of(record.identity)
        assert world.view("members.member", address) == (index, record.company, record.roles, True)
        assert world.view("members.by_index", index) == (address,)
    assert world.view("members.member", b"\x09" * 20) == (0, 0, 0, False)
    assert world.view("members.by_index", 100) == (bytes(20),)


def test_roles_are_bitmaps(world: World):
    expected = {OPERATOR: [0], SUPERVISOR: [1], MPC: [2, 3, 4, 5], PARTICIPANT: [6, 7, 8, 9]}
    for role, indices in expected.items():
        assert world.view("members.role", role) == (bitmap(indices),)
    assert world.view("members.role", 16) == (0,)


def test_suppliers_of_any_of_the_classes(world: World):
    expected = {0b001: [6, 8], 0b010: [7, 8], 0b100: [8, 9], 0b011: [6, 7, 8], 0b111: [6, 7, 8, 9], 0b1000: [], 0: []}
    for classes, indices in expected.items():
        assert world.view("members.suppliers", classes) == (bitmap(indices),)


def test_classes_and_anchors_count_for_participants_only():
    members = [
        *standard().members,
        member(10, 8, MPC, classes=0b111, anchors=1),
        member(11, 8, PARTICIPANT, anchors=0b1100),
    ]
    world = World(genesis=dataclasses.replace(standard(), members=tuple(members)))
    assert world.view("members.suppliers", 0b111) == (bitmap([6, 7, 8, 9]),)
    assert world.view("members.anchors_of", 10) == (0,)
    assert world.view("members.anchors_of", 11) == (0b1100,)
    assert world.view("members.committee_companies_min") == (3,)


def test_validators(world: World):
    (listed,) = world.view("members.validators")
    assert listed == tuple((m.vote_key, i) for i, m in enumerate(world.genesis.members) if m.vote_key)
    host = ContractHost(CHAIN, no_node)
    assert host.genesis(world.genesis).validators == world.genesis.validators()
    assert len(world.genesis.validators()) == 4


def test_models_and_their_purposes(world: World):
    purposes = tuple(text.encode().ljust(32, b"\0") for text in ("credit", "review"))
    founders = bitmap([6, 7, 8, 9])
    assert world.view("registries.model", model_hash("after")) == (
        *(True, 1, 0b011, 2, 2, purposes),
        *(False, founders, 0, 0),
    )
    assert world.view("registries.model", b"\x09" * 32) == (False, 0, 0, 0, 0, (), False, 0, 0, 0)
    assert world.view("registries.model_at", 1) == (model_hash("after"),)
    assert world.view("registries.model_count") == (3,)
    assert world.view("registries.panel", model_hash("after")) == (bitmap([6, 7, 8]),)
    assert world.view("registries.isolation") == (8, 700, 2)


def test_inquirers_and_epoch(world: World):
    assert world.view("registries.inquirer", address_of(key("other inquirer"))) == (1, True, 1)
    assert world.view("registries.inquirer", b"\x09" * 20) == (0, False, 0)
    assert world.view("registries.inquirer_at", 0) == (address_of(key("inquirer")),)
    assert world.view("registries.epoch") == (7, key("audit"), key("archive"))
    assert world.view("registries.epoch_at", 7) == (key("audit"), key("archive"), 0)
    assert world.view("registries.epoch_at", 6) == (bytes(32), bytes(32), 0)
