"""The supervisor role: check what was contributed, deal correlations if it is the dealer, audit every result, attest.

It reads inputs by office. It deals a chunk only when the chunk's rows have passed every check, so no session ends on a
bad contribution: that is rejected, and the next attempt goes on without it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from mpcnode.errors import ConfigError, ErrorCode, InputError, LocalError, UnavailableError
from mpcnode.query.audit import AuditedInput, Finding
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind, decode_accept, encode_deal
from mpcnode.query.release import RELEASE_SECRET_BYTES, Release, seal_release
from mpcnode.query.statements import ReleaseStatement, decode_accept_statement, encode_release_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.arbiter import Arbiter
from mpcnode.roles.auditing import (
    AuditKeyring,
    ContributedRows,
    InputsRejectedError,
    Recomputed,
    audit_outcome,
    check_subjects,
    rejected,
)
from mpcnode.roles.auditor import Auditor
from mpcnode.roles.blobs import create_when_room, kept_until
from mpcnode.roles.case import Case, Deal
from mpcnode.roles.context import Context, QueryTasks, deliver, send_blob, settle, while_current
from mpcnode.roles.dealing import Dealt, deal_session
from mpcnode.roles.deals import Deals
from mpcnode.roles.inputs import AttemptInputs
from mpcnode.roles.ports import Call, Handler
from mpcnode.roles.programs import batch_of, layout_of, session_of
from mpcnode.roles.stopwatch import Stopwatch
from mpcnode.roles.tracing import Tracer
from mpcnode.sealing.blobs import KEY_BYTES, BlobReference, encode_reference
from mpcnode.sealing.commitments import SALT_BYTES, joint_hash, masked_hash
from mpcnode.sealing.keys import check_signature
from mpcnode.tasks import first_of
from mpcnode.types import (
    NO_MEMBERS,
    NOBODY,
    AuditMode,
    AuditStage,
    Bitmap,
    FailReason,
    MemberIndex,
    QueryId,
    QueryState,
    Verdict,
    bitmap,
)

_log = structlog.get_logger(__name__)

_ACCEPT = "accept"
"""Journal: accepts by session and node; what a node accepted it cannot complain about later."""

_RELEASE = "release"
"""Journal: session and sealed release by query; what was made is sent again, and no other is ever made."""

_SESSION_BYTES = 32

_MATCH = Finding(verdict=Verdict.MATCH)

_MOVED_ON = {ErrorCode.WRONG_STATE, ErrorCode.WRONG_ATTEMPT, ErrorCode.ALREADY_ATTESTED}

_Wait = Callable[[], Coroutine[object, object, None]]


def _needs_work(view: QueryView) -> bool:
    return view.is_over or view.state in (QueryState.COMPUTING, QueryState.ANSWERED)


def _identifiers_label(view: QueryView) -> BlobLabel:
    return BlobLabel(query=view.query, attempt=EVERY_ATTEMPT, kind=BlobKind.IDENTIFIERS, author=INQUIRER)


def _rows_label(view: QueryView, author: MemberIndex) -> BlobLabel:
    return BlobLabel(query=view.query, attempt=view.attempt, kind=BlobKind.ROWS, author=author)


def _mask_label(context: Context, view: QueryView) -> BlobLabel:
    return BlobLabel(query=view.query, attempt=view.attempt, kind=BlobKind.MASK, author=context.me.index)


def _has_left(attempt: int, view: QueryView) -> bool:
    """Whether an attempt is computed no more."""
    return view.attempt != attempt or view.state is not QueryState.COMPUTING


async def _settled(waiting: Coroutine[object, object, object]) -> None:
    """Wait for something, whatever it is."""
    await waiting


def _has_result(attempt: int, view: QueryView) -> bool:
    """Whether an attempt's result was posted."""
    return view.attempt == attempt and view.result is not None


def _waits_for_audit(view: QueryView) -> bool:
    """Whether a result has no verdict that is final."""
    is_due = view.state is QueryState.ANSWERED and view.mode is not AuditMode.OFF
    return is_due and view.verdict in (None, Verdict.INCOMPLETE)


