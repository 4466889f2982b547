"""Mosaics, variants and real imagery in a real browser: each pixel is drawn as the file has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from numpy.typing import NDArray
from painter import CRS, NORTH, WEST, Painter, write_roads
from rasterio.transform import Affine
from viewerpage import CHROMIUM, Page, browsed, opened, served

from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify
from rsaug.viewer.view import View

# rasterio and rio-tiler multiply transforms in a way that affine 3 deprecates; and rasterio
# silences the other warning where it warps arrays, but for one thread at a time.
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]

ZOOM = 19
"""A pixel of 0.6 m is eight pixels of the screen wide."""

GROUND = (228, 232, 236)
"""The page where nothing is drawn."""

NEAR = 3
"""So much may a colour differ: the browser draws what lies below an opaque layer, too."""


FEW, MOST = 0.02, 0.6
"""Shares of pixels that are not drawn as in a file: by chance, and of a file that is not drawn at
all. Variants have their roads in common."""

LEFT, RIGHT = slice(0, 200), slice(242, 442)
"""Columns of the picture before and after its middle."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two images a tile, with mosaics."""
    place = tmp_path_factory.mktemp("layers")
    asked = SynthOptions(
        roads=str(write_roads(place / "streets.gpkg", rows=1, cols=2)),
        gsd=0.6,
        tile_size=64,
        variants=2,
        mosaic=True,
        out=str(place / "run"),
    )
    run(make_plan(asked), Painter())
    return place / "run"


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rasters side by side of patches of any colour, beside what is no imagery."""
    place = tmp_path_factory.mktemp("real") / "town"
    place.mkdir()
    for number in range(4):
        write_patches(place / f"{number}.tif", WEST - 64 + 48 * number, seed=number)
    write_patches(place / "heights.tif", WEST, seed=9, bands=1)
    (place / "words.tif").write_text("no raster")
    return place


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # No larger than it has to be: all of it is drawn without a GPU.
    with browsed(1010, 470) as context:
        yield context


@pytest.fixture(scope="module")
def page(browser: Any, folder: Path, imagery: Path) -> Iterator[Page]:
    """The page of the run beside a folder of imagery, for all tests, which run in their order."""
    with served(View(folder, imagery)) as origin:
        page = opened(browser, origin, "mask=0&frames=0")
        page.until("rsaug.maps.layers.has('real')")
        yield page
        page.tab.close()


def write_patches(path: Path, left: float, *, seed: int, bands: int = 3) -> None:
    """A raster 48 m wide of patches of 4 m, without overviews, over the street."""
    colours = np.random.default_rng(seed).integers(0, 256, (bands, 24, 12), dtype=np.uint8)
    values = colours.repeat(8, axis=1).repeat(8, axis=2)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[1],
        width=values.shape[2],
        count=bands,
        dtype="uint8",
        crs=f"EPSG:{CRS}",
        transform=Affine(0.5, 0, left, 0, -0.5, NORTH + 16),
    ) as dst:
        dst.write(values)


def look_at(page: Page, middle: tuple[float, float]) -> None:
    """Have the map show a place, in metres of the CRS, so near that pixels are seen."""
    (lon, lat), zoom = degrees(np.array([middle]))[0].tolist(), ZOOM
    page.tab.evaluate(f"() => rsaug.maps.a.jumpTo({{ center: [{lon}, {lat}], zoom: {zoom} }})")
    page.settled()


def degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
    to_degrees = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True)
    return np.column_stack(to_degrees.transform(*points.T))


def differing(
    page: Page, shown: NDArray[np.uint8], file: Path, which: str = "a", part: slice = slice(None)
) -> float:
    """Share of a file's pixels, drawn in some columns of a picture, that are not drawn as they are.

    At least a hundred of them have to be there.
    """
    with rasterio.open(file) as src:
        values, inside = src.read([1, 2, 3]), src.dataset_mask() > 0
        rows, cols = np.nonzero(inside)
        points = np.column_stack(rasterio.transform.xy(src.transform, rows, cols))
    at = page.places(degrees(points), which)
    columns = range(shown.shape[1])[part]
    # Not what lies on the border, or under what is written on the map.
    seen = (at[:, 0] > columns[0] + 8) & (at[:, 0] < columns[-1] - 8)
    seen &= (at[:, 1] > 100) & (at[:, 1] < len(shown) - 100)
    assert seen.sum() > 100
    drawn = shown[at[seen, 1], at[seen, 0]].astype(int)
    wanted = values[:, rows[seen], cols[seen]].T
    return float((abs(drawn - wanted) > NEAR).any(axis=1).mean())


def images_of(folder: Path, tile: str) -> tuple[Path, Path]:
    """Files of the two variants of a tile."""
    images = View(folder).catalogue.images.values()
    found = sorted((i.variant, i.files["image"]) for i in images if i.tile == tile)
    return folder / found[0][1], folder / found[1][1]


def middle_of(path: Path) -> tuple[float, float]:
    with rasterio.open(path) as src:
        x, y = src.xy(src.height // 2, src.width // 2)
    return float(x), float(y)


def test_each_variant_is_drawn_as_its_file_says(page: Page, folder: Path) -> None:
    tile = next(iter(View(folder).catalogue.tiles))
    first, second = images_of(folder, tile)
    look_at(page, middle_of(first))
    shown = page.picture()
    assert differing(page, shown, first) < FEW
    assert differing(page, shown, second) > MOST
    page.tab.keyboard.press("2")
    assert page.state()["base"] == "image-1"
    shown = page.picture()
    assert differing(page, shown, second) < FEW
    assert differing(page, shown, first) > MOST
    page.tab.locator("#bases input[value=image-0]").check()
    assert differing(page, page.picture(), first) < FEW


def test_a_decision_is_on_the_variant_that_is_shown(page: Page, folder: Path) -> None:
    page.tab.locator("#map-a canvas").focus()
    page.tab.keyboard.press("2")
    page.tab.keyboard.press("j")
    chosen = page.state()["selected"]
    assert View(folder).catalogue.images[chosen].variant == 1
    tile = View(folder).catalogue.images[chosen].tile
    page.tab.keyboard.press("r")
    page.until("Number(document.body.dataset.kept) >= 1")
    assert View(folder).review.verdicts() == {chosen: "rejected"}
    page.tab.keyboard.press("k")
    assert page.tab.locator("#reject").get_attribute("aria-pressed") == "true"
    page.tab.keyboard.press("1")
    other = View(folder).catalogue.images[page.state()["selected"]]
    assert (other.tile, other.variant) == (tile, 0)
    assert page.tab.locator("#reject").get_attribute("aria-pressed") == "false"
    page.tab.keyboard.press("2")
    page.tab.keyboard.press("u")
    page.until("Number(document.body.dataset.kept) >= 2")
    assert View(folder).review.verdicts() == {}
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("1")


def test_two_variants_lie_under_a_swipe(page: Page, folder: Path) -> None:
    first, second = images_of(folder, [*View(folder).catalogue.tiles][1])
    look_at(page, middle_of(first))
    page.set(compare="swipe", swipe=0.5)
    page.tab.locator("#other").select_option("image-1")
    shown = page.picture()
    assert differing(page, shown, first, "a", LEFT) < FEW
    assert differing(page, shown, second, "b", RIGHT) < FEW
    assert differing(page, shown, first, "b", RIGHT) > MOST
    labels = [page.tab.locator(f"#label-{which}").inner_text() for which in "ab"]
    assert labels == ["Synthetic image, variant 0", "Synthetic image, variant 1"]
    page.set(swipe=0.0)
    assert differing(page, page.picture(), second, "b") < FEW
    page.set(swipe=0.5)


def test_two_variants_lie_side_by_side(page: Page, folder: Path) -> None:
    first, second = images_of(folder, [*View(folder).catalogue.tiles][1])
    page.set(compare="side")
    shown = page.picture()
    assert differing(page, shown, first, "a", LEFT) < FEW
    assert differing(page, shown, second, "b", RIGHT) < FEW
    # They go together.
    page.tab.locator("#map-b canvas").focus()
    page.tab.keyboard.press("ArrowDown")
    moved = page.picture()
    assert (moved != shown).any(axis=2).mean() > 0.1
    assert differing(page, moved, first, "a", LEFT) < FEW
    assert differing(page, moved, second, "b", RIGHT) < FEW
    page.set(compare="off")


@pytest.mark.parametrize("variant", [0, 1])
def test_a_mosaic_is_drawn_as_its_file_says(page: Page, folder: Path, variant: int) -> None:
    file = folder / ("mosaic_v1.tif" if variant else "mosaic.tif")
    tiles = [*View(folder).catalogue.tiles]
    page.tab.locator(f"#bases input[value=mosaic-{variant}]").check()
    for tile in tiles[:2]:
        one = images_of(folder, tile)
        look_at(page, middle_of(one[variant]))
        shown = page.picture()
        assert differing(page, shown, file) < FEW
        assert differing(page, shown, one[variant]) < FEW
        assert differing(page, shown, one[1 - variant]) > MOST
    # Nothing is drawn where no tile is: north of them all.
    look_at(page, (middle_of(file)[0], NORTH + 60))
    assert (page.picture()[150:-150, 100:-100] == GROUND).all(axis=2).mean() > 0.99


def test_from_afar_a_mosaic_is_what_its_images_are(page: Page, folder: Path) -> None:
    page.tab.locator("#map-a canvas").focus()
    page.tab.keyboard.press("f")
    page.tab.evaluate("() => rsaug.maps.a.zoomTo(17, { animate: false })")
    page.set(base="image-0")
    images = page.picture().astype(int)
    page.set(base="mosaic-0")
    mosaic = page.picture().astype(int)
    there = (images != GROUND).any(axis=2) & (mosaic != GROUND).any(axis=2)
    there[:100], there[-60:] = False, False
    assert there.mean() > 0.02
    assert abs(images - mosaic)[there].mean() < 12


def test_a_mosaic_lies_beside_what_it_was_made_from(page: Page, folder: Path) -> None:
    tile = next(iter(View(folder).catalogue.tiles))
    first, second = images_of(folder, tile)
    look_at(page, middle_of(first))
    page.set(base="image-1", other="mosaic-0", compare="side")
    shown = page.picture()
    assert differing(page, shown, second, "a", LEFT) < FEW
    assert differing(page, shown, folder / "mosaic.tif", "b", RIGHT) < FEW
    page.set(base="image-0", other=None, compare="off")


def test_a_folder_of_real_imagery_lies_under_the_swipe(
    page: Page, folder: Path, imagery: Path
) -> None:
    assert page.tab.locator("#real-note").inner_text() == "2 files of it cannot be shown."
    # Two of its rasters meet here, at a fourth from the right.
    seam = WEST - 64 + 2 * 48
    look_at(page, (seam - 11, NORTH - 20))
    page.tab.keyboard.press("c")
    shown = page.picture()
    assert page.tab.locator("#label-b").inner_text() == "town"
    for number in (1, 2):
        assert differing(page, shown, imagery / f"{number}.tif", "b", RIGHT) < FEW
    images = {i.tile: i for i in View(folder).catalogue.images.values() if not i.variant}
    file = folder / images[next(iter(images))].files["image"]
    assert differing(page, shown, file, "a", LEFT) < FEW
    assert differing(page, shown, imagery / "1.tif", "b", LEFT) > MOST
    page.tab.keyboard.press("]")
    assert differing(page, page.picture(), file, "a", slice(0, 225)) < FEW


def test_a_folder_of_real_imagery_lies_side_by_side(page: Page, imagery: Path) -> None:
    page.tab.keyboard.press("c")
    look_at(page, (WEST - 64 + 2 * 48, NORTH - 20))
    shown = page.picture()
    for number in (1, 2):
        assert differing(page, shown, imagery / f"{number}.tif", "b", RIGHT) < FEW
    page.tab.keyboard.press("c")
    page.tab.locator("#bases input[value=real]").check()
    shown = page.picture()
    for number in (1, 2):
        assert differing(page, shown, imagery / f"{number}.tif") < FEW
    # West of all of it nothing is drawn.
    look_at(page, (WEST - 120, NORTH - 20))
    assert (page.picture()[150:-150, 100:-100] == GROUND).all(axis=2).mean() > 0.99


def test_one_raster_of_real_imagery_is_drawn_as_it_is(
    browser: Any, folder: Path, imagery: Path
) -> None:
    file = imagery / "1.tif"
    first, _ = images_of(folder, next(iter(View(folder).catalogue.tiles)))
    with served(View(folder, file)) as origin:
        page = opened(browser, origin, "mask=0&frames=0&base=real&compare=swipe&other=image-0")
        page.until("rsaug.maps.layers.has('real')")
        assert not page.tab.locator("#real-note").is_visible()
        look_at(page, (middle_of(file)[0] + 20, NORTH - 20))
        shown = page.picture()
        assert differing(page, shown, file, "a", LEFT) < FEW
        assert differing(page, shown, first, "b", RIGHT) < FEW
        page.set(compare="side", base="image-0", other="real")
        look_at(page, middle_of(file))
        assert differing(page, page.picture(), file, "b", RIGHT) < FEW
        assert page.errors == []
        page.tab.close()


def test_nothing_went_wrong(page: Page, folder: Path) -> None:
    assert page.errors == []
    asked = {url.split("/")[5] for url in page.asked if "/tiles/" in url}
    assert asked == {"image-0", "image-1", "mosaic-0", "mosaic-1", "real"}
    assert verify(folder).findings == ()
