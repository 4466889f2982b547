"""Make a run for the real places of a tile folder, to be judged by `rsaug evaluate`.

`rsaug synth` makes tiles on a grid of its own; these lie on the real tiles, so that synthetic and
real images can be compared place by place. The folder has the form of a run. The same places and
seed with another text, date, style image or without land cover make a baseline to compare with.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from rsaug.cli.group import Commands
from rsaug.cli.layer_options import read_date
from rsaug.conditions.landcover import colourise, land_areas, landcover_map
from rsaug.downstream.consistency import place_request
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.options import SynthOptions
from rsaug.pipelines.generate import CRSDiffGenerator, load_generator
from rsaug.pipelines.settings import Settings
from rsaug.provenance import Provenance, controls_key, image_key, label_tags
from rsaug.raster import write_cog
from rsaug.record import Record, file_sha256, now
from rsaug.requests import TileRequest
from rsaug.stac import Description, make_item, write_catalogue
from rsaug.stac_extensions import to_json
from rsaug.stac_model import write_model
from rsaug.stackfile import write_stack
from rsaug.vectors import read_vectors

# NAIP is flown in summer.
_MIDDLE_OF_A_YEAR = (7, 1)

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@app.callback()
def _place_run() -> None:
    """A group, which ends in one sentence where something is wrong."""


@app.command()
def make(
    data: Annotated[Path, typer.Option(help="Folder of real tiles with roads.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    places: Annotated[int, typer.Option(min=2, help="Places, spread evenly over split val.")] = 24,
    variants: Annotated[int, typer.Option(min=1, help="Images a place.")] = 2,
    landcover: Annotated[bool, typer.Option(help="Give the mapped land cover, too.")] = True,
    prompt: Annotated[str | None, typer.Option(help="What it should look like.")] = None,
    style: Annotated[Path | None, typer.Option(help="Image to take the look of.")] = None,
    date: Annotated[str | None, typer.Option(help="Date to imitate, as 2018-07-01.")] = None,
    year: Annotated[
        int | None, typer.Option(min=1, max=9999, help="The same: July 1 of this year.")
    ] = None,
    model: Annotated[str, typer.Option(help="`default`, a folder or a hub id.")] = "default",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale of text and style.")] = None,
    control_guidance: Annotated[float | None, typer.Option(help="Scale of the maps.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    seed: int = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Make the images: all variants of a place, then the next place."""
    if threads:
        torch.set_num_threads(threads)
    run = RunFolder(out)
    run.check()
    tiles = _spread(read_road_tiles(data, "val", image_year_only=True), places)
    cover = data / "landcover.geojson"
    options = SynthOptions(
        roads=str(data / "roads.geojson"),
        landcover=str(cover) if landcover and cover.is_file() else None,
        gsd=round(tiles.tiles[0].gsd_m, 6),
        tile_size=tiles.masks.shape[1],
        prompt=prompt,
        style=str(style) if style else None,
        date=_date(date, year),
        steps=steps,
        guidance=guidance,
        control_guidance=control_guidance,
        variants=variants,
        seed=seed,
        model=model,
        device=device,
        out=str(out),
    )
    generator = _load(options)
    run.prepare()
    _Places(run, options, tiles, generator, now()).make()


def _date(date: str | None, year: int | None) -> dt.date | None:
    if date is not None and year is not None:
        raise InputError("Give either --date or --year, not both.")
    if year is not None:
        return dt.date(year, *_MIDDLE_OF_A_YEAR)
    return None if date is None else read_date(date)


def _load(options: SynthOptions) -> CRSDiffGenerator:
    """The model; what it cannot follow of the options is said."""
    settings = Settings(
        prompt=options.prompt or "",
        date=options.date,
        steps=options.steps,
        guidance=options.guidance,
        control_guidance=options.control_guidance,
    )
    generator = load_generator(
        options.model,
        settings,
        style=Path(options.style) if options.style else None,
        device=options.device,
        tile_size=options.tile_size,
    )
    for note in generator.notes(options.gsd, ["road", *(["seg"] if options.landcover else [])]):
        typer.echo(note, err=True)
    return generator


def _spread(tiles: RoadTiles, count: int) -> RoadTiles:
    """Some tiles, spread evenly, each with a name of its own: its number."""
    chosen = np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round().astype(int)
    return replace(
        tiles,
        images=tiles.images[chosen],
        masks=tiles.masks[chosen],
        places=tiles.places[chosen],
        tiles=tuple(replace(tiles.tiles[k], row=int(k)) for k in chosen),
    )


