"""Pages: whatever a text holds is shown and never becomes an element."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page, assert_stands_alone
from PIL import Image

from rsaug.htmlpage import Html, bars, facts, join, page, picture, table, tag, text

# Of these characters HTML can write all; it reads a return as a line feed.
WRITABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.just("\n"))


@given(WRITABLE, WRITABLE)
def test_text_and_attributes_come_back_as_they_went_in(inside: str, attribute: str) -> None:
    read = Page.of(tag("p", inside, title=attribute))
    assert read.elements == [("p", {"title": attribute})]
    assert read.text == inside


@given(st.text())
def test_any_text_makes_one_element(inside: str) -> None:
    whole = page(inside, [tag("p", inside), facts([(inside, inside)]), table([inside], [[inside]])])
    read = assert_stands_alone(whole)
    assert len(read.all("p")) == len(read.all("dt")) == len(read.all("td")) == 1


def test_characters_that_html_cannot_write_are_replaced() -> None:
    assert text("a\0b\x1bc\ud800d") == "a\ufffdb\ufffdc\ufffdd"


def test_markup_is_kept_and_everything_else_escaped() -> None:
    assert join([Html("<b>x</b>"), "<b>"], ", ") == "<b>x</b>, &lt;b&gt;"
    assert tag("td", "a & b", class_="n", hidden=True, id=None) == (
        '<td class="n" hidden>a &amp; b</td>'
    )


@pytest.mark.parametrize("name", ["p onclick", "", "p>"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of an element"):
        tag(name)
    with pytest.raises(ValueError, match="no name of an attribute"):
        tag("p", **{f"{name} x": "1"})


def test_bars_are_as_long_as_their_values() -> None:
    read = Page.of(
        bars({"roads": 2.0, "<b>": 1.0, "none": 0.0}, dict.fromkeys(["roads", "<b>", "none"], ""))
    )
    assert [span["style"] for span in read.all("span")] == [
        "width:100.0%",
        "width:50.0%",
        "width:0.0%",
    ]
    assert "<b>" in read.text
    assert Page.of(bars({}, {})).all("span") == []


def test_a_map_keeps_its_pixels_and_a_large_picture_is_made_smaller() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)

    def opened(shown: Html) -> Image.Image:
        (attributes,) = Page.of(shown).all("img")
        data = base64.b64decode((attributes["src"] or "").removeprefix("data:image/webp;base64,"))
        image = Image.open(io.BytesIO(data))
        assert (attributes["width"], attributes["height"]) == tuple(map(str, image.size))
        return image

    assert (np.asarray(opened(picture(pixels, "x", how="map")).convert("RGB")) == pixels).all()
    assert opened(picture(pixels, "x", side=15)).size == (15, 10)
