"""Random transfers in bulk; a receiver that cheats in any column is caught as often as its bit is 1."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import Words, keystream
from mpcnode.mpc.ot import extension
from mpcnode.mpc.ot.columns import Columns, transpose
from mpcnode.mpc.ot.extension import Receiver, Sender, message_bytes
from mpcnode.mpc.ot.hashing import ColumnHash
from mpcnode.types import Rank
from tests.support.talks import deviates

CONTEXT = b"x" * 32
SECRET = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f1")
BITS = [SECRET[i // 8] >> i % 8 & 1 for i in range(128)]
PAIRS = [tuple(hashlib.sha256(f"{i} {choice}".encode()).digest() for choice in (0, 1)) for i in range(128)]


def choices(words: int) -> Words:
    return keystream(b"c" * 32, 8 * words).view(np.uint64)


def sender() -> Sender:
    return Sender(Rank(1), CONTEXT, [pair[bit] for pair, bit in zip(PAIRS, BITS, strict=True)], SECRET)


def receiver() -> Receiver:
    return Receiver(Rank(2), CONTEXT, [(zero, one) for zero, one in PAIRS], b"p" * 32)


@pytest.mark.parametrize("words", [0, 1, 2, 3, 1024, 1025])
def test_the_chosen_hash_of_two(words: int) -> None:
    one, two = receiver(), sender()
    for _ in range(2):
        message, chosen = one.choose(choices(words))
        assert len(message) == message_bytes(words)
        zeros, ones = two.accept(message, words)
        bits = np.unpackbits(choices(words).view(np.uint8), bitorder="little").astype(bool)
        assert (chosen == np.where(bits[:, None], ones, zeros)).all()
        assert len({row.tobytes() for row in np.concatenate([zeros, ones])}) == 128 * words


def test_hashes_never_repeat() -> None:
    one, two = receiver(), sender()
    seen: set[bytes] = set()
    for words in (1, 2, 1, 5):
        zeros, ones = two.accept(one.choose(np.zeros(words, np.uint64))[0], words)
        seen |= {row.tobytes() for row in np.concatenate([zeros, ones])}
    assert len(seen) == 128 * 9


class Cheating(Receiver):
    """Uses other choices in some columns, honestly otherwise; to know a bit of the secret for each that passes.

    Where it guesses a bit of 1 it claims what the sender then has: its own hash, and that of what it changed.
    """

    def __init__(self, columns: Sequence[int], guesses: Sequence[int] = ()) -> None:
        super().__init__(Rank(2), CONTEXT, [(zero, one) for zero, one in PAIRS], b"p" * 32)
        self.cheated = list(columns)
        self.guessed_ones = [column for column, guess in zip(columns, guesses, strict=False) if guess]

    def _chunk(self, chosen: Words) -> tuple[bytes, Words]:
        size = extension.column_bytes(len(chosen))
        row = np.concatenate([chosen.view(np.uint8), self._padding.draw(size - chosen.nbytes)[0]])
        columns, sent = self._zeros.draw(size), self._ones.draw(size)
        sent ^= columns ^ row
        sent[self.cheated, 3] ^= 16
        checked = ColumnHash(extension._challenge(CONTEXT, self._count, sent), size)
        of_columns, change = checked(columns), np.zeros((1, size), np.uint8)
        change[0, 3] = 16
        of_columns[self.guessed_ones] ^= checked(change)
        claimed = checked(row[None]).tobytes() + extension._digest(of_columns)
        hashes = self._hash(transpose(columns, 64 * len(chosen)), self._count)
        self._count += 8 * size
        return sent.tobytes() + claimed, hashes


@pytest.mark.parametrize("column", range(0, 128, 5))
def test_a_receiver_that_cheats_in_a_column_guesses_a_bit_or_is_caught(column: int) -> None:
    two = sender()
    message, _ = Cheating([column]).choose(choices(2))
    if BITS[column]:
        with deviates(1, "node 1: expected the same choices in all columns of transfers from"):
            two.accept(message, 2)
    else:
        two.accept(message, 2)


@pytest.mark.parametrize("count", [1, 2, 5, 64, 128])
def test_a_receiver_passes_with_all_its_guesses_right_and_with_one_wrong_it_does_not(count: int) -> None:
    """So j bits of the secret cost a chance of 2^-j, whichever way they are guessed, and a failure the keys."""
    columns = list(range(128))[:: 128 // count][:count]
    right = [BITS[column] for column in columns]
    sender().accept(Cheating(columns, right).choose(choices(2))[0], 2)
    for wrong in {0, count // 2, count - 1}:
        guesses = [bit ^ (place == wrong) for place, bit in enumerate(right)]
        two, cheat = sender(), Cheating(columns, guesses)
        with deviates(1, r"node 1: .* its keys are void"):
            two.accept(cheat.choose(choices(2))[0], 2)
        with pytest.raises(CorrelationReuseError, match="a check failed before"):
            two.accept(Cheating(columns, right).choose(choices(2))[0], 2)


def test_what_a_check_asks_follows_from_all_that_was_sent_and_where() -> None:
    """A receiver that knew the key of the hash before it fixed its columns would make two kinds of them collide."""
    sent = keystream(b"u" * 32, 128 * 32).reshape(128, 32)
    asked = {extension._challenge(CONTEXT, 0, sent), extension._challenge(CONTEXT, 256, sent)}
    asked.add(extension._challenge(b"y" * 32, 0, sent))
    for column, place in ((0, 0), (0, 31), (127, 31), (64, 16)):
        other = sent.copy()
        other[column, place] ^= 1
        asked.add(extension._challenge(CONTEXT, 0, other))
    assert len(asked) == 7


class Colliding(Receiver):
    """Uses other choices in every second column, of the same hash under a key that it knows beforehand."""

    def __init__(self, known: bytes) -> None:
        super().__init__(Rank(2), CONTEXT, [(zero, one) for zero, one in PAIRS], b"p" * 32)
        size = extension.column_bytes(2)
        assert size == 32
        hashed = ColumnHash(known, size)
        units = np.packbits(np.eye(8 * size, dtype=np.uint8), axis=1, bitorder="little")
        self.change = _kernel(hashed(units))
        assert self.change.any()
        assert not hashed(self.change[None]).any()

    def _chunk(self, chosen: Words) -> tuple[bytes, Words]:
        size = extension.column_bytes(2)
        row = np.concatenate([chosen.view(np.uint8), self._padding.draw(size - chosen.nbytes)[0]])
        columns, sent = self._zeros.draw(size), self._ones.draw(size)
        sent ^= columns ^ row
        sent[::2] ^= self.change
        checked = ColumnHash(extension._challenge(CONTEXT, self._count, sent), size)
        claimed = checked(row[None]).tobytes() + extension._digest(checked(columns))
        return sent.tobytes() + claimed, self._hash(transpose(columns, 64 * len(chosen)), self._count)


def test_choices_that_collide_under_one_key_do_not_under_the_key_that_follows_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = hashlib.sha256(b"known").digest()
    message, _ = Colliding(known).choose(choices(2))
    with deviates(1, "node 1: expected the same choices in all columns"):
        sender().accept(message, 2)
    # planted: a key that does not depend on what was sent; all of 64 columns' bits are then free
    monkeypatch.setattr(extension, "_challenge", lambda *_: known)
    sender().accept(Colliding(known).choose(choices(2))[0], 2)


def _kernel(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A sum of unit vectors whose images, 16 bytes each, add up to zero; as packed bits."""
    basis: dict[int, tuple[int, int]] = {}
    for place, image in enumerate(images):
        value, which = int.from_bytes(image.tobytes(), "little"), 1 << place
        while value:
            top = value.bit_length()
            if top not in basis:
                basis[top] = value, which
                break
            value, which = value ^ basis[top][0], which ^ basis[top][1]
        else:
            return np.frombuffer(which.to_bytes(32, "little"), np.uint8)
    raise AssertionError("expected more vectors than dimensions")


