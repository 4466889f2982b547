"""Whether the folder of a run is what it says: whole, unaltered, marked, and to be made again."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rsaug.engines import Work
from rsaug.engines.local import LocalEngine
from rsaug.errors import InputError, OutputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.jsontext import parse_json
from rsaug.mark_verification import MarkCheck
from rsaug.options import SynthOptions
from rsaug.provenance import DIGITAL_SOURCE_TYPE, read_key, read_provenance, read_xmp
from rsaug.raster import open_image, read_all
from rsaug.record import read_record
from rsaug.requests import TileGenerator
from rsaug.stac_labels import SPLIT, road_counts
from rsaug.stac_model import model_problems
from rsaug.stackfile import read_stack
from rsaug.storage import AnyPath, read
from rsaug.synthesis import make_plan, make_record
from rsaug.workshop import Outcome

_SHA256 = "1220"
"""Beginning of a multihash of SHA-256 in hexadecimal."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        item: Name of the image, or of a file of the run.
        problem: What it is.
    """

    item: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What a look at a run's folder has found.

    Attributes:
        folder: The folder.
        images: How many images were looked at.
        remade: How many of them were made again and compared.
        findings: What is not as it should be.
        notes: What else was found, one line each.
    """

    folder: str
    images: int
    remade: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return asdict(self)

    def to_text(self) -> str:
        """All of it for a reader."""
        again = f", {self.remade} made again" if self.remade else ""
        verdict = f"{len(self.findings)} problems" if self.findings else "all as it should be"
        lines = [f"{self.folder}: {self.images} images looked at{again}; {verdict}"]
        return "\n".join([*lines, *(f"{f.item}: {f.problem}" for f in self.findings), *self.notes])


def verify(
    root: AnyPath,
    reproduce: int = 0,
    load: Callable[[SynthOptions], TileGenerator] | None = None,
    anchors: str | None = None,
    *,
    discard: bool = False,
) -> Verification:
    """Look at every file of a run.

    Args:
        root: Its folder.
        reproduce: How many images to make again from the inputs that the record names, spread over
            all of them.
        load: What makes the generator, to make images again.
        anchors: File of certificates, PEM, that are trusted to vouch for whoever signed images.
        discard: Whether to remove images that are not as they should be, with their labels and
            items, so that the next run makes them again.

    Raises:
        InputError: if it is not the folder of a run, or images cannot be made again.
        OutputError: if something cannot be removed.
    """
    folder = RunFolder(root)
    try:
        collection = parse_json(read(folder.collection))
        listed = [Path(link["href"]).stem for link in collection["links"] if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{root} has no collection.json that can be read, so it is not the folder of a run "
            f"that came to its end ({error})."
        ) from error
    record = read_record(folder.record)
    weights = str(record.generator.get("weights_sha256", ""))
    marks = MarkCheck(record.options, anchors)
    findings = [
        Finding(name, problem)
        for name in listed
        for problem in _problems(folder, name, weights, marks)
    ]
    findings += [Finding("signatures", stranger) for stranger in marks.strangers()]
    findings += _of_the_run(folder, listed)
    if any(link.get("rel") == "derived_from" for link in collection["links"]):
        findings += [Finding(folder.model.name, said) for said in model_problems(folder, weights)]
    remade = 0
    if reproduce:
        if load is None:
            raise InputError("To make images again there must be something that makes them.")
        made = _remake(folder, listed, reproduce, load)
        findings += made
        remade = min(reproduce, len(listed))
    notes = marks.notes()
    if discard:
        notes = (*notes, *_discard(folder, {finding.item for finding in findings} & {*listed}))
    return Verification(str(root), len(listed), remade, tuple(findings), notes)


def _discard(folder: RunFolder, names: Collection[str]) -> Iterator[str]:
    for name in sorted(names):
        try:
            folder.discard(name, _tile_of(name))
        except OSError as error:
            raise OutputError(f"{name} cannot be removed ({error.strerror}).") from error
    if names:
        yield (
            f"Removed {len(names)} images; rsaug synth --config {folder.record} makes them again."
        )


def _tile_of(name: str) -> str:
    """Name of the tile of an image."""
    return name.split("_v")[0]


def _of_the_run(folder: RunFolder, listed: list[str]) -> Iterator[Finding]:
    """What is wrong with the folder as a whole."""
    there = {*folder.item_names()}
    if strange := sorted(there - {*listed}):
        yield Finding("collection.json", f"does not list {_some(strange)}")
    try:
        rows = pq.read_metadata(io.BytesIO(read(folder.manifest))).num_rows
    except (OSError, ValueError, pa.ArrowException):
        yield Finding("manifest.parquet", "cannot be read")
        return
    if rows != len(listed):
        yield Finding("manifest.parquet", f"has {rows} rows for {len(listed)} items")


