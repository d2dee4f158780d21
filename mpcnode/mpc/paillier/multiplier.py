"""Products of shared numbers among n nodes, by cross terms between all pairs.

(Σ x_i)·(Σ y_j) is a sum of x_i·y_i, which node i computes alone, and of x_i·y_j for i ≠ j, of which `cross` gives
nodes i and j shares. Two rounds: every node sends all others its x_i encrypted, then answers each of the others.
"""

from collections.abc import Mapping

import numpy as np

from mpcnode.errors import PeerDeviatedError, SessionError
from mpcnode.mpc.joint.talk import expect_length
from mpcnode.mpc.multiplier import Exchange, Messages
from mpcnode.mpc.paillier.cross import answer, ask, conclude
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.keys import DecryptionKey, EncryptionKey
from mpcnode.mpc.ring import Words, low_bits
from mpcnode.types import Rank


class PaillierMultiplier:
    """A node's `mpcnode.mpc.multiplier.Multiplier`. Everything random is drawn afresh in every call."""

    def __init__(self, rank: Rank, own: DecryptionKey, others: Mapping[Rank, EncryptionKey], source: Source) -> None:
        """Prepare for any number of products.

        Args:
            rank: this node's.
            own: this node's key.
            others: the other nodes' keys, each from `accept`.
            source: random bytes.

        Raises:
            PeerDeviatedError: two nodes have one modulus: names the later, which copied it or let it be copied.
        """
        if not others or rank in others:
            raise ValueError(f"keys: expected those of the nodes other than {rank}, got {sorted(others)}")
        owners = {own.encryption.n: rank}
        for other, key in sorted(others.items()):
            if owners.setdefault(key.n, other) != other:
                why = f"node {other}: expected a modulus of its own, got that of node {owners[key.n]}"
                raise PeerDeviatedError(why, other)
        self._rank = rank
        self._own = own
        self._others = dict(sorted(others.items()))
        self._source = source

    def __repr__(self) -> str:
        return f"PaillierMultiplier({len(self._others) + 1} nodes)"

    def products(self, left: Words, right: Words, bits: int, holder: Rank | None = None) -> Exchange[Words]:
        """Multiply additive shares mod 2^bits [N], one by one: see `Multiplier`.

        Raises:
            PeerDeviatedError: another node's messages are not what they should be; names it.
        """
        if left.shape != right.shape or left.ndim != 1:
            raise ValueError(f"factors: expected two rows of one length, got {left.shape} and {right.shape}")
        left, right = low_bits(left, bits), low_bits(right, bits)
        factors = right.tolist()
        total = left * right
        asks = holder in (None, self._rank)
        question = ask(self._own, left.tolist(), bits=bits, source=self._source) if asks else b""
        asked = yield dict.fromkeys(self._others, question)
        self._check_senders(asked)
        answers = dict.fromkeys(self._others, b"")
        for rank, key in self._others.items():
            if holder in (None, rank):
                answers[rank], shares = answer(key, rank, asked[rank], factors, bits=bits, source=self._source)
                total += np.array(shares, np.uint64)
            else:
                expect_length(rank, "a question", asked[rank], 0)
        answered = yield answers
        self._check_senders(answered)
        for rank in self._others:
            if asks:
                shares = conclude(self._own, rank, answered[rank], count=len(factors), bits=bits)
                total += np.array(shares, np.uint64)
            else:
                expect_length(rank, "an answer", answered[rank], 0)
        return low_bits(total, bits)

    def and_words(self, left: Words, right: Words) -> Exchange[Words]:
        """Take the AND of words of XOR-shared bits [N]: products mod 2.

        Raises:
            PeerDeviatedError: another node's messages are not what they should be; names it.
        """
        bits = (np.unpackbits(words.view(np.uint8), bitorder="little") for words in (left, right))
        first, second = (row.astype(np.uint64) for row in bits)
        product = yield from self.products(first, second, 1)
        return np.packbits(product.astype(np.uint8), bitorder="little").view(np.uint64)

    def _check_senders(self, messages: Messages) -> None:
        if set(messages) != set(self._others):
            raise SessionError(f"messages: expected one of each of {sorted(self._others)}, got {sorted(messages)}")
