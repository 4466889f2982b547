"""Changes to inputs: of bytes, of text with numbers in it, and of JSON by its structure."""

from __future__ import annotations

import copy
import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

Sample = dict[str, bytes]
"""An input: the content of its files by their names."""

NUMBERS = (
    b"0", b"-1", b"1", b"255", b"256", b"65536", b"2147483647", b"-2147483649", b"4294967296",
    b"9223372036854775808", b"1e308", b"1e400", b"-1e400", b"1e-400", b"NaN", b"Infinity",
    b"-0.0", b"0.1", b"00", b"1_000", b"0x10", b"1,5", b"9" * 40, b"9" * 5000,
)  # fmt: skip

_WORDS = (
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"'", b"{", b"}", b"[", b"]", b"=", b"=>", b":",
    b"null", b"true", b"../../etc/passwd", b"/vsicurl/http://127.0.0.1/", b"\\", b"\\u0000",
    b"\\ud800", b"\n", b"\r\n", b"%s", b"${HOME}", b"&a", b"*a", b"!!python/object", b"<", b"--",
    "\u2032".encode(), "\u0663".encode(), "\u200b".encode(), "\U0001f6e3".encode(), b"A" * 3000,
)  # fmt: skip

_DEEP = 3000
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_SIZES = "bBhHiIqQ"


def mutated_bytes(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Some bytes with one to eight changes that know nothing of the format."""
    data = bytearray(content)
    for _ in range(1 << rng.randrange(4)):
        _BYTE_CHANGES[rng.randrange(len(_BYTE_CHANGES))](rng, data)
    if others and rng.random() < 0.05:
        other = rng.choice(others)
        data = data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]
    return bytes(data)


def mutated_text(rng: random.Random, content: bytes) -> bytes:
    """Text with one to four changes: words and numbers in other places, lines twice or gone."""
    for _ in range(1 << rng.randrange(3)):
        content = _TEXT_CHANGES[rng.randrange(len(_TEXT_CHANGES))](rng, content)
    return content


def mutated_json(rng: random.Random, content: bytes) -> bytes:
    """A JSON document with one to four values that are others, gone, twice or under other keys."""
    document = json.loads(content)
    for _ in range(1 << rng.randrange(3)):
        document = _json_change(rng, document)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    text = text.replace('"<deep>"', "[" * _DEEP + "]" * _DEEP)
    text = text.replace('"<deeper>"', '{"a":' * 100_000)
    text = text.replace('"<huge>"', "9" * 5000).replace('"<float>"', "1e999")
    text = text.replace('"<long>"', "1" + "0" * 400)
    return text.encode("utf-8", "surrogatepass")


def mutated_any(rng: random.Random, content: bytes) -> bytes:
    """A JSON document changed in one of the three ways."""
    way = rng.random()
    if way < 0.6:
        return mutated_json(rng, content)
    return mutated_text(rng, content) if way < 0.85 else mutated_bytes(rng, content)


def _span(rng: random.Random, data: bytearray, most: int = 64) -> slice:
    start = rng.randint(0, len(data))
    return slice(start, start + rng.randint(1, most))


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        # The beginnings of files decide most.
        at = rng.randrange(min(len(data), 512)) if rng.random() < 0.4 else rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)


def _number(rng: random.Random, data: bytearray) -> None:
    kind = rng.choice(_SIZES)
    size = struct.calcsize(kind)
    if len(data) < size:
        return
    low = -(1 << (8 * size - 1)) if kind.islower() else 0
    high = low + (1 << 8 * size) - 1
    value = rng.choice((low, high, 0, 1, high >> 1, high - 1, rng.randint(low, high)))
    at = rng.randrange(min(len(data), 1024) - size + 1 if rng.random() < 0.5 else len(data))
    data[at : at + size] = struct.pack(rng.choice("<>") + kind, value)


def _delete(rng: random.Random, data: bytearray) -> None:
    del data[_span(rng, data, most=rng.choice((1, 8, 64, 4096)))]


def _repeat(rng: random.Random, data: bytearray) -> None:
    span = _span(rng, data, most=256)
    data[span.start : span.start] = data[span] * rng.randint(1, 20)


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(_WORDS) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 32))


def _overwrite(rng: random.Random, data: bytearray) -> None:
    span = _span(rng, data)
    size = len(data[span])
    data[span] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randint(0, len(data)) :]


_BYTE_CHANGES: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip, _flip, _flip, _number, _number, _number, _overwrite, _insert, _delete, _repeat, _cut,
)  # fmt: skip


def _other_number(rng: random.Random, text: bytes) -> bytes:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text + rng.choice(NUMBERS)
    match = rng.choice(found)
    return text[: match.start()] + rng.choice(NUMBERS) + text[match.end() :]


def _other_word(rng: random.Random, text: bytes) -> bytes:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(_WORDS) + text[at + rng.randint(0, 8) :]


def _line_moved(rng: random.Random, text: bytes) -> bytes:
    lines = text.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _character(rng: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    _flip(rng, data)
    return bytes(data)


def _nested(rng: random.Random, text: bytes) -> bytes:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice((b"[", b"{", b'{"a":', b"(", b"a: {")) * _DEEP + text[at:]


_TEXT_CHANGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _other_number, _other_number, _other_word, _other_word, _line_moved, _character, _character,
    _character, _nested,
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 255, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "nan", "../../etc/passwd", "/etc/passwd",
    "http://127.0.0.1:9/x", "s3://bucket/x", "/vsicurl/http://127.0.0.1:9/x", "file:///etc/passwd",
    "\0", "\ud800", "\u0663", "x" * 5000, [], {}, [None], [[]], [0] * 1000, {"": None}, ["x", 1],
    {"href": "../../../x"}, "<deep>", "<deeper>", "<huge>", "<float>", "<long>",
)  # fmt: skip


def _json_change(rng: random.Random, document: Any) -> Any:
    places = _places(document)
    value = copy.deepcopy(rng.choice(_VALUES))
    if not places or rng.random() < 0.02:
        return value
    holder, key = rng.choice(places)
    way = rng.random()
    if way < 0.6:
        holder[key] = value
    elif way < 0.75:
        del holder[key]
    elif way < 0.9:
        other, name = rng.choice(places)
        holder[key] = copy.deepcopy(other[name])  # a copy: nothing may come to hold itself
    elif isinstance(holder, dict):
        holder[rng.choice(("", "x", "type", "\ud800", key + "s", key.upper()))] = holder.pop(key)
    else:
        holder.extend([holder[key]] * rng.choice((1, 3, 300)))
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Where in a document the values are: what holds each, and under which key."""
    found: list[tuple[Any, Any]] = []
    open_ones = [value] if isinstance(value, dict | list) else []
    while open_ones:
        holder = open_ones.pop()
        keys: Sequence[Any] = [*holder] if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                open_ones.append(holder[key])
    return found
