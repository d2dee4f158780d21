"""The auditor's work on one result: recompute it, judge it, and find out who deviated; chunk by chunk, off the loop."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog

from mpcnode.query.audit import AuditedInput, Finding
from mpcnode.query.blame import Deviation, Trace, admitted_chunks, first_admitted
from mpcnode.query.frames import SHOWN_CHUNKS, Shown
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import (
    AuditedRows,
    Auditing,
    AuditKeyring,
    ContributedRows,
    Recomputed,
    audit_result,
    expected_chunk,
    recompute_chunks,
    recomputed,
    rehearsed,
)
from mpcnode.roles.context import Context
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.programs import layout_of
from mpcnode.roles.stopwatch import Stopwatch
from mpcnode.roles.tracing import Tracer
from mpcnode.types import NOBODY, AuditStage, MemberIndex, Verdict

_log = structlog.get_logger(__name__)


class Auditor:
    """Recomputes and judges."""

    def __init__(self, context: Context, keys: AuditKeyring, tracer: Tracer) -> None:
        """Take the role's context, the audit keys, and who asks nodes for evidence."""
        self._context = context
        self._keys = keys
        self._tracer = tracer

    async def recompute(self, view: QueryView, inputs: Mapping[MemberIndex, AuditedInput], dealt: Dealt) -> Recomputed:
        """Work out what an attempt must lead to."""
        layout, blobs = layout_of(self._context, view), self._context.blobs
        return await self.recompute_rows(dealt, ContributedRows(view, layout, dealt.batch, inputs, blobs))

    async def recompute_rows(self, dealt: Dealt, rows: AuditedRows) -> Recomputed:
        """Work out what a session on these rows must lead to."""
        watch, steps = Stopwatch(), recompute_chunks(dealt, rows)
        chunks = [await self._context.worker.run(partial(next, steps)) for _ in range(dealt.batch.chunks)]
        known = recomputed(dealt, rows, chunks)
        watch.lap("recomputed")
        _log.info("audit.recomputed", session=dealt.session, subjects=dealt.batch.subjects, seconds=watch.seconds)
        return known

    async def audit(self, view: QueryView, known: Recomputed) -> Finding:
        """Judge a posted result; where it is wrong, say who deviated, as far as anything shows it."""
        context, watch = self._context, Stopwatch()
        keys = self._keys.of(view, context.epoch_of(view))
        judged = partial(audit_result, keys, view, known, Auditing(context.dealer, context.blobs))
        finding = await context.worker.run(judged)
        watch.lap("judged")
        _log.info("audit.judged", session=known.session, subjects=known.dealt.batch.subjects, seconds=watch.seconds)
        if (finding.verdict, finding.member) != (Verdict.MISMATCH, NOBODY):
            return finding
        match finding.stage:
            case AuditStage.OUTPUT:
                shares = await self._honest_shares(known)
                return await context.worker.run(partial(judged, shares))
            case AuditStage.TRANSCRIPT:
                return self._named(finding, await self.trace(view, known))
            case _:
                return finding

    async def trace(self, view: QueryView, known: Recomputed) -> Deviation | None:
        """Find out who deviated: by what all have signed, else chunk after chunk by what each one shows."""
        first = await self._tracer.gather(view, known.session, 0, view.committee)
        return await self._admitted(view, known, first) or await self._followed(view, known, first)

    async def _admitted(
        self, view: QueryView, known: Recomputed, first: Mapping[MemberIndex, Shown]
    ) -> Deviation | None:
        """Go straight to the first chunk in which all have admitted to have opened something else."""
        signed = None if view.result is None else view.result.ends[0].transcript_hash
        chunks = None if signed is None else admitted_chunks(known.session, signed, first)
        pairs = zip(chunks or (), known.chunk_hashes, strict=False)
        chunk = next((chunk for chunk, (theirs, right) in enumerate(pairs) if theirs != right), None)
        if chunks is None or chunk is None:
            return None
        page = chunk - chunk % SHOWN_CHUNKS
        shown = await self._tracer.gather(view, known.session, page, tuple(first)) if page else first
        expected = await self._context.worker.run(partial(expected_chunk, known, chunk))
        return first_admitted(expected, known.session, chunks[chunk], shown)

    async def _followed(
        self, view: QueryView, known: Recomputed, first: Mapping[MemberIndex, Shown]
    ) -> Deviation | None:
        """Go through all chunks until the nodes' evidence shows who deviated."""
        trace = Trace(view.committee)
        shown = first
        for chunk in range(known.dealt.batch.chunks):
            if chunk and chunk % SHOWN_CHUNKS == 0:
                # who did not answer once is not waited for again
                shown = await self._tracer.gather(view, known.session, chunk, tuple(shown))
            expected = await self._context.worker.run(partial(expected_chunk, known, chunk))
            found = trace.add(expected, shown)
            if found is not None:
                return found
        return trace.liar()

    def _named(self, finding: Finding, found: Deviation | None) -> Finding:
        if found is None:
            return finding
        if found.member is None:
            return replace(finding, member=self._context.dealer, stage=AuditStage.SESSION, chunk=found.chunk)
        return replace(finding, member=found.member, chunk=found.chunk, round=found.round)

    async def _honest_shares(self, known: Recomputed) -> Mapping[MemberIndex, bytes]:
        """The output shares that honest nodes would have, of all subjects."""
        committee = known.dealt.committee
        shares: dict[MemberIndex, list[bytes]] = {node: [] for node in committee}
        for chunk in range(known.dealt.batch.chunks):
            parts = await self._context.worker.run(partial(rehearsed, known, chunk))
            for node, part in zip(committee, parts, strict=True):
                shares[node].append(part.output)
        return {node: b"".join(of) for node, of in shares.items()}