def test_a_set_of_keys_makes_so_many_transfers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "TRANSFERS_MAX", 512)
    one, two = receiver(), sender()
    for _ in range(2):
        two.accept(one.choose(choices(2))[0], 2)
    with pytest.raises(CorrelationReuseError, match="transfers with node 2: expected 512 at most, got 256 after 512"):
        one.choose(choices(2))
    with pytest.raises(CorrelationReuseError, match="transfers with node 1: expected 512 at most, got 256 after 512"):
        two.accept(b"", 2)


def test_a_receiver_that_cheats_in_many_columns_is_caught() -> None:
    with deviates(1, "node 1: expected the same choices in all columns"):
        sender().accept(Cheating(range(128)).choose(choices(2))[0], 2)
    assert sender().accept(Cheating([]).choose(choices(2))[0], 2)  # the cheat itself does not spoil the check


@pytest.mark.parametrize("place", [8, 1000, -49, -48, -33, -1])
def test_anything_else_than_what_was_sent_is_caught_and_keys_are_burned(place: int) -> None:
    one, two = receiver(), sender()
    message = bytearray(one.choose(choices(2))[0])
    message[place] ^= 1
    with deviates(1, r"node 1: .* its keys are void"):
        two.accept(bytes(message), 2)
    with pytest.raises(CorrelationReuseError, match="transfers with node 1: a check failed before"):
        two.accept(one.choose(choices(2))[0], 2)


