"""Real images made anew in part: restyled, filled in, enlarged, with place and labels kept.

What makes the pixels is behind `Editor`; this module knows nothing of models. It opens the images,
lays controls, masks and labels over them, and writes what comes of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsaug import __version__
from rsaug.compositing import enlarge
from rsaug.conditions.landcover import CLASSES, colourise
from rsaug.conditions.stack import ControlStack
from rsaug.decoupling import Photo, classes_of
from rsaug.edit_plan import EditPlan
from rsaug.files import write_whole
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.marks import Marks
from rsaug.progress import Progress
from rsaug.provenance import Provenance, image_key, label_tags, read_key
from rsaug.raster import write_cog
from rsaug.rasterfile import without_place
from rsaug.record import file_sha256, now
from rsaug.stackfile import write_stack
from rsaug.storage import AnyPath

_ROAD, _BACKGROUND = CLASSES.index("road"), CLASSES.index("background")


@dataclass(frozen=True, eq=False)
class Picture:
    """One image to edit.

    Attributes:
        rgb: uint8 (3, rows, cols).
        controls: Maps on the pixels of the result.
        seed: Seed of the result.
        fields: Metadata by CRS-Diff's names, of the result; what is not known is left out.
        mask: (rows, cols), True where to fill in; None for everywhere.
    """

    rgb: NDArray[np.uint8]
    controls: ControlStack
    seed: int
    fields: Mapping[str, float] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None


class Editor(Protocol):
    """What makes the pixels."""

    def edit(self, picture: Picture) -> NDArray[np.uint8]:
        """The result, uint8 (3, rows, cols), of an enlarged one that many times the rows."""

    def describe(self) -> dict[str, object]:
        """Everything besides a picture that decides its result, JSON-able."""

    def sees(self, control: str) -> bool:
        """Whether it was trained on a control."""

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What was asked for that it cannot follow, one sentence each."""


