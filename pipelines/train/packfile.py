"""Training packs on disk: examples of two splits in one folder, read without trusting it.

A pack is a folder with ``pack.json`` (what it is, and the SHA-256 of all it was made of and holds),
``train.parquet`` and, where there is such a split, ``val.parquet`` (a row an example, images and
maps as PNG or WebP), and ``DATASHEET.md``. The Parquet files are neither compressed nor
dictionary-encoded, so that none can be larger in memory than on disk; a picture is decoded after
its size is known.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.jsontext import parse_json
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.folder import cut_chips
from rsaug.pipelines.train.pack import Pack
from rsaug.pipelines.train.rows import Example

SCHEMA = 1
"""Version of the format."""

SPLITS = ("train", "val")
"""Splits that a pack holds."""

INDEX, DATASHEET = "pack.json", "DATASHEET.md"

FORMAT = "rsaug training pack"
# An index names each input once; this is enough for a hundred thousand of them.
_MOST_INDEX_BYTES = 1 << 26
_MOST_SIDE = 4096
# 65536 tiles of 256 x 256 pixels; they take 56 GB of memory.
_MOST_PIXELS = 1 << 32
_BATCH = 64

_FLAGS = ("has_areas", "has_seen", "has_map")
_TEXTS = ("name", "image", "folder", "place", "city")
_COLUMNS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _TEXTS),
        pa.field("year", pa.int32()),
        *(
            pa.field(name, pa.binary(), nullable=False)
            for name in (
                "rgb",
                "road",
                "areas",
                "vegetation",
                "seen",
                "photo_lines",
                "photo_soft",
                "photo_sketch",
                "map_edges",
            )
        ),
        *(pa.field(name, pa.bool_(), nullable=False) for name in _FLAGS),
        *(
            pa.field(name, pa.list_(pa.field("element", of, nullable=False)), nullable=False)
            for name, of in (("captions", pa.string()), ("metadata", pa.float32()))
        ),
    ]
)
_ARRAYS = ("rgb", "road", "areas", "vegetation", "seen", "photo_edges", "map_edges")


@dataclass(frozen=True)
class PackIndex:
    """What ``pack.json`` says that is needed to read a pack.

    Attributes:
        folder: where the pack is.
        size: side of an example in pixels.
        splits: by split, its ``examples``, the ``sha256`` of its file and of its ``arrays``.
    """

    folder: Path
    size: int
    splits: Mapping[str, Mapping[str, Any]]


def image_codec(quality: int | None) -> Callable[[NDArray[np.uint8]], bytes]:
    """What writes images (rows, cols, 3): WebP without loss, or of a quality of 1 to 100."""
    if quality is None:
        return lambda rgb: _webp(rgb, lossless=True, quality=100, method=2)
    return lambda rgb: _webp(rgb, quality=quality, method=4)


def encode_image(rgb: NDArray[np.uint8], quality: int) -> tuple[bytes, NDArray[np.uint8]]:
    """An image (size, size, 3) as WebP of a quality of 1 to 100, and what comes back of it."""
    content = image_codec(quality)(rgb)
    return content, _decode(content, "WEBP", "RGB", rgb.shape[0], "an image")


class SplitWriter:
    """Collects the examples of a split, encoded, and writes them.

    Args:
        quality: of images and of their soft edges and sketches; None for no loss.
    """

    def __init__(self, quality: int | None = None) -> None:
        self.quality = quality
        self._encode = image_codec(quality)
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS.names}
        self._digests = {name: hashlib.sha256() for name in _ARRAYS}
        self.captions: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        """Number of examples so far."""
        return len(self._columns["name"])

    def add(self, example: Example, folder: str) -> None:
        """Take an example; ``folder`` is the name of the tile folder that it is from."""
        row = example.row
        soft, sketch = (self._grey(plane) for plane in row["photo_edges"][1:])
        values = {
            "name": example.name,
            "image": example.image,
            "folder": folder,
            "place": example.place,
            "city": example.city,
            "year": example.year,
            "rgb": example.encoded or self._encode(row["rgb"]),
            "road": _png(row["road"].astype(bool)),
            "areas": _png(row["areas"]),
            "vegetation": _png(row["vegetation"].astype(bool)),
            "seen": _png(row["seen"]),
            "photo_lines": _png(row["photo_edges"][0]),
            "photo_soft": soft,
            "photo_sketch": sketch,
            "map_edges": _webp(
                row["map_edges"].transpose(1, 2, 0), lossless=True, quality=100, method=2
            ),
            **{name: bool(row[name]) for name in _FLAGS},
            "captions": list(row["captions"]),
            "metadata": row["metadata"].tolist(),
        }
        for name, value in values.items():
            self._columns[name].append(value)
        for name, array in _decode_row(values, row["rgb"].shape[0]).items():
            self._digests[name].update(np.ascontiguousarray(array).tobytes())
        self.captions.append(tuple(row["captions"]))

    def write(self, path: Path) -> dict[str, Any]:
        """Write the file; returns what ``pack.json`` says of it."""
        table = pa.table(self._columns, schema=_COLUMNS)
        pq.write_table(
            table,
            path,
            row_group_size=_BATCH,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
            version="2.6",
        )
        return {
            "examples": len(self),
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
            "arrays": {name: digest.hexdigest() for name, digest in self._digests.items()},
        }

    def _grey(self, plane: NDArray[np.uint8]) -> bytes:
        if self.quality is None:
            return _png(plane)
        return _webp(np.repeat(plane[..., None], 3, axis=2), quality=self.quality, method=4)


def is_pack(folder: Path) -> bool:
    """Whether a folder has the index of a pack."""
    return (folder / INDEX).is_file()


def open_pack(folder: Path) -> PackIndex:
    """The index of a pack.

    Raises:
        InputError: if there is none, or it is of another version or says something that cannot be.
    """
    path = folder / INDEX
    if not path.is_file():
        raise InputError(
            f"{folder} is no training pack: it has no {INDEX}. Make one with: rsaug train prepare"
        )
    content = path.read_bytes()[: _MOST_INDEX_BYTES + 1]
    try:
        if len(content) > _MOST_INDEX_BYTES:
            raise ValueError("it is larger than 64 MiB")
        index = parse_json(content)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise InputError(f"{path} is not the index of a training pack.")
    if index.get("schema") != SCHEMA:
        raise InputError(
            f"{path} is of version {index.get('schema')!r}; this rsaug reads version {SCHEMA}. "
            "Make it anew with: rsaug train prepare"
        )
    size, splits = index.get("size"), index.get("splits")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MOST_SIDE:
        raise InputError(f"The size in {path} must be 1 to {_MOST_SIDE} pixels, not {size!r}.")
    if not isinstance(splits, dict) or "train" not in splits or set(splits) - set(SPLITS):
        raise InputError(f"The splits in {path} must be train and, if any, val.")
    for name, split in splits.items():
        _check_split(split, size, f"The split {name!r} in {path}")
    return PackIndex(folder, size, splits)


def _check_split(split: Any, size: int, where: str) -> None:
    count = split.get("examples") if isinstance(split, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InputError(f"{where} must say how many examples it has, at least 1.")
    if count * size**2 > _MOST_PIXELS:
        raise InputError(f"{where} has {count} examples of {size}x{size}, more than can be read.")
    arrays = split.get("arrays")
    if not isinstance(arrays, dict) or set(arrays) != set(_ARRAYS):
        raise InputError(f"{where} must give a SHA-256 for each of {list(_ARRAYS)}.")


def load_pack(folder: Path, split: str, limit: int | None = None) -> Pack:
    """The examples of one split of a pack.

    Args:
        folder: the pack.
        split: ``train`` or ``val``.
        limit: the first of them only; the hash of the arrays is not looked at then.

    Raises:
        InputError: if the pack has no such split, or it is not as its index says.
    """
    index = open_pack(folder)
    file, path = _open_split(index, split)
    count = min(index.splits[split]["examples"], limit or _MOST_PIXELS)
    arrays: dict[str, NDArray[Any]] = {}
    captions: list[tuple[str, ...]] = []
    flags: dict[str, list[bool]] = {name: [] for name in _FLAGS}
    metadata: list[list[float]] = []
    for row in _rows(file, path, list(_COLUMNS.names), count):
        nth = len(captions)
        for name, value in _decode_row(row, index.size, path).items():
            if name not in arrays:
                arrays[name] = np.empty((count, *value.shape), dtype=np.uint8)
            arrays[name][nth] = value
        if len(row["metadata"]) != len(FIELDS):
            raise InputError(f"{path}, {row['name']!r} has metadata of other fields than {FIELDS}.")
        captions.append(tuple(row["captions"]))
        metadata.append(row["metadata"])
        for name in _FLAGS:
            flags[name].append(row[name])
    if limit is None:
        _check_arrays(arrays, index.splits[split]["arrays"], path)
    return Pack(
        captions=captions,
        metadata=np.array(metadata, dtype=np.float32).reshape(count, len(FIELDS)),
        **arrays,
        **{name: np.array(values, dtype=bool) for name, values in flags.items()},
    )


def load_chips(folder: Path, size: int) -> NDArray[np.uint8]:
    """Training images of a pack as chips (n, size, size, 3), as `folder.read_chips` cuts them.

    Raises:
        InputError: if it has none of that size, or is not as its index says.
    """
    index = open_pack(folder)
    file, path = _open_split(index, "train")
    digest, chips = hashlib.sha256(), []
    for row in _rows(file, path, ["rgb"], index.splits["train"]["examples"]):
        rgb = _decode(row["rgb"], "WEBP", "RGB", index.size, str(path))
        digest.update(rgb.tobytes())
        chips += cut_chips(rgb, size)
    if digest.hexdigest() != index.splits["train"]["arrays"]["rgb"]:
        raise InputError(f"The images in {path} are not those that its index says.")
    if not chips:
        raise InputError(f"{folder} has no {size}x{size} chip: its images are {index.size} pixels.")
    return np.stack(chips)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_split(index: PackIndex, split: str) -> tuple[pq.ParquetFile, Path]:
    if split not in index.splits:
        raise InputError(f"{index.folder} has no split {split!r}; it has {sorted(index.splits)}.")
    path, said = index.folder / f"{split}.parquet", index.splits[split]
    if not path.is_file():
        raise InputError(f"{index.folder} lacks {path.name}.")
    if file_sha256(path) != said.get("sha256"):
        raise InputError(
            f"{path} is not the file that {INDEX} says: its SHA-256 differs. Copy the pack again."
        )
    try:
        file = pq.ParquetFile(path)
        _check_plain(file, path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}.") from error
    rows = file.metadata.num_rows
    if rows != said["examples"]:
        raise InputError(f"{path} has {rows} examples, {INDEX} says {said['examples']}.")
    return file, path


def _check_plain(file: pq.ParquetFile, path: Path) -> None:
    """Refuse other columns, and encodings in which a small file can be large in memory."""
    if not file.schema_arrow.equals(_COLUMNS):
        raise InputError(f"{path} has other columns than those of a training pack.")
    for group in range(file.metadata.num_row_groups):
        chunks = file.metadata.row_group(group)
        for column in range(chunks.num_columns):
            chunk = chunks.column(column)
            squeezed = any("DICTIONARY" in name or "DELTA" in name for name in chunk.encodings)
            if chunk.compression != "UNCOMPRESSED" or squeezed:
                raise InputError(f"{path} is compressed; a training pack is not.")


def _rows(
    file: pq.ParquetFile, path: Path, columns: list[str], count: int
) -> Iterator[dict[str, Any]]:
    """The first ``count`` rows as dictionaries."""
    left = count
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            yield from batch.slice(0, left).to_pylist()
            left -= min(left, batch.num_rows)
            if not left:
                return
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}.") from error


def _decode_row(
    row: Mapping[str, Any], size: int, path: Path | str = "the pack"
) -> dict[str, NDArray[np.uint8]]:
    """The arrays of a row, those of `Pack` without their first axis."""
    where = f"{path}, {row['name']!r}"
    areas, seen = (_decode(row[name], "PNG", "L", size, where) for name in ("areas", "seen"))
    if max(int(areas.max()), int(seen.max())) >= len(CLASSES):
        raise InputError(f"{where} has a class above {len(CLASSES) - 1}.")
    lines = _decode(row["photo_lines"], "PNG", "L", size, where)
    soft, sketch = (_grey(row[name], size, where) for name in ("photo_soft", "photo_sketch"))
    return {
        "rgb": _decode(row["rgb"], "WEBP", "RGB", size, where),
        "road": _decode(row["road"], "PNG", "1", size, where),
        "areas": areas,
        "vegetation": _decode(row["vegetation"], "PNG", "1", size, where),
        "seen": seen,
        "photo_edges": np.stack([lines, soft, sketch]),
        "map_edges": _decode(row["map_edges"], "WEBP", "RGB", size, where).transpose(2, 0, 1),
    }


def _check_arrays(arrays: Mapping[str, NDArray[Any]], said: Mapping[str, str], path: Path) -> None:
    for name, array in arrays.items():
        if hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() != said[name]:
            raise InputError(
                f"{name} in {path} is not what {INDEX} says: its SHA-256 differs. The pack may be "
                "damaged, or this version of Pillow decodes WebP in another way."
            )


def _grey(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    if content[:4] == b"RIFF":
        return np.ascontiguousarray(_decode(content, "WEBP", "RGB", size, where)[..., 1])
    return _decode(content, "PNG", "L", size, where)


def _decode(content: bytes, kind: str, mode: str, size: int, where: str) -> NDArray[np.uint8]:
    """A picture as uint8, 0 and 1 for mode 1; its size is looked at before it is decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as picture:
            if picture.size != (size, size) or picture.mode != mode:
                raise InputError(
                    f"{where} has a picture of {picture.size} in mode {picture.mode}; expected "
                    f"{size}x{size} in mode {mode}."
                )
            return np.asarray(picture).astype(np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} has a picture that cannot be read ({error}).") from error


def _png(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, format="PNG", compress_level=9)
    return stream.getvalue()


def _webp(rgb: NDArray[np.uint8], **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(stream, format="WEBP", **options)
    return stream.getvalue()
