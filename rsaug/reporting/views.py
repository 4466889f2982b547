"""What is to be seen: the images with their masks and control maps, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator

from rsaug.conditions.landcover import CLASSES, PALETTE
from rsaug.errors import InputError
from rsaug.grid import linear_unit_m, parse_crs
from rsaug.htmlpage import Child, Html, picture, tag
from rsaug.reporting.charts import Cell, legend, tile_map
from rsaug.reporting.facts import Facts
from rsaug.reporting.looks import Look, spread
from rsaug.reporting.run import Piece

STYLE = """
.tiles { display: grid; gap: 1.2rem 2rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 31rem), 1fr)); }
.tile { break-inside: avoid; min-width: 0; } .tile p { margin: 0 0 .3rem; }
.panels { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); }
@media (max-width: 35rem) { .panels { grid-template-columns: 1fr 1fr; } }
.panels img { outline: 1px solid var(--line); outline-offset: -1px; }
"""

_MOST_TEXT = 200
_FEW = 4


def section(key: str, title: str, says: str, *parts: Child) -> Html:
    """A part of the page with its heading; ``key`` is what links lead to."""
    lines = [tag("p", says, class_="soft")] if says else []
    return tag("section", tag("h2", title), *lines, *parts, id=key)


def contact_sheet(found: Facts, budget: int) -> Html | None:
    """Images with masks and control maps, at most so many characters of them."""
    looks = {look.piece.name: look for look in found.looks if look.panels}
    pieces = [piece for piece in found.run.pieces if piece.name in looks]
    # A few tell how many fit, so that not very many are encoded for nothing.
    few = [_row(looks[piece.name]) for piece in spread(pieces, min(_FEW, found.shown))]
    fit = found.shown if not few else budget * len(few) // sum(map(len, few))
    rows = [_row(looks[piece.name]) for piece in spread(pieces, min(found.shown, max(fit, 1)))]
    while rows and (length := sum(map(len, rows))) > budget:
        rows = spread(rows, min(len(rows) - 1, budget * len(rows) // length))
    if not rows:
        return None
    total = len(found.run.pieces)
    says = f"All {total}." if len(rows) == total else f"{len(rows)} of {total:,}, spread evenly."
    title = "Tiles" if found.run.kind == "conditions" else "Images"
    return section("sheet", title, says, *_class_legend(found), tag("div", *rows, class_="tiles"))


def place_map(found: Facts) -> Html | None:
    """Where the tiles lie; None where no place is known or they are in several CRSs."""
    looks = {look.piece.name: look for look in found.looks}
    cells: dict[str, Cell] = {}
    codes = set()
    for piece in found.run.pieces:
        look = looks.get(piece.name)
        box = piece.box or (look.box if look else None)
        if box is None:
            continue
        codes.add(piece.crs or (look.crs if look else ""))
        share = _share(piece, look)
        said = "" if share is None else f", {100 * share:.1f} % road"
        cells[piece.tile] = Cell(box, share, f"{piece.tile}{said}")
    if not cells or len(codes) != 1:
        return None
    code = codes.pop()
    failed = list(_failed(found, {*cells}))
    says = f"{len(cells):,} tiles in {code or 'a CRS without a code'}, north up, by share of road."
    figure = tag("figure", tile_map([*cells.values(), *failed], _metres(code)))
    return section("map", "Where", says, figure, legend(bool(failed)))


def _class_legend(found: Facts) -> list[Html]:
    """What the colours of the land-cover map say, where there is one."""
    if not found.classes:
        return []
    colours = dict(zip(CLASSES, PALETTE.tolist(), strict=True))
    parts = []
    for name in found.classes:
        colour = "#" + "".join(f"{band:02x}" for band in colours[name])
        parts.append(tag("span", tag("i", style=f"background:{colour}"), f" {name}"))
    return [tag("p", "Land cover: ", *parts, class_="legend small soft")]


def _row(look: Look) -> Html:
    piece = look.piece
    share = _share(piece, look)
    prompt = piece.said.get("rsaug:prompt") or piece.said.get("rsaug:caption")
    said = [
        "" if share is None else f"{100 * share:.1f} % road",
        "" if piece.seed is None else f"seed {piece.seed}",
        str(prompt)[:_MOST_TEXT] if prompt else "",
    ]
    figures = [
        tag(
            "figure",
            picture(pixels, f"{title} of {piece.name}", how="photo" if photo else "map"),
            tag("figcaption", title),
        )
        for title, pixels, photo in look.panels
    ]
    line = tag("span", " \u00b7 ".join(part for part in said if part), class_="soft")
    return tag(
        "div",
        tag("p", tag("b", piece.name), " ", line, class_="small"),
        tag("div", *figures, class_="panels"),
        class_="tile",
    )


def _share(piece: Piece, look: Look | None) -> float | None:
    if piece.road_share is not None:
        return piece.road_share
    return look.road_share if look else None


def _failed(found: Facts, there: set[str]) -> Iterator[Cell]:
    """Places of what could not be made, from its name and the place of a tile beside it."""
    known = ((p.box, _place(p.tile)) for p in found.run.pieces)
    example = next(((box, place) for box, place in known if box and place), None)
    if example is None:
        return
    (left, bottom, right, top), (row, col) = example
    side = right - left
    for failure in found.run.failed:
        place = _place(failure.item)
        if place is not None and failure.item not in there:
            down, along = (place[0] - row) * side, (place[1] - col) * side
            box = left + along, bottom - down, right + along, top - down
            yield Cell(box, None, f"{failure.item} could not be made", failed=True)


def _place(name: str) -> tuple[int, int] | None:
    """Row and column in the name of a tile or an image; see `rsaug.grid.Tile.name`."""
    row, _, rest = name.partition("_")
    col = rest.partition("_")[0]
    if (row[:1], col[:1]) != ("r", "c") or max(len(row), len(col)) > 10:
        return None
    try:
        return int(row[1:]), int(col[1:])
    except ValueError:
        return None


def _metres(code: str) -> float | None:
    try:
        return linear_unit_m(parse_crs(code)) if code else None
    except InputError:
        return None
