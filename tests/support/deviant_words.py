"""Deviations of a node in what it signs: messages, ends and boxes, aborts, transactions; and in what it believes."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nacl.public import Box, PrivateKey, PublicKey

from ledger.types import ChainId, Digest, Height
from mpcnode.errors import PeerRefusedError, RevertedError
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import (
    BOX_BYTES_MAX,
    Abort,
    Accept,
    End,
    Kind,
    decode_accept,
    decode_end,
    encode_abort,
    encode_accept,
    encode_end,
)
from mpcnode.query.statements import (
    AcceptStatement,
    EndStatement,
    decode_accept_statement,
    decode_end_statement,
    encode_accept_statement,
    encode_end_statement,
)
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.roles.ports import Call
from mpcnode.scorecard import Bin, Model
from mpcnode.sealing.boxes import EPHEMERAL_BYTES, seal
from mpcnode.sealing.commitments import OutputShare, decode_output, encode_output, output_commitment
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, seal_envelope
from mpcnode.sealing.messages import SignedMessage, sign_message
from mpcnode.types import Commitment, FailReason, MemberIndex, ModelHash, SealingKey, SessionId
from tests.support.deviation import Deviation, Node, never

OUTPUT_HEAD_BYTES = 32 + 32 + 1 + 32
"""Of an output box before the share: query, session, node, salt."""

# ------------------------------------------------------------------- messages as a whole


class Posted(Deviation):
    """Sends its accept in an envelope that no honest daemon makes; nothing else of it arrives."""

    def __init__(self, change: Callable[[Node, MemberIndex, SignedMessage], SignedMessage]) -> None:
        super().__init__()
        self.change = change

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind != Kind.ACCEPT:
            await node.deliver(to, kind, payload)
            return
        await node.wire.post(to, self.change(node, to, node.signed(to, kind, payload)))


def of_another_sender(node: Node, to: MemberIndex, message: SignedMessage) -> SignedMessage:
    """In another's name, which the channel contradicts."""
    del node
    return replace(message, sender=MemberIndex(to))


def for_another_chain(node: Node, to: MemberIndex, message: SignedMessage) -> SignedMessage:
    """Signed for another consortium."""
    chain = ChainId(bytes(32))
    return sign_message(
        node.context.identity, chain, kind=message.kind, sender=node.me, receiver=to, payload=message.payload
    )


def of_another_kind(node: Node, to: MemberIndex, message: SignedMessage) -> SignedMessage:
    """An accept under the signature of an end."""
    return replace(message, signature=node.signed(to, Kind.END, message.payload).signature)


class Unasked(Deviation):
    """Sends, beside all that it should, kinds of messages that its role may not send."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.ACCEPT:
            for other in (Kind.ORDER, Kind.SHARES, Kind.DEAL, Kind.RECALL):
                try:
                    await node.wire.post(to, node.signed(to, other, payload))
                except PeerRefusedError:
                    continue
                raise AssertionError(f"{other}: expected to be refused")
        await node.deliver(to, kind, payload)


class Copies(Deviation):
    """Sends every message twice."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        await node.deliver(to, kind, payload)
        await node.deliver(to, kind, payload)


class Flood(Deviation):
    """Sends thousands of messages about sessions that nobody runs, as large as they may be."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.done = count, asyncio.Event()
        self.begun = False

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.END and not self.begun:
            self.begun = True
            node.beside(self._flood(node, to, decode_end(payload)))
        await node.deliver(to, kind, payload)

    async def _flood(self, node: Node, to: MemberIndex, end: End) -> None:
        for number in range(self.count):
            stated = replace(decode_end_statement(end.statement), session=digest(f"flood {number}"))
            boxes = bytes(BOX_BYTES_MAX)
            payload = signed_end(node, replace(end, inquirer_box=boxes, supervisor_box=boxes), stated)
            await node.wire.post(to, node.signed(to, Kind.END, payload))
        self.done.set()


class Accepts(Deviation):
    """Changes its accept; sends it instead of the right one, or beside it."""

    def __init__(self, change: Callable[[Node, Accept], Accept], *, instead: bool = True) -> None:
        super().__init__()
        self.change, self.instead = change, instead

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.ACCEPT:
            changed = encode_accept(self.change(node, decode_accept(payload)))
            try:
                await node.deliver(to, kind, changed)
            except PeerRefusedError:
                if self.instead:
                    raise
            if self.instead:
                return
        await node.deliver(to, kind, payload)


class TrailingBytes(Deviation):
    """Writes fields behind its accept that this version of the protocol does not know."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        await node.deliver(to, kind, payload + b"\x01" if kind == Kind.ACCEPT else payload)


