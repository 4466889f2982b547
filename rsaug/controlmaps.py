"""Control maps and labels from Python: what ``rsaug conditions`` draws, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from pyproj import CRS

from rsaug.asking import AreaLike, LayerLike, read_options
from rsaug.classes import read_class_set
from rsaug.conditioning import ConditionsPlan, lay_out_conditions
from rsaug.notices import notify
from rsaug.options import ConditionsOptions
from rsaug.scene_reader import read_scene
from rsaug.tilemaps import OfScene, TileMaps


class MapSequence(OfScene, Sequence[TileMaps]):
    """The tiles of a place with their maps; each is drawn when it is asked for.

    Args:
        plan: What is drawn.

    Attributes:
        notes: What was named and comes to nothing, one sentence each.
    """

    def __init__(self, plan: ConditionsPlan) -> None:
        self._plan, self._scene = plan, plan.scene
        self._tiles = plan.tiles[: plan.options.limit]
        self.notes = plan.notes

    def __len__(self) -> int:
        """How many tiles there are."""
        return len(self._tiles)

    @overload
    def __getitem__(self, index: int) -> TileMaps: ...
    @overload
    def __getitem__(self, index: slice) -> list[TileMaps]: ...
    def __getitem__(self, index: int | slice) -> TileMaps | list[TileMaps]:
        """One tile with its maps, or those of a slice."""
        if isinstance(index, slice):
            return [self._plan.maps(tile) for tile in self._tiles[index]]
        return self._plan.maps(self._tiles[index])

    def __iter__(self) -> Iterator[TileMaps]:
        """The tiles one after another, each drawn when it is its turn."""
        return map(self._plan.maps, self._tiles)

    def __repr__(self) -> str:
        """How many there are, and of what."""
        drawn = ", ".join(self._plan.controls) or "no control"
        return f"MapSequence({len(self)} tiles with {drawn})"


def control_maps(
    roads: LayerLike | None = None,
    *,
    landcover: LayerLike | None = None,
    buildings: LayerLike | None = None,
    parcels: LayerLike | None = None,
    aoi: AreaLike | None = None,
    gsd: float = 0.6,
    tile_size: int = 256,
    crs: str | int | CRS | None = None,
    controls: str | Iterable[str] | None = None,
    labels: str | None = None,
    channels: str | Iterable[str] | None = None,
    limit: int | None = None,
    **more: object,
) -> MapSequence:
    """Control maps, road masks and labels of a place, drawn from map data without a model.

    They are those of ``rsaug conditions`` with the same options, to the number. Layers are read at
    once; a tile is drawn when it is asked for.

    Args:
        roads: Lines with OpenStreetMap's tags: a GeoDataFrame, or a layer as the command names it.
        landcover: Areas with OpenStreetMap's tags or a column ``class``; a file may be a raster.
        buildings: Areas, whatever their tags.
        parcels: Areas whose borders are drawn as edges.
        aoi: Area of interest: areas, or (west, south, east, north) in degrees.
        gsd: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: Projected CRS; None for the UTM zone of the data.
        controls: Names of control maps; None for all that the layers allow.
        labels: Class set of a label mask: a name or a TOML file.
        channels: Names of road channels; see `rsaug.conditions.road_channels`.
        limit: The first so many tiles alone.
        **more: Other options of the command by name, as in ``dem="heights.tif"``.

    Returns:
        The tiles, as a sequence.

    Raises:
        InputError: if a layer or an option cannot be used; nothing is drawn then.
        TypeError: for an option that there is not.
    """
    asked = {
        "roads": roads,
        "landcover": landcover,
        "buildings": buildings,
        "parcels": parcels,
        "aoi": aoi,
        "gsd": gsd,
        "tile_size": tile_size,
        "crs": crs,
        "controls": controls,
        "labels": labels,
        "channels": channels,
        "limit": limit,
        **more,
    }
    options, frames = read_options(ConditionsOptions, "control_maps", asked)
    here = options.fetched()
    classes = read_class_set(here.labels) if here.labels else None
    scene = read_scene(here, labels=classes, frames=frames)
    maps = MapSequence(lay_out_conditions(options, here, scene))
    notify(maps.notes)
    return maps
