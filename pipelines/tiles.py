"""Synthetic tiles from Python: those of ``rsaug synth``, as arrays that are made when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakValueDictionary

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.arrays import Layers, dataset
from rsaug.asking import AreaLike, LayerLike, read_options
from rsaug.conditions.stack import ControlStack
from rsaug.credentials import Signer
from rsaug.errors import InputError, RunError
from rsaug.folder import item_name
from rsaug.grid import Tile
from rsaug.labelfiles import write_controls, write_mask
from rsaug.marks import Marks
from rsaug.mosaic import NO_LABEL
from rsaug.notices import notify
from rsaug.options import SceneOptions, SynthOptions
from rsaug.orders import Order, Orders
from rsaug.pipelines.loading import generator_for, quiet_loading
from rsaug.provenance import Provenance
from rsaug.requests import TileGenerator
from rsaug.scene_reader import read_scene
from rsaug.storage import place
from rsaug.synthesis import Plan, lay_out, settle
from rsaug.tilemaps import LabelledTile, OfScene

if TYPE_CHECKING:
    import xarray as xr

_HOPELESS = 5
"""So many images that failed and none that was made end a loop, as they end a run."""

_MOST_PIXELS = 2**28
"""Larger areas are not put together in memory."""

_NOT_OF_MODEL = {
    *(field.name for field in fields(SceneOptions) if field.name not in ("tile_size", "gsd")),
    *("limit", "all", "out", "seed", "variants", "controls", "control_region", "prompts"),
    *("mosaic", "watermark", "sign", "sign_key", "timestamp_url"),
}
"""Where tiles lie, what is drawn and how images are marked is none of the model's business;
how many pixels they have, and how large these are, is."""

_LOADED: WeakValueDictionary[tuple[object, ...], TileGenerator] = WeakValueDictionary()
"""Models in use, by what they were asked to be: the same one is not loaded twice."""


@dataclass(frozen=True, eq=False, repr=False)
class SynthTile(LabelledTile):
    """A synthetic image with its road mask and the control maps that it was made from.

    Attributes:
        image: RGB, uint8 (3, rows, cols).
        provenance: What made it: model, weights, seed, variant, prompt.
        labels_key: Digest of what mask and control maps are made from.
        signer: Who signs files of it; None for nobody.
    """

    image: NDArray[np.uint8]
    provenance: Provenance
    labels_key: str
    signer: Signer | None = None

    @property
    def name(self) -> str:
        """Its name, that of its file in a run: of the tile, and ``_v1``, ... for variants."""
        return item_name(self.tile.name, self.provenance.variant)

    @property
    def variant(self) -> int:
        """Which of the images of its tile it is, from 0."""
        return self.provenance.variant

    @property
    def seed(self) -> int:
        """Its own seed, drawn from that of the run."""
        return self.provenance.seed

    def save(
        self,
        path: Path | str,
        *,
        mask: Path | str | None = None,
        conditions: Path | str | None = None,
    ) -> None:
        """Write the image, and where a path is given the mask and the control maps.

        The files are cloud-optimized GeoTIFFs and the same as those of ``rsaug synth``, to the
        byte: the image says inside that it is synthetic and what made it. Folders have to be there.

        Args:
            path: Of the image, here or in a store.
            mask: Of the road mask.
            conditions: Of the control maps, 18 bands.

        Raises:
            OutputError: if a file cannot be written or signed; no part of it is left.
        """
        # A watermark is in the pixels already.
        marks, bands = Marks(None, self.signer), ("red", "green", "blue")
        marks.write(place(str(path)), self.image, self.tile, self.provenance, bands)
        if mask is not None:
            write_mask(place(str(mask)), self.mask, self.tile, self.labels_key)
        if conditions is not None:
            write_controls(place(str(conditions)), self.controls, self.tile, self.labels_key)

    def _layers(self) -> Layers:
        return {"image": (self.image, "band", ("red", "green", "blue")), **super()._layers()}

    def _attributes(self) -> dict[str, Any]:
        said = {f"rsaug_{name}": value for name, value in self.provenance.facts().items()}
        # A netCDF file has no integers of 63 bits that all can read.
        said["rsaug_seed"] = str(self.seed)
        return {**super()._attributes(), "synthetic": "yes", **said}


class TileSequence(OfScene, Sequence[SynthTile]):
    """The synthetic images of a place; each is made when it is asked for, and none is kept.

    Images come tile by tile with their variants, of seamless ones variant by variant, as in a run.
    A loop makes them in the batches that suit the machine; an image alone is the same to the byte.

    Args:
        plan: What is made.
        generator: What makes it.

    Attributes:
        notes: What whoever asked should know, one sentence each.
        failed: Why images could not be made in loops by now, by name.

    Raises:
        InputError: if the model sees no control that draws roads, or nothing can be signed.
    """

    def __init__(self, plan: Plan, generator: TileGenerator) -> None:
        self._plan, record, self.notes = settle(plan, generator)
        self._scene = self._plan.scene
        asked = record.options
        self._marks = Marks.of(asked.watermark, asked.sign, asked.sign_key, asked.timestamp_url)
        description = self._marks.described(record.generator)
        self._orders = Orders(self._plan.places, generator, description, asked.seed)
        self._tiles = plan.tiles[: asked.limit]
        self._variants = asked.variants
        self._by_variant = generator.reach(self._tiles[0]) is not None
        self.failed: dict[str, str] = {}

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._tiles) * self._variants

    @overload
    def __getitem__(self, index: int) -> SynthTile: ...
    @overload
    def __getitem__(self, index: slice) -> list[SynthTile]: ...
    def __getitem__(self, index: int | slice) -> SynthTile | list[SynthTile]:
        """One image, made now, or those of a slice.

        Raises:
            IndexError: if there are not so many.
            RunError: if it cannot be made.
        """
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return self._one(numbers)
        return [self._one(number) for number in numbers]

    def __iter__(self) -> Iterator[SynthTile]:
        """The images one after another, made a batch at a time.

        One that cannot be made is told by a warning and noted in `failed`, and the others come.

        Raises:
            RunError: if no image can be made.
        """
        return self._made(range(len(self)))

    def to_xarray(self, variant: int = 0) -> xr.Dataset:
        """All images of a variant as one dataset: ``image`` (band, y, x) and ``mask`` (y, x).

        Where there is no tile, or it could not be made, the image is 0 and the mask 255.

        Raises:
            InputError: if there is no such variant, or the area is too large for memory.
            MissingExtra: without xarray.
            RunError: if no image can be made.
        """
        if not 0 <= variant < self._variants:
            raise InputError(f"There are variants 0 to {self._variants - 1}, not {variant}.")
        numbers = [k for k in range(len(self)) if self._place(k)[1] == variant]
        first = self._tiles[0]
        rows, cols = ([getattr(tile, axis) for tile in self._tiles] for axis in ("row", "col"))
        top, left, (height, width) = min(rows), min(cols), first.shape
        shape = (max(rows) - top + 1) * height, (max(cols) - left + 1) * width
        if shape[0] * shape[1] > _MOST_PIXELS:
            raise InputError(
                f"The area has {shape[1]} x {shape[0]} pixels, too many for memory; rsaug synth "
                "--mosaic writes it to a file, or give a smaller aoi."
            )
        image = np.zeros((3, *shape), dtype=np.uint8)
        mask = np.full(shape, NO_LABEL, dtype=np.uint8)
        for made in self._made(numbers):
            y, x = (made.tile.row - top) * height, (made.tile.col - left) * width
            image[:, y : y + height, x : x + width] = made.image
            mask[y : y + height, x : x + width] = made.mask
        corner = Affine.translation((left - first.col) * width, (top - first.row) * height)
        area = Tile.from_transform(first.transform @ corner, shape, first.crs)
        layers: Layers = {"image": (image, "band", ("red", "green", "blue"))}
        return dataset(area, {**layers, "mask": (mask, None, ())}, {"synthetic": "yes"})

    def __repr__(self) -> str:
        """How many there are, and of what."""
        given = ", ".join(self._plan.controls)
        return f"TileSequence({len(self)} images of {len(self._tiles)} tiles; controls: {given})"

    def _place(self, number: int) -> tuple[Tile, int]:
        """Tile and variant of an image."""
        if self._by_variant:
            variant, tile = divmod(number, len(self._tiles))
        else:
            tile, variant = divmod(number, self._variants)
        return self._tiles[tile], variant

    def _order(self, number: int) -> Order:
        tile, variant = self._place(number)
        return self._orders.order(self._orders.labelled(tile), variant)

    def _one(self, number: int) -> SynthTile:
        order = self._order(number)
        ((_, image),) = self._orders.generate([order])
        if isinstance(image, Exception):
            raise RunError(f"{order.name} cannot be made: {image}") from image
        return self._finished(order, image)

    def _made(self, numbers: Iterable[int]) -> Iterator[SynthTile]:
        """Images by their numbers; those that cannot be made are noted and left out."""
        waiting: list[Order] = []
        made = failed = 0
        for number in (*numbers, None):
            if number is not None:
                try:
                    waiting.append(self._order(number))
                except Exception as error:
                    tile, variant = self._place(number)
                    self._fail(item_name(tile.name, variant), error)
                    failed += 1
                if len(waiting) < self._orders.generator.batch_size:
                    continue
            batch, waiting = waiting, []
            for order, image in self._orders.generate(batch) if batch else ():
                if isinstance(image, Exception):
                    self._fail(order.name, image)
                    failed += 1
                else:
                    made += 1
                    yield self._finished(order, image)
            if failed and not made and (failed >= _HOPELESS or number is None):
                name, reason = next(iter(self.failed.items()))
                raise RunError(f"No image could be made; {failed} failed, {name} since: {reason}")

    def _fail(self, name: str, error: Exception) -> None:
        if isinstance(error, MemoryError):
            raise error
        self.failed[name] = str(error).strip() or type(error).__name__
        notify([f"{name} cannot be made: {self.failed[name]}"], stacklevel=4)

    def _finished(self, order: Order, image: NDArray[np.uint8]) -> SynthTile:
        request = order.request
        # What is remembered of the place for its next variant must not change with what is done
        # to this one.
        controls = ControlStack(request.controls.maps.copy(), request.controls.present)
        return SynthTile(
            request.tile,
            order.mask.copy(),
            controls,
            self._marks.marked(image, request.tile),
            order.provenance,
            order.labels_key,
            self._marks.signer,
        )


def synthesize(
    roads: LayerLike,
    *,
    landcover: LayerLike | None = None,
    buildings: LayerLike | None = None,
    aoi: AreaLike | None = None,
    gsd: float = 0.6,
    tile_size: int = 256,
    crs: str | int | CRS | None = None,
    variants: int = 1,
    seed: int = 0,
    limit: int | None = None,
    model: str | Path = "default",
    workers: int | None = None,
    **more: object,
) -> TileSequence:
    """Synthetic aerial images with exact road masks, made from road lines when they are asked for.

    They are those of ``rsaug synth`` with the same options, to the byte. Layers and model are read
    at once, so what cannot be used is told before anything is made; without the network, as long as
    no layer and no model is named that lies there. What should be known is told by warnings of the
    class `rsaug.Notice`, and again in `TileSequence.notes`.

    Args:
        roads: Lines with OpenStreetMap's tags: a GeoDataFrame, or a layer as the command names it.
        landcover: Areas with OpenStreetMap's tags or a column ``class``; a file may be a raster.
        buildings: Areas, whatever their tags.
        aoi: Area of interest: areas, or (west, south, east, north) in degrees.
        gsd: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: Projected CRS; None for the UTM zone of the data.
        variants: Images a tile.
        seed: Same seed, same images.
        limit: The first so many tiles alone.
        model: ``default``, a folder or a hub id.
        workers: On a CPU, how many images are made at once; None for as many as there are cores.
        **more: Other options of the command by name: ``prompt``, ``date``, ``style``, ``steps``,
            ``controls=["road", "hed"]``, ``control_strength={"road": 1.2}``,
            ``control_interval={"hed": (0, 0.5)}``, ``seamless=True``, ``device``, ...

    Returns:
        The images, as a sequence: to loop over, or to be taken one by one.

    Raises:
        InputError: if a layer, an option or the model cannot be used.
        TypeError: for an option that there is not.
    """
    asked = {
        "roads": roads,
        "landcover": landcover,
        "buildings": buildings,
        "aoi": aoi,
        "gsd": gsd,
        "tile_size": tile_size,
        "crs": crs,
        "variants": variants,
        "seed": seed,
        "limit": limit,
        "model": model,
        **more,
    }
    options, frames = read_options(SynthOptions, "synthesize", asked)
    here = options.fetched()
    plan = lay_out(options, here, read_scene(here, frames=frames))
    tiles = TileSequence(plan, _loaded(plan.options, workers))
    notify(tiles.notes)
    return tiles


def _loaded(options: SynthOptions, workers: int | None) -> TileGenerator:
    """The generator of a run; the one in use where one of the same kind is."""
    names = (field.name for field in fields(options) if field.name not in _NOT_OF_MODEL)
    key = (*(getattr(options, name) for name in names), workers, *_stamps(options))
    found = _LOADED.get(key)
    if found is None:
        with quiet_loading():
            found = generator_for(options, workers)
        _LOADED[key] = found
    return found


def _stamps(options: SynthOptions) -> Iterator[tuple[str, int, int]]:
    """Names, sizes and times of the files here that a generator is made from."""
    for name in (options.model, options.style):
        path = Path(name) if name else None
        if path is None or not path.exists():
            continue
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            status = file.stat()
            yield str(file), status.st_size, status.st_mtime_ns