def accepting(**words: object) -> Callable[[Node, Accept], Accept]:
    """Other words in an accept, signed as they are."""

    def change(node: Node, accept: Accept) -> Accept:
        stated = replace(decode_accept_statement(accept.statement), **words)  # type: ignore[arg-type]
        statement = encode_accept_statement(stated)
        return Accept(statement=statement, signature=node.context.sign(statement))

    return change


def of_an_older_version(node: Node, accept: Accept) -> Accept:
    """The statement of a version before this one."""
    name = b"mpcnode/accept/1"
    assert accept.statement.startswith(name)
    statement = b"mpcnode/accept/0" + accept.statement[len(name) :]
    return Accept(statement=statement, signature=node.context.sign(statement))


def signed_by_nobody(node: Node, accept: Accept) -> Accept:
    """Another statement's signature inside."""
    stated = AcceptStatement(chain=node.context.chain, session=digest("other"), deal_hash=digest("other"))
    return replace(accept, signature=node.context.sign(encode_accept_statement(stated)))


def digest(name: str):
    return Digest(hashlib.sha256(name.encode()).digest())


# ------------------------------------------------------------------- ends and boxes


@dataclass
class Parts:
    """An end, taken apart."""

    node: Node
    view: QueryView
    end: End
    stated: EndStatement
    share: OutputShare

    def box(self, share: OutputShare, to: SealingKey | None = None) -> bytes:
        """A box as the inquirer's, of another share or to somebody else."""
        key = to or self.view.terms.result_key
        return seal(encode_output(share), key, self.node.context.random(EPHEMERAL_BYTES))

    def envelope(self, share: OutputShare) -> bytes:
        context = self.node.context
        keys = context.epoch_of(self.view)
        return seal_envelope(encode_output(share), keys, context.random(ENVELOPE_SECRET_BYTES))


def signed_end(node: Node, end: End, stated) -> bytes:
    """An end as its node signs it: the statement names the boxes that it comes with."""
    boxes = (end.inquirer_box, end.supervisor_box)
    hashes = [Digest(hashlib.sha256(box).digest()) for box in boxes]
    statement = encode_end_statement(replace(stated, inquirer_box_hash=hashes[0], supervisor_box_hash=hashes[1]))
    return encode_end(replace(end, statement=statement, signature=node.context.sign(statement)))


class Ends(Deviation):
    """Changes its end and signs it again, and never posts a result itself."""

    def __init__(self, change: Callable[[Parts], bytes], *, also_right: bool = False, one_only: bool = False) -> None:
        super().__init__()
        self.change, self.also_right, self.one_only = change, also_right, one_only
        self.drawn: list[bytes] = []
        """Every secret that it drew: with the one of a box it can open what it sealed to others."""
        self.made: dict[bytes, bytes] = {}

    def believes(self, context: Context) -> Context:
        def draw(size: int) -> bytes:
            self.drawn.append(context.random(size))
            return self.drawn[-1]

        return replace(context, random=draw)

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind != Kind.END or (self.one_only and to != max(node.others(node.context.ledger.view.open()[0]))):
            await node.deliver(to, kind, payload)
            return
        if self.also_right:
            await node.deliver(to, kind, payload)
        await node.deliver(to, kind, await self.changed(node, decode_end(payload)))

    async def changed(self, node: Node, end: End) -> bytes:
        """The same lie to everybody."""
        if end.statement not in self.made:
            stated = decode_end_statement(end.statement)
            view = node.view_of(stated.session)
            share = own_share(end.inquirer_box, view.terms.result_key, self.drawn)
            self.made[end.statement] = self.change(Parts(node, view, end, stated, share))
        return self.made[end.statement]

    async def submit(self, node: Node, call: Call) -> Height:
        if call.method == "queries.post_result":
            await never()
        return await node.context.ledger.submit(call)


