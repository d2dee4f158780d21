"""A mutation that keeps JSON well-formed: what lies behind the parser is never reached by flipping bits."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.fuzz.target import Mutate

_ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 255, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, 1 << 64, 1 << 256, 0.5, 1e308),
    *("", "0", "0x", "0x0", "0x1", "00", "é", "\ud800", "\0", "latest", [], {}, [[]], [None], {"": ""}),
)
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_PLAIN = 0.15
"""Share of the mutations that do not know JSON."""


def mutate_json(data: bytes, size_max: int, seed: int, mutate: Mutate) -> bytes:
    """Change one to three places of a document; bytes that are none are changed as bytes."""
    rng = random.Random(seed)
    try:
        document = [json.loads(data)]
    except (ValueError, RecursionError):
        return mutate(data, size_max)
    if rng.random() < _PLAIN:
        return mutate(data, size_max)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(document))
        holder, key = rng.choice(places)
        donor, given = rng.choice(places)
        holder[key] = copy.deepcopy(donor[given]) if rng.random() < 0.2 else _changed(holder[key], rng, mutate)
    changed = json.dumps(document[0], separators=(",", ":")).encode()
    return changed if len(changed) <= size_max else mutate(data, size_max)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document as holder and key."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(_ODD))


def _changed(value: Any, rng: random.Random, mutate: Mutate) -> Any:
    if rng.random() < 0.15:
        return _odd(rng)
    match value:
        case bool() | None | float():
            return _odd(rng)
        case int():
            return value + rng.choice((-2, -1, 1, 2, 1 << 16, 1 << 32))
        case str():
            return _text(value, rng, mutate)
        case list():
            return _list(value, rng)
        case _:
            return _object(value, rng)


def _text(text: str, rng: random.Random, mutate: Mutate) -> str:
    if rng.random() < 0.1:
        return rng.choice((text.upper(), text + " ", text[:-1], text + text))
    head, digits = ("0x", text[2:]) if text.startswith("0x") else ("", text)
    if not digits or len(digits) % 2 or not set(digits) <= _HEXADECIMAL or rng.random() < 0.1:
        return mutate(text.encode(errors="replace"), len(text) + 16).decode("latin-1")
    return head + mutate(bytes.fromhex(digits), len(digits) // 2 + 32).hex()


def _list(items: list[Any], rng: random.Random) -> list[Any]:
    changed = list(items)
    if not changed:
        return [_odd(rng)]
    at = rng.randrange(len(changed))
    match rng.randrange(4):
        case 0:
            del changed[at]
        case 1:
            changed.insert(at, copy.deepcopy(changed[rng.randrange(len(changed))]))
        case 2:
            rng.shuffle(changed)
        case _:
            changed = changed[:at]
    return changed


def _object(pairs: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    changed = dict(pairs)
    if changed and rng.random() < 0.5:
        del changed[rng.choice(sorted(changed))]
    else:
        changed[rng.choice(("", "more", "id", "block", "blockHash", "fromBlock"))] = _odd(rng)
    return changed