def _problems(folder: RunFolder, name: str, weights: str, marks: MarkCheck) -> Iterator[str]:
    """What is wrong with an item and its files."""
    try:
        item = parse_json(read(folder.item(name)))
        properties, assets = dict(item["properties"]), item["assets"]
        hrefs = {what: str(assets[what]["href"]) for what in ("image", "mask", "conditions")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"its item cannot be read ({error!r})"
        return
    paths: dict[str, AnyPath] = {}
    for what, href in hrefs.items():
        path = folder.asset(href)
        if path is None:
            yield f"names {href}, which lies outside of the run"
            return
        paths[what] = path
    with _brought_here(paths) as files:
        altered = False
        for what, file in files.items():
            for problem in _file_problems(file, assets[what]):
                altered = True
                yield f"{what}: {problem}"
        if not altered:
            yield from _content_problems(files, properties, weights)
            yield from marks.problems(files["image"], properties)


@contextmanager
def _brought_here(paths: Mapping[str, AnyPath]) -> Iterator[dict[str, Path]]:
    """Files to look at: those of this machine, or for a while copies of those of a store."""
    with tempfile.TemporaryDirectory(prefix="rsaug-") as place:
        files = {}
        for what, path in paths.items():
            if isinstance(path, Path):
                files[what] = path
                continue
            files[what] = Path(place) / f"{what}.tif"
            # Where there is none, that is what will be found.
            with suppress(OSError):
                files[what].write_bytes(read(path))
        yield files


def _file_problems(path: Path, said: dict[str, Any]) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except OSError:
        yield "is missing"
        return
    checksum = f"{_SHA256}{hashlib.sha256(content).hexdigest()}"
    if (said.get("file:size"), said.get("file:checksum")) != (len(content), checksum):
        yield "was altered: its bytes are not those that were written"


def _content_problems(
    paths: dict[str, Path], properties: dict[str, Any], weights: str
) -> Iterator[str]:
    """What is wrong with files that are as they were written, or whose checksum was altered too."""
    said = read_provenance(paths["image"])
    if said is None:
        yield "image: does not say that it is synthetic and what made it"
    else:
        ours = (said.key, said.seed, said.variant, said.weights_sha256)
        names = ("key", "seed", "variant", "weights_sha256")
        theirs = tuple(properties.get(f"rsaug:{name}") for name in names)
        if ours != theirs:
            yield "image: its tags and its item do not agree on what made it"
        if said.weights_sha256 != weights:
            yield "image: was made by other weights than the record names"
    if DIGITAL_SOURCE_TYPE not in (read_xmp(paths["image"]) or ""):
        yield "image: its XMP packet does not say that it is synthetic"
    if not properties.get("rsaug:synthetic"):
        yield "its item does not say that the image is synthetic"
    if (split := properties.get("ml-aoi:split", SPLIT)) != SPLIT:
        yield f"its item puts a synthetic image into {split!r}, where it never belongs"
    labels = {read_key(paths["mask"]), read_key(paths["conditions"])}
    if len(labels) != 1 or None in labels:
        yield "mask and control maps are not of one making"
    yield from _label_problems(paths, properties)


def _label_problems(paths: dict[str, Path], properties: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the label itself."""
    with open_image(paths["mask"]) as src:
        mask: NDArray[np.uint8] = read_all(src, 1)
        where = (src.crs, src.transform, src.shape)
    with open_image(paths["image"]) as src:
        if (src.crs, src.transform, src.shape) != where:
            yield "image and mask do not lie on the same pixels"
    if not set(np.unique(mask).tolist()) <= {0, 1}:
        yield "mask: has values besides 0 and 1"
        return
    if "label:overviews" in properties and not _counts(properties, mask):
        yield "mask: has other numbers of pixels than its item says"
    stack = read_stack(paths["conditions"])
    if "road" in stack.given and not np.array_equal(stack.slot("road")[0] > 0, mask > 0):
        yield "mask: is not the road map that the image was made from"


def _counts(properties: dict[str, Any], mask: NDArray[np.uint8]) -> bool:
    """Whether an item counts the pixels of its mask as they are."""
    try:
        (overview,) = properties["label:overviews"]
        said = {entry["name"]: entry["count"] for entry in overview["counts"]}
    except (ValueError, KeyError, TypeError):
        return False
    return said == road_counts(float(mask.mean()), mask.size)


def _remake(
    folder: RunFolder,
    listed: list[str],
    count: int,
    load: Callable[[SynthOptions], TileGenerator],
) -> Iterator[Finding]:
    """Images that come out otherwise when they are made again."""
    record = read_record(folder.record)
    generator = load(record.options)
    with tempfile.TemporaryDirectory(prefix="rsaug-") as place:
        # Only pixels are compared, so nobody's key is needed.
        unsigned = replace(record.options, sign=None, sign_key=None, timestamp_url=None)
        plan = make_plan(replace(unsigned, out=str(Path(place) / "again")))
        tiles = {tile.name: tile for tile in plan.tiles}
        chosen = [listed[k * len(listed) // count] for k in range(min(count, len(listed)))]
        wanted: dict[str, Tile] = {}
        for name in chosen:
            tile = _tile_of(name)
            if tile not in tiles:
                yield Finding(name, "is no tile of the inputs any more")
            else:
                wanted[tile] = tiles[tile]
        changed = [name for name, digest in plan.inputs.items() if record.inputs[name] != digest]
        if changed:
            yield Finding("run.json", f"other files now: {', '.join(changed)}")
        again = RunFolder(plan.options.folder)
        seen = tuple(name for name in plan.controls if generator.sees(name))
        plan = replace(plan, controls=seen)
        outcomes: dict[str, Outcome] = {}
        work = Work(make_record(plan, generator), plan.places, generator)
        with again.opened():
            LocalEngine().run(work, [*wanted.values()], lambda o: outcomes.update({o.item: o}))
        for name in chosen:
            if name in outcomes:
                yield from _compared(folder, again, outcomes[name])


def _compared(folder: RunFolder, again: RunFolder, outcome: Outcome) -> Iterator[Finding]:
    name = outcome.item
    if outcome.status == "failed":
        yield Finding(name, f"cannot be made again: {outcome.reason}")
        return
    with open_image(folder.image(name)) as src:
        before = read_all(src).astype(np.int16)
    with open_image(again.image(name)) as src:
        after = read_all(src).astype(np.int16)
    if before.shape != after.shape:
        yield Finding(name, "has another size when it is made again")
    elif (before != after).any():
        share, most = (before != after).mean(), np.abs(before - after).max()
        yield Finding(
            name, f"differs when it is made again: {share:.2%} of the values, by {most} at most"
        )


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
