"""Whether an extract of OpenStreetMap is whole: GDAL ends at the first damage, and says nothing.

https://wiki.openstreetmap.org/wiki/PBF_Format
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from rsaug.errors import InputError

# The format's limits; that of blocks is twice as large, as GDAL's.
_MOST_HEADER_BYTES, _MOST_BLOCK_BYTES = 1 << 16, 64 << 20
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# Fields of a BlobHeader, and of a Blob.
_SIZE_OF_BLOB, _SIZE_OF_BLOCK, _ZLIB = 3, 2, 3


def check_whole(path: Path) -> None:
    """Read all blocks of an extract, without what is in them.

    Raises:
        InputError: if the file is cut off, or a block is not as it was written.
    """
    try:
        with path.open("rb") as file:
            while start := file.read(4):
                _check_block(file, start)
    except (OSError, ValueError, IndexError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as OSM PBF ({error}); it is cut off or damaged, so get it anew."
        ) from error


def _check_block(file: BinaryIO, start: bytes) -> None:
    if len(start) < 4:
        raise ValueError("it ends within a block")
    header = _fields(_exactly(file, int.from_bytes(start, "big"), _MOST_HEADER_BYTES))
    size = header.get(_SIZE_OF_BLOB)
    if not isinstance(size, int):
        raise ValueError("a block has no size")
    blob = _fields(_exactly(file, size, _MOST_BLOCK_BYTES))
    packed, said = blob.get(_ZLIB), blob.get(_SIZE_OF_BLOCK)
    if isinstance(packed, bytes) and isinstance(said, int):
        if said > _MOST_BLOCK_BYTES:
            raise ValueError("a block is larger than any can be")
        # The checksum is at the end of what is packed.
        unpacking = zlib.decompressobj()
        if len(unpacking.decompress(packed, said + 1)) != said or not unpacking.eof:
            raise ValueError("a block is of another size than it says")


def _exactly(file: BinaryIO, size: int, most: int) -> bytes:
    if size > most:
        raise ValueError("a block is larger than any can be")
    content = file.read(size)
    if len(content) < size:
        raise ValueError("it ends within a block")
    return content


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a message of protocol buffers by their numbers; of several the last."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            found[key >> 3], at = _varint(message, at)
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError("a block is no message")
        if at + size > len(message):
            raise ValueError("a message ends too early")
        found[key >> 3] = message[at : at + size]
        at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a place, and where it ends."""
    value = 0
    for place in range(10):
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")
