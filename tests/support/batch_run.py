"""A session about many subjects in one process: nodes, dealer and auditor as daemons run them, without a ledger."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from ledger.types import Digest
from mpcnode.mpc import Batch, Payload, join_output
from mpcnode.query.blame import Deviation
from mpcnode.query.frames import encode_shown
from mpcnode.query.messages import Kind, decode_recall
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import Recomputed
from mpcnode.roles.auditor import Auditor
from mpcnode.roles.chunks import ChunkedRun, OutputInMemory, Part
from mpcnode.roles.context import Context
from mpcnode.roles.corrections import Corrections
from mpcnode.roles.dealing import deal_session
from mpcnode.roles.deals import Deals
from mpcnode.roles.evidence import Evidence, EvidenceShelf
from mpcnode.roles.ports import CorrectionsDealer, DealtCorrections, Handler
from mpcnode.roles.tracing import Tracer
from mpcnode.scorecard import compile_batch, encode_output, evaluate_many
from mpcnode.types import AuditMode, MemberIndex, QueryId, Rank, SessionId
from tests.support.chunks import Rows, cut_rows, draw_columns, shares_of
from tests.support.consortium import NODES, REGULATOR, Setting, build_context, layout, seed
from tests.support.fake_ledger import LoopClock
from tests.support.fake_peers import MemoryJournal, Network

SETTING = Setting(audit=AuditMode.BEFORE_RELEASE)
LAYOUT = layout(SETTING.model)
SESSION = SessionId(seed("session of a batch"))


class BatchRows:
    """`auditing.AuditedRows` of drawn columns."""

    def __init__(self, batch: Batch) -> None:
        columns = draw_columns(LAYOUT, batch.subjects, batch.subjects)
        self._clear: Sequence[Rows] = cut_rows(LAYOUT, batch, columns)
        self._shares = shares_of(batch, "batch", self._clear)
        outcomes = evaluate_many(LAYOUT, columns, batch.subjects)
        self._outputs = [
            b"".join(encode_output(LAYOUT.model, outcomes.at(LAYOUT.model, n)) for n in batch.subjects_of(chunk))
            for chunk in range(batch.chunks)
        ]

    def clear(self, chunk: int) -> Sequence[bytes | None]:
        return self._clear[chunk]

    def shares(self, chunk: int) -> Sequence[Sequence[bytes | None]]:
        return self._shares[chunk]

    def output(self, chunk: int) -> bytes:
        return self._outputs[chunk]


@dataclass(frozen=True)
class NodeRows:
    """`chunks.ShareRows` of one node."""

    rows_of_all: BatchRows
    rank: int
    seen: Callable[[int], None] = lambda _: None

    def rows(self, chunk: int) -> Sequence[bytes | None]:
        self.seen(chunk)
        return self.rows_of_all.shares(chunk)[self.rank]


@dataclass
class Watched(CorrectionsDealer):
    """A dealer's answers, changed where a test wants it."""

    honest: CorrectionsDealer
    change: Callable[[int, DealtCorrections], DealtCorrections | None] = lambda _, dealt: dealt
    asked: list[int] = field(default_factory=list)

    async def ready(self, session: SessionId, chunk: int) -> bool:
        return await self.honest.ready(session, chunk)

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        self.asked.append(chunk)
        dealt = await self.honest.corrections(node, session, chunk)
        assert dealt is not None
        changed = self.change(chunk, dealt)
        if changed is None:
            await asyncio.Event().wait()
        return changed


