"""Whether the folder of a run is what it says: whole, unaltered, marked, and to be made again."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rsaug.engines import Work
from rsaug.engines.local import LocalEngine
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.provenance import DIGITAL_SOURCE_TYPE, read_key, read_provenance, read_xmp
from rsaug.raster import open_image
from rsaug.record import read_record
from rsaug.requests import TileGenerator
from rsaug.stackfile import read_stack
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
    """

    folder: str
    images: int
    remade: int
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return asdict(self)

    def to_text(self) -> str:
        """All of it for a reader."""
        again = f", {self.remade} made again" if self.remade else ""
        verdict = f"{len(self.findings)} problems" if self.findings else "all as it should be"
        lines = [f"{self.folder}: {self.images} images looked at{again}; {verdict}"]
        return "\n".join(lines + [f"{f.item}: {f.problem}" for f in self.findings])


def verify(
    root: Path, reproduce: int = 0, load: Callable[[SynthOptions], TileGenerator] | None = None
) -> Verification:
    """Look at every file of a run.

    Args:
        root: Its folder.
        reproduce: How many images to make again from the inputs that the record names, spread over
            all of them.
        load: What makes the generator, to make images again.

    Raises:
        InputError: if it is not the folder of a run, or images cannot be made again.
    """
    folder = RunFolder(root)
    try:
        collection = json.loads(folder.collection.read_text(encoding="utf-8"))
        listed = [Path(link["href"]).stem for link in collection["links"] if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{root} has no collection.json that can be read, so it is not the folder of a run "
            f"that came to its end ({error})."
        ) from error
    record = read_record(folder.record)
    weights = str(record.generator.get("weights_sha256", ""))
    findings = [
        Finding(name, problem) for name in listed for problem in _problems(folder, name, weights)
    ]
    findings += _of_the_run(folder, listed)
    remade = 0
    if reproduce:
        if load is None:
            raise InputError("To make images again there must be something that makes them.")
        made = _remake(folder, listed, reproduce, load)
        findings += made
        remade = min(reproduce, len(listed))
    return Verification(str(root), len(listed), remade, tuple(findings))


def _of_the_run(folder: RunFolder, listed: list[str]) -> Iterator[Finding]:
    """What is wrong with the folder as a whole."""
    there = {path.stem for path in (folder.root / "items").glob("*.json")}
    if strange := sorted(there - {*listed}):
        yield Finding("collection.json", f"does not list {_some(strange)}")
    try:
        rows = pq.read_metadata(folder.manifest).num_rows
    except (OSError, ValueError):
        yield Finding("manifest.parquet", "cannot be read")
        return
    if rows != len(listed):
        yield Finding("manifest.parquet", f"has {rows} rows for {len(listed)} items")


def _problems(folder: RunFolder, name: str, weights: str) -> Iterator[str]:
    """What is wrong with an item and its files."""
    try:
        item = json.loads(folder.item(name).read_text(encoding="utf-8"))
        properties, assets = item["properties"], item["assets"]
        paths = {
            what: (folder.root / "items" / assets[what]["href"]).resolve()
            for what in ("image", "mask", "conditions")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"its item cannot be read ({error!r})"
        return
    outside = [path for path in paths.values() if not path.is_relative_to(folder.root.resolve())]
    if outside:
        yield f"names {outside[0]}, which lies outside of the run"
        return
    altered = False
    for what, path in paths.items():
        for problem in _file_problems(path, assets[what]):
            altered = True
            yield f"{what}: {problem}"
    if not altered:
        yield from _content_problems(paths, properties, weights)


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
    labels = {read_key(paths["mask"]), read_key(paths["conditions"])}
    if len(labels) != 1 or None in labels:
        yield "mask and control maps are not of one making"
    yield from _label_problems(paths)


def _label_problems(paths: dict[str, Path]) -> Iterator[str]:
    """What is wrong with the label itself."""
    with open_image(paths["mask"]) as src:
        mask: NDArray[np.uint8] = src.read(1)
        where = (src.crs, src.transform, src.shape)
    with open_image(paths["image"]) as src:
        if (src.crs, src.transform, src.shape) != where:
            yield "image and mask do not lie on the same pixels"
    if not set(np.unique(mask).tolist()) <= {0, 1}:
        yield "mask: has values besides 0 and 1"
        return
    stack = read_stack(paths["conditions"])
    if "road" in stack.given and not np.array_equal(stack.slot("road")[0] > 0, mask > 0):
        yield "mask: is not the road map that the image was made from"


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
        plan = make_plan(replace(record.options, out=str(Path(place) / "again")))
        tiles = {tile.name: tile for tile in plan.tiles}
        chosen = [listed[k * len(listed) // count] for k in range(min(count, len(listed)))]
        wanted: dict[str, Tile] = {}
        for name in chosen:
            tile = name.split("_v")[0]
            if tile not in tiles:
                yield Finding(name, "is no tile of the inputs any more")
            else:
                wanted[tile] = tiles[tile]
        changed = [name for name, digest in plan.inputs.items() if record.inputs[name] != digest]
        if changed:
            yield Finding("run.json", f"other files now: {', '.join(changed)}")
        again = RunFolder(plan.options.folder)
        again.open()
        seen = tuple(name for name in plan.controls if generator.sees(name))
        plan = replace(plan, controls=seen)
        outcomes: dict[str, Outcome] = {}
        work = Work(make_record(plan, generator), plan.places, generator)
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
        before = src.read().astype(np.int16)
    with open_image(again.image(name)) as src:
        after = src.read().astype(np.int16)
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