class Supervisor:
    """Dealer and auditor."""

    def __init__(self, context: Context, keys: AuditKeyring, dealer_master: bytes) -> None:
        """Take the role's context, the audit keys and the dealer's master key.

        Raises:
            ConfigError: another member deals: whoever audits without the seeds would find every honest session wrong.
        """
        if context.me.index != context.dealer:
            raise ConfigError(
                f"member {context.me.name}: expected the supervisor that deals, which is member {context.dealer}"
            )
        self._context = context
        self._keys = keys
        self._master = dealer_master
        self._tracer = Tracer(context)
        self._auditor = Auditor(context, keys, self._tracer)
        self._arbiter = Arbiter(context, self._tracer)
        self.deals = Deals(context)
        """What last nodes pull their corrections from."""

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to this role."""
        return {
            Kind.ACCEPT: self._on_accept,
            Kind.FRAMES: self._tracer.on_frames,
            Kind.DIFFER: self._arbiter.on_differ,
        }

    async def _on_accept(self, sender: MemberIndex, payload: bytes) -> None:
        accept = decode_accept(payload)
        check_signature(self._context.members[sender].identity, accept.statement, accept.signature, "accept")
        stated = decode_accept_statement(accept.statement)
        running = (view for view in self._context.ledger.view.open() if view.session == stated.session)
        if not any(sender in view.committee for view in running):
            # nobody accepts what was not dealt; this daemon may have restarted, and still be catching up
            raise UnavailableError(f"accept: expected one of a running session of member {sender}, got another")
        await self._context.journal.put_once(_ACCEPT, stated.session + bytes((sender,)), payload)

    async def run(self) -> None:
        """Serve every query that is open or not attested yet; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            for view in self._context.ledger.view.ended():
                if not view.is_settled:
                    queries.start(view.query, partial(self._serve, view.query))
            async for query in self._context.ledger.changed():
                changed = self._context.ledger.view.get(query)
                if changed is not None and not changed.is_settled:
                    queries.start(query, partial(self._serve, query))

    async def _serve(self, query: QueryId) -> None:
        """Deal to every attempt of a query until it ends, and audit its result."""
        is_audited = False
        async with asyncio.TaskGroup() as tasks:
            view = await self._context.ledger.until(query, lambda _: True)
            case = Case(tasks, tasks.create_task(self._wrong_subjects(view), name="subjects"))
            while True:
                view = await self._context.ledger.until(query, lambda now: _needs_work(now) or case.lacks_inputs(now))
                if view.state is QueryState.REGISTERED:
                    self._open_inputs(view, case)
                elif view.state is QueryState.COMPUTING:
                    async with while_current(self._context, view) as sends:
                        await self._deal(view, case, sends)
                elif _waits_for_audit(view) and not (is_audited and view.verdict is Verdict.INCOMPLETE):
                    # the desk may be away, or the disk full, until the query's deadline
                    await first_of(self._audit(view, case), self._until_settled(query))
                    is_audited = True
                else:
                    break
            case.close()

    async def _until_settled(self, query: QueryId) -> None:
        await self._context.ledger.until(query, lambda view: view.is_settled)

    async def _wrong_subjects(self, view: QueryView) -> InputsRejectedError | None:
        """Check the inquirer's copy, as soon as it is here: while companies look its subjects up."""
        context = self._context
        if view.terms.subjects > 1 and view.state in (QueryState.REGISTERED, QueryState.COMPUTING):
            await context.blobs.whole(_identifiers_label(view))  # for ever; who deals gives up in time
        keys = self._keys.of(view, context.epoch_of(view))
        try:
            await asyncio.to_thread(check_subjects, keys, view, context.inquirers[view.inquirer], context.blobs)
        except InputsRejectedError as error:
            return error
        return None

    async def _deal(self, view: QueryView, case: Case, sends: asyncio.TaskGroup) -> None:
        """Check an attempt's inputs and deal to it; when the nodes are done, work out what it must lead to."""
        case.drop_result()
        watch = Stopwatch()
        inputs = self._open_inputs(view, case)
        try:
            await self._gather_blobs(view, case, inputs)
            watch.lap("gathering_s")
            if case.subjects.done() or batch_of(self._context, view).chunks == 1:
                await case.accept_subjects()  # else while the nodes compute
            if self._context.correlations.is_joint:
                with self._arbiter.hearing(view) as heard:
                    await inputs.checked()
                    named = await self._arbiter.judge_made(view, await heard, batch_of(self._context, view))
                    await self._fail(view, FailReason.TRANSCRIPTS_DIFFER, named)
                await self._context.ledger.until(view.query, partial(_has_left, view.attempt))
                return
            deal = Deal(await inputs.opened(), self._dealt(view), watch)
            watch.lap("opening_s")
            await self._deal_chunks(view, case, deal, inputs, sends)
        except InputsRejectedError as error:
            _log.warning("input.rejected", member=error.participant, stage=error.stage.name, reason=str(error))
            await self._reject(view, error)
            return

    async def _deal_chunks(
        self, view: QueryView, case: Case, deal: Deal, inputs: AttemptInputs, sends: asyncio.TaskGroup
    ) -> None:
        """Deal until the attempt is computed no more.

        A chunk is dealt once its rows have passed their check, the last one once the subjects have, too.

        Raises:
            InputsRejectedError: a check fails; nodes cannot end the session, for they lack corrections.
        """
        context, dealt = self._context, deal.dealt
        with self.deals.running(dealt) as passed, self._arbiter.hearing(view) as heard:
            for member, message in zip(view.committee, dealt.messages(context.identity), strict=True):
                sends.create_task(deliver(context, view.query, member, Kind.DEAL, encode_deal(message)))
            count = 0
            while count < dealt.batch.chunks:
                count = await inputs.passed(count)
                if count == dealt.batch.chunks:
                    passed(count - 1)
                    await case.accept_subjects()
                passed(count)
            deal.watch.lap("checks_s")
            _log.info("inputs.checked", session=dealt.session, subjects=view.terms.subjects, **deal.watch.stages)
            if view.mode is not AuditMode.OFF:
                case.session = dealt.session
                case.recomputing = case.tasks.create_task(self._recompute(view, deal.inputs, dealt), name="recomputing")
            ends = await heard
            # what waits for a result may wait in vain
            if case.recomputing is not None and case.recomputing.done():
                known = case.recomputing.result()
            else:
                known = await self._auditor.recompute(view, deal.inputs, dealt)
            named = await self._arbiter.judge_dealt(view, ends, known)
            await self._fail(view, FailReason.TRANSCRIPTS_DIFFER, named)
        await context.ledger.until(view.query, partial(_has_left, view.attempt))

    async def _recompute(self, view: QueryView, inputs: Mapping[MemberIndex, AuditedInput], dealt: Dealt) -> Recomputed:
        """Work out what an attempt must lead to, once the first of its nodes is done: until then dealing goes first."""
        ledger, blobs = self._context.ledger, self._context.blobs
        waits = [_settled(ledger.until(view.query, partial(_has_result, view.attempt)))]
        if view.terms.subjects > 1:
            labels = [
                BlobLabel(query=view.query, attempt=view.attempt, kind=BlobKind.OUTPUT, author=node)
                for node in view.committee
            ]
            waits += [_settled(blobs.whole(label)) for label in labels]
        await first_of(*waits)
        return await self._auditor.recompute(view, inputs, dealt)

    def _open_inputs(self, view: QueryView, case: Case) -> AttemptInputs:
        """Begin to open and check an attempt's inputs, all but its subjects."""
        keys = self._keys.of(view, self._context.epoch_of(view))
        return case.open_inputs(self._context, keys, view)

    async def _gather_blobs(self, view: QueryView, case: Case, inputs: AttemptInputs) -> None:
        """Wait for what many subjects' identifiers and rows are in.

        Raises:
            InputsRejectedError: it does not arrive in time; it names whose.
        """
        if view.terms.subjects == 1:
            return
        waits: dict[int, _Wait] = {}
        if not case.subjects.done():
            waits[NOBODY] = partial(self._held, _identifiers_label(view))
        waits |= {member: partial(inputs.held, member) for member in view.commitments}
        await self._in_time(view, waits)

    async def _held(self, label: BlobLabel) -> None:
        await self._context.blobs.whole(label)

    async def _in_time(self, view: QueryView, waits: Mapping[int, _Wait]) -> None:
        """Wait for blobs, by author.

        Raises:
            InputsRejectedError: one does not arrive in time; it names whose.
        """
        by = asyncio.get_running_loop().time() + self._context.timing.of(view.terms.subjects).preparation / 2000
        for author, arrival in waits.items():
            try:
                async with asyncio.timeout_at(by):
                    await arrival()
            except TimeoutError as error:
                kind = BlobKind.IDENTIFIERS if author == NOBODY else BlobKind.ROWS
                missing = InputError(f"{kind.name}: expected a whole blob in time", AuditStage.ENVELOPE)
                raise InputsRejectedError(author, missing) from error

    def _dealt(self, view: QueryView) -> Dealt:
        """Make an attempt's deal: the same one whenever it is made."""
        context = self._context
        batch = batch_of(context, view)
        return deal_session(context.chain, self._master, session_of(view), view.committee, batch)

    async def _reject(self, view: QueryView, error: InputsRejectedError) -> None:
        """Reject a contribution; a bad copy of the inquirer's is nobody's contribution and fails every attempt."""
        if error.participant == NOBODY:
            await self._fail(view, FailReason.ABORT)
            return
        call = Call(
            method="queries.reject_input",
            values=(view.query, view.attempt, error.participant, self._next_order(view)),
            expiry_ms=view.deadline,
        )
        await settle(self._context, call, view.query, _MOVED_ON)

    async def _fail(self, view: QueryView, reason: FailReason, members: Sequence[MemberIndex] = ()) -> None:
        """Fail an attempt because of some members."""
        waited = bitmap(members)
        _log.warning("attempt.failed", attempt=view.attempt, reason=reason.name, members=members)
        call = Call(
            method="queries.fail_attempt",
            values=(view.query, view.attempt, int(reason), waited, self._next_order(view, waited)),
            expiry_ms=view.deadline,
        )
        await settle(self._context, call, view.query, _MOVED_ON)

    def _next_order(self, view: QueryView, waited: Bitmap = NO_MEMBERS) -> Sequence[MemberIndex]:
        """The pool of the next attempt's committee, in the order that the contract checks."""
        context = self._context
        return pool_order(
            view.query,
            view.attempt + 1,
            context.members.values(),
            excluded=view.excluded | waited,
            panel=view.panel,
            companies_min=context.committee_companies_min,
        )

    async def _audit(self, view: QueryView, case: Case) -> None:
        """Attest a result. Where a mask is released, what was once made for the ledger is all that is ever sent."""
        if self._context.correlations.is_joint:
            await self._audit_outcome(view, case)
            return
        release = await self._kept_release(view)
        if release is not None:
            await self._attest_release(view, release)
            return
        if case.recomputing is not None and case.session == view.session:
            known = await case.recomputing
        else:  # after a restart
            try:
                if await self._has_lost_inputs(view):
                    return
                await case.accept_subjects()
                inputs, dealt = await self._open_inputs(view, case).checked(), self._dealt(view)
            except InputsRejectedError as error:
                await self._attest(view, rejected(error))
                return
            known = await self._auditor.recompute(view, inputs, dealt)
        finding = await self._auditor.audit(view, known)
        if finding.verdict is Verdict.MATCH and view.mode is AuditMode.BEFORE_RELEASE:
            await self._attest_release(view, await self._release(view, known))
        else:
            await self._attest(view, finding)

    async def _audit_outcome(self, view: QueryView, case: Case) -> None:
        """Attest a result whose correlations the committee made: what its messages had to be, nobody else knows."""
        context = self._context

        def work(inputs: Mapping[MemberIndex, AuditedInput]) -> Finding:
            batch = batch_of(context, view)
            rows = ContributedRows(view, layout_of(context, view), batch, inputs, context.blobs)
            stated = joint_hash(context.chain, session_of(view), context.correlations)
            keys = self._keys.of(view, context.epoch_of(view))
            return audit_outcome(keys, view, batch=batch, rows=rows, joint_hash=stated, blobs=context.blobs)

        try:
            if await self._has_lost_inputs(view):
                return
            await case.accept_subjects()
            inputs = await self._open_inputs(view, case).checked()
            finding = await asyncio.to_thread(work, inputs)
        except InputsRejectedError as error:
            finding = rejected(error)
        await self._attest(view, finding)

    async def _has_lost_inputs(self, view: QueryView) -> bool:
        """Whether what many subjects' identifiers and rows are in is here no more; then nobody is judged by it.

        Who contributed had this daemon's word that it holds them, before it committed to anything.
        """
        if view.terms.subjects == 1:
            return False
        labels: dict[int, BlobLabel] = {NOBODY: _identifiers_label(view)}
        labels |= {member: _rows_label(view, member) for member in view.commitments}
        try:
            await self._in_time(view, {author: partial(self._held, label) for author, label in labels.items()})
        except InputsRejectedError as error:
            _log.error("audit.inputs_lost", member=error.participant, reason=str(error))
            await self._attest(view, Finding(verdict=Verdict.INCOMPLETE, stage=AuditStage.ENVELOPE))
            return True
        return False

    async def _attest(self, view: QueryView, finding: Finding, release: bytes = b"") -> None:
        stage, where = finding.stage.name, {"chunk": finding.chunk, "round": finding.round}
        _log.info("audit.done", verdict=finding.verdict.name, member=finding.member, stage=stage, **where)
        if finding.verdict is view.verdict:
            return  # INCOMPLETE still: a second one would say nothing, and nothing could replace it
        rounds = len(batch_of(self._context, view).whole.round_bytes)
        said = (int(finding.verdict), finding.member, int(finding.stage), finding.place(rounds), release)
        call = Call(
            method="queries.attest",
            values=(view.query, view.attempt, *said),
            expiry_ms=self._context.soon(),
        )
        await settle(self._context, call, view.query, _MOVED_ON)

    async def _kept_release(self, view: QueryView) -> bytes | None:
        """The release that was made for a query before, if one was.

        Raises:
            LocalError: it was made for another session; a second one is never made.
        """
        kept = await self._context.journal.get(_RELEASE, view.query)
        if kept is None:
            return None
        if kept[:_SESSION_BYTES] != view.session:
            raise LocalError(f"query {view.query.hex()}: expected no second release of a mask, got another session")
        return kept[_SESSION_BYTES:]

    async def _release(self, view: QueryView, known: Recomputed) -> bytes:
        """Make the release of a query, once and durably, before anybody sees it."""
        context = self._context
        mask = known.honest.mask
        if view.terms.subjects > 1:
            label, key = _mask_label(context, view), context.random(KEY_BYTES)
            until = kept_until(label.kind, view.deadline)
            manifest = await create_when_room(context, label, key, lambda: (known.honest.mask,), until)
            mask = encode_reference(BlobReference(blob=manifest.blob, key=key))
        sealed = seal_release(
            replace(self._signed_release(view, known), mask=mask),
            view.terms.result_key,
            context.epoch_of(view),
            context.random(RELEASE_SECRET_BYTES),
        )
        if not await context.journal.put_once(_RELEASE, view.query, known.session + sealed):
            raise LocalError(f"query {view.query.hex()}: expected no second release of a mask, got one at once")
        return sealed

    async def _attest_release(self, view: QueryView, release: bytes) -> None:
        """Attest a match once the desk holds the mask of many subjects' outputs: else nobody could open the answer."""
        if view.terms.subjects > 1:
            manifest = await self._context.blobs.whole(_mask_label(self._context, view))
            if not await send_blob(self._context, view.query, self._context.operator, manifest.blob):
                await self._context.ledger.until(view.query, lambda now: not _waits_for_audit(now))
                return
        await self._attest(view, _MATCH, release)

    def _signed_release(self, view: QueryView, known: Recomputed) -> Release:
        salt = self._context.random(SALT_BYTES)
        stated = encode_release_statement(
            ReleaseStatement(
                chain=self._context.chain,
                query=view.query,
                attempt=view.attempt,
                session=known.session,
                transcript_hash=known.honest.transcript,
                masked_hash=masked_hash(known.session, known.honest.output, salt),
            )
        )
        return Release(statement=stated, signature=self._context.sign(stated), salt=salt, mask=known.honest.mask)