def own_share(box: bytes, to: SealingKey, drawn: Sequence[bytes]) -> OutputShare:
    """What a node sealed to somebody else, opened with the secret that it drew for the box."""
    secret = next(one for one in drawn if len(one) == 32 and bytes(PrivateKey(one).public_key) == box[:32])
    nonce = hashlib.blake2b(box[:32] + to, digest_size=Box.NONCE_SIZE).digest()
    plain = Box(PrivateKey(secret), PublicKey(to)).decrypt(box[32:], nonce)
    return decode_output(plain, len(plain) - OUTPUT_HEAD_BYTES)


def turned(share: OutputShare) -> OutputShare:
    """With the bit turned that says whether the answer is sufficient."""
    return replace(share, share=bytes([share.share[0] ^ 1]) + share.share[1:])


def ending(**words: object) -> Callable[[Parts], bytes]:
    """Other words in an end."""
    return lambda it: signed_end(it.node, it.end, replace(it.stated, **words))  # type: ignore[arg-type]


def another_share(it: Parts) -> bytes:
    """A share that it did not compute, in both boxes, committed to."""
    return _committed(it, turned(it.share))


def another_share_for_the_inquirer(it: Parts) -> bytes:
    """The inquirer's box holds another share than the supervisor's."""
    return signed_end(it.node, replace(it.end, inquirer_box=it.box(turned(it.share))), it.stated)


def another_share_for_the_supervisor(it: Parts) -> bytes:
    """The supervisor's box holds another share than the inquirer's."""
    return signed_end(it.node, replace(it.end, supervisor_box=it.envelope(turned(it.share))), it.stated)


def no_commitment(it: Parts) -> bytes:
    """The commitment is left zero."""
    return ending(output_commitment=Commitment(Digest(bytes(32))))(it)


def box_to_nobody(it: Parts) -> bytes:
    """The inquirer's box is sealed to a key of its own choice."""
    box = it.box(it.share, it.node.context.me.sealing)
    return signed_end(it.node, replace(it.end, inquirer_box=box), it.stated)


def envelope_to_nobody(it: Parts) -> bytes:
    """Nobody can open what it gives the supervisor."""
    return signed_end(it.node, replace(it.end, supervisor_box=bytes(len(it.end.supervisor_box))), it.stated)


def boxes_of_another_query(it: Parts) -> bytes:
    """Both boxes hold a share of another query."""
    return _committed(it, replace(it.share, query=digest("another query")))


def wider_box(it: Parts) -> bytes:
    """A box of another width would shift everybody's on the ledger."""
    return signed_end(it.node, replace(it.end, inquirer_box=it.end.inquirer_box + b"\0"), it.stated)


def another_box_than_signed(it: Parts) -> bytes:
    """It signs one box and sends another."""
    return encode_end(replace(it.end, inquirer_box=it.box(it.share)))


def _committed(it: Parts, share: OutputShare) -> bytes:
    commitment = output_commitment(share.session, it.node.me, share.share, share.salt)
    end = replace(it.end, inquirer_box=it.box(share), supervisor_box=it.envelope(share))
    return signed_end(it.node, end, replace(it.stated, output_commitment=commitment))


class Copied(Ends):
    """Signs another node's commitment and boxes as its own."""

    def __init__(self) -> None:
        super().__init__(lambda it: encode_end(it.end))
        self.other: asyncio.Future[End] | None = None

    def opened(self, node: Node, session: SessionId, others: Sequence[MemberIndex]) -> None:
        self.other = asyncio.get_running_loop().create_future()

    def heard(self, node: Node, sender: MemberIndex, kind: Kind, payload: bytes) -> None:
        if kind is Kind.END and self.other is not None and not self.other.done():
            self.other.set_result(decode_end(payload))

    async def changed(self, node: Node, end: End) -> bytes:
        assert self.other is not None
        copied = await self.other
        return encode_end(replace(copied, signature=node.context.sign(copied.statement)))


# ------------------------------------------------------------------- aborts and transactions


