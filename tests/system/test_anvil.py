"""The contracts do on our machine what they do on anvil: the same random lives of queries, side by side, on both."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import pytest
import rlp
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie
from trie.iter import NodeIterator

from ledger.contract import encode_args
from ledger.contract.abi import decode_args
from ledger.contract.artefacts import ADDRESSES
from ledger.contract.proposals import encode_proposal
from ledger.encoding import statement, word
from ledger.types import ChainId, Genesis, Height, Millis, Receipt, Transaction
from tests.support.anvil import Anvil, Mined, running_anvil
from tests.support.contracts import (
    CHAIN,
    COPY,
    MPC,
    OPERATOR,
    PARTICIPANT,
    SUPERVISOR,
    World,
    bitmap,
    bits,
    consortium,
    inquirer_address,
    key,
    member,
    model_hash,
    query_id,
    standard,
)
from tests.support.tools import need

CHAIN_ID = int.from_bytes(CHAIN, "big") >> 204
TRANSACTIONS = 480
STEPS = (*(1,) * 30, *(500,) * 20, *(3_000,) * 10, 11_000, 11_000, 61_000, 90_000_000)
LIVE = {"REGISTERED", "COMPUTING", "ANSWERED"}
View = dict[str, Any]
T = TypeVar("T")


def wide() -> Genesis:
    """Nine MPC members of six companies, two participants with anchors, committees of two companies, small quotas."""
    return consortium(
        [
            member(0, 0, OPERATOR, votes=True),
            member(1, 1, SUPERVISOR, votes=True),
            *(member(2 + n, 2 + n % 6, MPC, votes=n < 2) for n in range(9)),
            member(11, 0, PARTICIPANT, classes=0b001, anchors=bitmap([4, 10])),
            member(12, 8, PARTICIPANT, classes=0b010),
            member(13, 9, PARTICIPANT, classes=0b011, anchors=bitmap([2, 3, 9])),
            member(14, 10, PARTICIPANT, classes=0b001),
        ],
        companies_min=2,
        quota=40,
    )


@dataclass
class Player:
    """Draws transactions: most fit the state that they meet, the others are wrong in one place or another."""

    world: World
    rng: random.Random
    queries: list[bytes] = field(default_factory=list)
    proposals: list[tuple[int, bytes]] = field(default_factory=list)
    """Calls that were proposed, by the number of the proposal."""

    def often(self, right: T, *wrong: T) -> T:
        return right if self.rng.random() < 0.97 else self.rng.choice(wrong)

    def anybody(self) -> int:
        index: int = self.rng.choice([*range(len(self.world.genesis.members)), 99])
        return index

    def draw(self) -> Transaction:
        if self.rng.random() < 0.25:
            tx = self.rng.choice((self.govern, self.govern, self.registries, self.records))()
        elif not self.queries or self.rng.random() < 0.15:
            tx = self.register()
        else:
            query = self.often(self.rng.choice(self.queries[-3:]), self.rng.choice(self.queries), query_id(-1))
            view = self.world.get(query)
            tx = self.step(query, view) if view["state"] in LIVE or self.rng.random() < 0.15 else self.register()
        if self.rng.random() < 0.05:
            tx = replace(tx, sender=key(f"identity {self.anybody()}"))
        if self.rng.random() < 0.05:
            tx = replace(tx, args=self.damaged(tx.args))
        return tx

    def damaged(self, args: bytes) -> bytes:
        at = self.rng.randrange(len(args))
        length = self.rng.choice((0, 1, 31, 1 << 16, 1 << 255)).to_bytes(32, "big")
        word = at - at % 32
        return self.rng.choice(
            (
                args[:at],
                args[:at] + b"\xff" + args[at + 1 :],
                args[:word] + length + args[word + 32 :],
                args + bytes(32),
            )
        )

    def step(self, query: bytes, view: View) -> Transaction:
        """Mostly what the query waits for."""
        anything = (self.commit, self.refuse, self.close, self.post, self.fail, self.reject, self.attest, self.expire)
        waits: dict[str, tuple[Callable[[bytes, View], Transaction], ...]] = {
            "REGISTERED": (*(self.commit,) * 10, self.refuse),
            "COMPUTING": (*(self.post,) * 4, self.fail, self.fail, self.reject),
            "ANSWERED": (self.attest,),
        }
        if self.rng.random() < 0.1:
            return self.rng.choice(anything)(query, view)
        if self.world.now > view["deadline"]:
            return self.expire(query, view)
        if view["state"] == "REGISTERED" and self.world.now > view["contribute_by"] and self.rng.random() < 0.8:
            return self.close(query, view)
        return self.rng.choice(waits.get(view["state"], anything))(query, view)

    # --------------------------------------------------------- one method each

    def register(self) -> Transaction:
        rng, often = self.rng, self.often
        query = often(query_id(rng.randrange(1 << 30)), *(self.queries or [bytes(32)]))
        model = often(rng.choice(("before", "after", "off")), "unknown")
        (panel,) = self.world.view("registries.panel", model_hash(model))
        request = self.world.request(
            query,
            model=model,
            window=often(10_000, 0, -1, 70_000),
            life=often(60_000, 3_600_000, 3_600_001),
            panel=often(panel, panel ^ 1, 0),
            purpose=often("credit", "review", "statistics", "nothing"),
            epoch=often(self.world.view("registries.epoch")[0], 6),
            copy_hash=often(hashlib.sha256(COPY).digest(), bytes(32)),
            scheme=often("keyed", ""),
            result_key=often(b"\x02" * 32, bytes(32)),
            domain=often("mpcnode/request/1", "mpcnode/request/2"),
            chain=often(CHAIN, bytes(32)),
        )
        order = self.order(query, 1, 0)
        inquirer = often("inquirer", "other inquirer", "nobody")
        tx = self.world.register_tx(request, inquirer=inquirer, order=order)
        return replace(tx, cosigners=often(tx.cosigners, (), tx.cosigners * 2))

    def order(self, query: bytes, attempt: int, excluded: int) -> list[int]:
        order = self.world.pool_order(query, attempt, excluded)
        return self.often(order, order[::-1], order[1:], [*order, order[-1]], [0, *order[1:]], [])

    def tx(self, sender: int, method: str, query: bytes, attempt: int, *values: object) -> Transaction:
        given = self.often(attempt, max(attempt - 1, 0), attempt + 1, 255)
        return self.world.tx(sender, f"queries.{method}", encode_args(f"queries.{method}", query, given, *values))

    def contributor(self, view: View) -> int:
        waiting = bits(view["panel"] & ~(view["committed"] | view["refused"]))
        return self.often(self.rng.choice(waiting or bits(view["panel"]) or [0]), self.anybody())

    def commit(self, query: bytes, view: View) -> Transaction:
        right = [self.rng.randbytes(32) for _ in view["committee"]]
        commitments = self.often(right, right[1:], [*right, b"c" * 32][-8:], [bytes(32), *right[1:]])
        envelope = self.rng.randbytes(self.rng.choice((0, 1, 31, 32, 600, 2_000)))
        return self.tx(self.contributor(view), "commit_input", query, view["attempt"], commitments, envelope)

    def refuse(self, query: bytes, view: View) -> Transaction:
        code = self.often(self.rng.choice((1, 2)), 0, 3)
        return self.tx(self.contributor(view), "refuse", query, view["attempt"], code, self.rng.randbytes(33))

    def close(self, query: bytes, view: View) -> Transaction:
        return self.tx(self.anybody(), "close_inputs", query, view["attempt"])

    def post(self, query: bytes, view: View) -> Transaction:
        committee = view["committee"]
        attempt = self.often(view["attempt"], view["attempt"] + 1)
        ends = self.world.ends(query, attempt, len(committee))
        signers = self.often(committee, committee[::-1])
        boxes = [b"".join(end.inquirer_box for end in ends), b"".join(end.supervisor_box for end in ends)]
        boxes = self.often(
            boxes, boxes[::-1], [boxes[0][:-1], boxes[1]], [b"", boxes[1]], [boxes[0], b"x" + boxes[1][1:]]
        )
        if ends:
            changes: dict[str, Any] = {
                "transcript": b"\x99" * 32,
                "chain": bytes(32),
                "domain": "mpcnode/end/2",
                "query": query_id(-2),
            }
            name = self.rng.choice(sorted(changes))
            at = self.rng.randrange(len(ends))
            ends = self.often(ends, [replace(e, **{name: changes[name]}) if n == at else e for n, e in enumerate(ends)])
        sender = self.often((committee or [0])[self.rng.choice((0, 0, -1))] if committee else 0, self.anybody())
        return self.world.post_tx(query, attempt=attempt, sender=sender, ends=ends, signers=signers, boxes=boxes)

    def fail(self, query: bytes, view: View) -> Transaction:
        sender = self.often(self.rng.choice([1, *view["committee"]]), self.anybody())
        waited = self.rng.choice((0, 1 << self.anybody(), bitmap(view["committee"][:1])))
        order = self.order(query, view["attempt"] + 1, view["excluded"] | waited & bitmap(view["committee"]))
        reason = self.often(self.rng.choice((1, 2, 3, 5)), 0, 4, 6)
        return self.tx(sender, "fail_attempt", query, view["attempt"], reason, waited, order)

    def reject(self, query: bytes, view: View) -> Transaction:
        participant = self.often(self.rng.choice(bits(view["committed"]) or [0]), self.anybody(), 255)
        order = self.order(query, view["attempt"] + 1, view["excluded"])
        return self.tx(self.often(1, self.anybody()), "reject_input", query, view["attempt"], participant, order)

    def attest(self, query: bytes, view: View) -> Transaction:
        verdict = self.often(self.rng.choice((1, 2, 3, 3)), 0, 4)
        sender = self.often(1, self.anybody())
        release = self.rng.randbytes(self.rng.choice((0, 40)))
        return self.tx(sender, "attest", query, view["attempt"], verdict, 255, 7, 9, release)

    def expire(self, query: bytes, view: View) -> Transaction:
        args = encode_args("queries.expire", query, self.rng.getrandbits(256))
        return self.world.tx(self.anybody(), "queries.expire", args)

    # --------------------------------------------------------- governance, registries, records

    def call(self, sender: int, method: str, *values: object, said: bytes | None = None) -> Transaction:
        cosigned = [] if said is None else [(key("inquirer"), said)]
        return self.world.tx(sender, method, encode_args(method, *values), cosigned)

    def govern(self) -> Transaction:
        delegate = self.anybody()
        if not self.proposals or self.rng.random() < 0.1:
            closes_at = self.world.now + self.often(86_400_000, 0, 91 * 86_400_000)
            return self.call(delegate, "governance.propose", *self.often(self.decision(), (5, b"call")), closes_at)
        number = self.often(len(self.proposals) - 1, self.rng.randrange(len(self.proposals)))
        proposed = self.often(self.proposals[number], self.proposals[0], (0, b"call"))
        return self.call(delegate, "governance.vote", number, self.rng.random() < 0.9, *proposed)

    def decision(self) -> tuple[int, bytes]:
        rng, often = self.rng, self.often
        who = inquirer_address(rng.choice(("inquirer", "other inquirer", "nobody")))
        model = model_hash(rng.choice(("before", "after", "off", "new")))
        number: int = self.world.view("registries.epoch")[0]
        purposes = tuple(rng.sample((word("credit"), word("claims"), word("fraud")), rng.randrange(4)))
        figures = (often(8, 0, 9), often(700, 0, 701))
        calls: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("registries.publish_model", (rng.randbytes(32), often(0b011, 0), often(1, 0, 3), 2, purposes, *figures)),
            ("registries.set_isolation", (often(8, 0), often(700, 1001), rng.randrange(3))),
            ("registries.add_inquirer", (rng.randbytes(20), often(0, 128), rng.randrange(9))),
            ("registries.set_quota", (who, rng.choice((1000, 1 << 32)))),
            ("registries.suspend_inquirer", (inquirer_address("other inquirer"),)),
            ("registries.resume_inquirer", (who,)),
            ("registries.rotate_inquirer", (inquirer_address("other inquirer"), rng.randbytes(20))),
            ("registries.set_fees", (model, rng.choice((0, self.world.now + 9_000)), 3, 2, rng.getrandbits(64))),
            ("registries.set_epoch", (often(number + 1, number), rng.randbytes(32), rng.randbytes(32))),
            ("registries.open_oprf", (often(7, 12, 2), often(bitmap([2, 3]), 0), often(2, 1), rng.getrandbits(64))),
            ("members.set_committee_companies_min", (self.world.genesis.committee_companies_min,)),
        )
        method, values = rng.choice(calls)
        return encode_proposal(method, *values)

    def registries(self) -> Transaction:
        rng, often = self.rng, self.often
        who = rng.choice((7, 12))
        (version,) = self.world.view("registries.oprf_version", who)
        holder, point = often(rng.choice((2, 3)), self.anybody()), hashlib.sha256(bytes([who])).digest()
        digest = hashlib.sha256(word(who) + word(version) + word(holder) + point + point + b"proof").digest()
        model = model_hash(often(rng.choice(("before", "after", "off")), "unknown"))
        number: int = self.world.view("registries.epoch")[0]
        return rng.choice(
            (
                self.call(
                    often(rng.choice((6, 8, 11)), self.anybody()), "registries.approve_model", model, rng.random() < 0.7
                ),
                self.call(
                    often(1, self.anybody()), "registries.rotate_audit_key", often(number + 1, 1), rng.randbytes(32)
                ),
                self.call(holder, "registries.commit_oprf", who, version, often(digest, bytes(32))),
                self.call(holder, "registries.reveal_oprf", who, version, point, point, often(b"proof", b"")),
                self.call(often(who, 8), "registries.retire_oprf", often(version, version + 1)),
            )
        )

    def records(self) -> Transaction:
        rng, often = self.rng, self.often
        node, hour = often(2, self.anybody()), self.world.now // 3_600_000
        query = often((self.queries or [bytes(32)])[-1], query_id(-1))
        (count,) = self.world.view("records.dispute_count")
        number, claim = often(max(count - 1, 0), 0, count), rng.randbytes(32)
        step, about = rng.choice(((17, 0), (1, number), (2, number)))
        detail = hashlib.sha256(b"detail").digest()
        stated = statement("mpcnode/dispute/1", ChainId(CHAIN), query, about, step, claim, detail)
        said = rng.choice((None, None, stated))
        anybody = often(rng.choice((0, 1, 7)), self.anybody())
        return rng.choice(
            (
                self.call(
                    node, "records.report_usage", often(hour - 1, hour), often((6, 7), (7, 6), (128, 129)), (3, 4)
                ),
                self.call(node, "records.mark", bytes(32), rng.randrange(1, 1000)),
                self.call(
                    often(1, 0), "records.record_access", often(claim, bytes(32)), often((query,), ()), b"detail"
                ),
                self.call(anybody, "records.open_dispute", query, often(1, 0, 6), claim, b"detail", said=said),
                self.call(anybody, "records.answer_dispute", number, claim, b"detail", said=said),
                self.call(
                    often(1, anybody),
                    "records.close_dispute",
                    number,
                    rng.choice((2, 3, 4, 5)),
                    claim,
                    b"detail",
                    said=said,
                ),
            )
        )


def in_words_of_ours(mined: Mined) -> tuple:
    return mined.ok, mined.reason, mined.gas, mined.logs


def in_words_of_anvil(receipt: Receipt) -> tuple:
    return receipt.ok, receipt.reason, receipt.gas, tuple((log.address, log.topics, log.data) for log in receipt.logs)


def block(world: World, anvil: Anvil, txs: list[Transaction]) -> list[Receipt]:
    """One block on both machines; they agree on every transaction that fits."""
    world.height += 1
    done = world.host.execute(world.root, Height(world.height), Millis(world.now), txs)
    world.nodes.update(done.nodes)
    world.root = done.state_root
    mined = anvil.mine(world.now, txs[: len(done.receipts)])
    for tx, ours, theirs in zip(txs, done.receipts, mined, strict=False):
        assert in_words_of_anvil(ours) == in_words_of_ours(theirs), (tx.method, tx.args.hex())
    return list(done.receipts)


def storage(world: World, address: bytes) -> dict[bytes, int]:
    """Every slot of a contract in our state, by the hash of its number."""
    account = rlp.decode(HexaryTrie(world.nodes, world.root)[keccak(address)])
    slots = NodeIterator(HexaryTrie(world.nodes, account[2])).items()
    return {slot: int.from_bytes(rlp.decode(value), "big") for slot, value in slots}


def compare_storage(world: World, anvil: Anvil) -> int:
    """Both hold the same slots; returns how many."""
    count = 0
    for name, address in ADDRESSES.items():
        ours = storage(world, address)
        assert ours == anvil.storage(address), name
        count += len(ours)
    return count


@pytest.fixture
def both(request: pytest.FixtureRequest) -> Iterator[tuple[World, Anvil]]:
    world = World(genesis=request.param())
    with running_anvil(need("anvil"), CHAIN_ID) as anvil:
        anvil.load(world.genesis)
        yield world, anvil


@pytest.mark.system
@pytest.mark.parametrize(
    ("seed", "both"), [(seed, wide if seed % 2 else standard) for seed in range(5)], indirect=["both"]
)
def test_both_machines_do_the_same(seed: int, both: tuple[World, Anvil]) -> None:
    world, anvil = both
    at_genesis = compare_storage(world, anvil)
    player = Player(world, random.Random(seed))
    said: Counter[str] = Counter()
    done: Counter[str] = Counter()
    while said.total() < TRANSACTIONS:
        world.now += player.rng.choice(STEPS)
        txs = [player.draw() for _ in range(player.rng.choice((1, 2, 4)))]
        for tx, receipt in zip(txs, block(world, anvil, txs), strict=False):
            said[receipt.reason] += 1
            done[tx.method] += receipt.ok
            if receipt.ok and tx.method == "queries.register":
                player.queries.append(tx.cosigners[0].statement[64:96])
            if receipt.ok and tx.method == "governance.propose":
                target, data, _ = decode_args(tx.method, tx.args)
                player.proposals.append((cast("int", target), cast("bytes", data)))
    assert anvil.head() == (world.height, world.now)
    assert compare_storage(world, anvil) > at_genesis
    assert min(said[""], said.total() - said[""]) > TRANSACTIONS / 4, said
    assert len(said) > 15, said
    assert done.total() - sum(count for method, count in done.items() if method.startswith("queries.")) > 20, done


@pytest.mark.system
@pytest.mark.parametrize("both", [standard], indirect=True)
def test_a_difference_is_found(both: tuple[World, Anvil]) -> None:
    world, anvil = both
    request = world.request(query_id(1))
    anvil.set_slot(ADDRESSES["queries"], 0, 1)  # another genesis hash
    with pytest.raises(AssertionError, match="queries"):
        compare_storage(world, anvil)
    with pytest.raises(AssertionError, match=r"queries\.register"):
        block(world, anvil, [world.register_tx(request)])
