"""What replicas say to each other, and its bytes: one tag, then the encoding of docs/protocol.md 1.2.

Votes, certificates, proposals and blocks are evidence by themselves. `Status`, `GetBlock` and the choice to send
`BlockMessage` or `Decided` are unsigned: they live inside mutually authenticated streams and only ever cost an answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from ledger.encoding import (
    BLOCK_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    VALIDATORS_MAX,
    Reader,
    Writer,
    decode_block,
    decode_certificate,
    decode_proposal,
    decode_vote,
    encode_block,
    encode_certificate,
    encode_proposal,
    encode_vote,
)
from ledger.errors import DecodeError
from ledger.types import Block, BlockHash, Certificate, FinalBlock, Height, Proposal, View, Vote

_CERTIFICATE_BYTES_MAX = 64 + VALIDATORS_MAX * (2 + 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a replica is; whoever is further answers with what it takes to follow."""

    height: Height
    """Height that the sender is deciding: one more than its newest block."""
    view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBlock:
    """Asks for a block of which the sender holds only a certificate."""

    height: Height
    block_hash: BlockHash


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMessage:
    """Answers `GetBlock`."""

    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Gives a replica that is behind a block with the FINALIZE certificate that makes it final."""

    block: Block
    certificate: Certificate

    @property
    def final(self) -> FinalBlock:
        """The same as the store holds it."""
        return FinalBlock(block=self.block, certificate=self.certificate)


Record: TypeAlias = Vote | Certificate | Proposal
"""What is made durable while a height is undecided; `encode_message` gives its bytes."""

Message: TypeAlias = Vote | Certificate | Proposal | Status | GetBlock | BlockMessage | Decided

_VOTE, _CERTIFICATE, _PROPOSAL, _STATUS, _GET_BLOCK, _BLOCK, _DECIDED = range(1, 8)


def height_of(message: Message) -> Height:
    """Return the height that a message speaks of."""
    match message:
        case BlockMessage() | Decided():
            return message.block.header.height
        case _:
            return message.height


def encode_message(message: Message) -> bytes:
    """Encode a message or a record."""
    match message:
        case Vote():
            return _tagged(_VOTE, encode_vote(message))
        case Certificate():
            return _tagged(_CERTIFICATE, encode_certificate(message))
        case Proposal():
            return _tagged(_PROPOSAL, encode_proposal(message))
        case Status():
            return _tagged(_STATUS, Writer().uint(message.height, 8).uint(message.view, 4).bytes())
        case GetBlock():
            return _tagged(_GET_BLOCK, Writer().uint(message.height, 8).fixed(message.block_hash, 32).bytes())
        case BlockMessage():
            return _tagged(_BLOCK, encode_block(message.block))
        case Decided():
            parts = Writer().blob(encode_block(message.block)).blob(encode_certificate(message.certificate))
            return _tagged(_DECIDED, parts.bytes())
        case _:
            assert_never(message)


def decode_message(data: bytes) -> Message:
    """Decode a message or a record.

    Raises:
        DecodeError: not the encoding of a message, or over the limit.
    """
    if not 0 < len(data) <= MESSAGE_BYTES_MAX:
        raise DecodeError(f"message: expected 1 to {MESSAGE_BYTES_MAX} bytes, got {len(data)}")
    decode = _DECODERS.get(data[0])
    if decode is None:
        raise DecodeError(f"message: expected a tag of 1 to {len(_DECODERS)}, got {data[0]}")
    return decode(data[1:])


def _tagged(tag: int, encoded: bytes) -> bytes:
    return bytes((tag,)) + encoded


def _decode_status(data: bytes) -> Status:
    reader = Reader(data, "status")
    status = Status(height=Height(reader.uint(8)), view=View(reader.uint(4)))
    reader.end()
    return status


def _decode_get_block(data: bytes) -> GetBlock:
    reader = Reader(data, "get block")
    request = GetBlock(height=Height(reader.uint(8)), block_hash=BlockHash(reader.fixed(32)))
    reader.end()
    return request


def _decode_block_message(data: bytes) -> BlockMessage:
    return BlockMessage(block=decode_block(data))


def _decode_decided(data: bytes) -> Decided:
    reader = Reader(data, "decided")
    block = decode_block(reader.blob(BLOCK_BYTES_MAX))
    certificate = decode_certificate(reader.blob(_CERTIFICATE_BYTES_MAX))
    reader.end()
    return Decided(block=block, certificate=certificate)


_DECODERS: Final[Mapping[int, Callable[[bytes], Message]]] = {
    _VOTE: decode_vote,
    _CERTIFICATE: decode_certificate,
    _PROPOSAL: decode_proposal,
    _STATUS: _decode_status,
    _GET_BLOCK: _decode_get_block,
    _BLOCK: _decode_block_message,
    _DECIDED: _decode_decided,
}
