"""One HTML page with pictures that needs no network, no script and no file beside it.

Markup is built by `tag`, which escapes whatever is not markup already: text that comes from a file
cannot become an element. Pages read in light and dark, on a phone and on paper.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

STYLE = """
:root { color-scheme: light dark; --ink: #1c1f21; --soft: #5d666b; --line: #dfe3e4;
  --ground: #fff; --panel: #f5f7f6; --accent: #0f6e5c; --bar: #3d8f7d; --warn: #8a4b00;
  --warn-ground: #fdf3e3; --bad: #b3261e;
  --s0: #f0f4ee; --s1: #d3e6d6; --s2: #a9d3bd; --s3: #78bba5; --s4: #479e8b; --s5: #1f7d6d;
  --s6: #065348; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ea; --soft: #9aa5aa; --line: #343b3e;
  --ground: #15191b; --panel: #1e2426; --accent: #6fcdb8; --bar: #4aa592; --warn: #f2c27a;
  --warn-ground: #33280f; --bad: #ff8a80;
  --s0: #20292b; --s1: #22403c; --s2: #25594f; --s3: #2b7567; --s4: #3d9482; --s5: #63b6a1;
  --s6: #a5dcca; } }
* { box-sizing: border-box; }
html { font-size: 100%; }
body { font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--ground); max-width: 74rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { max-width: 46rem; margin: .4rem 0; }
.soft { color: var(--soft); } .small { font-size: .875rem; }
.lede { font-size: 1.05rem; }
nav { font-size: .875rem; display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1rem 0; }
a { color: var(--accent); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.6rem, 1fr)); gap: .5rem;
  margin: 1rem 0; }
.card { background: var(--panel); border-radius: .4rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.15rem; line-height: 1.3; font-weight: 600;
  overflow-wrap: anywhere; } .card span { font-size: .8rem; color: var(--soft); }
.note { background: var(--warn-ground); color: var(--warn); border-radius: .4rem;
  padding: .5rem .8rem; margin: .5rem 0; max-width: none; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem;
  font-size: .9rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 40%; min-width: 6rem; padding-right: 0; }
td.bar span { display: block; height: .8rem; margin-top: .3rem; background: var(--bar);
  border-radius: 1px; min-width: 1px; }
code, pre { font: .85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--panel); border-radius: .4rem; padding: .7rem .9rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .4rem 0 .8rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr));
  gap: 0 2.5rem; }
.columns > * { min-width: 0; }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; border-radius: 2px; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .bar { fill: var(--bar); } svg .axis { stroke: var(--line); fill: none; }
svg .line { stroke: var(--bar); fill: none; stroke-width: 1.5; }
details > summary { cursor: pointer; color: var(--accent); margin: .4rem 0; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #ccc; --ground: #fff; --panel: #f5f5f5; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 11px; } body { max-width: none; padding: 0; }
  nav { display: none; } h2 { break-after: avoid; } figure, .card, tr { break-inside: avoid; }
}
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_VOID = frozenset({"img", "meta", "br"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")
# Characters that HTML has no way to write (WHATWG, "preprocessing the input stream").
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Html(str):
    """Markup that is safe to put on a page; only this module and what it escapes makes it."""

    __slots__ = ()


Child = str | Html


def text(value: object) -> Html:
    """Text as markup: whatever it holds is shown and never read as an element."""
    return Html(escape(_UNWRITABLE.sub("\ufffd", str(value)), quote=True))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element; children that are no `Html` are escaped, as are all values of attributes.

    Args:
        name: Its name.
        *children: What is in it.
        **attributes: By name, where ``_`` stands for ``-`` and one at the end is dropped, as in
            ``class_``; None leaves an attribute out, True gives it without a value.

    Raises:
        ValueError: for a name that is none of an element or of an attribute.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        if not _NAME.fullmatch(attribute):
            raise ValueError(f"{attribute!r} is no name of an attribute.")
        parts.append(attribute if value is True else f'{attribute}="{text(value)}"')
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element.")
    opened = " ".join(parts)
    if name in _VOID:
        return Html(f"<{opened}>")
    return Html(f"<{opened}>{join(children)}</{name}>")


def join(children: Iterable[Child], between: str = "") -> Html:
    """Pieces one after another; those that are no `Html` are escaped."""
    return Html(between.join(c if isinstance(c, Html) else text(c) for c in children))


def page(title: str, body: Iterable[Html], style: str = "") -> str:
    """A whole page.

    Args:
        title: Its title, also that of the tab.
        body: What is on it.
        style: CSS besides `STYLE`.
    """
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Html(STYLE + style)),
        ],
        "\n",
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n' + (
        join(body, "\n") + "\n</body>\n</html>\n"
    )


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values in two columns."""
    return tag("dl", *(part for n, v in pairs for part in (tag("dt", n), tag("dd", v))))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], numbers: Iterable[int] = ()
) -> Html:
    """A table.

    Args:
        heads: Of the columns.
        rows: Cells, as many as there are heads.
        numbers: Columns that hold numbers.
    """
    right = {*numbers}
    classes = ["n" if k in right else None for k in range(len(heads))]
    head = tag("tr", *(tag("th", h, class_=c) for h, c in zip(heads, classes, strict=True)))
    lines = [
        tag("tr", *(tag("td", cell, class_=c) for cell, c in zip(row, classes, strict=True)))
        for row in rows
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *lines)), class_="scroll")


def bars(values: Mapping[str, float], shown: Mapping[str, str], head: str = "") -> Html:
    """A table of bars, in the order of the values.

    Args:
        values: Length of each bar by name, from 0 up.
        shown: What is written beside each.
        head: Heading of the names.
    """
    most = max(values.values(), default=0.0) or 1.0
    rows = [
        tag(
            "tr",
            tag("td", name),
            tag("td", shown[name], class_="n"),
            tag("td", tag("span", style=f"width:{100 * value / most:.1f}%"), class_="bar"),
        )
        for name, value in values.items()
    ]
    caption = [tag("thead", tag("tr", tag("th", head, colspan=3)))] if head else []
    return tag("table", *caption, tag("tbody", *rows))


def picture(
    pixels: NDArray[np.uint8],
    alt: str,
    *,
    side: int | None = None,
    how: Literal["photo", "map"] = "photo",
    quality: int = 80,
) -> Html:
    """A picture inside the page, as WebP.

    Args:
        pixels: uint8 (rows, cols, 3).
        alt: What it shows.
        side: Its longer side on the page is at most so many pixels; None for as it is.
        how: ``photo`` loses what is hardly seen; ``map`` loses nothing.
        quality: Of a photo, from 1 to 100.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    if side is not None and max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.BOX)
    file, options = io.BytesIO(), dict[str, Any](quality=quality, method=4)
    if how == "map":
        options = {"lossless": True, "quality": 50}
    image.save(file, "WEBP", **options)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    width, height = image.size
    source = f"data:image/webp;base64,{data}"
    return tag("img", src=source, width=width, height=height, alt=alt, loading="lazy")
