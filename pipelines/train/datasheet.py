"""The datasheet of a training pack: what is in it, where it is from, and what it lacks.

Its questions are those of Gebru et al., Datasheets for Datasets (2021), as far as the data answer
them.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsaug.conditions.landcover import CLASSES
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.packfile import SPLITS
from rsaug.pipelines.train.rows import Example

_LICENCE_FILES = ("LICEN*", "licen*", "COPYING*", "README*", "readme*", "NOTICE*")
_LICENCE_LINES, _MOST_LINE, _MOST_BYTES = 5, 300, 1 << 16


@dataclass
class Tally:
    """What one split of a pack holds, counted as it is read."""

    examples: int = 0
    texts: int = 0
    images: set[tuple[str, str]] = field(default_factory=set)
    places: set[tuple[str, str]] = field(default_factory=set)
    by_folder: Counter[str] = field(default_factory=Counter)
    by_city: Counter[str] = field(default_factory=Counter)
    by_year: Counter[str] = field(default_factory=Counter)
    road_km: Counter[str] = field(default_factory=Counter)
    road_pixels: int = 0
    pixels: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    outlined: Counter[str] = field(default_factory=Counter)
    has: Counter[str] = field(default_factory=Counter)
    _measured: set[tuple[str, str]] = field(default_factory=set)

    def add(self, example: Example, folder: str) -> None:
        """Count an example of a folder."""
        row = example.row
        self.examples += 1
        self.texts += len(set(row["captions"]))
        self.images.add((folder, example.image))
        if example.place:
            self.places.add((folder, example.place))
        self.by_folder[folder] += 1
        self.by_city[example.city or "not said"] += 1
        self.by_year["not said" if example.year is None else str(example.year)] += 1
        self.road_pixels += int(row["road"].sum())
        self.pixels += row["road"].size
        for name, counts in (("seen", self.seen), ("areas", self.outlined)):
            for k, count in enumerate(np.bincount(row[name].ravel(), minlength=len(CLASSES))):
                counts[CLASSES[k]] += int(count) if row["has_seen"] or name == "areas" else 0
        for name in ("has_areas", "has_seen", "has_map"):
            self.has[name] += bool(row[name])
        self.has["vegetation"] += bool(row["vegetation"].any())
        self.has["captions"] += bool(row["captions"])
        for k, name in enumerate(FIELDS):
            self.has[name] += not np.isnan(row["metadata"][k])
        # The roads of a place are the same in every year.
        key = (folder, example.place or example.image)
        if key not in self._measured:
            self._measured.add(key)
            for kind, metres in example.road_m.items():
                self.road_km[kind or "kind not known"] += metres / 1000  # type: ignore[assignment]


@dataclass(frozen=True)
class Made:
    """A pack that has been made, for its datasheet and for who made it.

    Attributes:
        folders: tile folders by name.
        index: what its ``pack.json`` says.
        tallies: what is in it, by split.
        left_out: what is not, counted by reason.
        placed: images of the folders with a georeference, of whatever split.
        images: images of the folders.
        psnr: of each image that was kept with loss, in dB.
    """

    folders: Mapping[str, Path]
    index: dict[str, Any]
    tallies: Mapping[str, Tally]
    left_out: Mapping[str, int]
    placed: int
    images: int
    psnr: tuple[float, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of its Parquet files."""
        return sum(split["bytes"] for split in self.index["splits"].values())

    def quality(self) -> str:
        """How the images are kept, in a sentence."""
        if not self.psnr:
            return "Images are kept without loss."
        return (
            f"Images are WebP of quality {self.index['settings']['image_quality']}: a PSNR of "
            f"{np.mean(self.psnr):.1f} dB on average and {min(self.psnr):.1f} dB at least "
            f"(n={len(self.psnr)}). Edges, land cover and texts are of these images."
        )


def datasheet(made: Made) -> str:
    """The datasheet of a pack as Markdown."""
    sections = (
        ("Motivation", _motivation()),
        ("Composition", _composition(made)),
        ("Collection", _collection(made)),
        ("Preprocessing and labels", _preprocessing(made)),
        ("What was left out", _left_out(made)),
        ("Known gaps", _gaps(made)),
        ("Distribution", _distribution(made)),
        ("How to rebuild it", _rebuild(made)),
    )
    body = "\n".join(f"## {title}\n\n{text}\n" for title, text in sections)
    return (
        "# Datasheet of a training pack\n\nWritten by `rsaug train prepare`, after Gebru et al., "
        f"Datasheets for Datasets (2021).\n\n{body}"
    )


def _motivation() -> str:
    return (
        "Made to train generators and autoencoders of aerial imagery with `rsaug train`. What the "
        "tile folders themselves were made for, they have to say."
    )


def _composition(made: Made) -> str:
    tallies, size = made.tallies, made.index["size"]
    lines = [
        f"An example is an image of {size} x {size} pixels with a road mask, land cover from "
        "outlines and as a network sees it, vegetation, edges of the image and of the map, texts "
        "and metadata. Splits are by place; the split `test` is not in it.\n",
        _table(
            ("", *tallies),
            [
                ("examples", *(t.examples for t in tallies.values())),
                ("images", *(len(t.images) for t in tallies.values())),
                ("places", *(len(t.places) or "not said" for t in tallies.values())),
                (
                    "road pixels",
                    *(f"{t.road_pixels / t.pixels:.1%}" for t in tallies.values()),
                ),
                (
                    "texts an example",
                    *(f"{t.texts / t.examples:.1f}" for t in tallies.values()),
                ),
            ],
        ),
    ]
    counts: tuple[tuple[str, str], ...] = (
        ("Examples by tile folder", "by_folder"),
        ("Examples by city", "by_city"),
        ("Examples by year", "by_year"),
        ("Road by kind (`highway`), km at places, each counted once", "road_km"),
    )
    for title, name in counts:
        lines.append(_by_name(title, {split: getattr(t, name) for split, t in tallies.items()}))
    for title, name in (("outlined", "outlined"), ("seen by the network", "seen")):
        shares = {
            split: Counter(
                {k: 100 * n / max(1, getattr(t, name).total()) for k, n in getattr(t, name).items()}
            )
            for split, t in tallies.items()
        }
        if any(share.total() for share in shares.values()):
            lines.append(_by_name(f"Land cover {title}, % of pixels", shares))
    return "\n".join(lines)


