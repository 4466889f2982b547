"""What blocks of Python in the documentation take as given, by page and number of the block."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from docplace import GSD_M, SIDE, tile

from rsaug.conditions.landcover import land_areas
from rsaug.grid import TileGrid
from rsaug.roads import road_surfaces
from rsaug.shapes import Shapes
from rsaug.vectors import read_vectors

Names = dict[str, Any]


def nothing() -> Names:
    """The block stands for itself."""
    return {}


def one_tile() -> Names:
    """A tile, and the grid and the place that it is of."""
    where = tile()
    grid = TileGrid(where.crs, GSD_M, SIDE)
    return {"tile": where, "grid": grid, "area": SimpleNamespace(bounds=where.bounds), "dt": dt}


def layers() -> Names:
    """The tile with roads, buildings and land cover, prepared."""
    where = tile()
    roads = road_surfaces(read_vectors("roads.geojson"), where.crs)
    buildings = land_areas(read_vectors("buildings.gpkg"), where.crs, buildings=True)
    cover = land_areas(read_vectors("landcover.geojson"), where.crs)
    return {**one_tile(), "roads": roads, "buildings": buildings, "cover": cover, "parcels": None}


def heights() -> Names:
    """The tile and the layer of buildings as it is read."""
    return {**one_tile(), "buildings": read_vectors("buildings.gpkg")}


def facts() -> Names:
    """The tile, its roads, outlines of buildings and a class map."""
    named = layers()
    class_map = np.zeros((SIDE, SIDE), dtype=np.uint8)
    outlines = Shapes.of(named["buildings"].areas)
    return {**named, "buildings": outlines, "areas": None, "class_map": class_map}


def garden() -> Names:
    """A tile and features in the words of the page's class set."""
    features = read_vectors("buildings.gpkg").assign(kind="house")
    road_mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    return {"tile": tile(), "features": features, "road_mask": road_mask}


def masks() -> Names:
    """Masks of two tiles with a road each, and what was found of them."""
    truth = np.zeros((2, 64, 64), dtype=np.uint8)
    truth[:, 28:36] = 1
    found = truth.copy()
    found[:, :, 40:] = 0
    import torch

    probabilities = torch.from_numpy(found.astype(np.float32))
    named = {"found": found, "truth": truth, "mask": truth[0]}
    return {**named, "masks": torch.from_numpy(truth).long(), "probabilities": probabilities}


def judged() -> Names:
    """Real and synthetic images of the masks, by place."""
    noise = np.random.default_rng(0)
    named = masks()
    for name in ("real_images", "synthetic_images"):
        named[name] = noise.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    named["masks"], named["images"] = named["truth"], named["real_images"]
    return {**named, "places": np.array(["a", "b"])}


def mixed() -> Names:
    """Real and synthetic chips."""
    from rsaug.downstream.datasets import SyntheticRoads

    run = SyntheticRoads("roads-synth").chips()
    return {"run": run, "real": _Chips()}


class _Chips:
    """Twenty chips of a place each."""

    places = tuple(f"p{number}" for number in range(20))

    def __len__(self) -> int:
        return len(self.places)


def steered() -> Names:
    """Controls of a tile of 128 pixels, a region, and a callback."""
    import torch

    controls = torch.zeros(1, 18, SIDE, SIDE)
    controls[:, 9:12, 60:70] = 1
    present = torch.zeros(1, 6)
    present[:, 3] = present[:, 5] = 1
    region = torch.zeros(1, SIDE, SIDE)
    region[..., :64] = 1
    watch: Callable[..., Names] = lambda pipe, step, time, given: given  # noqa: E731  # as in use
    return {"controls": controls, "present": present, "region": region, "watch": watch}


GIVEN: dict[str, Callable[[], Names]] = {
    "docs/catalogue.md:0": nothing,
    "docs/conditions.md:0": nothing,
    "docs/consistency.md:0": judged,
    "docs/datasets.md:1": mixed,
    "docs/detectors.md:0": judged,
    "docs/edges.md:0": layers,
    "docs/edges.md:1": heights,
    "docs/global-conditions.md:0": facts,
    "docs/global-conditions.md:1": one_tile,
    "docs/global-conditions.md:2": one_tile,
    "docs/landcover.md:0": garden,
    "docs/metrics.md:0": masks,
    "docs/metrics.md:1": masks,
    "docs/provenance.md:0": nothing,
    "docs/report.md:0": nothing,
    **{f"docs/python.md:{number}": nothing for number in range(6)},
    "docs/sources.md:0": nothing,
    "docs/steering.md:0": steered,
    "docs/synth.md:0": nothing,
    "docs/vectorize.md:0": masks,
}
"""Blocks that are executed, with what they take as given."""

NOT_RUN = {
    "docs/datasets.md:0": "reads NAIP and the Urban Tree Detection Data",
    "docs/layouts.md:0": "draws twenty towns; tests/layouts/test_layouts.py has small ones",
    "docs/editing.md:0": "110 steps of the default model; tests/pipelines/test_editing.py is small",
    "docs/evaluate.md:0": "measures all that there is; tests/cli/test_evaluate.py is small",
    "docs/view.md:0": "takes what was decided in a browser; tests/viewer/test_review.py decides",
    "docs/training.md:0": "trains the default model; tests/pipelines/train is small",
}
"""Blocks that are not executed, and why."""