class BatchWorld:
    """Everybody who takes part."""

    def __init__(self, subjects: int, *, chunk_subjects: int, window: int = 4) -> None:
        self.batch = compile_batch(LAYOUT, len(NODES), subjects, chunk_subjects=chunk_subjects, window=window)
        self.rows = BatchRows(self.batch)
        self.consortium = SETTING.consortium()
        self.network = Network(self.consortium.chain, self.consortium.members, self._handlers, lambda _: self.answers)
        self.contexts: Mapping[int, Context] = {index: self._context(index) for index in (*NODES, REGULATOR)}
        self.dealt = deal_session(self.consortium.chain, seed("master"), SESSION, NODES, self.batch)
        self.deals = Deals(self.contexts[REGULATOR])
        self.answers = Watched(self.deals)
        self.tracer = Tracer(self.contexts[REGULATOR])
        self.auditor = Auditor(self.contexts[REGULATOR], cast("Any", None), self.tracer)
        self.shelves = {node: EvidenceShelf() for node in NODES}
        self.outputs = {node: OutputInMemory() for node in NODES}
        self.seen: Callable[[int, int], None] = lambda _node, _chunk: None
        self.by_s = 5.0
        """When the first chunk must have ended."""

    def _context(self, index: int) -> Context:
        return build_context(
            self.consortium,
            SETTING.model,
            index,
            ledger=cast("Any", None),
            peers=self.network.port(index),
            blobs=cast("Any", None),
            journal=MemoryJournal(),
            clock=LoopClock(),
        )

    def _handlers(self, index: int) -> Mapping[Kind, Handler]:
        async def recalled(sender: MemberIndex, payload: bytes) -> None:
            shown = self.shelves[MemberIndex(index)].shown(SESSION, decode_recall(payload).first)
            await self.network.deliver(index, sender, Kind.FRAMES, encode_shown(shown))

        return {Kind.FRAMES: self.tracer.on_frames} if index == REGULATOR else {Kind.RECALL: recalled}

    async def node(self, node: MemberIndex) -> Digest:
        """Run one node's part; its transcript."""
        context, rank = self.contexts[node], NODES.index(node)
        others = tuple(other for other in NODES if other != node)
        corrections = Corrections(context, self.batch, SESSION) if node == NODES[-1] else None
        part = Part(
            batch=self.batch,
            session=SESSION,
            rank=Rank(rank),
            others={other: Rank(NODES.index(other)) for other in others},
            dealer=REGULATOR,
            seed=self.dealt.seeds[rank],
            rows=NodeRows(self.rows, rank, lambda chunk: self.seen(node, chunk)),
            corrections=corrections,
        )
        async with context.peers.rounds(SESSION, others) as channel:
            evidence = Evidence(
                QueryId(seed("query")), channel, corrections or Corrections(context, self.batch, SESSION)
            )
            self.shelves[node].keep(SESSION, evidence)
            if corrections is not None:
                corrections.ask(0)
            by = asyncio.get_running_loop().time() + self.by_s
            try:
                transcript, _ = await ChunkedRun(part, evidence, self.outputs[node], context, by).run()
            finally:
                evidence.corrections.give_up()
            return transcript

    async def run(self) -> Mapping[MemberIndex, Digest | Exception]:
        """Run all nodes; how each ended."""
        with self.deals.running(self.dealt) as passed:
            passed(self.batch.chunks)
            ends = await asyncio.gather(*(self.node(node) for node in NODES), return_exceptions=True)
        for end in ends:
            if not isinstance(end, bytes | Exception):
                raise end
        return cast("Mapping[MemberIndex, Digest | Exception]", dict(zip(NODES, ends, strict=True)))

    async def audited(self) -> Recomputed:
        """What an honest session leads to."""
        return await self.auditor.recompute_rows(self.dealt, self.rows)

    async def traced(self, transcript: Digest, known: Recomputed) -> Deviation | None:
        """Whom the nodes' evidence names after a transcript that all signed."""
        return await self.auditor.trace(self.view(transcript), known)

    def view(self, transcript: Digest) -> QueryView:
        """What tracing looks at of a posted result."""
        result = SimpleNamespace(ends=[SimpleNamespace(transcript_hash=transcript)] * len(NODES))
        return cast("QueryView", SimpleNamespace(query=QueryId(seed("query")), committee=NODES, result=result))

    def unmasked(self, known: Recomputed) -> bytes:
        """What the nodes' shares make, the mask taken off."""
        return join_output([*(self.outputs[node].share for node in NODES), known.honest.mask])


def every(network: Network, change: Callable[[int, Payload], Payload | None]) -> None:
    """Change or drop every frame by its sender."""
    send = network.frame

    def frame(me: int, to: int, session: SessionId, payload: Payload) -> None:
        changed = change(me, payload)
        if changed is not None:
            send(me, to, session, changed)

    network.frame = frame  # type: ignore[method-assign]
