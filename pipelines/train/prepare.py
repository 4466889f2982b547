"""From real tiles and vectors to a training pack: read, checked to be disjoint, written whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import features

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.folders import check_new, write_folder
from rsaug.pipelines.text import learn_vocabulary
from rsaug.pipelines.train.datasheet import Made, Tally, datasheet
from rsaug.pipelines.train.disjoint import Footprint, check_disjoint, footprints, without_common
from rsaug.pipelines.train.folder import image_path
from rsaug.pipelines.train.packfile import (
    DATASHEET,
    FORMAT,
    INDEX,
    SCHEMA,
    SPLITS,
    SplitWriter,
    encode_image,
    file_sha256,
)
from rsaug.pipelines.train.rows import Look, Reading, read_examples

_LAYERS = ("index.csv", "roads.geojson", "landcover.geojson", "captions.csv")
_LIBRARIES = (
    "rsaug",
    "geopandas",
    "numpy",
    "pillow",
    "pyarrow",
    "rasterio",
    "scipy",
    "shapely",
    "torch",
)
_LOG_EVERY = 100


@dataclass(frozen=True)
class PackOptions:
    """How a pack is made.

    Attributes:
        size: side of an example in pixels.
        gsd_m: pixel size where the images have no georeference.
        quality: of the images, 1 to 100, for a smaller pack; None for no loss.
        leave_out_overlaps: whether to leave out images that have pixels or ground in common with
            another split - those of "train" first, then of "val" - rather than to refuse them.
    """

    size: int = 256
    gsd_m: float | None = None
    quality: int | None = None
    leave_out_overlaps: bool = False

    def check(self) -> None:
        """Raise InputError for a value that no pack can have."""
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise InputError(f"The quality of images is 1 to 100, not {self.quality}.")
        if self.gsd_m is not None and not 0 < self.gsd_m < float("inf"):
            raise InputError(f"The size of a pixel must be above 0 m, not {self.gsd_m:g}.")


@dataclass
class _Lossy:
    """Images as files of a quality, and how far what comes back is from what was read, in dB."""

    quality: int
    psnr: list[float] = field(default_factory=list)

    def __call__(self, rgb: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
        content, kept = encode_image(rgb, self.quality)
        mse = float(((kept.astype(np.float32) - rgb) ** 2).mean())
        self.psnr.append(10 * float(np.log10(255**2 / max(mse, 1e-4))))
        return content, kept


def prepare_pack(
    folders: Sequence[Path],
    out: Path,
    options: PackOptions,
    *,
    look: Look | None = None,
    networks: Mapping[str, Path] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Made:
    """Make a training pack of the splits "train" and "val" of tile folders.

    The images of all other splits are looked at once, for what they have in common with these, and
    nothing of them is kept. The same folders, options and versions give the same bytes.

    Args:
        folders: tile folders; see :mod:`rsaug.pipelines.train.folder`.
        out: folder of the pack, not there yet.
        options: size and quality.
        look: a network that sees land cover; None for none.
        networks: files of networks that were used, by what is said of them.
        log: where progress lines go.

    Raises:
        InputError: if a folder is none, two splits have something in common, or ``out`` exists.
        OutputError: if the pack cannot be written; nothing is left then.
    """
    options.check()
    check_new(out)
    labels = _labels(folders)
    images = footprints(folders)
    left_out: Counter[str] = Counter()
    found, gone = len(images), list[Footprint]()
    if options.leave_out_overlaps:
        images, gone = without_common(images, SPLITS)
        for image in gone:
            left_out[f"images of {image.split!r}, in common with another split"] += 1
    check_disjoint(images)
    log(f"{len(images)} images; no two splits share a place, ground or pixels")
    lossy = None if options.quality is None else _Lossy(options.quality)
    for image in images:
        if image.split not in SPLITS:
            left_out[f"images of the split {image.split!r}"] += 1
    reading = Reading(options.size, options.gsd_m, look, encode=lossy, left_out=left_out)
    writers, tallies, used = {}, {}, []
    for split in SPLITS:
        writer, tally = SplitWriter(options.quality), Tally()
        for folder, label in zip(folders, labels, strict=True):
            mine = _images_of(images, folder, split)
            used += [(folder, label, image) for image in mine]
            if mine:
                others = {image.image for image in gone if image.folder == folder}
                picked = replace(reading, skip=frozenset(others))
                _read_split(folder, label, split, picked, writer, tally, len(mine), log)
        if len(writer):
            writers[split], tallies[split] = writer, tally
    if "train" not in writers:
        raise InputError("No folder has an image with split='train'; there is nothing to train on.")
    index: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "size": options.size,
        "settings": {
            "gsd_m": options.gsd_m,
            "image_quality": options.quality,
            "leave_out_overlaps": options.leave_out_overlaps,
            "land_cover_network": look is not None,
        },
        "software": _software(),
        "networks": {name: file_sha256(path) for name, path in (networks or {}).items()},
        "inputs": _inputs(folders, labels, used),
        "vocabulary": learn_vocabulary(
            text for texts in writers["train"].captions for text in texts
        ),
    }
    made = Made(
        folders=dict(zip(labels, folders, strict=True)),
        index=index,
        tallies=tallies,
        left_out=dict(sorted(left_out.items())),
        placed=found - sum(image.tile is None for image in images),
        images=found,
        psnr=tuple(lossy.psnr) if lossy else (),
    )
    write_folder(out, lambda part: _fill(part, writers, made))
    return made


def _fill(part: Path, writers: Mapping[str, SplitWriter], made: Made) -> None:
    splits = {name: writer.write(part / f"{name}.parquet") for name, writer in writers.items()}
    made.index["splits"] = splits
    (part / DATASHEET).write_text(datasheet(made), encoding="utf-8")
    made.index["datasheet_sha256"] = file_sha256(part / DATASHEET)
    text = json.dumps(made.index, indent=1, sort_keys=True, ensure_ascii=False)
    (part / INDEX).write_text(f"{text}\n", encoding="utf-8")


def _read_split(
    folder: Path,
    label: str,
    split: str,
    reading: Reading,
    writer: SplitWriter,
    tally: Tally,
    images: int,
    log: Callable[[str], None],
) -> None:
    """Take the examples of one split of one folder."""
    seen: set[str] = set()
    for example in read_examples(folder, split, reading):
        if example.image not in seen:
            seen.add(example.image)
            if len(seen) % _LOG_EVERY == 0 or len(seen) == images:
                log(f"{label}, {split}: {len(seen)} of {images} images")
        writer.add(example, label)
        tally.add(example, label)


def _labels(folders: Sequence[Path]) -> list[str]:
    """Names of the folders, numbered where two have the same."""
    names = [folder.resolve().name for folder in folders]
    if len(set(map(Path.resolve, folders))) < len(names):
        raise InputError("A tile folder is given twice.")
    return [
        name if names.count(name) == 1 else f"{name}-{names[: nth + 1].count(name)}"
        for nth, name in enumerate(names)
    ]


def _images_of(images: Sequence[Footprint], folder: Path, split: str) -> list[str]:
    """Ids of the images of a folder in a split."""
    return [image.image for image in images if image.folder == folder and image.split == split]


def _inputs(
    folders: Sequence[Path], labels: Sequence[str], used: Sequence[tuple[Path, str, str]]
) -> dict[str, dict[str, str]]:
    """SHA-256 of every file that was read, by folder and path in it."""
    found: dict[str, dict[str, str]] = {label: {} for label in labels}
    for folder, label in zip(folders, labels, strict=True):
        for name in _LAYERS:
            if (folder / name).is_file():
                found[label][name] = file_sha256(folder / name)
    for folder, label, image in used:
        others = (folder / "nir" / f"{image}.tif", folder / "masks" / f"{image}.png")
        for path in (image_path(folder, image), *others):
            if path.is_file():
                found[label][path.relative_to(folder).as_posix()] = file_sha256(path)
    return found


def _software() -> dict[str, str | None]:
    cv2 = require("cv2", extra="image")
    return {
        **{name: version(name) for name in _LIBRARIES},
        "opencv": cv2.__version__,
        "gdal": rasterio.__gdal_version__,
        "libwebp": features.version("webp"),
        "zlib": features.version("zlib"),
    }
