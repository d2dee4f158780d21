"""JSON that says the same in other words, or nearly the same: texts that a document is put into, place by place."""

import json
import random
from typing import Any

Document = dict[str, Any]
_HERE = "\N{REPLACEMENT CHARACTER} here"

_VALUES = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1.0",
        "0.0",
        "0e0",
        "1E2",
        "-0",
        "-1",
        "01",
        "+1",
        "0x1",
        "1_0",
        "true",
    ),
    *("false", "null", '""', "[[]]", "{}", "[null]", '"\\ud800"', '"\\u0000"', '"\\uff11\\uff11"', '"\u0661\u0661"'),
    *("4294967296", "18446744073709551616", "1" * 400, "1" * 5000, "-" + "9" * 5000, "[" * 100_000, '{"a":' * 100_000),
    *(
        "[" * 900 + "]" * 900,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 900 + "1" + "}" * 900,
        "'00'",
        '"00',
        "undefined",
    ),
)


def other_value(document: Document, rng: random.Random) -> bytes:
    """Anything that somebody's parser takes for a value, at any place."""
    holder, key = _place(document, rng)
    holder[key] = _HERE
    return _put(document, rng.choice(_VALUES))


def other_spelling(document: Document, rng: random.Random) -> bytes:
    """A text in capitals, with escapes, white space or digits of another script."""
    texts = [place for place in _places(document) if isinstance(place[0][place[1]], str)]
    holder, key = rng.choice(texts)
    text, holder[key] = holder[key], _HERE
    at = rng.randrange(len(text) + 1)
    char = text[at : at + 1] or "0"
    wide = chr(0xFEE0 + ord(char))
    changed = rng.choice((f"\\u{ord(char):04x}", f"\\u{ord(char):04X}", char.upper(), wide, f" {char}", f"\\n{char}"))
    return _put(document, f'"{text[:at]}{changed}{text[at + 1 :]}"')


def other_number(document: Document, rng: random.Random) -> bytes:
    """An integer in other words."""
    numbers = [place for place in _places(document) if type(place[0][place[1]]) is int]
    holder, key = rng.choice(numbers)
    number, holder[key] = holder[key], _HERE
    said = (f"{number}.0", f"{number}e0", f'"{number}"', f"0{number}", f"+{number}", f"-{number}", f"{number} ")
    return _put(document, rng.choice((*said, json.dumps(bool(number)), f"[{number}]", f"{number + (1 << 32)}")))


def key_twice(document: Document, rng: random.Random) -> bytes:
    """A key again, as it is or with an escape in it, with the same value or another."""
    holders = [document, *(holder[key] for holder, key in _places(document) if isinstance(holder[key], dict))]
    holder = rng.choice(holders)
    key, other = rng.choice(sorted(holder)), rng.choice(sorted(holder))
    escaped = f"\\u{ord(key[0]):04x}{key[1:]}"
    if rng.random() < 0.2:  # once, but with an escape: the same document
        holder[_HERE] = holder.pop(key)
        return _put(document, f'"{escaped}"')
    holder[_HERE] = rng.choice((holder[key], holder[other], None))
    return _put(document, f'"{rng.choice((key, escaped))}"')


def around(document: Document, rng: random.Random) -> bytes:
    """Before or behind the document, or in another encoding."""
    text = json.dumps(document)
    data = text.encode()
    return rng.choice(
        (
            *(data + more for more in (b"\0", b"{}", b",", b" // end", b"\xa0", b"\xff", b"\x0b", b" \t\r\n")),
            *(more + data for more in (b"\xef\xbb\xbf", b"\0", b"\x0c", b"[", b"\n", b"\xc2\xa0")),
            *(text.encode(name) for name in ("utf-16", "utf-16-be", "utf-32-le", "cp500")),
            *(data[:-1] + more for more in (b",}", b"]", b"", b"}}", b',"\xed\xa0\x80":1}')),
        )
    )


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a document as holder and key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


def _place(document: Document, rng: random.Random) -> tuple[Any, Any]:
    """A place by a walk from the top, so that the many steps of paths do not outweigh the rest."""
    holder: Any = document
    while True:
        key = rng.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.2:
            return holder, key
        holder = holder[key]


def _put(document: Document, text: str) -> bytes:
    return json.dumps(document).replace(json.dumps(_HERE), text).encode("utf-8", "surrogatepass")
