"""Bugs to plant in decoders, each of a kind that fuzzing must find, outside the product's code."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from ledger.encoding import Reader, blocks
from ledger.errors import DecodeError
from ledger.types import Certificate
from mpcnode.sealing.blobs import Manifest
from scripts import verify_receipt as second


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A bug and the target that must find it."""

    target: str
    plant: Callable[[], None]


def _unchecked_end() -> None:
    """Bytes after the value are accepted: two encodings of one value."""

    def end(_reader: Reader) -> None:
        """Take whatever is left for granted."""

    patch.object(Reader, "end", end).start()


def _short_read() -> None:
    """A field may be cut off by the end of the bytes."""

    def fixed(self: Reader, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    patch.object(Reader, "fixed", fixed).start()


def _believed_length() -> None:
    """Room is made for whatever length the bytes claim, before it is compared with what is there."""

    def blob(self: Reader, size_max: int) -> bytes:
        size = self.uint(4)
        room = bytearray(size)
        if size > size_max:
            raise DecodeError("too long")
        room[:] = self.fixed(size)
        return bytes(room)

    patch.object(Reader, "blob", blob).start()


def _text_of_any_bytes() -> None:
    """A text is not asked whether it is ASCII."""
    patch.object(Reader, "text", lambda reader: reader.fixed(reader.uint(1)).decode("ascii")).start()


def _endless() -> None:
    """A certificate of nobody is never done."""

    def certificate(**fields: Any) -> Certificate:
        while not fields["signers"]:
            pass
        return Certificate(**fields)

    patch.object(blocks, "Certificate", certificate).start()


def _one_verifier_is_lax() -> None:
    """The second verifier takes keys that are given twice, and capital letters."""

    def read_json(data: bytes) -> object:
        try:
            return json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise second.WrongError("no JSON") from error

    honest = second.shaped

    def shaped(shape: Any, found: object, at: str) -> Any:
        return honest(shape, found.lower() if isinstance(found, str) else found, at)

    patch.multiple(second, read_json=read_json, shaped=shaped).start()


def _unchecked_chunk() -> None:
    """Whatever comes as a chunk of a blob is kept."""

    def check_chunk(_manifest: Manifest, _number: int, _sealed: bytes) -> None:
        """Take it for the right one."""

    patch.object(Manifest, "check_chunk", check_chunk).start()


PLANTED = {
    "unchecked-end": Planted(target="item", plant=_unchecked_end),
    "short-read": Planted(target="vote", plant=_short_read),
    "believed-length": Planted(target="transaction", plant=_believed_length),
    "text-of-any-bytes": Planted(target="transaction", plant=_text_of_any_bytes),
    "endless": Planted(target="certificate", plant=_endless),
    "unchecked-chunk": Planted(target="puts", plant=_unchecked_chunk),
    "one-verifier-is-lax": Planted(target="receipt_file", plant=_one_verifier_is_lax),
}
