"""A small extract of OpenStreetMap in PBF, written by hand: three ways, two of them an area's."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

_NODES = {1: (24.940, 60.166), 2: (24.942, 60.167), 3: (24.944, 60.166), 4: (24.941, 60.168)}
_WAYS: dict[int, tuple[tuple[int, ...], dict[str, str]]] = {
    10: ((1, 2, 3), {"highway": "residential", "width": "7.5"}),
    11: ((1, 2, 3, 4, 1), {"natural": "wood"}),
    12: ((1, 2, 4, 1), {}),
}
_RELATION = (20, 12, {"type": "multipolygon", "landuse": "forest"})


Nodes = Mapping[int, tuple[float, float]]
Ways = Mapping[int, tuple[Sequence[int], Mapping[str, str]]]


def extract(
    nodes: Nodes = _NODES, ways: Ways = _WAYS, change: Callable[[bytes], bytes] = bytes
) -> bytes:
    """The bytes of the file.

    Args:
        nodes: Longitude and latitude by number.
        ways: Numbers of nodes, and tags, by number; a relation is made of the one numbered 12.
        change: What is done to the blocks before they are packed.
    """
    header = _text(4, "OsmSchema-V0.6") + _text(4, "DenseNodes")
    return _blob("OSMHeader", change(header)) + _blob("OSMData", change(_block(nodes, ways)))


def _block(nodes: Nodes, ways: Ways) -> bytes:
    tags = [tags for _, tags in ways.values()] + [_RELATION[2]]
    words = [
        "",
        "outer",
        *dict.fromkeys(word for each in tags for kv in each.items() for word in kv),
    ]
    table = b"".join(_text(1, word) for word in words)
    dense = (
        _packed(1, map(_zigzag, _steps(nodes)))
        + _packed(8, map(_zigzag, _steps(round(y * 1e7) for _, y in nodes.values())))
        + _packed(9, map(_zigzag, _steps(round(x * 1e7) for x, _ in nodes.values())))
    )
    # DenseNodes are field 2 of a PrimitiveGroup.
    groups = [_field(2, dense)]
    for number, (refs, own) in ways.items():
        groups.append(
            _field(3, _tagged(number, own, words) + _packed(8, map(_zigzag, _steps(refs))))
        )
    number, member, own = _RELATION
    groups.append(
        _field(
            4,
            _tagged(number, own, words)
            + _packed(8, [words.index("outer")])
            + _packed(9, [_zigzag(member)])
            + _packed(10, [1]),
        )
    )
    return _field(1, table) + b"".join(_field(2, group) for group in groups)


def _tagged(number: int, tags: Mapping[str, str], words: list[str]) -> bytes:
    keys, values = (map(words.index, part) for part in (tags.keys(), tags.values()))
    # GDAL takes no list of nothing.
    named = _packed(2, keys) + _packed(3, values) if tags else b""
    return b"\x08" + _varint(number) + named


def _blob(kind: str, content: bytes) -> bytes:
    blob = b"\x10" + _varint(len(content)) + _field(3, zlib.compress(content))
    header = _text(1, kind) + b"\x18" + _varint(len(blob))
    return struct.pack(">I", len(header)) + header + blob


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _packed(number: int, values: Iterable[int]) -> bytes:
    return _field(number, b"".join(map(_varint, values)))


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _steps(values: Iterable[int]) -> list[int]:
    """Each value less the one before it."""
    listed = list(values)
    return [value - before for value, before in zip(listed, [0, *listed], strict=False)]