def test_old_messages_and_old_receivers_are_refused() -> None:
    one, two = receiver(), sender()
    message, _ = one.choose(choices(2))
    two.accept(message, 2)
    for again in (message, receiver().choose(choices(2))[0]):
        with deviates(1, "node 1: expected transfers from number 256, got 0; one side was restored"):
            two.accept(again, 2)
    two.accept(one.choose(choices(2))[0], 2)  # nothing was lost


def test_messages_of_another_length_are_refused() -> None:
    message, _ = receiver().choose(choices(2))
    with deviates(1, f"node 1: expected {len(message)} bytes of transfers, got {len(message) - 1}"):
        sender().accept(message[:-1], 2)
    with deviates(1, f"node 1: expected {message_bytes(3)} bytes of transfers"):
        sender().accept(message, 3)


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=99))
def test_any_bytes_at_all_are_refused_with_an_error_of_ours(data: bytes) -> None:
    for framed in (b"", bytes(8)):
        message = (framed + data * message_bytes(2))[: message_bytes(2)]
        with deviates(1, "node 1: "):
            sender().accept(message, 2)
    with deviates(1, "node 1: expected 4152 bytes of transfers"):
        sender().accept(data, 2)


def chi_square(data: bytes) -> float:
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    mean = len(data) / 256
    return float(((counts - mean) ** 2 / mean).sum())


LIMIT = 450.0  # of 255 degrees of freedom: passed with a probability of 1e-12


@pytest.mark.parametrize("word", [0, 0xFFFF_FFFF_FFFF_FFFF, 0x5555_5555_5555_5555])
def test_a_sender_sees_uniform_bytes_whatever_was_chosen(word: int) -> None:
    chosen = np.full(512, word, np.uint64)
    message, _ = receiver().choose(chosen)
    sent = np.frombuffer(message[8 : 8 + 128 * extension.column_bytes(512)], np.uint8).reshape(128, -1)
    assert chi_square(sent.tobytes()) < LIMIT
    assert chi_square((sent[1:] ^ sent[:-1]).tobytes()) < LIMIT
    # what the sender can strip: its own stream
    own = sender()._columns.draw(sent.shape[1])
    assert chi_square((sent ^ own)[np.array(BITS) == 0].tobytes()) < LIMIT


@pytest.mark.parametrize("word", [0, 0xFFFF_FFFF_FFFF_FFFF, 0x5555_5555_5555_5555])
def test_what_a_receiver_says_of_its_choices_is_uniform(word: int) -> None:
    one, chosen = receiver(), np.full(2, word, np.uint64)
    assert chi_square(b"".join(one.choose(chosen)[0][-48:-32] for _ in range(2000))) < LIMIT


def test_without_random_choices_at_the_end_a_sender_could_try_guesses() -> None:
    size = extension.column_bytes(2)
    guess = np.concatenate([choices(2).view(np.uint8), np.zeros(size - 16, np.uint8)])[None]

    def is_found(one: Receiver) -> bool:
        message, _ = one.choose(choices(2))
        sent = np.frombuffer(message[8:][: 128 * size], np.uint8).reshape(128, size)
        return ColumnHash(extension._challenge(CONTEXT, 0, sent), size)(guess).tobytes() == message[-48:-32]

    class Unpadded(Columns):
        def draw(self, size: int) -> NDArray[np.uint8]:
            return np.zeros((1, size), np.uint8)

    assert not is_found(receiver())
    leaking = receiver()
    leaking._padding = Unpadded([])
    assert is_found(leaking)


def test_a_receiver_whose_streams_are_equal_is_found_to_leak() -> None:
    leaking = Receiver(Rank(2), CONTEXT, [(zero, zero) for zero, _ in PAIRS], b"p" * 32)
    message, _ = leaking.choose(np.full(512, 0x5555_5555_5555_5555, np.uint64))
    assert chi_square(message[8 : 8 + 128 * 4096]) > LIMIT


def test_a_sender_that_is_run_again_tells_who_plays_along_what_differs() -> None:
    """What no counter finds: the receiver sends the old message again, to a copy of the sender's old state."""
    message, _ = receiver().choose(choices(2))
    values = keystream(b"v" * 32, 2 * 16 * 128).view(np.uint64).reshape(2, 128, 2)
    sent = []
    for value in values:
        zeros, ones = sender().accept(message, 2)
        sent.append(zeros ^ ones ^ value)
    assert (sent[0] ^ sent[1] == values[0] ^ values[1]).all()
