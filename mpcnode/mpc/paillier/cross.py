"""Cross terms: Alice has a_1, a_2, …, Bob b_1, b_2, …; they end with additive shares of every a_j·b_j mod 2^bits.

Alice sends each a_j encrypted under her key, already shifted into its slot. Bob raises them to his b_j, multiplies
those of one plaintext, which adds what they hold, and adds masks: one answer for a whole plaintext of slots. Bob's
shares are the masks with their sign changed, Alice's what she decrypts. Alice's message serves any number of Bobs.

One message each way. For N products, Alice's takes N ciphertexts, Bob's one for every `Slots.count`.

Bob sees ciphertexts only: Alice is protected by Paillier and short exponents (`keys`), whatever he does. Alice sees
answers only. Each is a uniform ciphertext, but for 2^-57: its mask is uniform mod n, its blinding among n-th powers,
and these are all ciphertexts if gcd(n, φ(n)) = 1, which she has proven. So Bob is protected whatever ciphertexts she
sent. Products are right if both follow the protocol: either can make its own share something else, a multiple of the
other's factor included. (Gilboa, CRYPTO 1999. Packing: Pullonen, Bogdanov, Schneider, 2012, and many since.)
"""

from collections.abc import Sequence

from mpcnode.mpc.paillier.ciphertexts import decode_ciphertexts, encode_ciphertexts
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.keys import DecryptionKey, EncryptionKey
from mpcnode.mpc.paillier.powers import product_of_powers
from mpcnode.mpc.paillier.slots import Slots
from mpcnode.types import Rank


def ask(key: DecryptionKey, factors: Sequence[int], *, bits: int, source: Source) -> bytes:
    """Return Alice's message.

    Raises:
        ValueError: a factor is not below 2^bits.
    """
    slots = Slots(bits, key.encryption.modulus_bits)
    placed = (slots.place(factor, item) for item, factor in enumerate(factors))
    return encode_ciphertexts((key.encrypt(plaintext, source) for plaintext in placed), key.encryption)


def answer(
    key: EncryptionKey, alice: Rank, asked: bytes, factors: Sequence[int], *, bits: int, source: Source
) -> tuple[bytes, list[int]]:
    """Return Bob's message and his shares.

    Args:
        key: Alice's.
        alice: who she is, for errors.
        asked: her message.
        factors: Bob's b_j, as many as hers.
        bits: of all factors.
        source: random bytes.

    Raises:
        PeerDeviatedError: her message is none.
    """
    slots = Slots(bits, key.modulus_bits)
    ciphertexts = decode_ciphertexts(asked, len(factors), key, alice)
    answers, shares = [], []
    for at in range(0, len(factors), slots.count):
        chosen = factors[at : at + slots.count]
        products = product_of_powers(ciphertexts[at : at + slots.count], chosen, key.n_squared)
        mask, masks = slots.draw_mask(source, key.n)
        answers.append(products * key.encrypt(mask, source) % key.n_squared)
        shares += [int(-part % (1 << bits)) for part in masks[: len(chosen)]]
    return encode_ciphertexts(answers, key), shares


def conclude(key: DecryptionKey, bob: Rank, answered: bytes, *, count: int, bits: int) -> list[int]:
    """Return Alice's shares of so many products.

    Any plaintext is taken. Only a node that deviates sends one that no mask and products make; to refuse it would tell
    that node whether they did, which depends on Alice's factors. Wrong products are the audit's business.

    Raises:
        PeerDeviatedError: Bob's message is none.
    """
    slots = Slots(bits, key.encryption.modulus_bits)
    starts = range(0, count, slots.count)
    answers = decode_ciphertexts(answered, len(starts), key.encryption, bob)
    shares: list[int] = []
    for at, ciphertext in zip(starts, answers, strict=True):
        shares += slots.unpack(key.decrypt(ciphertext), min(slots.count, count - at))
    return shares
