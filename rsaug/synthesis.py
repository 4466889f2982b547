"""The run: from the tiles of a scene to images with labels in a folder, and on after a stop.

What makes images is behind `TileGenerator`; this module knows nothing of models.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.stack import ControlStack
from rsaug.control_uses import check_guidance, check_uses
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile, crs_name
from rsaug.options import SynthOptions, listed, split_name
from rsaug.progress import MANY_TILES, Progress, RunReport, in_words
from rsaug.provenance import Provenance, controls_key, image_key, label_tags, read_key
from rsaug.raster import write_cog
from rsaug.record import Record, file_sha256, now, read_record
from rsaug.regions import Region, read_region
from rsaug.scene import Scene
from rsaug.scene_reader import read_scene, resolved, without_effect
from rsaug.stac import Description, make_item, to_json, write_catalogue
from rsaug.stackfile import write_stack

# What a model is given unless something else is asked for.
_CONTROLS = ("road", "seg")


@dataclass(frozen=True, eq=False)
class TileRequest:
    """One image to make.

    Attributes:
        tile: Where.
        controls: From what.
        variant: Which of the images of the tile, from 0.
        seed: Seed of this image; see `derive_seed`.
        regions: Where a control holds, (rows, cols) in [0, 1] by its name; everywhere unless named.
    """

    tile: Tile
    controls: ControlStack
    variant: int
    seed: int
    regions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class TileGenerator(Protocol):
    """What makes images."""

    batch_size: int
    """How many requests are best made at once."""

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """RGB of each request, uint8 (3, rows, cols).

        An image depends on its own request only, never on what is made beside it.
        """

    def describe(self) -> dict[str, object]:
        """Everything besides a request that decides its image, JSON-able.

        Understood are ``model``, ``weights_sha256``, ``prompt``, ``date``, ``steps``, ``guidance``,
        ``control_guidance``, ``guidance_interval`` and ``scheduler``; see also
        `rsaug.provenance.VOLATILE`.
        """

    def seconds_per_tile(self, tile_size: int) -> float:
        """How long an image takes, about."""

    def sees(self, control: str) -> bool:
        """Whether it was trained on a control; what it was not is neither given nor recorded."""

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What was asked for that it cannot follow, one sentence each."""


