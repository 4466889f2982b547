"""Room for a C2PA manifest inside a TIFF file, made before the file is signed.

A library that signs a TIFF writes its first directory anew at the end, and what was a
cloud-optimized GeoTIFF is none any more. Where the manifest's tag is there already, in the size
that the manifest will have, it only writes the manifest into it. The tag stands where C2PA 2.4
wants it: in the directory of a file that has one, else in a last directory of its own. The manifest
is at the end of the file.

The layout is that of TIFF 6.0, section 2, and of BigTIFF.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from rsaug.errors import InputError

MANIFEST_TAG = 52545
"""Tag of a C2PA manifest store (C2PA 2.4, appendix A)."""

_SHORT, _LONG, _UNDEFINED = 3, 4, 7
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_OFFSETS = (273, 324)  # StripOffsets and TileOffsets: values that are places in the file
_MOST_PAGES = 1000

# One grey pixel, marked as a smaller version of another page (254), which readers that find nothing
# in it to use pass over: GDAL says nothing of it, neither as a subdataset nor as an overview.
_OWN_PAGE = (
    (254, _LONG, 1),  # NewSubfileType
    (256, _SHORT, 1),  # ImageWidth
    (257, _SHORT, 1),  # ImageLength
    (258, _SHORT, 8),  # BitsPerSample
    (259, _SHORT, 1),  # Compression: none
    (262, _SHORT, 1),  # PhotometricInterpretation: black is 0
    (273, _LONG, 8),  # StripOffsets: any byte will do
    (277, _SHORT, 1),  # SamplesPerPixel
    (278, _SHORT, 1),  # RowsPerStrip
    (279, _LONG, 1),  # StripByteCounts
)


@dataclass(frozen=True)
class _Layout:
    """How numbers are written in a file.

    Attributes:
        order: Of their bytes, as `struct` has it.
        big: Whether it is a BigTIFF.
    """

    order: str
    big: bool

    @property
    def count(self) -> struct.Struct:
        """How many entries a directory has."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def offset(self) -> struct.Struct:
        """A place in the file."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def head(self) -> struct.Struct:
        """The entry of a directory: tag, kind and number of values; the value comes after."""
        return struct.Struct(self.order + ("HHQ" if self.big else "HHI"))

    @property
    def entry(self) -> int:
        """Bytes of an entry."""
        return self.head.size + self.offset.size

    def number(self, kind: int, value: int) -> bytes:
        """An entry's value, one number, from the left."""
        code = {_SHORT: "H", _LONG: "I"}[kind]
        return struct.pack(self.order + code, value).ljust(self.offset.size, b"\0")


@dataclass(frozen=True)
class _Page:
    """A directory.

    Attributes:
        start: Where it begins.
        tags: Its tags, in order.
        link: Where it says at which place the next one is.
    """

    start: int
    tags: tuple[int, ...]
    link: int


def has_manifest(file: BinaryIO) -> bool:
    """Whether a TIFF file has a C2PA manifest; False for a file that is no TIFF."""
    try:
        return any(MANIFEST_TAG in page.tags for page in _pages(file, _layout(file)))
    except (InputError, struct.error):
        return False


def page_count(file: BinaryIO) -> int:
    """How many directories a TIFF file has.

    Raises:
        InputError: if it is no TIFF file.
    """
    return len([*_pages(file, _layout(file))])


def with_room(content: bytes, size: int) -> bytes:
    """A TIFF file of one directory with room for a manifest of so many bytes.

    The directory gets one entry more, and all that lies after it moves back by as much.

    Raises:
        InputError: if it is no TIFF file, or has a manifest or several directories.
    """
    layout = _layout(BytesIO(content))
    pages = [*_pages(BytesIO(content), layout)]
    if len(pages) != 1 or MANIFEST_TAG in pages[0].tags or layout.big:
        raise InputError("Only a TIFF file of one directory without a manifest can be given room.")
    page, moved = pages[0], layout.entry
    kept = bytearray(content)
    for number in range(len(page.tags)):
        _move(kept, layout, page.start + layout.count.size + number * layout.entry, moved)
    layout.count.pack_into(kept, page.start, len(page.tags) + 1)
    padding = (len(kept) + moved) % 2
    at = len(kept) + moved + padding
    entry = layout.head.pack(MANIFEST_TAG, _UNDEFINED, size) + layout.offset.pack(at)
    kept[page.link : page.link] = entry
    return bytes(kept) + bytes(padding + size)


def add_room(file: BinaryIO, size: int) -> None:
    """Add a directory with room for a manifest of so many bytes to a TIFF file, in place.

    All that was there stays where it is. A directory that this function added before is replaced.

    Args:
        file: Open for reading and writing.
        size: Bytes of the manifest.

    Raises:
        InputError: if it is no TIFF file.
    """
    layout = _layout(file)
    pages = [*_pages(file, layout)]
    if len(pages) > 1 and pages[-1].tags == (*(tag for tag, _, _ in _OWN_PAGE), MANIFEST_TAG):
        file.truncate(pages.pop().start)
    at = file.seek(0, os.SEEK_END)
    at += file.write(bytes(at % 2))
    count = len(_OWN_PAGE) + 1
    end = at + layout.count.size + count * layout.entry + layout.offset.size
    entries = [
        layout.head.pack(tag, kind, 1) + layout.number(kind, value)
        for tag, kind, value in _OWN_PAGE
    ]
    entries.append(layout.head.pack(MANIFEST_TAG, _UNDEFINED, size) + layout.offset.pack(end))
    file.write(layout.count.pack(count) + b"".join(entries) + layout.offset.pack(0) + bytes(size))
    file.seek(pages[-1].link)
    file.write(layout.offset.pack(at))


def _layout(file: BinaryIO) -> _Layout:
    file.seek(0)
    head = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = int.from_bytes(head[2:], "big" if order == ">" else "little")
    if order is None or version not in (42, 43):
        raise InputError("It is no TIFF file: it does not begin like one.")
    return _Layout(order, version == 43)


def _pages(file: BinaryIO, layout: _Layout) -> Iterator[_Page]:
    """The directories, in order; not those that other tags point to."""
    file.seek(8 if layout.big else 4)
    (start,) = layout.offset.unpack(file.read(layout.offset.size))
    for _ in range(_MOST_PAGES):
        if start == 0:
            return
        file.seek(start)
        (count,) = layout.count.unpack(file.read(layout.count.size))
        entries = file.read(count * layout.entry)
        tags = [layout.head.unpack_from(entries, k * layout.entry)[0] for k in range(count)]
        yield _Page(start, tuple(tags), start + layout.count.size + count * layout.entry)
        (start,) = layout.offset.unpack(file.read(layout.offset.size))
    raise InputError(f"It has more than {_MOST_PAGES} directories, or they go in a circle.")


def _move(content: bytearray, layout: _Layout, entry: int, by: int) -> None:
    """Make an entry of the only directory point to where things are once they have moved."""
    tag, kind, count = layout.head.unpack_from(content, entry)
    value = entry + layout.head.size
    (place,) = layout.offset.unpack_from(content, value)
    is_apart = _WIDTHS.get(kind, 8) * count > layout.offset.size
    if tag in _OFFSETS:
        start = place if is_apart else value
        numbers = struct.Struct(f"{layout.order}{count}{'H' if kind == _SHORT else 'I'}")
        numbers.pack_into(content, start, *(n + by for n in numbers.unpack_from(content, start)))
    if is_apart:
        layout.offset.pack_into(content, value, place + by)
