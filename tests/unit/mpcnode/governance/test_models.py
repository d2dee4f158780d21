"""Which models there are and who answers for them, read from the real contracts."""

import asyncio

import pytest

from ledger.contract.abi import encode_args
from ledger.types import Millis
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.governance.models import Fees, check_document, read_models
from mpcnode.types import AuditMode, ModelHash
from tests.support.contracts import World, bitmap, model_hash, must, standard
from tests.support.council import DELEGATES, Council

NEW = model_hash("new")


def word(text):
    return text.ljust(32, b"\0")


@pytest.fixture
def council():
    return Council(World(genesis=standard()))


def decide(council, method, *values):
    must(council.decide(DELEGATES, f"registries.{method}", *values))


def publish(council, model=NEW, classes=0b011, purposes=(b"credit",)):
    decide(council, "publish_model", model, classes, 1, 3, tuple(map(word, purposes)), 8, 700)


def approve(council, sender, model=NEW, approved=True):
    args = encode_args("registries.approve_model", model, approved)
    must(council.world.run(council.world.tx(sender, "registries.approve_model", args)))


def read(council, now=None):
    async def view(method, *args):
        return council.world.view(method, *args)

    async def read():
        return [model async for model in read_models(view, Millis(council.world.now if now is None else now))]

    return asyncio.run(read())


def panel(council, model):
    return council.world.view("registries.panel", model.model)[0]


def test_models_of_genesis_come_in_order_and_state_no_figures(council):
    models = read(council)
    assert [model.model for model in models] == [model_hash(name) for name in ("before", "after", "off")]
    assert [model.audit for model in models] == list(AuditMode)
    _, after, off = models
    assert (after.classes, after.minimum, after.purposes, after.retired) == (0b011, 2, ("credit", "review"), False)
    assert off.purposes == ("credit", "review", "statistics")
    assert (after.reach, after.share, after.fees) == (0, 0, None)
    assert (after.suppliers, after.asked, after.missing) == ((6, 7, 8), (6, 7, 8), ())
    assert after.approved == (6, 7, 8, 9)  # whoever founded the chain, with a class of it or without


def test_whoever_supplies_and_has_not_approved_is_missing(council):
    publish(council)
    for sender in (7, 9):
        approve(council, sender)
    new = read(council)[-1]
    assert (new.model, new.audit, new.reach, new.share) == (NEW, AuditMode.OFF, 8, 700)
    assert (new.suppliers, new.approved, new.asked, new.missing) == ((6, 7, 8), (7, 9), (7,), (6, 8))
    must(council.decide(DELEGATES, "members.suspend", 7))
    new = read(council)[-1]
    assert (new.suppliers, new.approved, new.asked, new.missing) == ((6, 8), (7, 9), (), (6, 8))


def test_who_is_asked_is_what_the_contract_says(council):
    publish(council)
    approve(council, 8)
    approve(council, 6, model_hash("after"), False)
    must(council.decide(DELEGATES, "members.suspend", 7))
    for model in read(council):
        assert bitmap(model.asked) == panel(council, model)


def test_a_retired_model_asks_nobody(council):
    decide(council, "retire_model", model_hash("after"))
    after = read(council)[1]
    assert (after.retired, after.asked, after.approved) == (True, (), (6, 7, 8, 9))


def test_fees_are_those_of_the_time_that_is_asked_for(council):
    after = model_hash("after")
    begin, later = council.world.now, council.world.now + 1_000
    decide(council, "set_fees", after, 0, 9, 3, 1)
    council.world.now += 1
    decide(council, "set_fees", after, later, 8, 0, (1 << 64) - 1)
    before = Fees(since_ms=Millis(begin), asked=9, contributed=3, computed=1)
    assert read(council, begin - 1)[1].fees is None
    assert [read(council, at)[1].fees for at in (begin, later - 1)] == [before, before]
    assert read(council, later)[1].fees == Fees(since_ms=Millis(later), asked=8, contributed=0, computed=(1 << 64) - 1)
    assert read(council, later)[0].fees is None


def test_a_purpose_that_is_no_text_is_shown_as_bytes(council):
    """The companies may decide on any bytes; none of them reach a terminal as they are."""
    odd = (b"\x1b[2J", b"caf\xe9", b"\0x")
    publish(council, purposes=(b"a purpose of 32 characters here.", *odd))
    expected = ("a purpose of 32 characters here.", *(word(raw).hex() for raw in odd))
    assert set(read(council)[-1].purposes) == set(expected)


def test_a_model_without_a_document_is_refused():
    here = ModelHash(bytes(32))
    check_document(here, {here})
    with pytest.raises(RequestError, match="expected one that the consortium document lists") as caught:
        check_document(ModelHash(NEW), {here})
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL
