"""Because of whom the transcripts of a session differ: the supervisor's answer to a node that shows two signed ends.

It asks the committee for what arrived. Each frame is signed, so nobody can put words into another's mouth; whoever was
misled shows by what, and whoever shows nothing has nothing to say for itself (docs/protocol.md 6.3).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from mpcnode.errors import NotAllowedError, UnavailableError
from mpcnode.mpc import Batch
from mpcnode.query.blame import Deviation, differing_chunks, first_sent
from mpcnode.query.differing import (
    Ends,
    Place,
    contradicted,
    first_between,
    sent_twice,
    without_account,
    without_frames,
)
from mpcnode.query.frames import SHOWN_CHUNKS, Shown
from mpcnode.query.messages import decode_differ
from mpcnode.query.statements import EndStatement, decode_end_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import Recomputed, expected_chunk
from mpcnode.roles.context import Context
from mpcnode.roles.evidence import keeps_data
from mpcnode.roles.programs import session_of
from mpcnode.roles.tracing import Tracer
from mpcnode.sealing.keys import check_signature
from mpcnode.types import MemberIndex, SessionId

_log = structlog.get_logger(__name__)


class Arbiter:
    """Takes ends that differ, and says who deviated. Owned by the event loop's thread."""

    def __init__(self, context: Context, tracer: Tracer) -> None:
        """Take the role's context, and who asks nodes for evidence."""
        self._context = context
        self._tracer = tracer
        self._heard: dict[SessionId, asyncio.Future[Ends]] = {}

    @contextmanager
    def hearing(self, view: QueryView) -> Iterator["asyncio.Future[Ends]"]:
        """Take two ends of a query's session that differ, while the block runs; the first ones that come are enough."""
        heard: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()
        session = session_of(view)
        self._heard[session] = heard
        try:
            yield heard
        finally:
            del self._heard[session]

    async def on_differ(self, sender: MemberIndex, payload: bytes) -> None:
        """Take a node's word that another one signed another transcript."""
        differ = decode_differ(payload)
        own, other = decode_end_statement(differ.own), decode_end_statement(differ.other)
        heard = self._heard.get(SessionId(own.session))
        if heard is None:
            raise UnavailableError("differ: expected ends of a session that is being computed, got others")
        self._check(own, sender, other, differ.member)
        check_signature(self._context.members[sender].identity, differ.own, differ.own_signature, "differ: own end")
        identity = self._context.members[differ.member].identity
        check_signature(identity, differ.other, differ.other_signature, "differ: other end")
        if not heard.done():
            heard.set_result({sender: own.transcript_hash, differ.member: other.transcript_hash})

    def _check(self, own: EndStatement, sender: MemberIndex, other: EndStatement, member: MemberIndex) -> None:
        session = SessionId(own.session)
        running = (view for view in self._context.ledger.view.open() if view.session == session)
        committee = next((view.committee for view in running), ())
        if sender == member or not {sender, member} <= set(committee):
            raise NotAllowedError(f"differ: expected ends of two of {committee}, got those of {sender} and {member}")
        if other.session != session or other.transcript_hash == own.transcript_hash:
            raise NotAllowedError("differ: expected two transcripts of one session, got others")

    async def judge_dealt(self, view: QueryView, ends: Ends, known: Recomputed) -> tuple[MemberIndex, ...]:
        """Say who deviated in a session to which this supervisor dealt, by what an honest one sends.

        Who signed another transcript than the honest one and shows no wrong frame, has not received any.
        """
        session = session_of(view)
        first = await self._ask(view, session, 0, view.committee)
        chunks = differing_chunks(known.chunk_hashes, first)
        pages = await self._pages(view, session, chunks, first)
        for chunk in chunks:
            expected = await self._context.worker.run(partial(expected_chunk, known, chunk))
            found = first_sent(expected, pages[_page(chunk)])
            if found is not None:
                return self._named(found)
        return tuple(member for member, transcript in ends.items() if transcript != known.honest.transcript)

    async def judge_made(self, view: QueryView, ends: Ends, batch: Batch) -> tuple[MemberIndex, ...]:
        """Say who deviated in a session whose correlations the committee made; both who differ, if nothing shows it."""
        session, committee = session_of(view), view.committee
        first = await self._ask(view, session, 0, committee)
        if (double := sent_twice(committee, first)) is not None:
            return (double,)
        if silent := without_account(session, ends, first, batch.chunks):
            return silent
        chunk = first_between(ends, first)
        shown = (await self._pages(view, session, (chunk,), first))[_page(chunk)]
        if (double := sent_twice(committee, shown)) is not None:
            return (double,)
        place = Place(session, committee, chunk, batch.program(chunk).rounds, keeps_data(batch))
        return without_frames(place, ends, shown) or contradicted(place, ends, shown) or tuple(ends)

    async def _pages(
        self, view: QueryView, session: SessionId, chunks: Iterable[int], first: Mapping[MemberIndex, Shown]
    ) -> Mapping[int, Mapping[MemberIndex, Shown]]:
        """What those who showed the first page show of these chunks, by page."""
        pages = {_page(chunk) for chunk in chunks} - {0}
        async with asyncio.TaskGroup() as group:
            asked = {page: group.create_task(self._ask(view, session, page, tuple(first))) for page in pages}
        return {0: first, **{page: task.result() for page, task in asked.items()}}

    async def _ask(
        self, view: QueryView, session: SessionId, page: int, members: Sequence[MemberIndex]
    ) -> Mapping[MemberIndex, Shown]:
        patience = self._context.timing.of(view.terms.subjects).verdict // 3
        return await self._tracer.gather(view, session, page, members, patience)

    def _named(self, found: Deviation) -> tuple[MemberIndex, ...]:
        member = self._context.dealer if found.member is None else found.member
        _log.warning("differ.traced", member=member, chunk=found.chunk, round=found.round)
        return (member,)


def _page(chunk: int) -> int:
    return chunk - chunk % SHOWN_CHUNKS
