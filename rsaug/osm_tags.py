"""Parsers of the values of OpenStreetMap tags.

Formats follow the OSM wiki's pages on ``width``, ``lanes`` and ``layer``. What tags mean is in
``rules/``: for roads see `rsaug.road_rules`, for land cover `rsaug.classes`.
"""

from __future__ import annotations

import re

FOOT_M = 0.3048
INCH_M = 0.0254

_PLAIN = re.compile(r"-?\d+(?:[.,]\d+)?")
_METRES = re.compile(r"(-?\d+(?:[.,]\d+)?)\s*(?:m|metres?|meters?)")
_FEET = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(?:['\u2032\u2019]|ft|feet|foot)\s*"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:\"|\u2033|\u201d|''|in|inch|inches))?"
)
_WHOLE = re.compile(r"([+-]?\d{1,9})(?:\.0+)?")
_HSTORE_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=>\s*(?:"((?:[^"\\]|\\.)*)"|NULL)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_length_m(text: str, unit_m: float = 1.0) -> float | None:
    """Metres that a length tag says, or None when it says no single length.

    Plain numbers are in the unit; ``7.5 m``, ``7,5``, ``24 ft``, ``24'`` and ``24'6"`` are
    understood. Ranges, lists and words (``2;3``, ``wide``) are not.

    Args:
        text: The value of the tag.
        unit_m: Metres that a number without a unit stands for.
    """
    text = text.strip().lower()
    if _PLAIN.fullmatch(text):
        return _number(text) * unit_m
    if match := _METRES.fullmatch(text):
        return _number(match[1])
    if match := _FEET.fullmatch(text):
        return _number(match[1]) * FOOT_M + (_number(match[2]) * INCH_M if match[2] else 0.0)
    return None


def parse_lanes(text: str) -> float | None:
    """How many lanes a tag says, 1.5 among them, or None for ranges, lists and words."""
    text = text.strip()
    return _number(text) if _PLAIN.fullmatch(text) else None


def parse_layer(text: str) -> int | None:
    """The level that ``layer`` says, or None when it is no whole number (``ground``, ``0;1``)."""
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1]) if match else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def parse_hstore(text: str) -> dict[str, str]:
    r"""Tags written as GDAL's OSM driver does: ``"key"=>"value","key"=>"value"``.

    Quotes and backslashes inside are escaped by a backslash. Pairs without a value are left out.
    """
    return {
        _ESCAPE.sub(r"\1", key): _ESCAPE.sub(r"\1", value)
        for key, value in _HSTORE_PAIR.findall(text)
        if value
    }
