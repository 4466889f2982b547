"""The run: from the tiles of a scene to images with labels in a folder, and on after a stop.

What makes images is behind `TileGenerator`; this module knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rsaug.control_uses import check_guidance, check_uses
from rsaug.engines import Engine, Work
from rsaug.engines.local import LocalEngine
from rsaug.errors import InputError, RunError
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile
from rsaug.marks import Marks
from rsaug.mosaic import write_mosaics
from rsaug.options import SynthOptions, listed, split_name
from rsaug.places import Places
from rsaug.progress import MANY_TILES, Progress, RunReport, in_words
from rsaug.prompts import Prompts, read_prompts
from rsaug.record import Record, file_sha256, now, read_record
from rsaug.regions import Region, read_region
from rsaug.requests import TileGenerator, described
from rsaug.scene import Scene
from rsaug.scene_reader import read_scene, resolved, without_effect
from rsaug.stac import Description, write_catalogue
from rsaug.stac_model import write_model
from rsaug.workshop import Outcome

# What a model is given unless something else is asked for.
_CONTROLS = ("road", "seg")

# A run is given up when so many images failed and none was made.
_HOPELESS = 5


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
        prompts: Texts by place.
    """

    options: SynthOptions
    scene: Scene
    controls: tuple[str, ...]
    tiles: list[Tile]
    inputs: Mapping[str, str]
    earlier: Record[SynthOptions] | None = None
    notes: tuple[str, ...] = ()
    regions: Mapping[str, Region] = field(default_factory=dict)
    prompts: Prompts | None = None

    @property
    def places(self) -> Places:
        """What its tiles are made from."""
        return Places(self.scene, self.controls, self.regions, self.prompts)


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
    here = options.fetched()
    plan = lay_out(options, here, read_scene(here))
    inputs = {name: file_sha256(path) for name, path in here.files().items()}
    return replace(plan, inputs=inputs, earlier=earlier)


def lay_out(options: SynthOptions, here: SynthOptions, scene: Scene) -> Plan:
    """The plan of a scene, without digests of the inputs.

    Args:
        options: What is asked for.
        here: The same with copies here of all files that lie elsewhere.
        scene: The layers.

    Raises:
        InputError: if an option cannot be used with these layers.
    """
    controls = scene.choose(listed(options.controls), _CONTROLS)
    if not {"road", "seg"} & {*controls}:
        raise InputError(
            f"Of the controls {', '.join(controls)} none draws roads, so the road mask would be no "
            "label of the images; add road or seg to --controls."
        )
    uses = here.uses()
    notes = (
        *scene.notes,
        *without_effect(options, controls),
        *check_uses(uses, controls),
        *_idle_style(options),
    )
    crs = scene.grid.crs
    regions = {name: read_region(use.region, crs) for name, use in uses.items() if use.region}
    options = replace(options, **resolved(options, scene))  # type: ignore[arg-type]
    # A region without seams has no holes where there is no road.
    tiles = scene.tiles(bare=options.seamless)
    prompts = read_prompts(here.prompts, crs) if here.prompts else None
    return Plan(options, scene, controls, tiles, {}, None, notes, regions, prompts)


def _idle_style(options: SynthOptions) -> list[str]:
    if options.style_strength is None or options.style is not None:
        return []
    return ["Without effect here, since no style is given: --style-strength."]


def make_record(plan: Plan, generator: TileGenerator) -> Record[SynthOptions]:
    """The record of a run: the plan's options with what the generator chose."""
    description = described(generator)
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
    engine: Engine | None = None,
) -> RunReport:
    """Make what is missing of a plan's images, with labels, items, collection and manifest.

    Each file appears whole or not at all, and an item only after its files, so a run can be killed
    at any time and started again. An image that cannot be made is put aside with the reason, in
    ``quarantine``, and tried again by the next run.

    Args:
        plan: What to make.
        generator: What makes it.
        on_progress: Called whenever images are complete.
        on_note: Called with a sentence for each thing that whoever asked for the run should know.
        engine: What runs it; this process by default.

    Raises:
        InputError: if there are many tiles and neither a limit nor all are asked for.
        OutputError: if something cannot be written; what is complete stays.
        RunError: if no image can be made.
    """
    check_number(plan, generator)
    plan, record, notes = settle(plan, generator)
    asked_for = plan.options
    marks = Marks.of(
        asked_for.watermark, asked_for.sign, asked_for.sign_key, asked_for.timestamp_url
    )
    if marks.signer is not None:
        record = replace(record, results={**record.results, "signing": marks.signer.describe()})
    for note in notes:
        on_note(note)
    folder = RunFolder(plan.options.folder)
    with folder.opened():
        return _fill(folder, plan, Work(record, plan.places, generator), marks, engine, on_progress)


def settle(
    plan: Plan, generator: TileGenerator
) -> tuple[Plan, Record[SynthOptions], tuple[str, ...]]:
    """A plan for the generator that is to make it.

    Returns:
        The plan with the controls that the generator sees, its record, and a sentence for each
        thing that whoever asked for it should know.

    Raises:
        InputError: if the generator sees no control that draws roads.
    """
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
    return plan, record, tuple(dict.fromkeys(notes))


def _fill(
    folder: RunFolder,
    plan: Plan,
    work: Work,
    marks: Marks,
    engine: Engine | None,
    on_progress: Callable[[Progress], None],
) -> RunReport:
    """Make what is missing in a folder; arguments as for `run`."""
    record = work.record
    write_whole(folder.record, record.to_json())
    # Before the images, whose items lead to it.
    write_model(folder, record)
    tiles = plan.tiles[: plan.options.limit]
    began = time.monotonic()
    tally = _Tally(len(tiles) * plan.options.variants, on_progress)
    (engine or LocalEngine()).run(work, tiles, tally.count)
    tally.check()
    seconds = time.monotonic() - began
    names = [item_name(t.name, v) for t in tiles for v in range(plan.options.variants)]
    whole = [name for name in names if name not in tally.failed]
    source = Path(split_name(str(plan.options.roads))[1]).name
    mosaics = []
    if plan.options.mosaic:
        mosaics = write_mosaics(folder, tiles, plan.options.variants, record.generator, marks)
    about = Description.of_images(plan.options.name, source, record.generator)
    write_catalogue(folder, whole, about)
    return RunReport(
        folder=folder.root,
        tiles=len(tiles),
        progress=tally.progress,
        strangers=folder.strangers(names),
        seconds=seconds,
        failed=tally.failed,
        mosaics=tuple(mosaics),
    )


class _Tally:
    """What came of the images by now.

    Args:
        total: How many there are.
        on_progress: Called whenever there is news.
    """

    def __init__(self, total: int, on_progress: Callable[[Progress], None]) -> None:
        self.progress = Progress(total)
        self.failed: dict[str, str] = {}
        self._on_progress = on_progress
        on_progress(self.progress)

    def count(self, outcome: Outcome) -> None:
        """Take note of what came of an image.

        Raises:
            RunError: if the first images all failed.
        """
        if outcome.status == "failed":
            self.failed[outcome.item] = outcome.reason
        now = self.progress
        self.progress = replace(
            now,
            kept=now.kept + (outcome.status == "kept"),
            made=now.made + (outcome.status == "made"),
            failed=len(self.failed),
        )
        self._on_progress(self.progress)
        if len(self.failed) >= _HOPELESS:
            self.check()

    def check(self) -> None:
        """Raise RunError if images failed and none is there."""
        if self.failed and not self.progress.done:
            number, reason = len(self.failed), next(iter(self.failed.values()))
            raise RunError(
                f"No image could be made; {number} failed, the first one for this reason: {reason}"
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
