"""The top of the page: what the run is, its key figures, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rsaug.htmlpage import Html, tag
from rsaug.progress import in_words
from rsaug.reporting.facts import Facts
from rsaug.reporting.run import EDITS

_LEDES = {
    "synth": "Synthetic aerial images with road masks. They show no real place: nothing but the "
    "mapped features is where it is on the ground.",
    "conditions": "Control maps and labels, drawn from map data; no model was used.",
}
_EDITED = "Real images altered by a generative model; what they show is in part made up."


def header(found: Facts) -> Html:
    """The title, what it is, and the key figures."""
    run = found.run
    made = f"rsaug {run.kind}, begun {run.record.get('created', 'at an unknown time')}"
    cards = [
        tag("div", tag("b", value), tag("span", what), class_="card")
        for value, what in _cards(found)
    ]
    return tag(
        "header",
        tag("p", made, class_="small soft"),
        tag("h1", run.name),
        tag("p", _LEDES.get(run.kind, _EDITED), class_="lede"),
        tag("div", *cards, class_="cards"),
        *(tag("p", sentence, class_="note") for sentence in _warnings(found)),
    )


def _cards(found: Facts) -> Iterator[tuple[str, str]]:
    run = found.run
    complete = sum(piece.whole for piece in run.pieces)
    yield f"{complete:,} of {run.asked:,}", f"{run.noun}s complete"
    if run.kind not in EDITS:
        if run.kind != "conditions":
            yield f"{len({piece.tile for piece in run.pieces}):,}", "tiles"
        if found.area_km2:
            yield f"{found.area_km2:.3g}\u202fkm\u00b2", "area of the tiles"
        options = run.options
        yield f"{options.get('tile_size')} px", f"a side, at {options.get('gsd')} m"
        yield str(options.get("crs") or "unknown")[:24], "grid"
    if run.generator:
        yield str(run.generator.get("model", "unknown")), "model"
    if found.road_shares:
        yield f"{100 * float(np.mean(found.road_shares)):.1f} %", "road, on average"
    if found.pace is not None:
        yield in_words(found.pace.seconds), f"{article(run.noun)} {run.noun}"
    yield size(run.bytes), "on the disk"


def _warnings(found: Facts) -> Iterator[str]:
    run, noun = found.run, found.run.noun
    if run.failed:
        yield f"{counted(len(run.failed), noun)} could not be made; the reasons are below."
    waiting = run.missing - len(run.failed)
    if waiting > 0:
        said = ""
        if found.pace is not None:
            left = in_words(found.pace.seconds * waiting)
            ago = in_words(found.pace.idle_seconds)
            said = (
                f" The last one was written {ago} before this page was; at the pace so far the "
                f"rest takes {left}."
            )
        yield f"The run is not complete: {counted(waiting, noun)} still to be made.{said}"
    if broken := [piece.name for piece in run.pieces if not piece.whole]:
        yield (
            f"{counted(len(broken), noun)} with a file that is missing or has another size: "
            f"{some(broken)}."
        )
    if run.unreadable:
        yield f"{counted(len(run.unreadable), 'item')} cannot be read: {some(run.unreadable)}."
    if run.besides:
        yield (
            f"{counted(run.besides, noun)} not in the collection: of earlier runs in this folder, "
            "or newer than the collection."
        )
    if bad := [look for look in found.looks if look.problem]:
        yield f"{counted(len(bad), noun)} cannot be shown whole. The first: {bad[0].problem}"
    seeds = found.seeds
    if seeds["different"] < seeds["images"] and not run.options.get("seamless"):
        yield f"{counted(seeds['images'], noun)} have only {seeds['different']} different seeds."


def article(noun: str) -> str:
    """The article that goes before a noun."""
    return "an" if noun[0] in "aeiou" else "a"


def counted(count: int, noun: str) -> str:
    """A number of things for a reader."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size(count: float) -> str:
    """A number of bytes for a reader."""
    return f"{count / 1e9:,.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
