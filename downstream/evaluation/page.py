"""One HTML page with pictures that needs no network, no script and no file beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_QUALITY = 88
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1e1e1e; background: #fff;
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; border-top: 1px solid #ddd; padding-top: 1.2rem; }
p { max-width: 52rem; margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9rem; }
dt { color: #666; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #eee;
  vertical-align: top; }
th { color: #666; font-weight: 500; }
td:nth-child(3), td:nth-child(4) { font-variant-numeric: tabular-nums; white-space: nowrap; }
.missing { color: #8a5a00; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
figure { margin: 0; } figcaption { font-size: .8rem; color: #444; max-width: 32rem; }
img { display: block; max-width: 100%; height: auto; }
"""


class Figure(NamedTuple):
    """A picture on the page.

    Attributes:
        caption: What it shows.
        picture: uint8 (rows, cols, 3).
    """

    caption: str
    picture: NDArray[np.uint8]


class Table(NamedTuple):
    """A table on the page.

    Attributes:
        heads: Of the columns.
        rows: Cells, as many as there are heads.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


Part = tuple[str, Sequence[str], "Table | None", Sequence[Figure], Sequence[str]]
"""Heading, sentences, numbers, pictures, and what is missing."""


def render(title: str, facts: Sequence[tuple[str, str]], parts: Sequence[Part]) -> str:
    """The page.

    Args:
        title: Its heading.
        facts: Name and value of what is said at the top.
        parts: What follows.
    """
    body = [f"<h1>{escape(title)}</h1>", "<dl>"]
    body += [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts]
    body.append("</dl>")
    for heading, sentences, table, figures, missing in parts:
        body.append(f"<h2>{escape(heading)}</h2>")
        body += [f"<p>{escape(sentence)}</p>" for sentence in sentences]
        body += [f'<p class="missing">Not measured: {escape(text)}</p>' for text in missing]
        if table is not None:
            body.append(_table(table))
        if figures:
            body += ['<div class="figures">', *map(_figure, figures), "</div>"]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def side_by_side(*pictures: NDArray[np.uint8], gap_px: int = 6) -> NDArray[np.uint8]:
    """Pictures (rows, cols, 3) of one height in a row, white between them."""
    gap = np.full((pictures[0].shape[0], gap_px, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def as_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile (3, rows, cols) as a picture (rows, cols, 3)."""
    return np.ascontiguousarray(np.moveaxis(image, 0, -1))


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.heads)
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _figure(figure: Figure) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(figure.picture).save(file, "JPEG", quality=_QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    rows, cols = figure.picture.shape[:2]
    caption = escape(figure.caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{cols}" height="{rows}" '
        f'alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
