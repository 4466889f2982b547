"""Pictures of what the default model makes of the example Helsinki, and the page that shows them.

    python scripts/gallery.py

It runs ``rsaug synth`` a few times over two or three tiles, puts the images beside their maps and
writes ``docs/images/gallery-*.jpg`` and ``docs/gallery.md``: all of it synthetic, and made again by
this one command.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsaug.raster import read_rgb
from rsaug.stackfile import read_stack

HELSINKI = "examples/helsinki"
ROADS = f"--roads {HELSINKI}/roads.geojson"
COVER = f"--landcover {HELSINKI}/landcover.geojson --buildings {HELSINKI}/buildings.geojson"
AOI = "--aoi 24.9415,60.1685,24.9445,60.1695"
HEAD = """# Gallery

What the [default model](default-model.md) makes of two tiles of 256 x 256 pixels at 0.6 m in the
centre of Helsinki, a city that it knows nothing of. Every picture is synthetic, none was chosen:
they are the first two tiles and the first seeds. `python scripts/gallery.py` makes this page.
"""
GAP = 6


@dataclass(frozen=True)
class Exhibit:
    """One picture.

    Attributes:
        name: Of its file and of the folder of its run.
        title: Heading on the page.
        options: Of ``rsaug synth``, besides roads and place.
        text: What is to be seen.
        variants: Images a tile, side by side.
        maps: Which control maps are shown before them.
    """

    name: str
    title: str
    options: str
    text: str
    variants: int = 2
    maps: tuple[str, ...] = ("road",)


EXHIBITS = (
    Exhibit(
        "roads",
        "Roads alone",
        "",
        "From the left: the road map, two images of it. All else is the model's invention.",
    ),
    Exhibit(
        "landcover",
        "Roads and land cover",
        COVER,
        "Road map, segmentation map (buildings red), two images. Blocks as large as these it has "
        "never seen: it breaks them up into houses.",
        maps=("road", "seg"),
    ),
    Exhibit(
        "edges",
        "With soft edges",
        f"{COVER} --controls road,seg,hed",
        "Outlines of the map as soft edges besides, one image a tile. Little of them is followed.",
        maps=("road", "seg", "hed"),
        variants=1,
    ),
    Exhibit(
        "prompts",
        "Text",
        f'{COVER} --prompt "lush green, a few roads"',
        "Maps and first seeds of the second picture, and a text: the change is small.",
        maps=("road", "seg"),
        variants=1,
    ),
)


def command(exhibit: Exhibit, out: str) -> str:
    """The command of a picture."""
    same = f"--variants {exhibit.variants} --limit 2 --out {out}"
    return " ".join(f"rsaug synth {ROADS} {exhibit.options} {AOI} {same}".split())


def sheet(run: Path, exhibit: Exhibit) -> NDArray[np.uint8]:
    """A row a tile: its maps, then its variants; uint8 (rows, cols, 3)."""
    rows = []
    for first in sorted((run / "masks").glob("*.tif")):
        stack = read_stack(run / "conditions" / first.name)
        row = [(255 * stack.slot(name)).astype(np.uint8) for name in exhibit.maps]
        names = [first.stem, *(f"{first.stem}_v{k}" for k in range(1, exhibit.variants))]
        row += [read_rgb(run / "images" / f"{name}.tif") for name in names]
        rows.append(_beside([image.transpose(1, 2, 0) for image in row], axis=1))
    return _beside(rows, axis=0)


def _beside(images: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Images in a line with white between them."""
    shape = [*images[0].shape]
    shape[axis] = GAP
    gap = np.full(shape, 255, dtype=np.uint8)
    parts = [part for image in images for part in (gap, image)][1:]
    return np.concatenate(parts, axis=axis)


def page(exhibits: tuple[Exhibit, ...]) -> str:
    """The page that shows the pictures."""
    parts = [HEAD]
    for one in exhibits:
        wrapped = (
            command(one, one.name).replace(" --", " \\\n    --").replace("\\\n    --", "--", 1)
        )
        picture = f"![{one.title}: {one.text}](images/gallery-{one.name}.jpg)"
        parts.append(f"## {one.title}\n\n{picture}\n\n{one.text}\n\n```sh\n{wrapped}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Run from the command line, in the root of the repository."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--page-only", action="store_true", help="write the page, no pictures")
    said = parser.parse_args()
    for exhibit in () if said.page_only else EXHIBITS:
        run = said.runs / exhibit.name
        rsaug = [sys.executable, "-c", "from rsaug.cli import main; main()"]
        subprocess.run([*rsaug, *shlex.split(command(exhibit, str(run)))[1:]], check=True)
        Image.fromarray(sheet(run, exhibit)).save(
            said.docs / "images" / f"gallery-{exhibit.name}.jpg", quality=88, optimize=True
        )
    (said.docs / "gallery.md").write_text(page(EXHIBITS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
