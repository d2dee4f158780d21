"""Changes of JSON documents that hold hexadecimal texts: whatever they make, a verifier has a verdict on it."""

import json
import random
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]


def hex_places(value: Any, at: tuple = ()) -> list[tuple]:
    """Where the hexadecimal texts of a document are."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() if key != "format" for place in hex_places(inner, (*at, key))]
    if isinstance(value, list):
        return [place for index, inner in enumerate(value) for place in hex_places(inner, (*at, index))]
    return [at] if isinstance(value, str) else []


def put(document: Document, at: tuple, change: Callable[[Any], Any]) -> None:
    target: Any = document
    for step in at[:-1]:
        target = target[step]
    target[at[-1]] = change(target[at[-1]])


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut, lengthened, flipped, or with four bytes that may be a length overwritten; never as it was."""
    at = rng.randrange(len(data))
    number = rng.choice((0, 1, 4, 5, 8, 9, 64, 65, 512, 14 << 10, (14 << 10) + 1, 1 << 31)).to_bytes(4, "big")
    made: bytes = rng.choice(
        (data[:at], data + rng.randbytes(rng.randint(1, 40)), data[:at] + number + data[at + 4 :], flipped(data, rng))
    )
    return made if made != data else flipped(data, rng)


def flip(document: Document, rng: random.Random) -> None:
    put(document, rng.choice(hex_places(document)), lambda text: flipped(bytes.fromhex(text), rng).hex())


def damage(document: Document, rng: random.Random) -> None:
    put(document, rng.choice(hex_places(document)), lambda text: damaged(bytes.fromhex(text), rng).hex())


def not_hex(document: Document, rng: random.Random) -> None:
    junk: list[Any] = [None, 7, 1.5, True, [], {}, "zz", "0", "AB", "0x00", " 00", "٣٣"]
    put(document, rng.choice(hex_places(document)), lambda text: rng.choice([*junk, text.upper() + "F", text[:-1]]))


def bytes_of(document: Document, rng: random.Random) -> bytes:
    return json.dumps(document, indent=rng.choice((None, 1))).encode()


def broken_json(document: Document, rng: random.Random) -> bytes:
    data = bytes_of(document, rng).rstrip()
    at = rng.randrange(len(data))
    return rng.choice(
        (
            data[:at],
            data[:at] + rng.randbytes(3) + data[at + 3 :],
            data + data,
            b"\xef\xbb\xbf" + data,
            data.decode().encode("utf-16"),
            data.replace(b'"block": 0', b'"block": 0, "block": 0', 1),
            data.replace(b'"block": 0', b'"block": 0.0', 1),
            data.replace(b'"block": 0', b'"block": NaN', 1),
            data.replace(b'"block": 0', b'"block": ' + b"1" * 5000, 1),
            data.replace(b'"block": 0', b'"block": ' + b"[" * 20000, 1),
        )
    )


def white_space(document: Document, rng: random.Random) -> bytes:
    return b" \n\t" + json.dumps(dict(reversed(document.items())), indent=3).encode() + b"\r\n"