def run_edits(
    plan: EditPlan,
    editor: Editor,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Progress:
    """Edit the images that are not there yet, and write results and labels.

    Each file appears whole or not at all, and the image after all that belongs to it, so a run can
    be stopped at any time and started again.

    Args:
        plan: What to edit.
        editor: What makes the pixels.
        on_progress: Called whenever a result is complete.
        on_note: Called with a sentence for each thing that whoever asked should know.

    Returns:
        How many results were made and how many were there.

    Raises:
        InputError: if a mask leaves nothing to do.
        OutputError: if something cannot be written; what is complete stays.
    """
    masks = plan.masks(on_note)
    photos = [photo for photo in plan.photos if photo.path.stem in masks]
    factor = plan.factor
    sizes = {round(photo.gsd_m / factor, 4) for photo in photos if photo.gsd_m is not None}
    asked = [note for size in sorted(sizes) for note in editor.notes(size, plan.controls)]
    for note in dict.fromkeys([*plan.notes, *asked]):
        on_note(note)
    seen = tuple(name for name in plan.controls if editor.sees(name))
    if plan.options.roads is not None and not {"road", "seg"} & {*seen}:
        on_note(
            "The model is not given the roads, so what it makes need not have every road of the "
            "mask."
        )
    plan = replace(plan, controls=seen)
    asked_for = plan.options
    marks = Marks.of(None, asked_for.sign, asked_for.sign_key, asked_for.timestamp_url)
    folder = RunFolder(plan.options.out)
    with folder.opened(["images", *_rooms(plan)]):
        write_whole(folder.record, _record(plan, editor, photos, marks))
        writer = _Writer(plan, editor, folder, marks)
        progress = Progress(len(photos))
        on_progress(progress)
        for photo in photos:
            made = writer.write(photo, masks[photo.path.stem])
            progress = replace(progress, made=progress.made + made, kept=progress.kept + (not made))
            on_progress(progress)
        return progress


@dataclass(frozen=True, eq=False)
class _Writer:
    """Edits images and writes what belongs to them.

    Attributes:
        plan: What to edit.
        editor: What makes the pixels.
        folder: Where to write.
        marks: Who signs, if anybody.
    """

    plan: EditPlan
    editor: Editor
    folder: RunFolder
    marks: Marks

    def write(self, photo: Photo, mask: NDArray[np.bool_] | None) -> bool:
        """Edit one image; False if its result was there."""
        plan, name, tile = self.plan, photo.path.stem, self.plan.tile(photo)
        rgb, seed = photo.read(), plan.seed(photo)
        controls, road = _controls(plan, photo, rgb, tile)
        fields = plan.fields(photo)
        description = _describe(self.editor)
        basis = _digest(rgb, controls, mask, tile, fields)
        key = image_key(basis, seed, description)
        self._write_labels(name, tile, road, controls, mask, basis)
        provenance = Provenance.of(description, key, seed, 0, source=photo.path.name)
        if _key_in(self.folder.image(name)) == key:
            self.marks.sign(self.folder.image(name), provenance)
            return False
        made = self.editor.edit(Picture(rgb, controls, seed, fields, mask))
        self.marks.write(self.folder.image(name), made, tile, provenance)
        return True

    def _write_labels(
        self,
        name: str,
        tile: Tile | None,
        road: NDArray[np.uint8] | None,
        controls: ControlStack,
        mask: NDArray[np.bool_] | None,
        key: str,
    ) -> None:
        if road is not None:
            self._layer("masks", name, tile, road, "Road mask: 1 road, 0 elsewhere.", key)
        if mask is not None:
            what = "Where the image is made up: 1 inside, 0 elsewhere."
            self._layer("filled", name, tile, mask.astype(np.uint8), what, key)
        path = self.folder.conditions(name)
        if controls.given and _key_in(path) != key:
            what = f"Control maps; given: {', '.join(controls.given)}; the other bands are empty."
            write_stack(path, controls, tile, label_tags(what, key))
        label = self.plan.labels.get(name)
        if label is not None:
            write_whole(self.folder.root / "labels" / f"{name}{label.suffix}", label.read_bytes())

    def _layer(
        self,
        room: str,
        name: str,
        tile: Tile | None,
        values: NDArray[np.uint8],
        what: str,
        key: str,
    ) -> None:
        path = self.folder.root / room / f"{name}.tif"
        if _key_in(path) != key:
            tags = label_tags(what, key)
            write_cog(path, values[np.newaxis], tile, descriptions=(room,), tags=tags)


def _controls(
    plan: EditPlan, photo: Photo, rgb: NDArray[np.uint8], tile: Tile | None
) -> tuple[ControlStack, NDArray[np.uint8] | None]:
    """Control maps on the pixels of the result, and the road mask where there are roads."""
    factor, layers = plan.factor, plan.layers
    shown, gsd_m = rgb, photo.gsd_m
    if factor > 1 and plan.extractors:
        shown = np.rint(np.clip(enlarge(rgb, factor), 0, 255)).astype(np.uint8)
        gsd_m = None if gsd_m is None else gsd_m / factor
    shape = (photo.shape[0] * factor, photo.shape[1] * factor)
    maps: dict[str, NDArray[np.generic]] = {
        slot: each(shown, gsd_m) for slot, each in plan.extractors.items() if slot in plan.controls
    }
    road = None
    if layers is not None and tile is not None:
        if found := layers.road(tile):
            road = found[0]
        if road is not None and "road" in plan.controls:
            maps["road"] = road
        if "depth" in plan.controls and (heights := layers.depth(tile)):
            maps["depth"] = heights[0]
        if "seg" in plan.controls and (cover := layers.cover(tile, road)):
            return ControlStack.from_maps(shape, **{**maps, "seg": colourise(cover[0])}), road
    if "seg" in maps and "road" in maps:
        maps["seg"] = _with_roads(maps["seg"], np.asarray(maps["road"]) > 0.5)
    return ControlStack.from_maps(shape, **maps), road


def _describe(editor: Editor) -> dict[str, object]:
    """What an editor says of itself; a model's folder by its name, wherever it lies."""
    description = dict(editor.describe())
    model = description.get("model")
    if isinstance(model, str) and Path(model).is_dir():
        description["model"] = Path(model).resolve().name
    return description


def _key_in(path: AnyPath) -> str | None:
    """Key of what a result was made from, also of one without a place; None if there is none."""
    with without_place():
        return read_key(path)


def _with_roads(seg: NDArray[np.generic], road: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A land-cover map that has the roads of the road map and no others."""
    classes = classes_of(seg)
    classes[classes == _ROAD] = _BACKGROUND
    classes[road] = _ROAD
    return colourise(classes)


def _digest(
    rgb: NDArray[np.uint8],
    controls: ControlStack,
    mask: NDArray[np.bool_] | None,
    tile: Tile | None,
    fields: Mapping[str, float],
) -> str:
    """SHA-256 of an image and what is laid over it."""
    place = None if tile is None else [tile.crs.to_wkt(), list(tile.transform)[:6]]
    said = [place, rgb.shape, controls.present, sorted(fields.items())]
    digest = hashlib.sha256(json.dumps(said).encode())
    for array in (rgb, controls.maps, mask):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _rooms(plan: EditPlan) -> list[str]:
    wanted = {
        "masks": plan.options.roads is not None,
        "filled": plan.options.mask is not None,
        "conditions": bool(plan.controls),
        "labels": bool(plan.labels),
    }
    return [room for room, is_wanted in wanted.items() if is_wanted]


def _record(plan: EditPlan, editor: Editor, photos: Sequence[Photo], marks: Marks) -> bytes:
    """What was asked, read and used, as the bytes of ``run.json``."""
    options = plan.options
    made_by = {slot: each.made_by for slot, each in plan.extractors.items()}
    document: dict[str, Any] = {
        "software": f"rsaug {__version__}",
        "command": options.edit.command,
        "created": now(),
        "options": options.to_dict(),
        "edit": asdict(options.edit),
        "inputs": {name: file_sha256(path) for name, path in options.files().items()},
        "images": [
            {
                "name": photo.path.stem,
                "sha256": file_sha256(photo.path),
                "seed": plan.seed(photo),
                "metadata": plan.fields(photo),
            }
            for photo in photos
        ],
        "controls": {name: made_by.get(name, "layers") for name in plan.controls},
        "generator": _describe(editor),
    }
    if marks.signer is not None:
        document["signing"] = marks.signer.describe()
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
