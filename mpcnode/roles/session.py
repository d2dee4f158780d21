"""One attempt at one MPC node: from COMPUTING on the ledger to the signed ends of the whole committee.

Gather the shares and the deal, check both, accept and journal the session; when everybody has accepted, run it; seal
the own output share, sign the end, and gather the others'. Whatever goes wrong is an `AttemptFailedError` that says why
and because of whom, where this node knows; the session's randomness is never used again.
"""

import asyncio
import hashlib
import hmac
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn

import structlog

from ledger.types import Digest
from mpcnode.errors import (
    DealError,
    PeerLostError,
    RequestError,
    SealedBoxError,
    SessionError,
    ShareError,
    WrongSignatureError,
)
from mpcnode.mpc import SEED_BYTES, Batch
from mpcnode.mpc.stock import Stock
from mpcnode.query.frames import Shown
from mpcnode.query.messages import Abort, Accept, End, Kind, Shares, encode_abort, encode_accept, encode_end
from mpcnode.query.statements import (
    AcceptStatement,
    EndStatement,
    SharesStatement,
    decode_deal_statement,
    decode_end_statement,
    encode_accept_statement,
    encode_end_statement,
    encode_shares_statement,
)
from mpcnode.query.view import QueryView
from mpcnode.roles.bodies import await_rows, hand_over
from mpcnode.roles.chunks import ChunkedRun, OutputInMemory, Part, RowStream, begins_inline
from mpcnode.roles.context import Context, Timing, deliver
from mpcnode.roles.corrections import Corrections
from mpcnode.roles.drawing import JointMaterial
from mpcnode.roles.ends import check_boxes, encode_difference, ends_by, session_words
from mpcnode.roles.evidence import Evidence, EvidenceShelf
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.mailbox import Mailbox, share_name
from mpcnode.roles.preparing import Preparation, open_preparation
from mpcnode.roles.programs import batch_of, session_of
from mpcnode.roles.rows import Sent, SharedRows, shares
from mpcnode.roles.stopwatch import Stopwatch
from mpcnode.roles.waiting import collect, now
from mpcnode.sealing.blobs import REFERENCE_BYTES
from mpcnode.sealing.boxes import EPHEMERAL_BYTES, seal
from mpcnode.sealing.commitments import (
    SALT_BYTES,
    OutputShare,
    ShareLabel,
    encode_output,
    opens_share,
    output_commitment,
    seed_hash,
    seeds_hash,
    statement_hash,
)
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, seal_envelope
from mpcnode.sealing.keys import check_signature
from mpcnode.tasks import first_of
from mpcnode.types import FailReason, MemberIndex, QueryId, Rank, SessionId, members_of

_log = structlog.get_logger(__name__)

_STARTED = "started"
"""Journal: sessions whose first frame may have left."""

