"""Who may send which blob where, how large it must be, and who may fetch it: everything else is refused."""

import asyncio
import dataclasses
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.types import Digest, Millis
from mpcnode.config.node import LimitsTable
from mpcnode.errors import ErrorCode, NotAllowedError, UnavailableError
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel, BlobOffer
from mpcnode.roles.blobs import ASKING_MS, INPUT_RETENTION_MS, INQUIRER_BLOBS_MAX, RESULT_RETENTION_MS, QueryBlobs
from mpcnode.sealing.blobs import CHUNK_OVERHEAD, Manifest, chunk_count
from mpcnode.types import Attempt, AuditMode, MemberIndex, QueryId, QueryState
from tests.support.batches import ask_many
from tests.support.consortium import ALICE, BANK, BOB, INSURER, LENDER, NODES, OPERATOR, REGULATOR, SAVINGS, STRANGER
from tests.support.flow import OFFERS_BYTES, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

SUBJECTS = [ALICE, BOB, ALICE]
EVERYBODY = (OPERATOR, BANK, INSURER, SAVINGS, REGULATOR, *NODES)


def offers(flow: Flow, query: QueryId) -> dict[tuple[BlobKind, int], BlobOffer]:
    """Every blob of a query, by kind and author."""
    found = {}
    for blobs in flow.blobs.values():
        for offer, _ in blobs.offers.values():
            if offer.label.query == query:
                found[offer.label.kind, offer.label.author] = offer
    return found


def takers(flow: Flow, offer: BlobOffer) -> set[tuple[int, int]]:
    """All pairs of a sender and a receiver that would go along with this blob."""
    taken = set()
    for receiver in EVERYBODY:
        for sender in EVERYBODY:
            try:
                flow.daemons[receiver].keeper.admit(sender, offer)
            except NotAllowedError:
                continue
            taken.add((int(sender), int(receiver)))
    return taken


