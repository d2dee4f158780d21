"""Values of a call as text: what a person types becomes what the contract's ABI type takes, and back.

Numbers are decimal or hexadecimal with 0x, byte strings hexadecimal, arrays separated by commas; what has a name in the
vocabulary may be called by it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ledger.contract.abi import address_of
from ledger.contract.proposals import ProposedCall, parameters
from ledger.types import Address
from mpcnode.cli.ledger.vocabulary import Vocabulary
from mpcnode.errors import InvalidKeyError
from mpcnode.sealing.keys import check_public_key

NONE = "none"
"""No member of a set, and the 32 zero bytes that stand for no key."""

_TEXT = "text:"

FORMS = (
    (
        "uint256",
        "a number; a member, company, mode or contract by name; roles, data classes or members by names, or none",
    ),
    ("address", "an Ed25519 key (64 hex digits) or its address (40); a member or inquirer by name"),
    ("bytes32", f"64 hex digits, {_TEXT}... for ASCII text, or {NONE}; a model by name"),
    ("bytes", "hex digits, or @ and the name of a file"),
    ("bool", "yes or no"),
    ("...[]", "several values, separated by commas"),
)
"""How values of each type are written, for people."""
_WORD = 32

_PLAIN = re.compile(r"[!-+\--~]+")
"""Visible ASCII but the comma: other text could look like several values."""


def read_arguments(method: str, texts: Sequence[str], words: Vocabulary) -> tuple[object, ...]:
    """Read NAME=VALUE texts as the arguments of a method, in its order.

    Raises:
        click.UsageError: one is missing, unknown, given twice or no value of its type; the message names it.
        InvalidError: there is no such method.
    """
    kinds = parameters(method)
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in kinds:
            raise click.UsageError(f"{method}: expected NAME=VALUE with {_listed(kinds)}, got {text!r}")
        if name in given:
            raise click.UsageError(f"{method}: expected {name} once, got it twice")
        given[name] = value
    missing = {name: kind for name, kind in kinds.items() if name not in given}
    if missing:
        raise click.UsageError(f"{method}: expected {_listed(missing)} as well, got nothing for it")
    return tuple(_Reader(method, name, words).read(kind, given[name]) for name, kind in kinds.items())


def show_arguments(call: ProposedCall, words: Vocabulary) -> dict[str, str]:
    """Return the arguments of a call in words, by name."""
    kinds = parameters(call.method)
    return {name: _show(call.method, name, value, kinds[name], words) for name, value in call.arguments.items()}


class _Reader:
    """Reads the text of one argument."""

    def __init__(self, method: str, name: str, words: Vocabulary) -> None:
        self._what = f"{method}: {name}"
        place = _place(method, name)
        self._numbers, self._sets = words.numbers.get(place, {}), words.sets.get(place, {})
        self._addresses, self._hashes = words.addresses, words.hashes

    def read(self, kind: str, text: str) -> object:
        if kind.endswith("[]"):
            return tuple(self.read(kind.removesuffix("[]"), item) for item in text.split(",")) if text else ()
        if kind.startswith("uint"):
            return self._number(int(kind.removeprefix("uint")), text)
        match kind:
            case "bool":
                return self._bool(text)
            case "address":
                return self._address(text)
            case "bytes32":
                return self._word(text)
            case "bytes":
                return self._bytes(text)
        raise click.UsageError(f"{self._what}: this program cannot read a value of type {kind}")

    def _number(self, bits: int, text: str) -> int:
        if text in self._numbers:
            return self._numbers[text]
        if self._sets and not text[:1].isdigit():
            return self._set(text)
        if re.fullmatch(r"[0-9]+|0x[0-9a-fA-F]+", text):
            found = int(text, 16 if text.startswith("0x") else 10)
            if found < 1 << bits:
                return found
        or_names = f", or one of {', '.join(self._numbers)}" if self._numbers else ""
        top = str((1 << bits) - 1) if bits <= 64 else f"2^{bits} - 1"
        raise self._unfit(f"a number from 0 to {top}{or_names}", text)

    def _set(self, text: str) -> int:
        names = [] if text in {"", NONE} else text.split(",")
        if len(set(names)) != len(names) or not set(names) <= set(self._sets):
            raise self._unfit(f"{NONE} or some of {', '.join(self._sets)}, separated by commas", text)
        return sum(self._sets[name] for name in names)

    def _bool(self, text: str) -> bool:
        if text not in {"yes", "no"}:
            raise self._unfit("yes or no", text)
        return text == "yes"

    def _address(self, text: str) -> Address:
        if text in self._addresses:
            return self._addresses[text]
        found = _hex(text)
        if found is not None and len(found) == 20:
            return Address(found)
        if found is None or len(found) != _WORD:
            names = ", ".join(self._addresses)
            raise self._unfit(f"an Ed25519 key (64 hex digits), an address (40 hex digits), or one of {names}", text)
        try:
            return address_of(check_public_key(found))
        except InvalidKeyError as error:
            raise click.UsageError(f"{self._what}: {error}") from None

    def _word(self, text: str) -> bytes:
        if text in self._hashes:
            return self._hashes[text]
        if text == NONE:
            return bytes(_WORD)
        found = text.removeprefix(_TEXT)
        if found != text and found.isascii() and found.isprintable() and 0 < len(found) <= _WORD:
            return found.encode().ljust(_WORD, b"\0")
        raw = _hex(text)
        if raw is None or len(raw) != _WORD:
            names = "".join(f", {name}" for name in self._hashes)
            wanted = f"64 hex digits, {_TEXT} and 1 to {_WORD} ASCII characters, {NONE}{names}"
            raise self._unfit(f"one of {wanted}", text)
        return raw

    def _bytes(self, text: str) -> bytes:
        if text.startswith("@"):
            try:
                return Path(text.removeprefix("@")).read_bytes()
            except OSError as error:
                raise click.UsageError(f"{self._what}: expected a file to read, got {error}") from None
        found = _hex(text)
        if found is None:
            raise self._unfit("an even number of hex digits, or @ and the name of a file", text)
        return found

    def _unfit(self, wanted: str, text: str) -> click.UsageError:
        return click.UsageError(f"{self._what}: expected {wanted}, got {text!r}")


def _show(method: str, name: str, value: object, kind: str, words: Vocabulary) -> str:
    place = _place(method, name)
    match value:
        case tuple() | list():
            item = kind.removesuffix("[]")
            return ", ".join(_show(method, name, one, item, words) for one in value) or NONE
        case bool():
            return "yes" if value else "no"
        case int() if place in words.sets:
            return _show_set(value, words.sets[place])
        case int():
            return _named(str(value), value, words.numbers.get(place, {}))
        case bytes() if kind == "address":
            return _named(value.hex(), value, words.addresses)
        case bytes() if kind == "bytes32":
            return _show_word(value, words.hashes)
        case bytes():
            return value.hex()
    raise TypeError(f"expected a value of a call, got {type(value).__name__}")


def _show_set(bits: int, names: Mapping[str, int]) -> str:
    found = [name for name, bit in names.items() if bits & bit]
    rest = bits & ~sum(names.values())
    found += [f"bit {index}" for index in range(rest.bit_length()) if rest >> index & 1]
    return ", ".join(found) or NONE


def _show_word(value: bytes, names: Mapping[str, bytes]) -> str:
    if not any(value):
        return NONE
    text = value.rstrip(b"\0").decode("latin-1")
    if _PLAIN.fullmatch(text):
        return _TEXT + text
    return _named(value.hex(), value, names)


def _named(shown: str, value: object, names: Mapping[str, object]) -> str:
    name = next((name for name, known in names.items() if known == value), None)
    return shown if name is None else f"{shown} ({name})"


def _place(method: str, name: str) -> str:
    return f"{method.partition('.')[0]}.{name}"


def _hex(text: str) -> bytes | None:
    digits = text.removeprefix("0x")
    return bytes.fromhex(digits) if re.fullmatch(r"([0-9a-fA-F]{2})+", digits) else None


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "no arguments"