@dataclass(frozen=True, eq=False)
class _Places:
    """Makes and writes the images of the places.

    Attributes:
        run: Where to.
        options: What is asked for.
        tiles: The places, in the image that their roads were digitized on.
        generator: What makes the images.
        created: When.
    """

    run: RunFolder
    options: SynthOptions
    tiles: RoadTiles
    generator: CRSDiffGenerator
    created: str

    def make(self) -> None:
        """Write the record, make the images, then write the catalogue."""
        record = self._record()
        write_whole(self.run.record, record.to_json())
        write_model(self.run, record)
        names: list[str] = []
        requests = self._requests()
        while batch := list(islice(requests, self.generator.batch_size)):
            images = self.generator.generate([request for _, request in batch])
            for (k, request), image in zip(batch, images, strict=True):
                names.append(self._write(request, self.tiles.masks[k], image))
            typer.echo(f"{len(names)} of {self._count} images", err=True)
        description = Description.of_images(
            self.run.root.name, Path(str(self.options.roads)).name, record.generator
        )
        write_catalogue(self.run, names, description)

    @property
    def _count(self) -> int:
        return len(self.tiles) * self.options.variants

    @property
    def _cover(self) -> str | None:
        """The layer of land cover, where the model is given it."""
        return self.options.landcover if self.generator.sees("seg") else None

    def _requests(self) -> Iterator[tuple[int, TileRequest]]:
        """Number of the place, and what to ask for it."""
        areas = None if self._cover is None else read_vectors(self._cover)
        for k in range(len(self.tiles)):
            maps = {} if areas is None else {"seg": _cover_of(areas, self.tiles, k)}
            for variant in range(self.options.variants):
                yield k, place_request(self.tiles, k, variant, self.options.seed, **maps)

    def _describe(self) -> dict[str, object]:
        """What the generator says of itself, a folder by its name, as `rsaug synth` records it."""
        description = self.generator.describe()
        if Path(self.options.model).is_dir():
            description["model"] = Path(self.options.model).resolve().name
        return description

    def _record(self) -> Record[SynthOptions]:
        about = self._describe()
        chosen = {
            name: about.get(name)
            for name in ("steps", "guidance", "control_guidance", "scheduler")
            if getattr(self.options, name) is None
        }
        return Record(
            options=replace(self.options, **chosen),  # type: ignore[arg-type]
            inputs={name: file_sha256(path) for name, path in self.options.files().items()},
            generator=about,
            created=self.created,
            results={
                "controls": ["road", *(["seg"] if self._cover else [])],
                "places": self.tiles.places.tolist(),
                "tiles": len(self.tiles),
                "images": self._count,
            },
        )

    def _write(
        self, request: TileRequest, mask: NDArray[np.uint8], image: NDArray[np.uint8]
    ) -> str:
        """Write all files of an image; its name."""
        tile, controls, about = request.tile, request.controls, self._describe()
        labels = controls_key(tile, controls)
        key = image_key(labels, request.seed, about, {})
        provenance = Provenance.of(about, key, request.seed, request.variant)
        name = item_name(tile.name, request.variant)
        bands = ("red", "green", "blue")
        tags, xmp = provenance.tags(), provenance.xmp()
        write_cog(self.run.image(name), image, tile, descriptions=bands, tags=tags, xmp=xmp)
        what = label_tags("Road mask: 1 road, 0 elsewhere.", labels)
        mask_file = self.run.mask(tile.name)
        write_cog(mask_file, mask[np.newaxis], tile, descriptions=("road",), tags=what)
        stack_tags = label_tags("Control maps", labels)
        write_stack(self.run.conditions(tile.name), controls, tile, stack_tags)
        date = self.options.date
        item = make_item(
            tile,
            provenance,
            self.run,
            collection=self.run.root.name,
            created=self.created,
            date=date.isoformat() if date else None,
            controls=controls.given,
            road_fraction=float(mask.mean()),
            generator=about,
        )
        write_whole(self.run.item(name), to_json(item))
        return name


def _cover_of(areas: gpd.GeoDataFrame, tiles: RoadTiles, k: int) -> NDArray[np.float32]:
    """Colours of the mapped land cover of a tile with its roads, (3, rows, cols)."""
    tile = tiles.tiles[k]
    here = areas[areas["place"] == tiles.places[k]]
    layers = [] if here.empty else [land_areas(here, tile.crs)]
    return colourise(landcover_map(layers, tiles.masks[k], tile))


if __name__ == "__main__":
    app()