def test_each_blob_has_its_senders_and_receivers():
    async def scenario():
        async with Flow(Lenders(quota=1_000, audit=AuditMode.BEFORE_RELEASE)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            view = await flow.settled(asked)
            assert view.state is QueryState.RELEASED
            found = offers(flow, asked.request.query)
            last = view.committee[-1]
            wanted: dict[tuple[BlobKind, int], set[tuple[int, int]]] = {
                (BlobKind.PSEUDONYMS, INQUIRER): {(OPERATOR, member) for member in (BANK, INSURER, SAVINGS)},
                (BlobKind.IDENTIFIERS, INQUIRER): {(OPERATOR, REGULATOR)},
                (BlobKind.MASK, REGULATOR): {(REGULATOR, OPERATOR)},
            }
            for member in (BANK, INSURER, SAVINGS):
                wanted[BlobKind.ROWS, member] = {(member, last), (member, REGULATOR)}
            for node in view.committee:
                wanted[BlobKind.OUTPUT, node] = {(node, OPERATOR), (node, REGULATOR)}
            assert {place: takers(flow, offer) for place, offer in found.items()} == wanted
            for offer in found.values():
                longer = dataclasses.replace(offer.manifest, length=offer.manifest.length + 1)
                assert takers(flow, dataclasses.replace(offer, manifest=longer)) == set()
                assert takers(flow, dataclasses.replace(offer, label=unknown_attempt(offer.label))) == set()

    def unknown_attempt(label: BlobLabel) -> BlobLabel:
        return dataclasses.replace(label, kind=BlobKind.ROWS, author=OPERATOR, attempt=1)

    run(scenario())


def test_a_query_that_has_ended_without_an_answer_takes_no_more_blobs():
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            await flow.settled(asked)
            view = flow.view(asked)
            states = {QueryState.ANSWERED: False, QueryState.REFUSED: True, QueryState.ABORTED: True}
            for state, is_over in {**states, QueryState.EXPIRED: True}.items():
                ended = dataclasses.replace(view, state=state)
                ledger: Any = SimpleNamespace(view=SimpleNamespace(get=lambda _query, ended=ended: ended))
                for offer in offers(flow, asked.request.query).values():
                    sender = OPERATOR if offer.label.author == INQUIRER else MemberIndex(offer.label.author)
                    taken = 0
                    for receiver in EVERYBODY:
                        context = dataclasses.replace(flow.daemons[receiver].keeper._context, ledger=ledger)
                        with suppress(NotAllowedError):
                            QueryBlobs(context, offers_bytes=OFFERS_BYTES).admit(sender, offer)
                            taken += 1
                    assert (taken == 0) == is_over

    run(scenario())


def test_nobody_is_an_author_that_its_kind_of_blob_has_not():
    async def scenario():
        async with Flow(Lenders(quota=1_000, audit=AuditMode.BEFORE_RELEASE)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            view = await flow.settled(asked)
            found = offers(flow, asked.request.query)
            authors = {
                BlobKind.ROWS: {BANK, INSURER, SAVINGS},
                BlobKind.OUTPUT: set(view.committee),
                BlobKind.MASK: {REGULATOR},
            }
            for kind, wanted in authors.items():
                offer = next(offer for (of, _), offer in found.items() if of is kind)
                for author in set(EVERYBODY) - wanted:
                    named = dataclasses.replace(offer, label=dataclasses.replace(offer.label, author=author))
                    assert takers(flow, named) == set(), (kind, author)

    run(scenario())


def test_blobs_of_an_attempt_that_is_over_are_refused():
    """Whoever is slow sends them into the next attempt, whose seeds and keys are others."""

    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            view = dataclasses.replace(await flow.settled(asked), attempt=Attempt(2))
            ledger: Any = SimpleNamespace(view=SimpleNamespace(get=lambda _query: view))
            rules = [
                QueryBlobs(
                    dataclasses.replace(flow.daemons[of].keeper._context, ledger=ledger), offers_bytes=OFFERS_BYTES
                )
                for of in EVERYBODY
            ]
            for (_, author), offer in offers(flow, asked.request.query).items():
                if author == INQUIRER:
                    continue
                for attempt, is_over in ((1, True), (2, False)):
                    moved = dataclasses.replace(offer, label=dataclasses.replace(offer.label, attempt=attempt))
                    taken = 0
                    for keeper in rules:
                        with suppress(NotAllowedError):
                            keeper.admit(MemberIndex(author), moved)
                            taken += 1
                    assert (taken == 0) == is_over

    run(scenario())


def test_only_the_inquirer_fetches_and_only_answers():
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            await flow.settled(asked)
            desk = flow.daemons[OPERATOR].keeper
            for offer in offers(flow, asked.request.query).values():
                is_answer = offer.label.kind in (BlobKind.OUTPUT, BlobKind.MASK)
                if is_answer:
                    desk.check_reader(LENDER.public, offer.label)
                readers: list[Any] = [STRANGER.public, BANK, REGULATOR, *([] if is_answer else [LENDER.public])]
                for reader in readers:
                    with pytest.raises(NotAllowedError):
                        desk.check_reader(reader, offer.label)

    run(scenario())


def offered(kind: BlobKind, length: int, number: int = 0) -> BlobOffer:
    label = BlobLabel(query=QueryId(bytes([number]) * 32), attempt=EVERY_ATTEMPT, kind=kind, author=INQUIRER)
    return BlobOffer(label=label, manifest=Manifest(length=length, chunks=(Digest(bytes([number]) * 32),)))


def test_an_inquirer_sends_what_it_will_ask_about_and_not_without_end():
    async def scenario():
        async with Flow() as flow:
            desk, now = flow.daemons[OPERATOR].keeper, flow.clock.now_ms()
            assert desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64)) == now + ASKING_MS
            desk.admit(LENDER.public, offered(BlobKind.IDENTIFIERS, 640, 1))
            for kind, length in [
                (BlobKind.PSEUDONYMS, 32),
                (BlobKind.PSEUDONYMS, 65),
                (BlobKind.PSEUDONYMS, 32 * 1_000_001),
                (BlobKind.IDENTIFIERS, 96),
            ]:
                with pytest.raises(NotAllowedError):
                    desk.admit(LENDER.public, offered(kind, length))
            with pytest.raises(NotAllowedError):
                flow.daemons[BANK].keeper.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64))
            for number in range(2, INQUIRER_BLOBS_MAX):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, number))
            with pytest.raises(UnavailableError, match="at most 16"):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, 99))
            desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, 5))
            desk.admit(STRANGER.public, offered(BlobKind.PSEUDONYMS, 64, 99))

    run(scenario())


SUBJECT_BYTES = {BlobKind.PSEUDONYMS: 32, BlobKind.IDENTIFIERS: 64}


def announced(kind: BlobKind, subjects: int, number: int) -> BlobOffer:
    """An offer of as many chunks as it needs, none of them sent."""
    length = SUBJECT_BYTES[kind] * subjects
    offer = offered(kind, length, number)
    chunks = (Digest(bytes([number]) * 32),) * chunk_count(length)
    return dataclasses.replace(offer, manifest=Manifest(length=length, chunks=chunks))


