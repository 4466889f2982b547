"""The page in a real browser: it draws, pans, swipes, filters and decides, and asks nobody else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from viewerpage import CHROMIUM, Page, browsed, opened, served

from rsaug.verification import verify
from rsaug.viewer.review import COLUMN
from rsaug.viewer.view import View

ROAD = 128
"""Red, green and blue of the roads that the painter paints."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]


@pytest.fixture(scope="module")
def run(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has scores."""
    folder = Path(shutil.copytree(painted, tmp_path_factory.mktemp("page") / "run"))
    names = [*View(folder).catalogue.images]
    (folder / "quality").mkdir()
    rows = [f"{name},{k / len(names)}" for k, name in enumerate(names)]
    (folder / "quality" / "images.csv").write_text("\n".join(["id,score", *rows, ""]))
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[Page]:
    """The page of that run, opened once for all tests, which run in their order."""
    with served(View(run)) as origin, browsed() as context:
        yield opened(context, origin, "mask=0&frames=0")


def greys(picture: NDArray[np.uint8]) -> float:
    """Share of a picture that is a road of the painter's."""
    return float((picture == ROAD).all(axis=2).mean())


def masked(picture: NDArray[np.uint8]) -> float:
    """Share of a picture that is the road mask, not seen through."""
    return float((picture == (255, 176, 0)).all(axis=2).mean())


def test_it_draws_the_images_as_they_are(page: Page, run: Path) -> None:
    page.tab.keyboard.press("j")
    page.settled()
    shown = page.picture()
    assert greys(shown) > 0.01
    # The painter's ground is green.
    ground = shown[(shown[..., 1] > shown[..., 0]) & (shown[..., 1] < 130)]
    assert len(ground) > 10_000
    assert page.state()["selected"] in View(run).catalogue.images
    assert page.tab.locator("#tile-name").inner_text() == page.state()["selected"]
    page.until("document.querySelector('#detail .ok')")
    assert "painter" in page.tab.locator("#detail").inner_text()


def test_the_mask_lies_on_the_roads(page: Page) -> None:
    bare = page.picture()
    page.tab.keyboard.press("m")
    page.tab.evaluate("() => rsaug.state.set({opacity: 1})")
    covered = page.picture()
    assert masked(bare) == 0
    assert masked(covered) > 0.01
    assert greys(covered) < 0.1 * greys(bare)
    page.tab.keyboard.press("m")


def test_it_pans_and_the_address_follows(page: Page) -> None:
    before, address = page.picture(), page.tab.url
    page.tab.locator("#map-a canvas").focus()
    page.tab.keyboard.press("ArrowRight")
    page.settled()
    after = page.picture()
    page.until(f"location.href !== {json.dumps(address)}")
    assert (before != after).any(axis=2).mean() > 0.05
    # All of it has gone to the left by some pixels.
    shifted = max(range(50, 200, 1), key=lambda by: (before[:, by:] == after[:, :-by]).mean())
    assert (
        before[150:-150, shifted + 50 : -60] == after[150:-150, 50 : -60 - shifted]
    ).mean() > 0.9


def test_an_address_shows_the_same_again(page: Page) -> None:
    page.tab.wait_for_timeout(300)
    shown, state = page.picture(), page.state()
    again = page.tab.context.new_page()
    again.goto(page.tab.url)
    other = Page(again, page.origin)
    # Without the border, which shows where the keyboard is; and at the borders of pixels the map's
    # own rounding decides.
    inner = np.s_[60:-60, 60:-60]
    assert (other.picture()[inner] == shown[inner]).mean() > 0.95
    found = other.state()
    assert {k: v for k, v in found.items() if k != "view"} == {
        k: v for k, v in state.items() if k != "view"
    }
    again.close()
    page.tab.bring_to_front()


def test_it_swipes_between_two_layers(page: Page) -> None:
    page.tab.evaluate("() => rsaug.state.set({compare: 'swipe', other: 'label', swipe: 0.5})")
    half = page.picture()
    middle = half.shape[1] // 2
    label = (half == 236).all(axis=2) | (half == 38).all(axis=2)
    assert label[:, middle + 20 :].mean() > 0.05
    assert label[:, : middle - 20].mean() < 0.01
    box = page.tab.locator("#swipe").bounding_box()
    page.tab.mouse.move(box["x"] + 12, box["y"] + 100)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] - middle / 2, box["y"] + 100, steps=4)
    page.tab.mouse.up()
    further = page.picture()
    seen = (further == 236).all(axis=2) | (further == 38).all(axis=2)
    assert seen.sum() > 1.2 * label.sum()
    assert page.state()["swipe"] == pytest.approx(0.25, abs=0.03)
    page.tab.keyboard.press("c")
    page.picture()
    assert page.state()["compare"] == "side"
    page.tab.keyboard.press("c")


def test_it_filters_by_score_and_by_class(page: Page) -> None:
    places = page.tab.evaluate("() => rsaug.run.places.length")
    assert page.tab.locator("#count").inner_text() == f"{places} tiles"
    page.tab.locator("#low").focus()
    for _ in range(3):
        page.tab.keyboard.press("PageUp")
    assert page.state()["low"] > 0
    left = int(page.tab.locator("#count").inner_text().split(" of ")[0])
    wanted = page.tab.evaluate(
        "() => rsaug.run.images.filter(i => i.variant === 0 && "
        "rsaug.run.value(i, 'score') >= rsaug.state.now.low).length"
    )
    assert 0 < left == wanted < places
    page.tab.locator("#filter-reset").click()
    page.until("document.querySelector('#classes input[value=forest]')")
    page.tab.locator("#classes input[value=forest]").check()
    with_wood = [
        tile
        for tile, held in page.tab.evaluate("() => Object.entries(rsaug.run.shares)")
        if held.get("forest", 0) >= 0.01
    ]
    assert page.tab.locator("#count").inner_text() == (
        f"{len(with_wood)} of {places} tiles" if len(with_wood) < places else f"{places} tiles"
    )
    page.tab.evaluate("() => rsaug.state.set({classes: []})")


def test_keys_decide_and_the_manifest_has_it(page: Page, run: Path) -> None:
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("j")
    first = page.state()["selected"]
    page.tab.keyboard.press("a")
    second = page.state()["selected"]
    assert second != first
    page.tab.keyboard.press("r")
    page.until("Number(document.body.dataset.kept) >= 1 && rsaug.run.verdicts.size === 2")
    page.until("Number(document.body.dataset.kept) >= 2")
    table = pq.read_table(run / "manifest.parquet", columns=["id", COLUMN]).to_pydict()
    said = {n: v for n, v in zip(table["id"], table[COLUMN], strict=True) if v}
    assert said == {first: "accepted", second: "rejected"}
    scores = json.loads((run / "review" / "scores.json").read_text())
    assert (scores[first], scores[second]) == (1, 0)
    assert verify(run).findings == ()
    page.tab.keyboard.press("z")
    page.until("Number(document.body.dataset.kept) >= 3")
    assert page.tab.locator("#done").inner_text().startswith("1 accepted, 0 rejected")
    decisions = json.loads((run / "review" / "decisions.json").read_text())
    assert [*decisions] == [first]


def test_help_says_the_keys(page: Page) -> None:
    page.tab.keyboard.press("?")
    assert page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("Escape")
    assert not page.tab.locator("#help").is_visible()


def test_nothing_left_the_machine_and_nothing_went_wrong(page: Page) -> None:
    assert len(page.asked) > 20
    strange = [url for url in page.asked if not url.startswith((page.origin, "blob:", "data:"))]
    assert strange == []
    assert page.errors == []
