"""The run without a model: control maps, masks and labels of a scene's tiles in a folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug import __version__
from rsaug.classes import ClassSet, read_class_set
from rsaug.conditions.content import ContentSource, open_content
from rsaug.conditions.metadata import TileMetadata
from rsaug.conditions.road_channels import CHANNELS, Channel
from rsaug.conditions.stack import SLOTS, ControlStack
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.options import ConditionsOptions, listed, split_name
from rsaug.pictures import encode_png
from rsaug.progress import MANY_TILES, Progress, RunReport, in_words
from rsaug.provenance import controls_key, label_tags, read_key
from rsaug.raster import write_cog
from rsaug.record import Record, file_sha256, now, read_record_of
from rsaug.scene import Scene
from rsaug.scene_reader import read_scene, resolved, without_effect
from rsaug.stac import ASSETS, ROAD_LABELS, Description, build_item, write_catalogue
from rsaug.stac_extensions import COG, to_json
from rsaug.stac_labels import (
    LABEL_ROLES,
    ROADS,
    class_entry,
    label_fields,
    label_summaries,
    road_counts,
)
from rsaug.stackfile import write_stack
from rsaug.storage import AnyPath
from rsaug.tilemaps import TileMaps

# On two cores a tile of 256 px takes about this long with all there is to make.
_SECONDS_A_TILE = 0.2

_LINEAGE = "Control maps and labels, drawn from map data; no model was used."


@dataclass(frozen=True, eq=False)
class ConditionsPlan:
    """What a run will write; nothing is written yet.

    Attributes:
        options: What is asked for, resolved.
        scene: The layers.
        controls: Names of the control maps.
        channels: Road channels.
        content: Where content images are from.
        tiles: The tiles, before any limit.
        inputs: SHA-256 of the input files, by option.
        created: When the run that is made again or gone on with was begun, if there is one.
        notes: What was named and comes to nothing, one sentence each.
    """

    options: ConditionsOptions
    scene: Scene
    controls: tuple[str, ...]
    channels: tuple[Channel, ...]
    content: ContentSource | None
    tiles: list[Tile]
    inputs: Mapping[str, str]
    created: str | None = None
    notes: tuple[str, ...] = ()

    def maps(self, tile: Tile) -> TileMaps:
        """Everything that is drawn of a tile."""
        return TileMaps.of(
            self.scene,
            tile,
            self.controls,
            [channel.name for channel in self.channels],
            self.options.wording,
            self.content.pick(tile) if self.content else None,
        )


def make_conditions_plan(
    options: ConditionsOptions, earlier: Record[ConditionsOptions] | None = None
) -> ConditionsPlan:
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
        earlier = read_record_of(ConditionsOptions, folder.record)
    here = options.fetched()
    labels = read_class_set(here.labels) if here.labels else None
    plan = lay_out_conditions(options, here, read_scene(here, labels=labels))
    inputs = {name: file_sha256(path) for name, path in here.files().items()}
    return replace(plan, inputs=inputs, created=earlier.created if earlier else None)


def lay_out_conditions(
    options: ConditionsOptions, here: ConditionsOptions, scene: Scene
) -> ConditionsPlan:
    """The plan of a scene, without digests of the inputs.

    Args:
        options: What is asked for.
        here: The same with copies here of all files that lie elsewhere.
        scene: The layers.

    Raises:
        InputError: if an option cannot be used with these layers.
    """
    controls = scene.choose(listed(options.controls), SLOTS)
    channels = tuple(_channel(name) for name in listed(options.channels))
    if channels and scene.roads is None:
        raise InputError("Road channels need roads; name a layer of them with --roads.")
    if not (controls or scene.labels):
        raise InputError("The layers are not enough for any control map; see the help.")
    content = open_content(here.style, seed=options.seed) if here.style else None
    notes = (*scene.notes, *without_effect(options, controls))
    options = replace(options, **resolved(options, scene))  # type: ignore[arg-type]
    tiles = scene.tiles(bare=True)
    return ConditionsPlan(options, scene, controls, channels, content, tiles, {}, None, notes)


def write_conditions(
    plan: ConditionsPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> RunReport:
    """Write what is missing of a plan's tiles, with items, collection and manifest.

    Each file appears whole or not at all, and an item only after its files, so a run can be killed
    at any time and started again.

    Args:
        plan: What to write.
        on_progress: Called whenever a tile is complete.
        on_note: Called with a sentence for each thing that whoever asked for the run should know.

    Raises:
        InputError: if there are many tiles and neither a limit nor all are asked for.
        OutputError: if something cannot be written; what is complete stays.
    """
    options, count = plan.options, len(plan.tiles)
    if count > MANY_TILES and not options.all and options.limit is None:
        seconds = _SECONDS_A_TILE * count * (options.tile_size / 256) ** 2
        raise InputError(
            f"There are {count} tiles, which take about {in_words(seconds)}; give --limit N to "
            "make the first N of them, or --all to make them all."
        )
    for note in plan.notes:
        on_note(note)
    folder = RunFolder(options.folder)
    with folder.opened(_rooms(plan)):
        return _fill(folder, plan, on_progress, on_note)


def _fill(
    folder: RunFolder,
    plan: ConditionsPlan,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> RunReport:
    """Write what is missing in a folder; arguments as for `write_conditions`."""
    tiles = plan.tiles[: plan.options.limit]
    created = plan.created or now()
    write_whole(folder.record, _record(plan, created, len(tiles)).to_json())
    began, progress = time.monotonic(), Progress(len(tiles))
    writer = _Writer(plan, folder, created)
    on_progress(progress)
    for tile in tiles:
        made = writer.write(tile)
        progress = replace(progress, made=progress.made + made, kept=progress.kept + (not made))
        on_progress(progress)
    seconds = time.monotonic() - began
    names = [tile.name for tile in tiles]
    write_catalogue(folder, names, _description(plan))
    # Blocks of large layers are read with their tiles, so only now all is known of them.
    write_whole(folder.record, _record(plan, created, len(tiles)).to_json())
    if plan.scene.attribution:
        on_note(f"The map data ask for a credit: {'; '.join(plan.scene.attribution)}.")
    return RunReport(folder.root, len(tiles), progress, folder.strangers(names), seconds)


def _rooms(plan: ConditionsPlan) -> list[str]:
    """Folders of what is written."""
    rooms = ["conditions", "items", *(f"channels/{channel.name}" for channel in plan.channels)]
    wanted = {
        "masks": plan.scene.roads is not None,
        "labels": plan.scene.labels is not None,
        "content": plan.content is not None,
    }
    return rooms + [room for room, is_wanted in wanted.items() if is_wanted]


def _channel(name: str) -> Channel:
    for channel in CHANNELS:
        if channel.name == name:
            return channel
    names = ", ".join(channel.name for channel in CHANNELS)
    raise InputError(f"No road channel is called {name!r}; there are {names}.")


def _record(plan: ConditionsPlan, created: str, tiles: int) -> Record[ConditionsOptions]:
    return Record(
        options=plan.options,
        inputs=plan.inputs,
        generator={},
        created=created,
        results={
            "layers": plan.scene.report(),
            "controls": list(plan.controls),
            "attribution": list(plan.scene.attribution),
            "tiles": tiles,
        },
    )


def _description(plan: ConditionsPlan) -> Description:
    named = [n for n in plan.options.paths if getattr(plan.options, n)]
    source = Path(split_name(str(getattr(plan.options, named[0])))[1]).name
    return Description(
        plan.options.name,
        f"Control maps and labels made from {source} by rsaug {__version__}.",
        ("control maps", "labels", "roads", "land cover", "training data"),
        _assets(plan),
        _summaries(plan),
    )


def _summaries(plan: ConditionsPlan) -> dict[str, Any]:
    """What all tiles share."""
    labels = plan.scene.labels
    classes: list[tuple[str, ...]] = [ROADS] if plan.scene.roads is not None else []
    classes += [] if labels is None else [labels.names]
    return {
        **({"rsaug:controls": list(plan.controls)} if plan.controls else {}),
        **(label_summaries(classes, _tasks(plan)) if classes else {}),
        "processing:lineage": [_LINEAGE],
    }


def _tasks(plan: ConditionsPlan) -> list[str]:
    """What the labels are for: those of the label extension."""
    has_numbers = any(channel.dtype.startswith("float") for channel in plan.channels)
    return ["segmentation", *(["regression"] if has_numbers else [])]


def _assets(plan: ConditionsPlan) -> dict[str, Mapping[str, Any]]:
    """What is said of the assets of a tile, by their names."""
    assets: dict[str, Mapping[str, Any]] = {
        name: ASSETS[name] for name in ("mask", "conditions") if name != "mask" or plan.scene.roads
    }
    if plan.scene.labels is not None:
        assets["labels"] = {
            "title": f"Classes of {plan.scene.labels.name}",
            "type": COG,
            "roles": [*LABEL_ROLES],
            "data_type": "uint8",
            "classification:classes": [
                class_entry(entry.value, entry.name, entry.colour)
                for entry in plan.scene.labels.classes
            ],
        }
    for channel in plan.channels:
        assets[channel.name] = {
            "title": channel.title,
            "description": channel.meaning,
            "type": COG,
            "roles": [*LABEL_ROLES],
            "data_type": channel.dtype,
            "bands": [{"name": band} for band in channel.bands],
            **({"unit": channel.unit} if channel.unit else {}),
        }
    if plan.content is not None:
        assets["content"] = {"title": "Content image", "type": "image/png", "roles": ["metadata"]}
    return assets


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes the files of tiles.

    Attributes:
        plan: What to write.
        folder: Where.
        created: When the run was begun, ISO 8601.
    """

    plan: ConditionsPlan
    folder: RunFolder
    created: str

    def write(self, tile: Tile) -> bool:
        """Write what is missing of a tile; False if it was complete."""
        scene, plan = self.plan.scene, self.plan
        maps = plan.maps(tile)
        mask, stack, labels = maps.mask, maps.controls, maps.labels
        channels, content, caption = maps.channels, maps.content, maps.caption
        arrays = {"labels": labels, "content": content, **channels}
        said = [caption, TileMetadata.of(tile, plan.options.date).to_fields(), _assets(plan)]
        key = _key(controls_key(tile, stack), arrays, said)
        if self.folder.holds(tile.name, key):
            return False
        files = {"conditions": self.folder.conditions(tile.name)}
        if scene.roads is not None:
            files["mask"] = self._layer("masks", tile, mask, "Road mask: 1 road, 0 elsewhere.", key)
        self._stack(tile, stack, key)
        if labels is not None and scene.labels is not None:
            what = f"Classes: {_listed(scene.labels)}."
            files["labels"] = self._layer("labels", tile, labels, what, key)
        for channel in plan.channels:
            values = channels[channel.name]
            files[channel.name] = self._layer(
                f"channels/{channel.name}", tile, values, channel.meaning, key, channel.bands
            )
        if content is not None:
            files["content"] = self._content(tile, content, key)
        metadata = TileMetadata.of(tile, plan.options.date)
        item = build_item(
            tile.name,
            tile,
            self.folder,
            plan.options.name,
            {
                **self._properties(tile, stack, mask, caption, metadata, key),
                **self._label_fields(mask, labels),
            },
            files,
            _assets(plan),
        )
        write_whole(self.folder.item(tile.name), to_json(item))
        return True

    def _properties(
        self,
        tile: Tile,
        stack: ControlStack,
        mask: NDArray[np.uint8],
        caption: str,
        metadata: TileMetadata,
        key: str,
    ) -> dict[str, Any]:
        date = self.plan.options.date
        return {
            "datetime": f"{date.isoformat()}T00:00:00Z" if date else self.created,
            "created": self.created,
            "rsaug:tile": tile.name,
            "rsaug:controls": list(stack.given),
            "rsaug:road_fraction": round(float(mask.mean()), 6),
            "rsaug:caption": caption,
            "rsaug:metadata": metadata.to_fields(),
            "rsaug:key": key,
            "processing:lineage": _LINEAGE,
        }

    def _label_fields(
        self, mask: NDArray[np.uint8], labels: NDArray[np.uint8] | None
    ) -> dict[str, Any]:
        """Fields of the label extension; none where there is no label."""
        scene, counts, texts = self.plan.scene, [], []
        if scene.roads is not None:
            counts.append(road_counts(float(mask.mean()), mask.size))
            texts.append(f"{ROAD_LABELS} Asset mask.")
        if labels is not None and scene.labels is not None:
            by_value = np.bincount(labels.ravel(), minlength=256)
            values = {entry.name: entry.value for entry in scene.labels.classes}
            counts.append({name: int(by_value[values[name]]) for name in scene.labels.names})
            texts.append(f"Classes of {scene.labels.name}, drawn from map data. Asset labels.")
        if self.plan.channels:
            names = ", ".join(channel.name for channel in self.plan.channels)
            texts.append(f"Further maps of the roads. Assets {names}.")
        return label_fields(" ".join(texts), counts, _tasks(self.plan)) if counts else {}

    def _stack(self, tile: Tile, stack: ControlStack, key: str) -> None:
        path = self.folder.conditions(tile.name)
        if read_key(path) != key:
            what = f"Control maps; given: {', '.join(stack.given)}; the other bands are empty."
            write_stack(path, stack, tile, label_tags(what, key))

    def _layer(
        self,
        room: str,
        tile: Tile,
        values: NDArray[np.generic],
        what: str,
        key: str,
        bands: Sequence[str] | None = None,
    ) -> AnyPath:
        path = self.folder.root / room / f"{tile.name}.tif"
        if read_key(path) != key:
            array = values if values.ndim == 3 else values[np.newaxis]
            names = bands if bands is not None else (room.rstrip("s"),)
            write_cog(path, array, tile, descriptions=names, tags=label_tags(what, key))
        return path

    def _content(self, tile: Tile, rgb: NDArray[np.uint8], key: str) -> AnyPath:
        """Write a content image, which is a picture of another place or size, without a place."""
        path = self.folder.root / "content" / f"{tile.name}.png"
        write_whole(path, encode_png(np.moveaxis(rgb, 0, -1)))
        return path


def _listed(labels: ClassSet) -> str:
    return ", ".join(f"{entry.value} {entry.name}" for entry in labels.classes)


def _key(
    controls: str, arrays: Mapping[str, NDArray[np.generic] | None], said: Sequence[object]
) -> str:
    """SHA-256 of all that is written of a tile: maps by name, and what is said of them."""
    digest = hashlib.sha256(json.dumps([controls, said], sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if array is not None:
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
