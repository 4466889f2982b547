"""What is on the ground: areas of a layer in every form that control maps and labels need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas as gpd
from pyproj import CRS

from rsaug.classes import ClassSet
from rsaug.conditions.depth import Heights, building_heights
from rsaug.conditions.landcover import LandAreas, land_areas
from rsaug.vectors import areas_of


@dataclass(frozen=True, eq=False)
class Ground:
    """Areas of one layer.

    Attributes:
        areas: With LoveDA's classes, for the control maps.
        labels: With the classes of the label masks, if any are asked for.
        heights: Of buildings, for a layer of buildings.
        tagged: The areas with their tags, in the CRS of the grid.
    """

    areas: LandAreas
    labels: LandAreas | None
    heights: Heights | None
    tagged: gpd.GeoDataFrame

    @classmethod
    def of(
        cls,
        features: gpd.GeoDataFrame,
        crs: CRS,
        *,
        buildings: bool = False,
        labels: ClassSet | None = None,
        allow_none: bool = False,
    ) -> Ground:
        """Areas among features.

        Args:
            features: Features in any CRS.
            crs: CRS of the result, projected.
            buildings: All of them are buildings.
            labels: Class set of the label masks.
            allow_none: Whether there may be no area, as in a part of a layer.

        Raises:
            InputError: if there is no area.
        """
        why = "land cover and buildings are read from areas"
        clean = areas_of(features, crs, why=why, allow_none=allow_none)
        areas = land_areas(clean, crs, buildings=buildings, allow_none=allow_none)
        of_labels = None
        if labels is not None:
            of_labels = land_areas(
                clean, crs, classes=labels, buildings=buildings, allow_none=allow_none
            )
        heights = building_heights(clean, crs, allow_none=True) if buildings else None
        return cls(areas, of_labels, heights, clean.features)

    def to_dict(self) -> dict[str, Any]:
        """What was made of how many features."""
        report: dict[str, Any] = dict(self.areas.to_dict())
        if self.heights is not None:
            report["heights"] = self.heights.report.to_dict()
        return report


@dataclass(frozen=True, eq=False)
class Parcels:
    """Parcels of land, whose borders are drawn as edges.

    Attributes:
        features: Areas in the CRS of the grid.
        dropped: Features that are no area, by reason.
    """

    features: gpd.GeoDataFrame
    dropped: dict[str, int]

    @classmethod
    def of(cls, features: gpd.GeoDataFrame, crs: CRS, *, allow_none: bool = False) -> Parcels:
        """Parcels among features.

        Args:
            features: Features in any CRS.
            crs: CRS of the result, projected.
            allow_none: Whether there may be no area, as in a part of a layer.

        Raises:
            InputError: if there is no area.
        """
        areas = areas_of(features, crs, why="parcels are areas", allow_none=allow_none)
        return cls(areas.features, areas.dropped)

    def to_dict(self) -> dict[str, Any]:
        """How many there are, and what was left out."""
        return {"by_class": {"parcel": len(self.features)}, "unknown": {}, "dropped": self.dropped}
