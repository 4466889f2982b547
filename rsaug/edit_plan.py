"""What is to be edited: the images, opened and checked, and all that is laid over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rsaug.conditions.stack import SLOTS
from rsaug.decoupling import MAX_PIXELS, Extractor, Photo, choose
from rsaug.edits import EditOptions, Upscale
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.jsontext import parse_json
from rsaug.overlay import LayerPaths, Overlay
from rsaug.photomasks import mask_of
from rsaug.raster import open_image
from rsaug.requests import derive_seed


@dataclass(frozen=True, eq=False)
class EditPlan:
    """What is to be edited; nothing is written yet.

    Attributes:
        options: What is asked for.
        photos: The images.
        controls: Names of the maps that the model is given.
        layers: Vectors and heights of the place.
        extractors: What reads the maps off the images that no layer makes, by slot.
        labels: Label file of each image that is carried over, by the image's name.
        notes: What whoever asked should know, one sentence each.
    """

    options: EditOptions
    photos: tuple[Photo, ...]
    controls: tuple[str, ...]
    layers: Overlay | None
    extractors: Mapping[str, Extractor]
    labels: Mapping[str, Path]
    notes: tuple[str, ...]

    @property
    def factor(self) -> int:
        """How many times the rows and columns of a result are those of its image."""
        edit = self.options.edit
        return edit.factor if isinstance(edit, Upscale) else 1

    def tile(self, photo: Photo) -> Tile | None:
        """Where the result of an image lies: the same ground, in pixels of its own size."""
        if photo.tile is None or self.factor == 1:
            return photo.tile
        rows, cols = photo.shape
        finer = photo.tile.transform @ Affine.scale(1 / self.factor)
        shape = rows * self.factor, cols * self.factor
        return Tile.from_transform(finer, shape, photo.tile.crs)

    def seed(self, photo: Photo) -> int:
        """The seed of one image: by its place in the grid of its pixels, or else by its name."""
        if photo.tile is None:
            text = repr((self.options.seed, photo.path.name, photo.shape))
            return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
        to_xy = photo.tile.transform
        row, col = round(to_xy.f / to_xy.e), round(to_xy.c / to_xy.a)
        return derive_seed(self.options.seed, replace(photo.tile, row=row, col=col), 0)

    def fields(self, photo: Photo) -> dict[str, float]:
        """Metadata of a result: its own, with the date that is asked for or that of the image."""
        date, tile = self.options.date or photo.metadata.date, self.tile(photo)
        fields: dict[str, float] = {}
        if tile is not None:
            lon, lat = tile.lonlat
            fields = {"gsd": round(tile.gsd_m, 4), "latitude": lat, "longitude": lon}
        elif photo.gsd_m is not None:
            fields = {"gsd": round(photo.gsd_m / self.factor, 4)}
        if date is not None:
            fields |= {"year": date.year, "month": date.month, "day": date.day}
        return fields

    def masks(self, on_note: Callable[[str], None]) -> dict[str, NDArray[np.bool_] | None]:
        """Mask of each image that is to be edited, by its name.

        Args:
            on_note: Called with a sentence for each image that is not.

        Raises:
            InputError: if a mask cannot be laid over an image, covers all of one, or touches none.
        """
        source = self.options.mask
        if source is None:
            return {photo.path.stem: None for photo in self.photos}
        masks: dict[str, NDArray[np.bool_] | None] = {}
        for photo in self.photos:
            mask = mask_of(source, photo)
            if mask.all():
                raise InputError(
                    f"{source} covers all of {photo.path}, so there is nothing to go by; rsaug "
                    "synth makes whole images."
                )
            if mask.any():
                masks[photo.path.stem] = mask
            elif len(self.photos) > 1:
                on_note(f"{source} does not touch {photo.path.name}, so nothing is made of it.")
        if not masks:
            raise InputError(
                f"{source} touches none of the images; check that the places are the same."
            )
        return masks


def plan_edits(options: EditOptions, extractors: Sequence[Extractor]) -> EditPlan:
    """Open the images and read the layers.

    Args:
        options: What is asked for.
        extractors: What there is to read maps off images, the better of a slot first.

    Raises:
        InputError: if an image, a layer or an option cannot be used.
    """
    photos = tuple(Photo.open(path, options.gsd) for path in options.images)
    folder = RunFolder(options.out)
    folder.check()
    _check_same_kind(folder, options)
    _check_names(options)
    _check_size(options, photos)
    paths = LayerPaths(
        options.roads, options.landcover, options.buildings, options.dem, options.dsm
    )
    layers = None
    if paths.any:
        layers = Overlay.read(paths, [_placed(photo) for photo in photos], options.height_range)
    elif options.height_range is not None:
        raise InputError("--height-range needs heights: give --dem, --dsm or --buildings.")
    controls = options.chosen_controls(paths.slots())
    chosen, notes = _extractors(options, controls, paths.slots(), extractors)
    notes += [note for photo in photos for note in _notes_on(photo)]
    labels = _labels(options, photos)
    return EditPlan(options, photos, controls, layers, chosen, labels, tuple(notes))


def _placed(photo: Photo) -> Tile:
    if photo.tile is None:
        raise InputError(
            f"Layers are given, but {photo.path} cannot be laid over them: {photo.unplaced}."
        )
    return photo.tile


def _check_same_kind(folder: RunFolder, options: EditOptions) -> None:
    if not folder.record.exists():
        return
    try:
        document = parse_json(folder.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    kind = document.get("command") if isinstance(document, dict) else None
    if kind != options.edit.command:
        raise InputError(
            f"{folder.root} holds the results of another command than {options.edit.command}; name "
            "another folder."
        )


def _check_names(options: EditOptions) -> None:
    by_name: dict[str, Path] = {}
    for image in options.images:
        other = by_name.setdefault(image.stem, image)
        if other is not image:
            raise InputError(
                f"{other} and {image} have the same name, so their results would have too; edit "
                "them into two folders."
            )


def _check_size(options: EditOptions, photos: Sequence[Photo]) -> None:
    factor = options.edit.factor if isinstance(options.edit, Upscale) else 1
    for photo in photos:
        rows, cols = photo.shape
        if rows * cols * factor**2 > MAX_PIXELS:
            raise InputError(
                f"{photo.path} enlarged {factor} times has {cols * factor} x {rows * factor} "
                f"pixels, and at most {MAX_PIXELS} are made at once; cut it into tiles first, for "
                "instance with gdal_retile."
            )


def _extractors(
    options: EditOptions,
    controls: Sequence[str],
    from_layers: Sequence[str],
    every: Sequence[Extractor],
) -> tuple[dict[str, Extractor], list[str]]:
    read = [slot for slot in controls if slot not in from_layers]
    for slot in options.extractors:
        if slot in SLOTS and slot not in controls:
            raise InputError(f"An extractor of {slot} is named, but {slot} is not in --controls.")
    fixed = [slot for slot in SLOTS if slot not in read]
    chosen, notes = choose(every, options.extractors, fixed)
    if read and not options.edit.reads_maps:
        raise InputError(
            f"The controls {', '.join(read)} would be read off what is to be filled in; give "
            "layers for them, or leave them out."
        )
    return chosen, notes


def _notes_on(photo: Photo) -> list[str]:
    name, notes = photo.path.name, []
    with open_image(photo.path) as src:
        bands = src.count
    if bands > 3:
        notes.append(f"{name} has {bands} bands; the result has the first three.")
    if missing := photo.without_data():
        notes.append(f"{name} marks {missing} pixels as no data; they are taken as they are.")
    if photo.tile is None:
        notes.append(f"{name} has no place on the maps: {photo.unplaced}.")
    if photo.gsd_m is None:
        notes.append(f"{name} does not say its pixel size, so the model is not told; give --gsd.")
    return notes


def _labels(options: EditOptions, photos: Sequence[Photo]) -> dict[str, Path]:
    """Label files to carry over, by name of the image."""
    given = options.labels
    if given is None:
        return {}
    if given.is_file() and len(photos) == 1:
        found = {photos[0].path.stem: given}
    elif given.is_dir():
        found = {p.stem: p for p in sorted(given.iterdir()) if p.is_file()}
    else:
        raise InputError(
            f"{given} is no folder of labels; name one with a file for each image, or for a single "
            "image its label file."
        )
    missing = [photo.path.name for photo in photos if photo.path.stem not in found]
    if missing:
        raise InputError(f"{given} has no label for {missing[0]}; it is looked for by its name.")
    chosen = {photo.path.stem: found[photo.path.stem] for photo in photos}
    for photo in photos:
        with open_image(chosen[photo.path.stem]) as src:
            if src.shape != photo.shape:
                raise InputError(
                    f"{chosen[photo.path.stem]} has {src.width} x {src.height} pixels and "
                    f"{photo.path} has {photo.shape[1]} x {photo.shape[0]}; a label fits its image."
                )
    return chosen
