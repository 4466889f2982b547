"""The maps of a tile in memory: what a scene says of it, as arrays with a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.arrays import Layers, dataset
from rsaug.conditions.caption import compose
from rsaug.conditions.stack import CHANNEL_NAMES, ControlStack
from rsaug.grid import Tile, crs_name
from rsaug.scene import Scene

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class LabelledTile:
    """A tile with its road mask and its control maps.

    Attributes:
        tile: Where it is.
        mask: Road mask, uint8 (rows, cols): 1 road, 0 elsewhere.
        controls: The control maps, and which of them were given.
    """

    tile: Tile
    mask: NDArray[np.uint8]
    controls: ControlStack

    @property
    def name(self) -> str:
        """Its name, that of its files in a run."""
        return self.tile.name

    @property
    def conditions(self) -> NDArray[np.float32]:
        """The control maps, float32 (18, rows, cols) in [0, 1].

        Three channels for each of ``mlsd``, ``hed``, ``sketch``, ``road``, ``depth``, ``seg``;
        those that were not given are 0.
        """
        return self.controls.maps

    @property
    def transform(self) -> Affine:
        """From (col, row) in pixels to (x, y) in the CRS."""
        return self.tile.transform

    @property
    def crs(self) -> CRS:
        """The projected CRS."""
        return self.tile.crs

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in units of the CRS."""
        return self.tile.bounds

    def to_xarray(self) -> xr.Dataset:
        """Everything on the pixels of the tile as a dataset, ``x`` and ``y`` at their centres.

        Raises:
            MissingExtra: without xarray.
        """
        return dataset(self.tile, self._layers(), self._attributes())

    def _layers(self) -> Layers:
        return {
            "mask": (self.mask, None, ()),
            "conditions": (self.controls.maps, "channel", CHANNEL_NAMES),
        }

    def _attributes(self) -> dict[str, Any]:
        """What is said of the tile, as netCDF can keep it."""
        return {"name": self.name, "controls": ",".join(self.controls.given)}

    def __repr__(self) -> str:
        """Name, place and what there is."""
        rows, cols = self.tile.shape
        given = ", ".join(self.controls.given) or "none"
        place = f"{cols} x {rows} px at {self.tile.gsd_m:g} m in {crs_name(self.crs)}"
        return f"{type(self).__name__}({self.name}: {place}; controls: {given})"


@dataclass(frozen=True, eq=False, repr=False)
class TileMaps(LabelledTile):
    """Everything that map data say of a tile.

    Attributes:
        caption: A text made of what is there.
        labels: Classes of a label mask, uint8 (rows, cols); None unless asked for.
        channels: Road channels by name; see `rsaug.conditions.road_channels`.
        content: Content image, uint8 (3, rows, cols) of its own size; None unless asked for.
    """

    caption: str = ""
    labels: NDArray[np.uint8] | None = None
    channels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    content: NDArray[np.uint8] | None = None

    @classmethod
    def of(
        cls,
        scene: Scene,
        tile: Tile,
        controls: Sequence[str],
        channels: Sequence[str] = (),
        wording: int = 0,
        content: NDArray[np.uint8] | None = None,
    ) -> TileMaps:
        """What a scene says of a tile.

        Args:
            scene: The layers.
            tile: The tile.
            controls: Names of the control maps.
            channels: Names of road channels.
            wording: Which wording of the caption.
            content: Its content image.

        Raises:
            InputError: if a channel needs roads and there are none.
        """
        mask, stack = scene.controls(tile, controls)
        return cls(
            tile,
            mask,
            stack,
            compose(scene.facts(tile, mask), wording),
            None if scene.labels is None else scene.class_map(tile, mask, scene.labels),
            scene.channels(tile, channels) if channels else {},
            content,
        )

    def _layers(self) -> Layers:
        layers = dict(super()._layers())
        if self.labels is not None:
            layers["labels"] = (self.labels, None, ())
        for name, values in self.channels.items():
            flat = values.ndim == 2 or len(values) == 1
            shown = values if values.ndim == 2 or not flat else values[0]
            numbers = [str(k) for k in range(len(values))]
            layers[name] = (shown, None, ()) if flat else (shown, f"{name}_band", numbers)
        return layers

    def _attributes(self) -> dict[str, Any]:
        return {**super()._attributes(), "caption": self.caption}


class OfScene:
    """What sequences of tiles say of the place that they are of."""

    _scene: Scene

    @property
    def crs(self) -> CRS:
        """CRS of the tiles."""
        return self._scene.grid.crs

    @property
    def attribution(self) -> tuple[str, ...]:
        """Whom the map data ask to be named."""
        return self._scene.attribution

    @property
    def report(self) -> Mapping[str, Any]:
        """What was made of the features of each layer, and what was left out, by reason."""
        return self._scene.report()
