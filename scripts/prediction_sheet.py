"""Draw what a road detector finds in tiles, for a person to look at.

    python scripts/prediction_sheet.py DETECTOR --run roads-synth --out sheet.jpg
    python scripts/prediction_sheet.py DETECTOR --data naip-roads --split val --out sheet.jpg

A column a tile: the image; what was found and what is labelled (white both, red found alone, blue
labelled alone); the lines that `rsaug vectorize` makes of it, as wide as it says they are. Tiles
are ordered by IoU, worst first, and taken evenly from there to the best.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import shapely
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rsaug.cli.group import Commands
from rsaug.downstream.datamodules import RoadDataModule
from rsaug.downstream.datasets import SyntheticRoads
from rsaug.downstream.datasets.chips import RoadChips
from rsaug.downstream.detector import RoadDetector
from rsaug.downstream.graph.masks import graph_of_mask
from rsaug.errors import InputError

app = typer.Typer(cls=Commands, help=__doc__)

Pixels = NDArray[np.uint8]

_BOTH, _FOUND, _LABEL, _LINE = (255, 255, 255), (230, 40, 30), (40, 90, 255), (255, 196, 0)
_GAP_PX = 6


@app.command()
def main(
    detector: Annotated[Path, typer.Argument(help="Folder of `rsaug train roads`.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")],
    run: Annotated[Path | None, typer.Option(help="Run of rsaug synth.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of real tiles.")] = None,
    dataset: Annotated[str, typer.Option(help="Its kind.")] = "naip",
    split: Annotated[str, typer.Option(help="Its split.")] = "val",
    chip_size: Annotated[int | None, typer.Option(help="Pixels a side; whole tiles.")] = None,
    tiles: Annotated[int, typer.Option(min=1, help="Columns.")] = 6,
    among: Annotated[int, typer.Option(min=1, help="Tiles to choose from, evenly.")] = 60,
    scale: Annotated[int, typer.Option(min=1, help="Pixels a pixel.")] = 1,
) -> None:
    """Write the picture."""
    if (run is None) == (data is None):
        raise InputError("Give a run by --run or real tiles by --data.")
    chips = (
        SyntheticRoads(run).chips()
        if run is not None
        else RoadDataModule(dataset=dataset, root=str(data), chip_size=chip_size).real.split(split)
    )
    model = RoadDetector.load(detector)
    seen = [looked_at(model, chips, k) for k in evenly(len(chips), among)]
    seen.sort(key=lambda tile: iou(*tile[1:]))
    gsd_m = model.config.gsd_m or 1.0
    columns = [drawn(*seen[k], gsd_m, scale) for k in evenly(len(seen), tiles)]
    gap = np.full((columns[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    parts = [part for own in columns for part in (own, gap)][:-1]
    Image.fromarray(np.concatenate(parts, axis=1)).save(out, quality=88)


def evenly(n: int, most: int) -> list[int]:
    """At most so many numbers below ``n``, the first and the last among them."""
    return sorted({round(x) for x in np.linspace(0, n - 1, min(n, most))})


def looked_at(model: RoadDetector, chips: RoadChips, k: int) -> tuple[Pixels, Pixels, Pixels]:
    """Image (rows, cols, 3), found and labelled mask (rows, cols) of a tile."""
    sample = chips[k]
    image = sample["image"].to(torch.uint8).numpy()
    return image.transpose(1, 2, 0), model.predict(image[None])[0], sample["mask"].numpy()


def iou(found: Pixels, label: Pixels) -> float:
    """IoU of the road class, 1 where there is none in either."""
    both, either = (found == 1) & (label == 1), (found == 1) | (label == 1)
    return float(both.sum() / either.sum()) if either.any() else 1.0


def drawn(image: Pixels, found: Pixels, label: Pixels, gsd_m: float, scale: int) -> Pixels:
    """The pictures of a tile, one below the other."""
    size = image.shape[1] * scale, image.shape[0] * scale
    plain = Image.fromarray(image).resize(size)
    shaded = (0.6 * image).astype(np.uint8)
    for color, where in (
        (_BOTH, (found == 1) & (label == 1)),
        (_FOUND, (found == 1) & (label != 1)),
        (_LABEL, (found != 1) & (label == 1)),
    ):
        shaded[where] = color
    lines = plain.copy()
    draw = ImageDraw.Draw(lines)
    graph = graph_of_mask(found, gsd_m)
    for line, width in zip(graph.lines, graph.width_m, strict=True):
        xy = shapely.get_coordinates(line) / gsd_m * scale
        places = [(x, size[1] - y) for x, y in xy]
        draw.line(places, _LINE, max(round(width / gsd_m * scale), 1), "curve")
    gap = np.full((_GAP_PX, size[0], 3), 255, np.uint8)
    masks = Image.fromarray(shaded).resize(size, Image.Resampling.NEAREST)
    return np.concatenate([np.asarray(plain), gap, np.asarray(masks), gap, np.asarray(lines)])


if __name__ == "__main__":
    app()
