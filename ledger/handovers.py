"""Which validators decide a height, proved from a set that is known: each set hands over to the next.

A handover is a final block whose header names another set for the next height than for its own. A quorum of the old
set signed it, so whoever knows that set learns the new one, and so on. Between two handovers nothing changes: a header
of any height in between must name the set that was walked to.

What a quorum of a former set can still sign is discussed in docs/ledger.md, receipt files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.chain import Verify, check_decided, hands_over
from ledger.encoding import (
    VALIDATORS_MAX,
    block_hash,
    decode_certificate,
    decode_header,
    encode_certificate,
    encode_header,
    validators_hash,
)
from ledger.errors import InvalidProofError
from ledger.prooffile import Entry, located, write_hexes
from ledger.types import BlockHash, Certificate, ChainId, Digest, Header, Height, PublicKey

HANDOVERS_MAX = 1024
"""Most handovers in one file."""

DECIDED_KEYS = frozenset({"header", "certificate"})
"""Keys of a final header in a proof file."""

_HANDOVER_KEYS = DECIDED_KEYS | {"validators"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A final block after which another set decides."""

    header: Header
    certificate: Certificate
    validators: tuple[PublicKey, ...] = field(repr=False)
    """Keys of the set that decides from the next height on, ascending."""


def decided_entry(header: Header, certificate: Certificate) -> dict[str, object]:
    """Write a final header."""
    return {"header": encode_header(header).hex(), "certificate": encode_certificate(certificate).hex()}


def handover_entries(handovers: Sequence[Handover]) -> list[dict[str, object]]:
    """Write handovers, in order.

    Raises:
        ValueError: more than a file may hold.
    """
    if len(handovers) > HANDOVERS_MAX:
        raise ValueError(f"expected at most {HANDOVERS_MAX} changes of validators, got {len(handovers)}")
    return [
        {**decided_entry(each.header, each.certificate), "validators": write_hexes(each.validators)}
        for each in handovers
    ]


def read_validators(entry: Entry, expected: Digest) -> tuple[PublicKey, ...]:
    """Read the keys of a set that a header names by its hash.

    Raises:
        InvalidProofError: they are not that set's, ascending.
    """
    keys = tuple(PublicKey(key) for key in entry.hexes("validators", VALIDATORS_MAX))
    found = validators_hash(keys)
    if not keys or list(keys) != sorted(set(keys)) or found != expected:
        raise InvalidProofError(
            f"{entry.at}.validators: expected the ascending keys of the set {expected.hex()}, got {found.hex()}"
        )
    return keys


class Succession:
    """The sets of a chain, from one that is known as far as handovers prove the others."""

    def __init__(self, chain: ChainId, validators: Sequence[PublicKey], since: Height, verify: Verify) -> None:
        """Take the keys of a known set, ascending, and the height of the block that it follows."""
        self._chain = chain
        self._verify = verify
        self._sets: list[tuple[Height, tuple[PublicKey, ...]]] = [(since, tuple(validators))]
        self._decided: dict[Height, BlockHash] = {}

    def follow(self, entries: Sequence[Entry]) -> None:
        """Follow handovers, in order.

        Raises:
            InvalidProofError: one is not a quorum's word, hands nothing over, or is out of order.
        """
        for entry in entries:
            last = self._sets[-1][0]
            header = self.decided(entry)
            if header.height <= last:
                raise InvalidProofError(f"{entry.at}.header: expected a height after {last}, got {header.height}")
            if not hands_over(header):
                raise InvalidProofError(f"{entry.at}.header: expected another set for the next height, got the same")
            self._sets.append((header.height, read_validators(entry, header.next_validators_hash)))

    def decided(self, entry: Entry) -> Header:
        """Read a header that a quorum of the set of its height made final.

        Raises:
            InvalidProofError: it is of another chain or set, not final, or not the only final block of its height.
        """
        data, signed = entry.hex("header"), entry.hex("certificate")
        with located(f"{entry.at}.header"):
            header = decode_header(data)
        if header.chain != self._chain:
            raise InvalidProofError(
                f"{entry.at}.header: expected the chain {self._chain.hex()}, got {header.chain.hex()}"
            )
        keys = self._at(header.height)
        expected = validators_hash(keys)
        if header.validators_hash != expected:
            raise InvalidProofError(
                f"{entry.at}.header: expected the validators {expected.hex()}, which the handovers lead to, "
                f"got {header.validators_hash.hex()}"
            )
        with located(f"{entry.at}.certificate"):
            check_decided(decode_certificate(signed), header, keys, self._verify)
        decided = block_hash(header)
        if self._decided.setdefault(header.height, decided) != decided:
            raise InvalidProofError(f"{entry.at}.header: expected one final block at height {header.height}, got two")
        return header

    def _at(self, height: Height) -> tuple[PublicKey, ...]:
        """Keys of the set that decides a height."""
        return next((keys for after, keys in reversed(self._sets) if after < height), self._sets[0][1])


def read_handovers(file: Entry) -> list[Entry]:
    """Return the entries of a file's `handovers`."""
    return file.entries("handovers", _HANDOVER_KEYS, 0, HANDOVERS_MAX)