def test_what_an_inquirer_announces_counts_in_bytes_before_any_is_sent():
    async def scenario():
        async with Flow() as flow:
            desk = flow.daemons[OPERATOR].keeper
            fits = (OFFERS_BYTES - 64 - 2 * CHUNK_OVERHEAD) // 32
            desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, fits, 0))
            with pytest.raises(UnavailableError, match=f"at most {OFFERS_BYTES} bytes of an inquirer, got ") as raised:
                desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, 3, 1))
            assert raised.value.code is ErrorCode.OFFERS_FULL
            desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, 2, 2))
            # whoever goes on with an offer finds it again, and others have room of their own
            desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, fits, 0))
            desk.admit(STRANGER.public, announced(BlobKind.PSEUDONYMS, fits, 3))
            # what is gone makes room again
            await asyncio.sleep(ASKING_MS / 1000 + 1)
            desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, fits, 4))

    run(scenario())


def test_by_default_a_desk_takes_two_queries_about_a_million_and_not_a_third():
    """One that was lost before it was asked, and the one that is asked in its place."""

    async def scenario():
        async with Flow() as flow:
            context, offers = flow.daemons[OPERATOR].keeper._context, LimitsTable().offers_mib << 20
            desk = QueryBlobs(context, offers_bytes=offers)
            for number in range(2):
                for kind in SUBJECT_BYTES:
                    desk.admit(LENDER.public, announced(kind, 1_000_000, 10 * number + kind))
            desk.admit(LENDER.public, announced(BlobKind.PSEUDONYMS, 1_000_000, 31))
            with pytest.raises(UnavailableError, match="of an inquirer, got 288"):
                desk.admit(LENDER.public, announced(BlobKind.IDENTIFIERS, 1_000_000, 32))

    run(scenario())


def test_what_nobody_asks_about_makes_room_within_the_time_that_it_counts():
    """Else an inquirer that never asks fills the desk's disk: what counts no more must be gone."""

    async def scenario():
        async with Flow() as flow:
            desk, begun = flow.daemons[OPERATOR].keeper, flow.clock.now_ms()
            for number in range(INQUIRER_BLOBS_MAX):
                assert desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, number)) == begun + ASKING_MS
            await asyncio.sleep(ASKING_MS / 2000)
            with pytest.raises(UnavailableError, match="at most 16"):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, 99))
            # whoever offers one again keeps its room as long
            again = desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, 3))
            await asyncio.sleep(ASKING_MS / 2000 + 1)
            for number in range(100, 100 + INQUIRER_BLOBS_MAX - 1):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, number))
            assert again > flow.clock.now_ms()
            with pytest.raises(UnavailableError, match="at most 16"):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, 99))

    run(scenario())


def test_a_query_that_was_asked_has_its_blobs_and_takes_no_others():
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            view = await flow.settled(asked)
            desk = flow.daemons[OPERATOR].keeper
            own = [offer for offer in offers(flow, asked.request.query).values() if offer.label.author == INQUIRER]
            assert len(own) == 2
            for offer in own:
                assert desk.admit(LENDER.public, offer) == view.deadline + INPUT_RETENTION_MS
                with pytest.raises(NotAllowedError):
                    desk.admit(STRANGER.public, offer)
                other = offered(offer.label.kind, offer.manifest.length, 7)
                with pytest.raises(NotAllowedError):
                    desk.admit(LENDER.public, dataclasses.replace(other, label=offer.label))
            # what was asked about counts no more
            for number in range(INQUIRER_BLOBS_MAX):
                desk.admit(LENDER.public, offered(BlobKind.PSEUDONYMS, 64, number))

    run(scenario())


def test_what_the_own_ledger_does_not_show_yet_is_sent_again_later():
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            with pytest.raises(UnavailableError, match="not on the own ledger yet"):
                flow.daemons[BANK].keeper.admit(OPERATOR, offered(BlobKind.PSEUDONYMS, 64))

    run(scenario())


def test_answers_are_kept_longer_than_what_they_were_made_from():
    async def scenario():
        async with Flow(Lenders(quota=1_000)) as flow:
            asked = await ask_many(flow, SUBJECTS)
            view = await flow.settled(asked)
            for blobs in flow.blobs.values():
                for offer, until in blobs.offers.values():
                    is_answer = offer.label.kind is BlobKind.OUTPUT
                    kept = RESULT_RETENTION_MS if is_answer else INPUT_RETENTION_MS
                    assert until == Millis(view.deadline + kept)

    run(scenario())
