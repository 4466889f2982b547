"""Draw what `rsaug vectorize` makes of masks over their images, for a person to look at.

    python scripts/vectorize_picture.py roads-synth TILE... --out roads.jpg

A column a tile of a run of `rsaug synth`: above the mask over the image, below the lines, with the
width in metres at the middle of each, junctions as rings and ends as dots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import shapely
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rsaug.downstream.graph.masks import Cleaning, trace_raster
from rsaug.downstream.vectorize import as_one
from rsaug.raster import read_rgb

_MASK, _LINE, _NODE = (255, 196, 0), (214, 30, 60), (20, 60, 200)
_GAP_PX = 8


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    tiles: Annotated[list[str], typer.Argument(help="Names of tiles.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")],
    scale: Annotated[int, typer.Option(help="Pixels a pixel.")] = 3,
) -> None:
    """Write the picture."""
    columns = [column(folder, tile, scale) for tile in tiles]
    gap = np.full((columns[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    parts = [part for own in columns for part in (own, gap)][:-1]
    Image.fromarray(np.concatenate(parts, axis=1)).save(out, quality=88)


def column(folder: Path, tile: str, scale: int) -> NDArray[np.uint8]:
    """The two pictures of a tile, one above the other."""
    image = read_rgb(folder / "images" / f"{tile}.tif").transpose(1, 2, 0)
    whole = as_one([folder / "masks" / f"{tile}.tif"])
    road, _ = whole.read((0, image.shape[0], 0, image.shape[1]))
    shaded = image.astype(np.float32)
    shaded[road] = 0.5 * shaded[road] + 0.5 * np.array(_MASK)
    above = Image.fromarray(np.rint(shaded).astype(np.uint8))
    below = Image.fromarray(image)
    size = image.shape[1] * scale, image.shape[0] * scale
    above, below = above.resize(size, Image.Resampling.NEAREST), below.resize(size)
    draw = ImageDraw.Draw(below)
    graph = trace_raster(
        whole.read, whole.tile.shape, whole.tile, Cleaning(split_widths=True)
    ).graph
    to_pixels = ~whole.tile.transform

    def at(xy: NDArray[np.float64]) -> list[tuple[float, float]]:
        x, y = to_pixels @ tuple((xy / graph.metres_a_unit).T)
        return [(float(a) * scale, float(b) * scale) for a, b in zip(x, y, strict=True)]

    for line in graph.lines:
        draw.line(at(shapely.get_coordinates(line)), fill=_LINE, width=scale)
    for node, degree in zip(at(graph.nodes), graph.degree.tolist(), strict=True):
        draw.circle(node, 2 * scale if degree > 2 else scale, outline=_NODE, width=2)
    font = ImageFont.load_default(5 * scale)
    middles = shapely.line_interpolate_point(graph.lines, 0.5, normalized=True)
    for place, width in zip(at(shapely.get_coordinates(middles)), graph.width_m, strict=True):
        draw.text(place, f"{width:.1f}", fill="white", font=font, stroke_width=2, stroke_fill=0)
    gap = np.full((_GAP_PX, size[0], 3), 255, np.uint8)
    return np.concatenate([np.asarray(above), gap, np.asarray(below)])


if __name__ == "__main__":
    typer.run(main)
