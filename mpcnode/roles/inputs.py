"""The contributions to one attempt, opened and checked by the supervisor one by one, as their commitments become final.

When the last is final most of the work is done: what is left before a session is dealt to is that last one's.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from mpcnode.errors import InputError
from mpcnode.query.audit import AuditedInput
from mpcnode.query.blobs import BlobKind, BlobLabel
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import AuditKeys, InputsRejectedError, check_chunks, open_input
from mpcnode.roles.context import Context
from mpcnode.roles.programs import batch_of, layout_of
from mpcnode.sealing.blobs import decode_reference
from mpcnode.types import AuditStage, BlobId, MemberIndex


class AttemptInputs:
    """Owned by the event loop's thread; opens and checks in the worker's, chunk by chunk."""

    def __init__(self, context: Context, keys: AuditKeys, tasks: asyncio.TaskGroup, view: QueryView) -> None:
        """Take what opens envelopes, who owns the work, and the query in the attempt."""
        self.attempt = view.attempt
        self._context = context
        self._keys = keys
        self._tasks = tasks
        self._layout = layout_of(context, view)
        self._batch = batch_of(context, view)
        self._run = context.worker.run
        self._working: dict[MemberIndex, asyncio.Task[None]] = {}
        self._held: set[MemberIndex] = set()
        """Whose blob of rows is here; of one subject there is none."""
        self._opened: dict[MemberIndex, AuditedInput] = {}
        self._passed: dict[MemberIndex, int] = {}
        """Chunks of rows that have passed their check: those below."""
        self._rejected: InputsRejectedError | None = None
        self._waiting: set[asyncio.Event] = set()

    def lacks(self, view: QueryView) -> bool:
        """Whether something is committed that was not begun to be opened."""
        return view.attempt != self.attempt or any(member not in self._working for member in view.commitments)

    def open(self, view: QueryView) -> None:
        """Begin to open and check whatever is committed, if that has not begun."""
        for member in view.commitments:
            if member not in self._working:
                name = f"input of {member}"
                self._working[member] = self._tasks.create_task(self._open(view, member), name=name)

    def drop(self) -> None:
        """Open and check nothing any more."""
        for task in self._working.values():
            task.cancel()

    async def held(self, member: MemberIndex) -> None:
        """Wait until the blob of a contribution's rows is here, for ever if need be."""
        await self._until(lambda: member in self._held)

    async def opened(self) -> Mapping[MemberIndex, AuditedInput]:
        """Wait until every envelope is open; return what was in them.

        Raises:
            InputsRejectedError: one fails a check, its rows' perhaps; names whose.
        """
        await self._until(lambda: self._opened.keys() == self._working.keys())
        return self._opened

    async def passed(self, above: int) -> int:
        """Wait until more chunks of rows than so many have passed their check in every contribution; return how many.

        Raises:
            InputsRejectedError: one fails a check; names whose.
        """
        await self._until(lambda: self._passed_by_all() > above)
        return self._passed_by_all()

    async def checked(self) -> Mapping[MemberIndex, AuditedInput]:
        """Wait until everything is checked; return what was in the envelopes.

        Raises:
            InputsRejectedError: one fails a check; names whose.
        """
        opened = await self.opened()
        await self.passed(self._batch.chunks - 1)
        return opened

    def _passed_by_all(self) -> int:
        return min((self._passed.get(member, 0) for member in self._working), default=self._batch.chunks)

    async def _open(self, view: QueryView, member: MemberIndex) -> None:
        try:
            if view.terms.subjects == 1:
                await self._envelope(view, member)
                self._pass(member, 1)  # the row was checked with it
                return
            label = BlobLabel(query=view.query, attempt=view.attempt, kind=BlobKind.ROWS, author=member)
            held = await self._context.blobs.whole(label)  # for ever; who deals gives up in time
            self._held.add(member)
            self._tell()
            given = await self._envelope(view, member)
            _check_blob(given, held.blob)
            checks = check_chunks(view, self._layout, given, batch=self._batch, blobs=self._context.blobs)
            # after one rejection the attempt is lost, and the thread is for others
            while self._rejected is None and (passed := await self._run(partial(next, checks, None))) is not None:
                self._pass(member, passed)
        except InputsRejectedError as error:
            self._rejected = self._rejected or error
            self._tell()

    async def _envelope(self, view: QueryView, member: MemberIndex) -> AuditedInput:
        given = await self._run(partial(open_input, self._keys, view, self._layout, member))
        self._opened[member] = given
        self._tell()
        return given

    def _pass(self, member: MemberIndex, chunks: int) -> None:
        self._passed[member] = chunks
        self._tell()

    def _tell(self) -> None:
        for waiter in self._waiting:
            waiter.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        moved = asyncio.Event()
        self._waiting.add(moved)
        try:
            while True:
                if self._rejected is not None:
                    raise InputsRejectedError(self._rejected.participant, self._rejected.error)
                if condition():
                    return
                moved.clear()
                await moved.wait()
        finally:
            self._waiting.discard(moved)


def _check_blob(given: AuditedInput, held: BlobId) -> None:
    """Check that rows are read from the blob that is kept for them until the audit, not from one kept for less long.

    Raises:
        InputsRejectedError: they are in another.
    """
    named = decode_reference(given.record.row).blob
    if named != held:
        why = f"rows: expected blob {held.hex()}, which was sent for them, got {named.hex()}"
        raise InputsRejectedError(given.record.participant, InputError(why, AuditStage.ENVELOPE))
