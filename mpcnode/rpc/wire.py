"""Large messages as bytes: what protobuf encodes of them, joined with their data at once.

Data of 100 KB and more costs the library 1.2 µs for each KB, in copies and fresh memory; a join, a hundredth of that.
Encodings of messages may be concatenated, and fields may come in any order (https://protobuf.dev, Encoding): whatever
reads the result as generated code does reads the same message.
"""

from google.protobuf.message import Message

from ledger.types import Signature
from mpcnode.types import SessionId
from mpcnode.v1 import peer_pb2

_FRAMES = peer_pb2.RoundsRequest.FRAMES_FIELD_NUMBER
_FRAME_DATA = peer_pb2.Frame.DATA_FIELD_NUMBER
_CORRECTIONS_DATA = peer_pb2.CorrectionsResponse.DATA_FIELD_NUMBER

_LENGTH_DELIMITED = 2


def frame_parts(session: SessionId, chunk: int, number: int, data: bytes) -> tuple[bytes, bytes]:
    """Encode a `Frame` as a flush has it: all that comes before its data, and these."""
    head = peer_pb2.Frame(session=session, chunk=chunk, round=number).SerializeToString()
    head += _prefix(_FRAME_DATA, len(data))
    return _prefix(_FRAMES, len(head) + len(data)) + head, data


def flush_bytes(number: int, frames: list[tuple[bytes, bytes]], signature: Signature) -> bytes:
    """Encode a `RoundsRequest`, or the `RoundsResponse` of the same bytes.

    Args:
        number: of the flush.
        frames: `frame_parts` of each.
        signature: of the flush.
    """
    rest = peer_pb2.RoundsRequest(number=number, signature=signature).SerializeToString()
    return b"".join((rest, *(part for frame in frames for part in frame)))


def corrections_bytes(session: SessionId, chunk: int, data: memoryview, signature: bytes) -> bytes:
    """Encode a `CorrectionsResponse`."""
    rest = peer_pb2.CorrectionsResponse(session=session, chunk=chunk, signature=signature).SerializeToString()
    return b"".join((rest, _prefix(_CORRECTIONS_DATA, len(data)), data))


def serialized(message: Message | bytes) -> bytes:
    """What gRPC sends of a message, or of one that is encoded already."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _prefix(field: int, size: int) -> bytes:
    """Tag and length of a field of bytes."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(size)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