_END = "end"
"""Journal: own ends, by session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What everybody derives from the ledger about an attempt."""

    view: QueryView
    session: SessionId
    batch: Batch
    timing: Timing
    rank: Rank
    others: tuple[MemberIndex, ...]
    """The rest of the committee, in rank order."""
    watch: Stopwatch

    @property
    def is_last(self) -> bool:
        """Whether this node receives corrections."""
        return self.rank == len(self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a session leads to at one node."""

    deal_hash: Digest
    transcript: Digest
    share: bytes = field(repr=False)
    """Of the output, of all subjects in turn."""


class SessionRunner:
    """Runs attempts at this node."""

    def __init__(self, context: Context, mailbox: Mailbox, stock: Stock) -> None:
        """Take the role's context, where messages arrive, and correlations that were made in advance."""
        self._context = context
        self._mailbox = mailbox
        self._stock = stock
        self._evidence = EvidenceShelf()

    async def run(self, view: QueryView, sends: asyncio.TaskGroup) -> tuple[End, ...]:
        """Run an attempt; return everybody's end in rank order.

        Args:
            view: the query, COMPUTING.
            sends: owns deliveries, which may outlast the attempt.

        Raises:
            AttemptFailedError: it cannot be completed.
        """
        watch = Stopwatch()
        _log.info("session.began", session=view.session, attempt=view.attempt)
        plan = self._plan(view, watch)
        aborts = [self._watch_abort(plan, member) for member in plan.others]
        try:
            return await first_of(self._attempt(plan, sends), *aborts, self._watch_recall(plan))
        except AttemptFailedError as failure:
            if not failure.by_peer:
                self._tell_abort(plan, failure, sends)
            raise
        finally:
            self._mailbox.forget(view.query, view.attempt, plan.session)

    def shown(self, session: SessionId, first: int) -> Shown:
        """What is kept of what arrived in a session, from a chunk on; nothing if it is too long ago."""
        return self._evidence.shown(session, first)

    def query_of(self, session: SessionId) -> QueryId | None:
        """The query of a session of which something is kept."""
        return self._evidence.query_of(session)

    def is_running(self, session: SessionId) -> bool:
        """Whether frames of a session are taken here."""
        return self._evidence.is_running(session)

    def _plan(self, view: QueryView, watch: Stopwatch) -> _Plan:
        context = self._context
        return _Plan(
            view=view,
            session=session_of(view),
            batch=batch_of(context, view),
            timing=context.timing.of(view.terms.subjects),
            rank=Rank(view.committee.index(context.me.index)),
            others=tuple(member for member in view.committee if member != context.me.index),
            watch=watch,
        )

    async def _watch_abort(self, plan: _Plan, member: MemberIndex) -> NoReturn:
        abort = await self._mailbox.aborts.take(member, plan.session)
        why = f"member {member} ended the session ({abort.reason})"
        is_judged = abort.reason == FailReason.TRANSCRIPTS_DIFFER
        raise AttemptFailedError(FailReason.ABORT, why, (member,), by_peer=True, is_judged=is_judged)

    async def _watch_recall(self, plan: _Plan) -> NoReturn:
        """End a session of which the supervisor asks what arrived: its transcripts differ."""
        supervisor = self._context.dealer
        await self._mailbox.recalls.take(supervisor, plan.session)
        why = f"member {supervisor} asked what arrived, and did not say in time who deviated"
        raise AttemptFailedError(FailReason.TRANSCRIPTS_DIFFER, why, (supervisor,), by_peer=True, is_judged=True)

    def _tell_abort(self, plan: _Plan, failure: AttemptFailedError, sends: asyncio.TaskGroup) -> None:
        payload = encode_abort(Abort(session=plan.session, reason=failure.reason))
        for member in plan.others:
            sends.create_task(deliver(self._context, plan.view.query, member, Kind.ABORT, payload))

    async def _attempt(self, plan: _Plan, sends: asyncio.TaskGroup) -> tuple[End, ...]:
        corrections = Corrections(self._context, plan.batch, plan.session)
        try:
            async with (
                self._context.peers.rounds(plan.session, plan.others) as channel,
                open_preparation(self._context, plan.view, plan.session) as preparation,
            ):
                evidence = Evidence(plan.view.query, channel, corrections)
                self._evidence.keep(plan.session, evidence)
                joint = self._joint_material(plan, preparation)
                try:
                    computed, by = await self._prepare_and_compute(plan, evidence, joint, sends)
                finally:
                    corrections.give_up()
                    self._evidence.settle(plan.session)
        except PeerLostError as error:
            raise AttemptFailedError(FailReason.ABORT, str(error), error.members) from error
        except DealError as error:
            raise AttemptFailedError(FailReason.ABORT, str(error), (self._context.dealer,)) from error
        except SessionError as error:
            raise AttemptFailedError(FailReason.ABORT, str(error)) from error
        if plan.batch.subjects > 1:
            by = now() + plan.timing.computation / 1000
        end = self._seal(plan, await self._hand_over(plan, computed, by))
        payload = encode_end(end)
        await self._context.journal.put_once(_END, plan.session, payload)
        for member in plan.others:
            sends.create_task(deliver(self._context, plan.view.query, member, Kind.END, payload))
        return await self._gather_ends(plan, end, sends, ends_by(by, plan.timing, plan.batch))

    def _joint_material(self, plan: _Plan, preparation: Preparation | None) -> JointMaterial | None:
        """Where the session's correlations come from; None if a dealer deals them."""
        if preparation is None:
            return None
        return JointMaterial(self._context, plan.view, preparation, self._stock, self._mailbox.draws)

    async def _prepare_and_compute(
        self, plan: _Plan, evidence: Evidence, joint: JointMaterial | None, sends: asyncio.TaskGroup
    ) -> tuple[Computed, float]:
        """Run everything up to the own output share; return also when the rounds had to end.

        Each stage may wait longer than the one before, so that a node that waits is heard of before it is blamed.
        """
        timing, watch = plan.timing, plan.watch
        by, notice = now() + timing.preparation / 1000, timing.notice / 1000
        corrections = evidence.corrections if plan.is_last and joint is None else None
        if corrections is not None:
            corrections.ask(0)
        if joint is not None:
            joint.begin(sends)
        sent = await self._gather_shares(plan, by)
        watch.lap("shares_s")
        rows = RowStream(self._rows(plan, sent))
        if not begins_inline(plan.batch):  # so the worker thread reads, now and when chunks begin
            ahead = partial(rows.read_ahead, plan.batch.window)
            sends.create_task(self._context.worker.run(ahead), name="rows ahead")
        seed, deal_hash = (b"", await joint.accepts(by)) if joint else await self._take_deal(plan, by)
        if corrections is not None:
            await self._await_corrections(corrections, by)
        watch.lap("deal_s")
        starting = sends.create_task(self._context.journal.put_once(_STARTED, plan.session, b""), name="started")
        # however slow the disk is: who does not accept is named in time, and who ends the session is heeded
        await self._accept(plan, deal_hash, joint, sends, by + notice)
        watch.lap("accepts_s")
        if not await starting:
            raise SessionError(f"session {plan.session.hex()}: was started before this daemon restarted")
        watch.lap("journal_s")
        part = Part(
            batch=plan.batch,
            session=plan.session,
            rank=plan.rank,
            others={member: Rank(plan.view.committee.index(member)) for member in plan.others},
            dealer=self._context.dealer,
            seed=seed,
            rows=rows,
            corrections=corrections,
            made=joint,
        )
        output = OutputInMemory()
        by = max(by + 2 * notice, now() + self._context.timing.computation / 1000)
        try:
            transcript, by = await ChunkedRun(part, evidence, output, self._context, by).run()
        except AttemptFailedError as failure:
            if joint is None:
                raise
            raise await joint.who_kept_waiting(failure) from failure
        watch.lap("rounds_s")
        batch, about = plan.batch, {"session": plan.session, "seconds": watch.seconds, **watch.stages}
        rounds = len(batch.whole.round_bytes)
        _log.info("session.outputs_formed", subjects=batch.subjects, chunks=batch.chunks, rounds=rounds, **about)
        ended = deal_hash if joint is None else joint.made_now
        return Computed(deal_hash=ended, transcript=transcript, share=output.share), by

    async def _gather_shares(self, plan: _Plan, by: float) -> Mapping[MemberIndex, bytes]:
        """Wait for every contributor's share, and check that it opens its commitment; the last node has their blobs."""
        view = plan.view
        name = share_name(view.query, view.attempt)
        waits = {member: self._mailbox.shares.take(member, name) for member in view.commitments}
        arrived = await collect("shares", waits, by)
        for member, share in arrived.items():
            try:
                self._check_share(plan, member, share)
            except (ShareError, WrongSignatureError) as error:
                raise AttemptFailedError(FailReason.BAD_SHARE, str(error), (member,)) from error
        sent = {member: share.sent for member, share in arrived.items()}
        if plan.is_last and plan.batch.subjects > 1:
            await await_rows(self._context, view, plan.batch, sent, by)
        return sent

    def _rows(self, plan: _Plan, sent: Mapping[MemberIndex, bytes]) -> Iterator[Sequence[bytes | None]]:
        """This node's share of every chunk's rows, in panel order."""
        view, batch = plan.view, plan.batch
        streams: list[Iterator[bytes | None]] = []
        for seat, member in enumerate(members_of(view.panel)):
            if member not in sent:
                streams.append(itertools.repeat(None, batch.chunks))
                continue
            rows = SharedRows(
                query=view.query, attempt=view.attempt, participant=member, seat=seat, committee=view.committee
            )
            given = Sent(rows=rows, rank=plan.rank, body=sent[member])
            streams.append(_blaming(member, shares(batch, given, self._context.blobs)))
        return zip(*streams, strict=True)

    def _check_share(self, plan: _Plan, participant: MemberIndex, share: Shares) -> None:
        """Check that what a participant sent is signed by it, opens its commitment, and has its length.

        Raises:
            WrongSignatureError, ShareError: it does not.
        """
        view, chain, me = plan.view, self._context.chain, self._context.me.index
        commitment = view.commitments[participant][plan.rank]
        stated = encode_shares_statement(
            SharesStatement(
                chain=chain,
                query=view.query,
                attempt=view.attempt,
                participant=participant,
                node=me,
                commitment=commitment,
            )
        )
        identity = self._context.members[participant].identity
        check_signature(identity, stated, share.signature, f"shares of member {participant}")
        label = ShareLabel(chain=chain, query=view.query, attempt=view.attempt, participant=participant, node=me)
        if not opens_share(label, share.sent, share.salt, commitment):
            raise ShareError(f"member {participant}: its share does not open its commitment on the ledger")
        size = SEED_BYTES
        if plan.is_last:
            seat = tuple(members_of(view.panel)).index(participant)
            size = REFERENCE_BYTES if plan.batch.subjects > 1 else plan.batch.program(0).body.rows[seat].size
        if len(share.sent) != size:
            raise ShareError(f"member {participant}: expected {size} bytes as its share, got {len(share.sent)}")

    async def _take_deal(self, plan: _Plan, by: float) -> tuple[bytes, Digest]:
        """Wait for the deal and check it against its record; return the own seed and the record's hash."""
        dealer = self._context.dealer
        waits = {dealer: self._mailbox.deals.take(dealer, plan.session)}
        deal = (await collect("deal", waits, by))[dealer]
        stated = decode_deal_statement(deal.statement)
        me = self._context.me.index
        own_hash = seed_hash(plan.session, me, deal.seed, deal.salt)
        if len(deal.seed_hashes) != len(plan.view.committee) or deal.seed_hashes[plan.rank] != own_hash:
            raise DealError("deal: expected the own seed's hash at the own rank, got another one")
        if stated.seeds_hash != seeds_hash(deal.seed_hashes) or stated.correcting != plan.view.committee[-1]:
            raise DealError("deal: expected the record of these seed hashes and of the last node, got another one")
        if stated.chunks != plan.batch.chunks:
            raise DealError(f"deal: expected the record of {plan.batch.chunks} chunks, got one of {stated.chunks}")
        return deal.seed, statement_hash(deal.statement)

    async def _await_corrections(self, corrections: Corrections, by: float) -> None:
        """Wait for the first chunk's: who accepts a deal can begin."""
        try:
            async with asyncio.timeout_at(by):
                await corrections.prepare(0)
        except TimeoutError as error:
            dealer = self._context.dealer
            why = f"corrections: no word from members {[dealer]} in time"
            raise AttemptFailedError(FailReason.TIMEOUT, why, (dealer,)) from error

    async def _accept(
        self, plan: _Plan, deal_hash: Digest, joint: JointMaterial | None, sends: asyncio.TaskGroup, by: float
    ) -> None:
        """Tell committee and dealer that everything is in order here, and wait until all the committee says so."""
        context, query = self._context, plan.view.query
        stated = encode_accept_statement(
            AcceptStatement(chain=context.chain, session=plan.session, deal_hash=deal_hash)
        )
        payload = encode_accept(Accept(statement=stated, signature=context.sign(stated)))
        for member in (*plan.others, context.dealer):
            sends.create_task(deliver(context, query, member, Kind.ACCEPT, payload))
        waits = {member: self._mailbox.accepts.take(member, plan.session) for member in plan.others}
        accepted = await collect("accepts", waits, by)
        if joint is not None:
            joint.heed(accepted)
            return
        for member, accepted_hash in accepted.items():
            if accepted_hash != deal_hash:
                # one of the two lies: who dealt two deals, or who accepts one that was not dealt
                why = f"member {member}: accepted another deal than member {context.dealer} dealt here"
                raise AttemptFailedError(FailReason.ABORT, why, (member, context.dealer))

    async def _hand_over(self, plan: _Plan, computed: Computed, by: float) -> Computed:
        """Put the output share of many subjects where it is fetched; what is sealed instead is its reference."""
        if plan.batch.subjects == 1:
            return computed
        return replace(computed, share=await hand_over(self._context, plan.view, computed.share, by))

    def _seal(self, plan: _Plan, computed: Computed) -> End:
        """Seal the own output share to inquirer and supervisor, and sign the end."""
        context, view = self._context, plan.view
        me, salt = context.me.index, context.random(SALT_BYTES)
        output = OutputShare(query=view.query, session=plan.session, node=me, salt=salt, share=computed.share)
        plaintext = encode_output(output)
        inquirer_box = seal(plaintext, view.terms.result_key, context.random(EPHEMERAL_BYTES))
        supervisor_box = seal_envelope(plaintext, context.epoch_of(view), context.random(ENVELOPE_SECRET_BYTES))
        stated = encode_end_statement(
            EndStatement(
                chain=context.chain,
                query=view.query,
                attempt=view.attempt,
                session=plan.session,
                deal_hash=computed.deal_hash,
                transcript_hash=computed.transcript,
                output_commitment=output_commitment(plan.session, me, computed.share, salt),
                inquirer_box_hash=Digest(hashlib.sha256(inquirer_box).digest()),
                supervisor_box_hash=Digest(hashlib.sha256(supervisor_box).digest()),
            )
        )
        return End(
            statement=stated,
            signature=context.sign(stated),
            inquirer_box=inquirer_box,
            supervisor_box=supervisor_box,
        )

    async def _gather_ends(self, plan: _Plan, own: End, sends: asyncio.TaskGroup, by: float) -> tuple[End, ...]:
        """Wait for the others' ends and check that they are ends of the same session."""
        waits = {member: self._mailbox.ends.take(member, plan.session) for member in plan.others}
        ends = await collect("ends", waits, by)
        mine = decode_end_statement(own.statement)
        for member, end in ends.items():
            theirs = decode_end_statement(end.statement)
            if session_words(theirs) != session_words(mine):
                why = f"member {member}: signed the end of something else"
                raise AttemptFailedError(FailReason.ABORT, why, (member,))
            if not hmac.compare_digest(theirs.transcript_hash, mine.transcript_hash):
                # a third member may have sent the two of them different frames: the supervisor finds out
                payload = encode_difference(own, member, end)
                sends.create_task(deliver(self._context, plan.view.query, self._context.dealer, Kind.DIFFER, payload))
                why = f"member {member}: opened other values, and member {self._context.dealer} did not say in time why"
                raise AttemptFailedError(FailReason.TRANSCRIPTS_DIFFER, why, (self._context.dealer,), is_judged=True)
            check_boxes(member, end, own, theirs)
        return tuple(own if member == self._context.me.index else ends[member] for member in plan.view.committee)


def _blaming(participant: MemberIndex, rows: Iterator[bytes]) -> Iterator[bytes]:
    """Rows whose faults are their participant's."""
    try:
        yield from rows
    except (ShareError, SealedBoxError, RequestError) as error:
        raise AttemptFailedError(FailReason.BAD_SHARE, f"member {participant}: {error}", (participant,)) from error