class Aborts(Deviation):
    """Ends the session before or after a message that it should send, and does not tell the ledger."""

    def __init__(
        self,
        kind: Kind,
        *,
        after: bool = False,
        session: bytes | None = None,
        reason: FailReason = FailReason.ABORT,
    ) -> None:
        super().__init__()
        self.kind, self.after, self.session, self.reason = kind, after, session, reason
        """Another session if given."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        is_meant = kind == self.kind and to != node.context.dealer
        if is_meant and not self.after:
            await self._abort(node, to)
        await node.deliver(to, kind, payload)
        if is_meant and self.after:
            await self._abort(node, to)

    async def _abort(self, node: Node, to: MemberIndex) -> None:
        session = self.session or node.context.ledger.view.open()[0].session
        assert session is not None
        await node.deliver(to, Kind.ABORT, encode_abort(Abort(session=session, reason=int(self.reason))))

    async def submit(self, node: Node, call: Call) -> Height:
        if call.method in {"queries.fail_attempt", "queries.post_result"}:
            await never()
        return await node.context.ledger.submit(call)


class Blames(Deviation):
    """Says on the ledger that an attempt failed because of an honest member, as soon as it begins."""

    def __init__(self, *, order: Callable[[tuple[MemberIndex, ...]], tuple[MemberIndex, ...]] = tuple) -> None:
        super().__init__()
        self.order = order
        self.done: set[int] = set()

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        view = node.context.ledger.view.open()[0]
        if kind == Kind.ACCEPT and view.attempt not in self.done:
            self.done.add(view.attempt)
            node.beside(self._blame(node, view))
        await node.deliver(to, kind, payload)

    async def _blame(self, node: Node, view: QueryView) -> None:
        context, waited = node.context, 1 << min(node.others(view))
        order = pool_order(
            view.query,
            view.attempt + 1,
            context.members.values(),
            excluded=view.excluded | waited,
            panel=view.panel,
            companies_min=context.committee_companies_min,
        )
        values = (view.query, view.attempt, int(FailReason.TIMEOUT), waited, self.order(order))
        call = Call(method="queries.fail_attempt", values=values, expiry_ms=view.deadline)
        try:
            await context.ledger.submit(call)
        except Exception:  # noqa: BLE001 - the ledger refuses it; the test looks at the ledger
            return


class PostsInAnotherOrder(Deviation):
    """Posts the result with the committee's ends in another order than its rank."""

    async def submit(self, node: Node, call: Call) -> Height:
        if call.method == "queries.post_result":
            try:
                return await node.context.ledger.submit(replace(call, cosigners=call.cosigners[::-1]))
            except RevertedError:
                await never()
        return await node.context.ledger.submit(call)


# ------------------------------------------------------------------- beliefs


class OtherModel(Deviation):
    """Computes another model than was asked: the same attributes, other thresholds."""

    def believes(self, context: Context) -> Context:
        return replace(context, models=_Shifted(self, context.models))


class _Shifted(Mapping[ModelHash, Model]):
    def __init__(self, deviation: Deviation, models: Mapping[ModelHash, Model]) -> None:
        self._deviation, self._models = deviation, models

    def __getitem__(self, name: ModelHash) -> Model:
        model = self._models[name]
        if not self._deviation.active:
            return model
        first, *others = model.attributes
        return replace(model, attributes=(replace(first, bins=tuple(map(_moved, first.bins))), *others))

    def __iter__(self) -> Iterator[ModelHash]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def _moved(one: Bin) -> Bin:
    return one if one.start is None else replace(one, start=2 * one.start + 1)


class OtherPanel(Deviation):
    """Leaves a participant's share out, as if it had not contributed."""

    def believes(self, context: Context) -> Context:
        return replace(context, ledger=_Forgetful(self, context.ledger))


class _Forgetful:
    """A ledger that does not show one of the contributions."""

    def __init__(self, deviation: Deviation, ledger) -> None:
        self._deviation, self._ledger = deviation, ledger

    def __getattr__(self, name: str):
        return getattr(self._ledger, name)

    async def until(self, query, condition) -> QueryView:
        view: QueryView = await self._ledger.until(query, condition)
        left = sorted(view.commitments)[1:] if self._deviation.active else view.commitments
        return replace(view, commitments={member: view.commitments[member] for member in left})