def derive_seed(run_seed: int, tile: Tile, variant: int) -> int:
    """The seed of one image, from 0 to 2**63 - 1.

    It depends on the run's seed, on the tile's place in the grid of its CRS, GSD and size, and on
    the variant; not on the area of interest, nor on which tiles are made, nor on their order.
    """
    place = (_crs_id(tile.crs), f"{tile.gsd_m:.6f}", tile.shape, tile.row, tile.col)
    digest = hashlib.sha256(repr((run_seed, *place, variant)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@lru_cache(maxsize=8)
def _crs_id(crs: CRS) -> str:
    return crs_name(crs) if crs.to_authority() else crs.to_wkt()


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will make; nothing is written yet.

    Attributes:
        options: What is asked for, the CRS resolved.
        scene: The layers.
        controls: Names of the control maps that the model is given.
        tiles: The tiles that hold a road, before any limit.
        inputs: SHA-256 of the input files, by option.
        earlier: The run that is made again or gone on with, if there is one.
        notes: What was named and comes to nothing, one sentence each.
        regions: Where controls hold that do not hold everywhere, by name.
    """

    options: SynthOptions
    scene: Scene
    controls: tuple[str, ...]
    tiles: list[Tile]
    inputs: Mapping[str, str]
    earlier: Record[SynthOptions] | None = None
    notes: tuple[str, ...] = ()
    regions: Mapping[str, Region] = field(default_factory=dict)


def make_plan(options: SynthOptions, earlier: Record[SynthOptions] | None = None) -> Plan:
    """Read the layers and find the tiles.

    Args:
        options: What is asked for.
        earlier: The record to make again; by default that of the folder, if there is one.

    Raises:
        InputError: if an input or an option cannot be used, or the folder is something else's.
    """
    folder = RunFolder(options.folder)
    folder.check()
    if earlier is None and folder.record.exists():
        earlier = read_record(folder.record)
    scene = read_scene(options)
    controls = scene.choose(listed(options.controls), _CONTROLS)
    if not {"road", "seg"} & {*controls}:
        raise InputError(
            f"Of the controls {', '.join(controls)} none draws roads, so the road mask would be no "
            "label of the images; add road or seg to --controls."
        )
    uses = options.uses()
    notes = (
        *scene.notes,
        *without_effect(options, controls),
        *check_uses(uses, controls),
        *_idle_style(options),
    )
    crs = scene.grid.crs
    regions = {name: read_region(use.region, crs) for name, use in uses.items() if use.region}
    options = replace(options, **resolved(options, scene))  # type: ignore[arg-type]
    inputs = {name: file_sha256(path) for name, path in options.files().items()}
    return Plan(options, scene, controls, scene.tiles(), inputs, earlier, notes, regions)


def _idle_style(options: SynthOptions) -> list[str]:
    if options.style_strength is None or options.style is not None:
        return []
    return ["Without effect here, since no style is given: --style-strength."]


def make_record(plan: Plan, generator: TileGenerator) -> Record[SynthOptions]:
    """The record of a run: the plan's options with what the generator chose."""
    description = _describe(generator)
    options: dict[str, Any] = {}
    for name in ("steps", "guidance", "scheduler"):
        if getattr(plan.options, name) is None:
            options[name] = description.get(name)
    scene = plan.scene
    tiles = len(plan.tiles[: plan.options.limit])
    return Record(
        options=replace(plan.options, **options),
        inputs=plan.inputs,
        generator=description,
        created=plan.earlier.created if plan.earlier else now(),
        results={
            "layers": scene.report(),
            "controls": list(plan.controls),
            "attribution": list(plan.scene.attribution),
            "tiles": tiles,
            "images": tiles * plan.options.variants,
        },
    )


def run(
    plan: Plan,
    generator: TileGenerator,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> RunReport:
    """Make what is missing of a plan's images, with labels, items, collection and manifest.

    Each file appears whole or not at all, and an item only after its files, so a run can be killed
    at any time and started again.

    Args:
        plan: What to make.
        generator: What makes it.
        on_progress: Called whenever images are complete.
        on_note: Called with a sentence for each thing that whoever asked for the run should know.

    Raises:
        InputError: if there are many tiles and neither a limit nor all are asked for.
        OutputError: if something cannot be written; what is complete stays.
    """
    check_number(plan, generator)
    asked = generator.notes(plan.options.gsd, plan.controls)
    seen = tuple(name for name in plan.controls if generator.sees(name))
    if not {"road", "seg"} & {*seen}:
        raise InputError(
            f"Of the controls {', '.join(plan.controls)} the model was trained on none that draws "
            "roads; give it others with --controls."
        )
    regions = {name: region for name, region in plan.regions.items() if name in seen}
    plan = replace(plan, controls=seen, regions=regions)
    record = make_record(plan, generator)
    unsure = _unsure_labels(plan, record)
    owed = [f"The map data ask for a credit: {name}." for name in plan.scene.attribution]
    notes = (*plan.notes, *unsure, *asked, *_changes(plan, record), *owed)
    for note in dict.fromkeys(notes):
        on_note(note)
    folder = RunFolder(plan.options.folder)
    folder.open()
    write_whole(folder.record, record.to_json())
    tiles = plan.tiles[: plan.options.limit]
    began = time.monotonic()
    progress = _Workshop(plan, folder, record, generator, on_progress).make(tiles)
    seconds = time.monotonic() - began
    names = [item_name(t.name, v) for t in tiles for v in range(plan.options.variants)]
    source = Path(split_name(str(plan.options.roads))[1]).name
    write_catalogue(folder, names, Description.of_images(plan.options.name, source))
    return RunReport(
        folder=folder.root,
        tiles=len(tiles),
        progress=progress,
        strangers=folder.strangers(names),
        seconds=seconds,
    )


def _unsure_labels(plan: Plan, record: Record[SynthOptions]) -> list[str]:
    """Sentences on the road mask as a label, now that the model is known.

    Raises:
        InputError: if the model would follow nothing that draws roads.
    """
    uses = {name: use for name, use in plan.options.uses().items() if name in plan.controls}
    said: Mapping[str, Any] = record.generator
    interval = tuple(said.get("guidance_interval", (0.0, 1.0)))
    scale = said.get("control_guidance")
    guided = [] if scale is None else check_guidance(scale, interval)
    return [*check_uses(uses, plan.controls), *guided]


def _changes(plan: Plan, record: Record[SynthOptions]) -> list[str]:
    """A sentence on what differs from the run that is made again, if anything does."""
    changed = record.differences(plan.earlier) if plan.earlier else []
    if not changed:
        return []
    return [
        f"Changed since the recorded run: {', '.join(changed)}; images that depend on it are made "
        "anew."
    ]


def check_number(plan: Plan, generator: TileGenerator) -> None:
    """Refuse to make very many tiles that nobody asked for.

    Raises:
        InputError: that says how many there are and how long they take.
    """
    options, count = plan.options, len(plan.tiles)
    if count <= MANY_TILES or options.all or options.limit is not None:
        return
    seconds = generator.seconds_per_tile(options.tile_size) * count * options.variants
    raise InputError(
        f"{count} tiles hold a road, which takes about {in_words(seconds)} here; give --limit N to "
        "make the first N of them, or --all to make them all."
    )


def _describe(generator: TileGenerator) -> dict[str, object]:
    """What a generator says of itself; a model's folder by its name, wherever it lies."""
    description = generator.describe()
    model = description.get("model")
    if isinstance(model, str) and Path(model).is_dir():
        description["model"] = Path(model).resolve().name
    return description


@dataclass(frozen=True, eq=False)
class _Job:
    """An image that is not complete.

    Attributes:
        request: What to ask the generator for.
        mask: Road mask, uint8 0/1 (rows, cols).
        labels_key: What mask and control maps are made from.
        provenance: What the image is made from.
    """

    request: TileRequest
    mask: NDArray[np.uint8]
    labels_key: str
    provenance: Provenance

    @property
    def name(self) -> str:
        """Name of the image."""
        return item_name(self.request.tile.name, self.request.variant)


class _Workshop:
    """Makes and writes the images of one run.

    Args:
        plan: What to make.
        folder: Where to write.
        record: What the run was asked.
        generator: What makes the images.
        on_progress: Called whenever images are complete.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        record: Record[SynthOptions],
        generator: TileGenerator,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._plan, self._folder, self._record = plan, folder, record
        self._generator, self._on_progress = generator, on_progress
        self._writing: Future[int] | None = None
        self._progress = Progress(0)

    def make(self, tiles: Sequence[Tile]) -> Progress:
        """Make what is missing, one batch being written while the next is generated."""
        self._progress = Progress(len(tiles) * self._record.options.variants)
        self._on_progress(self._progress)
        with ThreadPoolExecutor(max_workers=1) as writer:
            try:
                jobs = self._jobs(tiles)
                while batch := list(islice(jobs, self._generator.batch_size)):
                    images = self._generator.generate([job.request for job in batch])
                    self._await_writer()
                    self._writing = writer.submit(self._write, batch, images)
            finally:
                # Also when stopped: what is generated is written and counted.
                self._await_writer()
        return self._progress

    def _jobs(self, tiles: Iterable[Tile]) -> Iterator[_Job]:
        """What is to be generated; what is complete, or only lacks its item, is dealt with."""
        options, description = self._record.options, self._record.generator
        for tile in tiles:
            mask, controls = self._plan.scene.controls(tile, self._plan.controls)
            labels_key = controls_key(tile, controls)
            regions = {name: region.at(tile) for name, region in self._plan.regions.items()}
            for variant in range(options.variants):
                seed = derive_seed(options.seed, tile, variant)
                key = image_key(labels_key, seed, description, regions)
                request = TileRequest(tile, controls, variant, seed, regions)
                provenance = Provenance.of(description, key, seed, variant)
                job = _Job(request, mask, labels_key, provenance)
                if not self._folder.holds(job.name, key):
                    if read_key(self._folder.image(job.name)) != key:
                        yield job
                        continue
                    self._finish(job)
                self._advance(kept=1)

    def _advance(self, kept: int = 0, made: int = 0) -> None:
        now = self._progress
        self._progress = replace(now, kept=now.kept + kept, made=now.made + made)
        self._on_progress(self._progress)

    def _await_writer(self) -> None:
        """Wait until the batch before is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._advance(made=writing.result())

    def _write(self, batch: Sequence[_Job], images: Sequence[NDArray[np.uint8]]) -> int:
        """Write the images of a batch and what belongs to them; how many there were."""
        for job, image in zip(batch, images, strict=True):
            write_cog(
                self._folder.image(job.name),
                image,
                job.request.tile,
                descriptions=("red", "green", "blue"),
                tags=job.provenance.tags(),
                xmp=job.provenance.xmp(),
            )
            self._finish(job)
        return len(batch)

    def _finish(self, job: _Job) -> None:
        """Write the labels of an image where they are not there yet, then its item."""
        tile, controls = job.request.tile, job.request.controls
        mask, conditions = (
            self._folder.mask(tile.name),
            self._folder.conditions(tile.name),
        )
        if read_key(mask) != job.labels_key:
            tags = label_tags("Road mask: 1 road, 0 elsewhere.", job.labels_key)
            write_cog(mask, job.mask[np.newaxis], tile, descriptions=("road",), tags=tags)
        given = controls.given
        if read_key(conditions) != job.labels_key:
            what = f"Control maps; given: {', '.join(given)}; the other bands are empty."
            write_stack(conditions, controls, tile, label_tags(what, job.labels_key))
        date = self._record.options.date
        item = make_item(
            tile,
            job.provenance,
            self._folder,
            collection=self._record.options.name,
            created=self._record.created,
            date=date.isoformat() if date else None,
            controls=given,
            road_fraction=float(job.mask.mean()),
        )
        write_whole(self._folder.item(job.name), to_json(item))
