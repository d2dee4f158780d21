"""The contracts do on our machine what they do on anvil: the same random lives of queries, side by side, on both."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
import rlp
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie
from trie.iter import NodeIterator

from ledger.contract import encode_args
from ledger.contract.artefacts import ADDRESSES
from ledger.types import Genesis, Height, Millis, Receipt, Transaction
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
    key,
    member,
    panel_of,
    query_id,
    standard,
)
from tests.support.tools import need

CHAIN_ID = int.from_bytes(CHAIN, "big") >> 204
TRANSACTIONS = 420
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

    def often(self, right: T, *wrong: T) -> T:
        return right if self.rng.random() < 0.97 else self.rng.choice(wrong)

    def anybody(self) -> int:
        index: int = self.rng.choice([*range(len(self.world.genesis.members)), 99])
        return index

    def draw(self) -> Transaction:
        if not self.queries or self.rng.random() < 0.15:
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
        panel = panel_of(self.world.genesis)
        request = self.world.request(
            query,
            model=often(rng.choice(("before", "after", "off")), "unknown"),
            window=often(10_000, 0, -1, 70_000),
            life=often(60_000, 3_600_000, 3_600_001),
            panel=often(panel, panel ^ 1, 0),
            purpose=often("credit", "review", "statistics", "nothing"),
            epoch=often(7, 6),
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
    while said.total() < TRANSACTIONS:
        world.now += player.rng.choice(STEPS)
        txs = [player.draw() for _ in range(player.rng.choice((1, 2, 4)))]
        for tx, receipt in zip(txs, block(world, anvil, txs), strict=False):
            said[receipt.reason] += 1
            if receipt.ok and tx.method == "queries.register":
                player.queries.append(tx.cosigners[0].statement[64:96])
    assert anvil.head() == (world.height, world.now)
    assert compare_storage(world, anvil) > at_genesis
    assert min(said[""], said.total() - said[""]) > TRANSACTIONS / 4, said
    assert len(said) > 15, said


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
