"""The consistency file: an older block is in the history of a newer one, and the newer one is final.

A file is JSON (docs/ledger.md): version, chain, the older header with the keys of the set that decides after it, the
handovers between both, the newer header with its certificate, and two paths in the tree over block hashes: that of the
older block to the newer history root, and the one that leads from the older history root to the newer.

Whoever knows either block learns the other. Sets are followed from the older block and not from genesis, so a reader
who remembers a head need not trust any set from before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger import merkle
from ledger.chain import Verify
from ledger.encoding import block_hash, decode_header, encode_header
from ledger.errors import InvalidProofError
from ledger.handovers import (
    DECIDED_KEYS,
    Handover,
    Succession,
    decided_entry,
    handover_entries,
    read_handovers,
    read_validators,
)
from ledger.prooffile import Entry, located, read_file, write_file, write_hexes
from ledger.types import BlockHash, ChainId, FinalBlock, Header, PublicKey

FORMAT = "ledger/consistency/1"

_KEYS = frozenset({"format", "chain", "older", "handovers", "newer", "inclusion", "consistency"})
_OLDER_KEYS = frozenset({"header", "validators"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedConsistency:
    """Two final blocks of one chain."""

    older: Header
    newer: Header


def encode_consistency_file(
    older: Header,
    validators: Sequence[PublicKey],
    newer: FinalBlock,
    handovers: Sequence[Handover],
    hashes: Sequence[BlockHash],
) -> bytes:
    """Write the proof that `older` is in the history of `newer`.

    Args:
        older: header of the older block.
        validators: keys of the set that decides the height after it, ascending.
        newer: the newer block.
        handovers: every one between both; others are left out.
        hashes: of the blocks at heights 0 to that of `newer`, without it.

    Raises:
        ValueError: `newer` is not newer, there are other than so many hashes, or too many handovers.
    """
    header, certificate = newer.block.header, newer.certificate
    if certificate is None or not older.height < header.height == len(hashes):
        raise ValueError(f"expected {header.height} hashes and a height below, got {len(hashes)} and {older.height}")
    return write_file(
        {
            "format": FORMAT,
            "chain": header.chain.hex(),
            "older": {"header": encode_header(older).hex(), "validators": write_hexes(validators)},
            "handovers": handover_entries(
                [each for each in handovers if older.height < each.header.height < header.height]
            ),
            "newer": decided_entry(header, certificate),
            "inclusion": write_hexes(merkle.path(hashes, older.height)),
            "consistency": write_hexes(merkle.consistency_path(hashes, older.height)),
        }
    )


def verify_consistency(data: bytes, chain: ChainId, known: BlockHash, verify: Verify) -> VerifiedConsistency:
    """Check a consistency file offline.

    Args:
        data: the file.
        chain: hash of the consortium document.
        known: hash of the block that the reader knows to be final: the older or the newer one.
        verify: checks a signature.

    Raises:
        InvalidProofError: whatever is wrong with it; nothing else is raised.
    """
    file = read_file(data, FORMAT, _KEYS)
    if file.hex("chain", 32) != chain:
        raise InvalidProofError(f"chain: expected {chain.hex()}, got {file.hex('chain').hex()}")
    older, keys = _read_older(file.entry("older", _OLDER_KEYS), chain)
    succession = Succession(chain, keys, older.height, verify)
    succession.follow(read_handovers(file))
    newer = succession.decided(file.entry("newer", DECIDED_KEYS))
    if newer.height <= older.height:
        raise InvalidProofError(f"newer.header: expected a height after {older.height}, got {newer.height}")
    if known not in {block_hash(older), block_hash(newer)}:
        raise InvalidProofError(
            f"file: expected the known block {known.hex()}, got {block_hash(older).hex()} "
            f"at height {older.height} and {block_hash(newer).hex()} at height {newer.height}"
        )
    _check_paths(file, older, newer)
    return VerifiedConsistency(older=older, newer=newer)


def _read_older(entry: Entry, chain: ChainId) -> tuple[Header, tuple[PublicKey, ...]]:
    data = entry.hex("header")
    with located("older.header"):
        header = decode_header(data)
    if header.chain != chain:
        raise InvalidProofError(f"older.header: expected the chain {chain.hex()}, got {header.chain.hex()}")
    return header, read_validators(entry, header.next_validators_hash)


def _check_paths(file: Entry, older: Header, newer: Header) -> None:
    steps = file.hexes("inclusion", merkle.PATH_MAX)
    with located("inclusion"):
        merkle.verify_path(block_hash(older), older.height, newer.height, steps, newer.history_root)
    steps = file.hexes("consistency", merkle.PATH_MAX)
    with located("consistency"):
        merkle.verify_consistency(older.height, newer.height, older.history_root, newer.history_root, steps)
