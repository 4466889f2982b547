"""What is in the tiles, what was left out, how long it took, and what others measured on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsaug.htmlpage import Child, Html, bars, table, tag
from rsaug.progress import in_words
from rsaug.reporting.charts import curve, histogram
from rsaug.reporting.facts import Facts
from rsaug.reporting.header import article, counted, some
from rsaug.reporting.run import counts, mapping
from rsaug.reporting.views import section

_ROWS = 12
"""Rows of a table of reasons; the rest is summed up."""

_RULES = {
    "width": "the width tag",
    "est_width": "an estimated width tag",
    "lanes": "the number of lanes",
    "highway": "the kind of road",
    "default": "the default, without tags",
    "area": "an area of its own",
}


def distributions(found: Facts) -> Html | None:
    """Road share, classes and widths of roads, land cover."""
    parts: list[Child] = []
    shares = found.road_shares
    if shares:
        parts.append(
            _block(
                "Road share",
                f"Share of the tile that is road, {counted(len(shares), 'tile')}: "
                f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %, "
                f"median {100 * float(np.median(shares)):.1f} %.",
                histogram(np.array(shares), " %", 100),
            )
        )
    if found.classes:
        opened = len(found.covered)
        shown = {name: f"{100 * share:.1f} %" for name, share in found.classes.items()}
        says = f"Mean share in the maps that the model was given, of {counted(opened, 'tile')}."
        if opened < len({piece.tile for piece in found.run.pieces}):
            says += " They are spread evenly over all."
        parts.append(_block("Land cover", says, bars(found.classes, shown)))
    parts += _roads(found)
    return (
        section("contents", "What is in it", "", tag("div", *parts, class_="columns"))
        if (parts)
        else None
    )


def _roads(found: Facts) -> list[Child]:
    roads = found.roads
    layer = mapping(mapping(found.run.record, "layers"), "roads")
    parts: list[Child] = []
    if isinstance(roads, str):
        if classes := counts(layer, "by_class"):
            km = counts(layer, "km_by_class")
            shown = {n: f"{v:,.0f} ({km.get(n, 0):,.1f} km)" for n, v in classes.items()}
            says = f"Roads of the whole layer, not of the tiles alone. {roads}"
            parts.append(_block("Classes of road", says, bars(classes, shown)))
    else:
        where = (
            f"Kilometres of road line inside {counted(roads.tiles, 'tile')}, {roads.km:,.2f} km."
        )
        for title, lengths in (
            ("Classes of road", roads.km_by_class),
            ("Widths of road", roads.km_by_width),
        ):
            if lengths:
                shown = {name: f"{value:,.2f} km" for name, value in lengths.items()}
                parts.append(_block(title, where, bars(lengths, shown)))
                where = "The same by width of the surface."
    if rules := counts(layer, "by_rule"):
        named = {_RULES.get(name, name): value for name, value in rules.items()}
        shown = {name: f"{value:,.0f}" for name, value in named.items()}
        says = "What gave the roads of the layer their width."
        parts.append(_block("Width from", says, bars(named, shown)))
    return parts


def left_out(found: Facts) -> Html:
    """Features that came to nothing and images that could not be made, by reason."""
    parts: list[Child] = []
    for reason, items in found.failures.items():
        parts.append(
            tag(
                "p",
                tag("b", f"{counted(len(items), found.run.noun)}: "),
                f"{reason} ({some(items)})",
            )
        )
    if parts:
        parts.insert(0, tag("h3", "Could not be made"))
        parts.append(tag("p", "The next run tries them again.", class_="soft"))
    blocks = []
    for layer, reasons in found.left_out.items():
        ranked = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
        rows = [(reason, f"{count:,}") for reason, count in ranked[:_ROWS]]
        if len(ranked) > _ROWS:
            others = sum(count for _, count in ranked[_ROWS:])
            rows.append((f"{len(ranked) - _ROWS} other reasons", f"{others:,}"))
        blocks.append(_block(layer, "", table(("reason", "features"), rows, numbers=[1])))
    if blocks:
        parts.append(tag("div", *blocks, class_="columns"))
    says = "Features of the layers that no road or area was made of." if blocks else ""
    if not parts:
        says = "Nothing: every feature was used and every image made, as far as the record tells."
    return section("left-out", "What was left out", says, *parts)


def seeds_and_time(found: Facts) -> Html | None:
    """Seeds, and seconds an image."""
    parts: list[Child] = []
    seeds, pace, noun = found.seeds, found.pace, found.run.noun
    if seeds["images"]:
        says = (
            f"The seed of the run is {seeds['run']}. Each image has its own, drawn from it, from "
            f"its place and its variant: {seeds['different']:,} different ones among "
            f"{counted(seeds['images'], noun)}."
        )
        parts.append(_block("Seeds", says))
    if pace is not None:
        says = (
            f"{in_words(pace.seconds)} {article(noun)} {noun} on average, by the times of the files"
        )
        says += f"; {counted(pace.pauses, 'pause')} not counted." if pace.pauses else "."
        says += " A folder that was copied may have other times."
        drawn = []
        if pace.over_time:
            drawn = [curve(pace.over_time, " s", (f"first {noun}s", f"last {noun}s"))]
        parts.append(_block("Time", says, *drawn))
    return (
        section("time", "Seeds and time", "", tag("div", *parts, class_="columns"))
        if (parts)
        else None
    )


def scores(found: Facts) -> Html | None:
    """Scores of ``rsaug filter`` and ``rsaug evaluate``, where they are there."""
    parts: list[Child] = []
    if found.filtered is not None:
        parts += _filtered(found.filtered)
    if found.evaluated is not None:
        parts += _evaluated(found.evaluated)
    return section("scores", "Scores", "", *parts) if parts else None


def _filtered(said: Mapping[str, Any]) -> list[Child]:
    kept, images = said["kept"], said["images"]
    says = "rsaug filter scored the images."
    if kept is not None and images is not None:
        says = f"rsaug filter keeps {kept:,.0f} of {images:,.0f} images."
    if said["detectors"]:
        says += f" Detectors: {', '.join(said['detectors'])}."
    heads = ("criterion", "5 %", "25 %", "median", "75 %", "95 %")
    rows = [
        (name, *("" if v is None else f"{v:.3f}" for v in values))
        for name, values in said["values"].items()
        if len(values) == len(heads) - 1
    ]
    parts: list[Child] = [tag("h3", "Filter"), tag("p", says)]
    if rows:
        parts.append(table(heads, rows, numbers=range(1, len(heads))))
    if said["scores"]:
        parts.append(histogram(np.array(list(said["scores"].values())), ""))
        parts.append(
            tag("p", "Scores of the images; 0 is below a least value.", class_="soft small")
        )
    return parts


def _evaluated(rows: Sequence[Mapping[str, Any]]) -> list[Child]:
    heads = ("section", "measure", "of", "value", "interval", "n", "by")
    cells = []
    before = ""
    for row in rows:
        low, high = row["low"], row["high"]
        span = "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
        value = "-" if row["value"] is None else f"{row['value']:.3g}"
        title = "" if row["section"] == before else row["section"]
        before = row["section"]
        cells.append((title, row["measure"], row["of"], value, span, row["n"], row["by"]))
    says = "Numbers of rsaug evaluate; evaluation/report.html has how they are measured."
    return [tag("h3", "Evaluation"), tag("p", says), table(heads, cells, numbers=[3])]


def _block(title: str, says: str, *parts: Child) -> Html:
    lines = [tag("p", says, class_="small soft")] if says else []
    return tag("div", tag("h3", title), *lines, *parts)