def _collection(made: Made) -> str:
    lines = [
        f"- `{name}`: {len(files)} files were read; `pack.json` has the SHA-256 of each."
        for name, files in made.index["inputs"].items()
    ]
    return "\n".join(lines)


def _preprocessing(made: Made) -> str:
    has_map = any(t.has["has_map"] for t in made.tallies.values())
    has_mask = any(t.has["has_map"] < t.examples for t in made.tallies.values())
    lines = [f"- {made.quality()}"]
    if has_map:
        lines.append(
            "- Road masks and outlined land cover are burned from the vectors of the folder; "
            "roads of no tagged width have that of their kind."
        )
    if has_mask:
        lines.append("- Some road masks are files of the folder, taken as they are.")
    lines.append("- Vegetation is where NDVI is above 0.1, where there is near infrared.")
    if made.index["settings"]["land_cover_network"]:
        lines.append("- The land cover seen is what rsaug's land-cover network says: no label.")
    lines.append(
        "- Edges are found in the image by rsaug's detectors, and drawn of the map. Texts are "
        "those of `captions.csv`, which a place has for all its years, and others composed from "
        "what is measured on each image."
    )
    return "\n".join(lines)


def _left_out(made: Made) -> str:
    if not made.left_out:
        return "Nothing."
    return "\n".join(f"- {count} {reason}" for reason, count in made.left_out.items())


def _gaps(made: Made) -> str:
    lines = []
    if made.placed == made.images:
        lines.append(
            f"- No place, no ground and no pixels are in two splits; all {made.images} images were "
            "looked at, those of other splits too. Images of different splits may touch."
        )
    else:
        lines.append(
            f"- No place and no pixels are in two splits. {made.images - made.placed} of "
            f"{made.images} images have no georeference, so whether they show the same ground is "
            "not known."
        )
    for split, tally in made.tallies.items():
        for name, what in (
            ("has_areas", "land cover from outlines or near infrared"),
            ("has_seen", "land cover seen by a network"),
            ("has_map", "a map to take edges from"),
            ("captions", "a text"),
            *((known, f"the metadata `{known}`") for known in FIELDS),
        ):
            missing = tally.examples - tally.has[name]
            if missing:
                lines.append(f"- {split}: {missing} of {tally.examples} examples lack {what}.")
    lines += [f"- There is no split `{name}`." for name in SPLITS if name not in made.tallies]
    lines.append("- Where outlines lack, they say nothing: the ground may be of any class.")
    return "\n".join(lines)


def _distribution(made: Made) -> str:
    lines = []
    for name, folder in made.folders.items():
        quoted = _licences(folder)
        lines += quoted or [
            f"- `{name}` has no LICENSE, README or the like: under which licence its imagery and "
            "labels may be passed on has to be asked where they are from."
        ]
    lines.append(
        "- The pack holds the images themselves. It may be passed on only as its sources allow."
    )
    return "\n".join(lines)


def _licences(folder: Path) -> list[str]:
    """What files beside the data say on licences, by name."""
    lines = []
    found = sorted({path for pattern in _LICENCE_FILES for path in folder.glob(pattern)})
    for path in (path for path in found if path.is_file()):
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
        said = [line.strip() for line in text.splitlines() if "licen" in line.lower()]
        lines.append(f"- `{folder.resolve().name}/{path.name}` says on licences:")
        quoted = [f"  > {line[:_MOST_LINE]}" for line in said[:_LICENCE_LINES]]
        lines += quoted or ["  nothing in a line with that word; read it."]
    return lines


def _rebuild(made: Made) -> str:
    settings = made.index["settings"]
    words = ["rsaug", "train", "prepare"]
    for name in made.folders:
        words += ["--data", name]
    if made.index["size"] != 256:
        words += ["--tile-size", str(made.index["size"])]
    if settings["gsd_m"] is not None:
        words += ["--gsd", f"{settings['gsd_m']:g}"]
    if settings["image_quality"] is not None:
        words += ["--image-quality", str(settings["image_quality"])]
    words += ["--leave-out-overlaps"] * settings["leave_out_overlaps"]
    words += ["--out", "pack"]
    software = ", ".join(f"{name} {of}" for name, of in made.index["software"].items())
    return (
        f"```sh\n{shlex.join(words)}\n```\n\nThe same bytes come of the same files with the same "
        f"versions: {software}."
    )


def _by_name(title: str, counts: Mapping[str, Mapping[str, float]]) -> str:
    names = sorted({name for of_split in counts.values() for name in of_split})
    if not names:
        return f"{title}: none.\n"
    rows = [(name, *(_number(of[name]) for of in counts.values())) for name in names]
    return f"{title}:\n\n{_table(('', *counts), rows)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _table(head: tuple[Any, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
